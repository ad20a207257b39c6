/*
 * systemd: what its variables say, and what is sent to its socket.
 *
 * The service manager is a socket of the test.  Linked with --wrap for the
 * names below, so that they can fail.
 */
#include "echod/systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "echod/clock.h"
#include "echod/log.h"
#include "support.h"

int __real_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol);
int __real_setsockopt(
    int fd, int level, int name, const void *value, socklen_t len);
int __wrap_setsockopt(
    int fd, int level, int name, const void *value, socklen_t len);

static bool socket_fails, setsockopt_fails;

int
__wrap_socket(int domain, int type, int protocol)
{
	errno = EMFILE;
	return socket_fails ? -1 : __real_socket(domain, type, protocol);
}

int
__wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	errno = ENOMEM;
	return setsockopt_fails
	    ? -1
	    : __real_setsockopt(fd, level, name, value, len);
}

static const char *const variables[] = {
	"LISTEN_PID",
	"LISTEN_PIDFDID",
	"LISTEN_FDS",
	"LISTEN_FDNAMES",
	"NOTIFY_SOCKET",
	"WATCHDOG_PID",
	"WATCHDOG_USEC",
};

static struct {
	int fd;
	char directory[sizeof("/tmp/echod-XXXXXX")];
	char path[64], abstract[64]; /* two names for it */
	struct sockaddr_un addr;
	socklen_t len;
} manager;

static struct systemd sd;

static void
clear(void)
{
	for (size_t i = 0; i < COUNT(variables); i++)
		unsetenv(variables[i]);
}

static int
setup(void **state)
{
	clear();
	strcpy(manager.directory, "/tmp/echod-XXXXXX");
	assert_non_null(mkdtemp(manager.directory));
	snprintf(
	    manager.path, sizeof(manager.path), "%s/notify", manager.directory);
	snprintf(manager.abstract, sizeof(manager.abstract), "@%s",
	    manager.directory);
	manager.fd = -1;
	sd = (struct systemd){ .fd = -1, .alive_next = CLOCK_NEVER };
	return capture_log_setup(state);
}

static int
teardown(void **state)
{
	socket_fails = setsockopt_fails = false;
	clear();
	systemd_close(&sd);
	if (manager.fd != -1)
		close(manager.fd);
	unlink(manager.path);
	rmdir(manager.directory);
	return capture_teardown(state);
}

/* Be the service manager at name, and say so. */
static void
manage(const char *name)
{
	const size_t len = strlen(name);

	manager.fd = __real_socket(
	    AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_not_equal(manager.fd, -1);
	manager.addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(manager.addr.sun_path, name, len);
	if (name[0] == '@')
		manager.addr.sun_path[0] = '\0';
	manager.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	assert_int_equal(
	    bind(manager.fd, (const struct sockaddr *)&manager.addr,
		manager.len),
	    0);
	setenv("NOTIFY_SOCKET", name, 1);
}

/* The next message has come, and is want; NULL: none has. */
static void
expect_message(const char *want)
{
	char text[1024];
	const ssize_t n = recv(manager.fd, text, sizeof(text) - 1, 0);

	if (want == NULL) {
		assert_int_equal(n, -1);
		assert_int_equal(errno, EAGAIN);
		return;
	}
	assert_true(n >= 0);
	text[n] = '\0';
	assert_string_equal(text, want);
}

/* Let the manager's queue be full. */
static void
fill(void)
{
	const int fd = __real_socket(
	    AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_int_not_equal(fd, -1);
	while (sendto(fd, "x", 1, 0, (const struct sockaddr *)&manager.addr,
		   manager.len) == 1)
		;
	assert_int_equal(errno, EAGAIN);
	close(fd);
}

/* Take all; how many messages were no filling. */
static unsigned
empty(void)
{
	unsigned n = 0;
	char text[1024];
	ssize_t len;

	while ((len = recv(manager.fd, text, sizeof(text), 0)) != -1)
		n += len != 1;
	assert_int_equal(errno, EAGAIN);
	return n;
}

/*
 * LISTEN_FDS.
 */

static void
sockets_are_counted(void **state)
{
	static const struct {
		const char *fds; /* NULL: unset */
		const char *pid; /* NULL: unset; "": ours */
		int want;
	} rows[] = {
		{ NULL, NULL, 0 },
		{ NULL, "", 0 },
		{ "0", "", 0 },
		{ "1", "", 1 },
		{ "3", "", 3 },
		{ "500", "", -1 }, /* they are not open */
		{ "2147483644", "", -1 },
		{ "2147483645", "", -1 },
		{ "99999999999999999999", "", -1 },
		{ "-1", "", -1 },
		{ "", "", -1 },
		{ "x", "", -1 },
		{ "1x", "", -1 },
		{ " 1", "", -1 },
		{ "+1", "", -1 },
		/* for another process, whatever it is */
		{ "1", NULL, 0 },
		{ "1", "1", 0 },
		{ "1", "0", 0 },
		{ "1", "x", 0 },
		{ "1", "-1", 0 },
		{ "1", "4294967297", 0 },
		{ "x", "1", 0 },
		{ "-1", NULL, 0 },
	};

	(void)state;
	for (int fd = SYSTEMD_FDS_START; fd < SYSTEMD_FDS_START + 3; fd++)
		if (fcntl(fd, F_GETFD) == -1)
			assert_int_equal(dup2(STDIN_FILENO, fd), fd);
	for (size_t i = 0; i < COUNT(rows); i++) {
		char pid[16];

		clear();
		snprintf(pid, sizeof(pid), "%d", getpid());
		if (rows[i].fds != NULL)
			setenv("LISTEN_FDS", rows[i].fds, 1);
		if (rows[i].pid != NULL)
			setenv("LISTEN_PID",
			    rows[i].pid[0] != '\0' ? rows[i].pid : pid, 1);

		const int n = systemd_listen_fds();

		if (n != rows[i].want)
			fail_aloud("row %zu: %d", i, n);
		/* It may be asked again: nothing was unset. */
		assert_int_equal(systemd_listen_fds(), n);
	}
	expect_log(NULL);
}

static void
the_pid_must_be_all_of_it(void **state)
{
	char pid[16];

	(void)state;
	setenv("LISTEN_FDS", "1", 1);
	snprintf(pid, sizeof(pid), "%d ", getpid());
	setenv("LISTEN_PID", pid, 1);
	assert_int_equal(systemd_listen_fds(), 0);
	snprintf(pid, sizeof(pid), "%d", getppid());
	setenv("LISTEN_PID", pid, 1);
	assert_int_equal(systemd_listen_fds(), 0);
}

/*
 * NOTIFY_SOCKET.
 */

static void
a_path_or_an_abstract_name_is_notified(void **state)
{
	const char *const names[] = { manager.path, manager.abstract };

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		manage(names[i]);
		systemd_init(&sd);
		assert_int_not_equal(sd.fd, -1);
		expect_message(NULL);
		systemd_ready(&sd, false);
		expect_message("READY=1");
		expect_message(NULL);
		systemd_close(&sd);
		assert_int_equal(sd.fd, -1);
		close(manager.fd);
	}
	manager.fd = -1;
	expect_log(NULL);
}

/* With it, no byte of sun_path is left but for a NUL. */
static void
the_longest_name_is_used(void **state)
{
	char name[sizeof(manager.addr.sun_path)];

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	memcpy(name, manager.abstract, strlen(manager.abstract));
	manage(name);
	systemd_init(&sd);
	systemd_ready(&sd, false);
	expect_message("READY=1");
	expect_log(NULL);
}

/* What every call must do, and send nothing. */
static void
expect_silence(void)
{
	const size_t before = count_descriptors();

	assert_int_equal(sd.fd, -1);
	assert_int_equal(sd.interval, 0);
	assert_int_equal(sd.alive_next, CLOCK_NEVER);
	systemd_ready(&sd, false);
	systemd_ready(&sd, true);
	systemd_status(&sd, "status");
	systemd_alive(&sd, clock_now());
	systemd_stopping(&sd, 5);
	systemd_close(&sd);
	systemd_close(&sd);
	assert_int_equal(count_descriptors(), before);
	assert_int_equal(sd.alive_next, CLOCK_NEVER);
	expect_log(NULL);
}

static void
without_a_manager_nothing_is_done(void **state)
{
	(void)state;
	systemd_init(&sd);
	expect_log(NULL);
	expect_silence();
	/* A watchdog that nobody can feed. */
	setenv("WATCHDOG_USEC", "1000000", 1);
	systemd_init(&sd);
	expect_silence();
	assert_null(getenv("WATCHDOG_USEC"));
}

static void
unusable_names_are_told_and_ignored(void **state)
{
	char lengthy[sizeof(manager.addr.sun_path) + 1];
	const struct {
		const char *name, *log;
	} rows[] = {
		{ "", "NOTIFY_SOCKET '': Address family not supported" },
		{ "/", "NOTIFY_SOCKET '/': Address family not supported" },
		{ "@", "NOTIFY_SOCKET '@': Address family not supported" },
		{ "run/notify", "'run/notify': Address family not supported" },
		{ "vsock:2:1234", "'vsock:2:1234': Address family not " },
		{ "vsock-stream:2:1", "Address family not supported" },
		{ lengthy, "File name too long" },
	};

	(void)state;
	memset(lengthy, 'x', sizeof(lengthy));
	lengthy[0] = '/';
	lengthy[sizeof(lengthy) - 1] = '\0';
	for (size_t i = 0; i < COUNT(rows); i++) {
		setenv("NOTIFY_SOCKET", rows[i].name, 1);
		setenv("WATCHDOG_USEC", "1000000", 1);
		systemd_init(&sd);
		expect_log(rows[i].log);
		expect_silence();
	}
}

static void
a_lack_of_sockets_is_told(void **state)
{
	const size_t before = count_descriptors();

	(void)state;
	setenv("NOTIFY_SOCKET", manager.path, 1);
	socket_fails = true;
	systemd_init(&sd);
	expect_log("/notify': Too many open files");
	expect_silence();
	socket_fails = false;
	setenv("NOTIFY_SOCKET", manager.path, 1);
	setsockopt_fails = true;
	systemd_init(&sd);
	expect_log("/notify': Cannot allocate memory");
	expect_silence();
	assert_int_equal(count_descriptors(), before);
}

/* They are for nobody else, whether they were of use or not. */
static void
variables_are_unset(void **state)
{
	(void)state;
	for (int good = 0; good < 2; good++) {
		for (size_t i = 0; i < COUNT(variables); i++)
			setenv(variables[i], "1", 1);
		setenv("ECHOD_TEST", "1", 1);
		if (good)
			manage(manager.path);
		systemd_init(&sd);
		assert_int_equal(sd.fd != -1, good);
		for (size_t i = 0; i < COUNT(variables); i++)
			assert_null(getenv(variables[i]));
		assert_non_null(getenv("ECHOD_TEST"));
		unsetenv("ECHOD_TEST");
	}
}

/*
 * The watchdog.
 */

static void
the_watchdog_is_fed_twice_as_often(void **state)
{
	static const struct {
		const char *usec;
		int64_t want; /* 0: no watchdog */
	} rows[] = {
		{ "30000000", 15 * CLOCK_SECOND },
		{ "3000", 1500 * CLOCK_MICROSECOND },
		{ "1", CLOCK_MILLISECOND }, /* never a spin */
		{ "9223372036854775", INT64_C(9223372036854775000) / 2 },
		{ "9223372036854776", 0 },
		{ "99999999999999999999", 0 },
		{ "0", 0 },
		{ "-1", 0 },
		{ "", 0 },
		{ "x", 0 },
		{ "30s", 0 },
	};

	(void)state;
	manage(manager.path);
	for (size_t i = 0; i < COUNT(rows); i++) {
		const int64_t before = clock_now();

		setenv("NOTIFY_SOCKET", manager.path, 1);
		setenv("WATCHDOG_USEC", rows[i].usec, 1);
		systemd_init(&sd);
		assert_int_equal(sd.interval, rows[i].want);
		if (rows[i].want != 0) {
			/* The first one is due at once. */
			assert_in_range(sd.alive_next, before, clock_now());
			systemd_alive(&sd, before + CLOCK_SECOND);
			assert_int_equal(sd.alive_next,
			    before + CLOCK_SECOND + rows[i].want);
			expect_message("WATCHDOG=1");
			expect_log(NULL);
		} else {
			expect_log("is no time: no watchdog");
			assert_int_equal(sd.alive_next, CLOCK_NEVER);
			systemd_alive(&sd, clock_now());
			expect_message(NULL);
			/* The rest is as ever. */
			systemd_ready(&sd, false);
			expect_message("READY=1");
		}
		systemd_close(&sd);
	}
}

static void
the_watchdog_is_for_the_named_process(void **state)
{
	char ours[16], others[16];
	const struct {
		const char *pid; /* NULL: unset */
		bool watched;
	} rows[] = {
		{ NULL, true },
		{ ours, true },
		{ others, false },
		{ "1", false },
		{ "", false },
		{ "x", false },
	};

	(void)state;
	snprintf(ours, sizeof(ours), "%d", getpid());
	snprintf(others, sizeof(others), "%d", getppid());
	manage(manager.path);
	for (size_t i = 0; i < COUNT(rows); i++) {
		setenv("NOTIFY_SOCKET", manager.path, 1);
		setenv("WATCHDOG_USEC", "1000000", 1);
		if (rows[i].pid != NULL)
			setenv("WATCHDOG_PID", rows[i].pid, 1);
		systemd_init(&sd);
		assert_int_not_equal(sd.fd, -1);
		assert_int_equal(
		    sd.interval, rows[i].watched ? CLOCK_SECOND / 2 : 0);
		systemd_alive(&sd, clock_now());
		expect_message(rows[i].watched ? "WATCHDOG=1" : NULL);
		systemd_close(&sd);
	}
	expect_log(NULL);
}

static void
no_watchdog_gets_no_sign(void **state)
{
	(void)state;
	manage(manager.path);
	systemd_init(&sd);
	assert_int_equal(sd.alive_next, CLOCK_NEVER);
	systemd_alive(&sd, clock_now());
	expect_message(NULL);
}

static void
signs_of_life_come_when_due(void **state)
{
	(void)state;
	manage(manager.path);
	setenv("WATCHDOG_USEC", "2000000", 1);
	systemd_init(&sd);

	const int64_t start = sd.alive_next;

	systemd_alive(&sd, start - 1);
	expect_message(NULL);
	systemd_alive(&sd, start);
	expect_message("WATCHDOG=1");
	systemd_alive(&sd, start);
	systemd_alive(&sd, start + CLOCK_SECOND - 1);
	expect_message(NULL);
	assert_int_equal(sd.alive_next, start + CLOCK_SECOND);
	/* One that is late puts the next one off, rather than adding to it. */
	systemd_alive(&sd, start + 5 * CLOCK_SECOND);
	expect_message("WATCHDOG=1");
	systemd_alive(&sd, start + 6 * CLOCK_SECOND - 1);
	expect_message(NULL);
	systemd_alive(&sd, start + 6 * CLOCK_SECOND);
	expect_message("WATCHDOG=1");
}

/*
 * Messages.
 */

static void
messages_are_written_as_systemd_reads_them(void **state)
{
	char mainpid[64];

	(void)state;
	manage(manager.abstract);
	systemd_init(&sd);
	systemd_ready(&sd, false);
	expect_message("READY=1");
	snprintf(mainpid, sizeof(mainpid), "MAINPID=%d\nREADY=1", getpid());
	systemd_ready(&sd, true);
	expect_message(mainpid);
	systemd_stopping(&sd, 10);
	expect_message("STOPPING=1\nEXTEND_TIMEOUT_USEC=10000000");
	systemd_stopping(&sd, 3605);
	expect_message("STOPPING=1\nEXTEND_TIMEOUT_USEC=3605000000");
	systemd_status(&sd, "100 % of 7 clients");
	expect_message("STATUS=100 % of 7 clients");
	systemd_status(&sd, "");
	expect_message("STATUS=");
	expect_message(NULL);
	expect_log(NULL);
}

static void
a_status_is_sent_whole(void **state)
{
	char status[SYSTEMD_STATUS_SIZE], want[sizeof(status) + 16];

	(void)state;
	memset(status, 's', sizeof(status) - 1);
	status[sizeof(status) - 1] = '\0';
	snprintf(want, sizeof(want), "STATUS=%s", status);
	manage(manager.path);
	systemd_init(&sd);
	systemd_status(&sd, status);
	expect_message(want);
}

/* The socket waits for 5 seconds, where it waits at all. */
static void
a_full_queue_is_waited_for_by_ready_alone(void **state)
{
	struct timeval patience;
	socklen_t len = sizeof(patience);

	(void)state;
	manage(manager.path);
	setenv("WATCHDOG_USEC", "1000000", 1);
	systemd_init(&sd);
	assert_int_equal(
	    getsockopt(sd.fd, SOL_SOCKET, SO_SNDTIMEO, &patience, &len), 0);
	assert_int_equal(patience.tv_sec, 5);
	assert_int_equal(patience.tv_usec, 0);
	fill();

	int64_t at = clock_now();

	systemd_status(&sd, "status");
	expect_log("cannot tell systemd the status: Resource temporarily");
	systemd_alive(&sd, at);
	expect_log("cannot give systemd a sign of life: Resource temporarily");
	/* One that was not taken counts: no attempt at each turn of a loop. */
	assert_int_equal(sd.alive_next, at + CLOCK_SECOND / 2);
	systemd_stopping(&sd, 5);
	expect_log(
	    "cannot tell systemd that echod stops: Resource temporarily");
	assert_true(clock_now() - at < 5 * CLOCK_SECOND);

	patience = (struct timeval){ .tv_usec = 100000 };
	assert_int_equal(__real_setsockopt(sd.fd, SOL_SOCKET, SO_SNDTIMEO,
			     &patience, sizeof(patience)),
	    0);
	at = clock_now();
	systemd_ready(&sd, false);
	assert_true(clock_now() - at >= CLOCK_SECOND / 10);
	expect_log("cannot tell systemd that echod serves: Resource temp");
	assert_int_equal(empty(), 0);
	systemd_ready(&sd, false);
	expect_message("READY=1");
	expect_log(NULL);
}

static void
a_manager_may_go_and_return(void **state)
{
	(void)state;
	manage(manager.path);
	systemd_init(&sd);
	close(manager.fd);
	systemd_ready(&sd, false);
	expect_log("that echod serves: Connection refused");
	assert_int_equal(unlink(manager.path), 0);
	systemd_status(&sd, "status");
	expect_log("the status: No such file");
	manage(manager.path);
	systemd_status(&sd, "status");
	expect_message("STATUS=status");
	expect_log(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(sockets_are_counted),
		TEST(the_pid_must_be_all_of_it),
		TEST(a_path_or_an_abstract_name_is_notified),
		TEST(the_longest_name_is_used),
		TEST(without_a_manager_nothing_is_done),
		TEST(unusable_names_are_told_and_ignored),
		TEST(a_lack_of_sockets_is_told),
		TEST(variables_are_unset),
		TEST(the_watchdog_is_fed_twice_as_often),
		TEST(the_watchdog_is_for_the_named_process),
		TEST(no_watchdog_gets_no_sign),
		TEST(signs_of_life_come_when_due),
		TEST(messages_are_written_as_systemd_reads_them),
		TEST(a_status_is_sent_whole),
		TEST(a_full_queue_is_waited_for_by_ready_alone),
		TEST(a_manager_may_go_and_return),
	};

	return cmocka_run_group_tests_name("systemd", tests, NULL, NULL);
}
