#include "support.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

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

size_t
count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(dir);
	for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir))
		n += e->d_name[0] != '.';
	closedir(dir);
	return n - 1; /* dir had one, too */
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

static void
set_segment(int fd, int segment)
{
	if (segment != 0)
		assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG,
				     &segment, sizeof(segment)),
		    0);
}

void
tcp_pair(int pair[2], int segment)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(addr);
	const int listener = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_not_equal(listener, -1);
	assert_int_equal(
	    bind(listener, (const struct sockaddr *)&addr, len), 0);
	set_segment(listener, segment);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(
	    getsockname(listener, (struct sockaddr *)&addr, &len), 0);
	pair[1] = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_not_equal(pair[1], -1);
	set_segment(pair[1], segment);
	assert_int_equal(
	    connect(pair[1], (const struct sockaddr *)&addr, len), 0);
	pair[0] = accept(listener, NULL, NULL);
	assert_int_not_equal(pair[0], -1);
	close(listener);
}
