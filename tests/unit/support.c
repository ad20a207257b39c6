#include "support.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "echod/log.h"

/* Where sanitizers report to, if there are any (but for UBSan of gcc). */
void __sanitizer_set_report_fd(void *fd) __attribute__((weak));

static int saved_stderr = -1;
static int capture_fd = -1;

uint32_t
random_below(uint64_t *state, uint32_t n)
{
	/* xorshift64*, Marsaglia 2003 and Vigna 2016 */
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (uint32_t)((*state * UINT64_C(0x2545f4914f6cdd1d)) >> 32) % n;
}

static void
report_to(int fd)
{
	if (__sanitizer_set_report_fd != NULL)
		__sanitizer_set_report_fd((void *)(intptr_t)fd);
}

void
stderr_to(int fd)
{
	if (saved_stderr == -1)
		saved_stderr =
		    fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	assert_int_not_equal(saved_stderr, -1);
	report_to(saved_stderr);
	assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
}

void
stderr_back(void)
{
	if (saved_stderr == -1)
		return;
	dup2(saved_stderr, STDERR_FILENO);
	report_to(STDERR_FILENO);
	close(saved_stderr);
	saved_stderr = -1;
}

int
capture_setup(void **state)
{
	(void)state;
	capture_fd = memfd_create("stderr", MFD_CLOEXEC);
	assert_int_not_equal(capture_fd, -1);
	stderr_to(capture_fd);
	return 0;
}

int
capture_log_setup(void **state)
{
	capture_setup(state);
	return log_open(LOG_TO_STDERR, LOG_DEBUG);
}

int
capture_teardown(void **state)
{
	(void)state;
	stderr_back();
	if (capture_fd != -1)
		close(capture_fd);
	capture_fd = -1;
	return 0;
}

const char *
capture_text(void)
{
	static char text[64 * 1024];
	const ssize_t n = pread(capture_fd, text, sizeof(text) - 1, 0);

	assert_true(n >= 0);
	text[n] = '\0';
	assert_int_equal(ftruncate(capture_fd, 0), 0);
	assert_int_equal(lseek(capture_fd, 0, SEEK_SET), 0);
	return text;
}

/* Those that are numbers of most and above are left out. */
static size_t
count_names_below(const char *directory, int most)
{
	DIR *dir = opendir(directory);
	size_t n = 0;

	assert_non_null(dir);
	for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir))
		n += e->d_name[0] != '.' && atoi(e->d_name) < most;
	closedir(dir);
	return n;
}

size_t
count_names(const char *directory)
{
	return count_names_below(directory, INT_MAX);
}

size_t
count_descriptors(void)
{
	return count_names("/proc/self/fd") - 1; /* to read it takes one, too */
}

size_t
count_descriptors_of(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	/* A debugging tool's own ones are high. */
	return count_names_below(path, 1000);
}

/* What that line has behind start and blanks; NULL: there is none. */
static const char *
proc_line(pid_t pid, const char *file, const char *start)
{
	static char line[256];
	const size_t len = strlen(start);
	bool found = false;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);

	FILE *in = fopen(path, "re");

	if (in == NULL)
		return NULL;
	while (!found && fgets(line, sizeof(line), in) != NULL)
		found = strncmp(line, start, len) == 0;
	fclose(in);
	if (!found)
		return NULL;
	for (size_t n = strlen(line);
	     n > len && isspace((unsigned char)line[n - 1]); n--)
		line[n - 1] = '\0';
	return line + len + strspn(line + len, " \t");
}

bool
proc_says(pid_t pid, const char *file, const char *start, const char *want)
{
	const char *line = proc_line(pid, file, start);

	return line != NULL && strcmp(line, want) == 0;
}

void
wait_until_asleep(pid_t pid)
{
	const char *line;

	while ((line = proc_line(pid, "status", "State:")) != NULL &&
	    strcmp(line, "S (sleeping)") != 0) {
		assert_string_not_equal(line, "Z (zombie)");
		sched_yield();
	}
	assert_non_null(line);
}

struct address
make_v4(const char *ip, uint16_t port)
{
	struct address addr = {
		.len = sizeof(addr.in),
		.in = {
			.sin_family = AF_INET,
			.sin_port = htons(port),
		},
	};

	assert_int_equal(inet_pton(AF_INET, ip, &addr.in.sin_addr), 1);
	return addr;
}

struct address
make_v6(const char *ip, uint32_t scope, uint16_t port)
{
	struct address addr = {
		.len = sizeof(addr.in6),
		.in6 = {
			.sin6_family = AF_INET6,
			.sin6_port = htons(port),
			.sin6_scope_id = scope,
		},
	};

	assert_int_equal(inet_pton(AF_INET6, ip, &addr.in6.sin6_addr), 1);
	return addr;
}

void
expect_log(const char *what)
{
	const char *text = capture_text();

	if (what == NULL && text[0] != '\0')
		fail_aloud("logged: %s", text);
	if (what != NULL && strstr(text, what) == NULL)
		fail_aloud("no '%s' was logged, but '%s'", what, text);
}

int
get_int(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
	return value;
}

int
get_milliseconds(int fd, int name)
{
	struct timeval tv;
	socklen_t len = sizeof(tv);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, name, &tv, &len), 0);
	return (int)(tv.tv_sec * 1000 + tv.tv_usec / 1000);
}

void
set_int(int fd, int level, int name, int value)
{
	assert_int_equal(setsockopt(fd, level, name, &value, sizeof(value)), 0);
}

void
expect_idle_timeout(int fd, int idle)
{
	/* Each is a part of it; a jiffy, of up to 10 ms, may be added. */
	assert_in_range(
	    get_milliseconds(fd, SO_RCVTIMEO), idle * 250, idle * 250 + 10);
	assert_in_range(
	    get_milliseconds(fd, SO_SNDTIMEO), idle * 250, idle * 250 + 10);
}

void
expect_stream(int fd, int idle)
{
	assert_int_equal(get_int(fd, IPPROTO_TCP, TCP_NODELAY), 1);
	assert_int_equal(get_int(fd, SOL_SOCKET, SO_OOBINLINE), 1);
	/* A peer that vanished is noticed in minutes, not in two hours. */
	assert_int_equal(get_int(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_int_equal(get_int(fd, IPPROTO_TCP, TCP_KEEPIDLE), 300);
	assert_int_equal(get_int(fd, IPPROTO_TCP, TCP_KEEPINTVL), 30);
	assert_int_equal(get_int(fd, IPPROTO_TCP, TCP_KEEPCNT), 6);
	/* It would break off clients that are only slow. */
	assert_int_equal(get_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 0);
	expect_idle_timeout(fd, idle);
}

bool
has_ipv6(void)
{
	const struct address loopback = make_v6("::1", 0, 0);
	const int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const bool has = fd != -1 && bind(fd, &loopback.sa, loopback.len) == 0;

	if (fd != -1)
		close(fd);
	return has;
}

int
make_socket(int type, const struct address *addr, bool dual)
{
	const int fd = socket(addr->sa.sa_family, type | SOCK_CLOEXEC, 0);

	assert_int_not_equal(fd, -1);
	if (addr->sa.sa_family == AF_INET6)
		set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, !dual);
	assert_int_equal(bind(fd, &addr->sa, addr->len), 0);
	return fd;
}

struct address
name_of(int fd)
{
	struct address addr = { .len = sizeof(addr.in6) };

	assert_int_equal(getsockname(fd, &addr.sa, &addr.len), 0);
	return addr;
}

static void
set_segment(int fd, int segment)
{
	if (segment != 0)
		set_int(fd, IPPROTO_TCP, TCP_MAXSEG, segment);
}

void
tcp_pair(int pair[2], int segment)
{
	const struct address any = make_v4("127.0.0.1", 0);
	const int listener = make_socket(SOCK_STREAM, &any, false);
	const struct address addr = name_of(listener);

	set_segment(listener, segment);
	assert_int_equal(listen(listener, 1), 0);
	pair[1] = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_not_equal(pair[1], -1);
	set_segment(pair[1], segment);
	assert_int_equal(connect(pair[1], &addr.sa, addr.len), 0);
	pair[0] = accept(listener, NULL, NULL);
	assert_int_not_equal(pair[0], -1);
	close(listener);
}

void
close_pair(const int pair[2])
{
	close(pair[0]);
	close(pair[1]);
}

void
close_with_reset(int fd)
{
	const struct linger hard = { .l_onoff = 1 };

	assert_int_equal(
	    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
	close(fd);
}
