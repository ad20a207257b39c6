/*
 * The log: what goes where, and that nothing waits for its reader.
 *
 * Linked with --wrap=sendto, which stands for syslogd.
 */
#include "echod/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "support.h"

enum { LINE_MAX_SIZE = 1024 };

ssize_t __wrap_sendto(int fd, const void *buf, size_t len, int flags,
    const struct sockaddr *to, socklen_t tolen);

static struct {
	int error; /* that it answers with, 0: takes what comes */
	unsigned calls, taken;
	int fd;
	bool waits; /* it might have waited */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char text[2 * LINE_MAX_SIZE];
} syslogd = { .fd = -1 };

ssize_t
__wrap_sendto(int fd, const void *buf, size_t len, int flags,
    const struct sockaddr *to, socklen_t tolen)
{
	struct sockaddr_un un = { 0 };

	memcpy(&un, to, tolen);
	memcpy(syslogd.path, un.sun_path, sizeof(un.sun_path));
	syslogd.calls++;
	syslogd.fd = fd;
	syslogd.waits =
	    !(flags & MSG_DONTWAIT) && !(fcntl(fd, F_GETFL) & O_NONBLOCK);
	if (syslogd.error != 0) {
		errno = syslogd.error;
		return -1;
	}
	syslogd.taken++;
	assert_true(len < sizeof(syslogd.text));
	memcpy(syslogd.text, buf, len);
	syslogd.text[len] = '\0';
	return (ssize_t)len;
}

/*
 * Standard error as a file of ours.
 */

static int
setup(void **state)
{
	unsetenv("JOURNAL_STREAM"); /* a test that failed may have set it */
	memset(&syslogd, 0, sizeof(syslogd));
	syslogd.fd = -1;
	assert_int_equal(capture_log_setup(state), 0);
	/* The test before may have lost some; this one shall not tell. */
	log_error("start");
	capture_text();
	return 0;
}

/* Close fd, a socket that the logger had, unless it did so itself. */
static void
close_socket(int fd)
{
	struct stat st;

	if (fd > STDERR_FILENO && fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode))
		close(fd);
}

static int
teardown(void **state)
{
	log_open(LOG_TO_STDERR, LOG_DEBUG);
	close_socket(syslogd.fd);
	return capture_teardown(state);
}

static void
warnings_and_errors_have_a_prefix(void **state)
{
	(void)state;
	log_error("disk %d on %s", 7, "fire");
	assert_string_equal(capture_text(), "echod: disk 7 on fire\n");
	log_warning("smoke");
	assert_string_equal(capture_text(), "echod: smoke\n");
	log_info("listening on 0.0.0.0:7 and [::]:7");
	assert_string_equal(
	    capture_text(), "listening on 0.0.0.0:7 and [::]:7\n");
	log_debug("100%%");
	assert_string_equal(capture_text(), "100%\n");
	log_line(LOG_NOTICE, "%s", "");
	assert_string_equal(capture_text(), "\n");
}

static void
only_the_urgent_is_logged(void **state)
{
	(void)state;
	for (int limit = LOG_ERR; limit <= LOG_DEBUG; limit++) {
		log_open(LOG_TO_STDERR, limit);
		assert_int_equal(log_priority(), limit);
		for (int priority = LOG_EMERG; priority <= LOG_DEBUG;
		     priority++) {
			log_line(priority, "x");
			if ((capture_text()[0] != '\0') != (priority <= limit))
				fail_aloud(
				    "priority %d with %d set", priority, limit);
		}
	}
}

static void
errno_stays(void **state)
{
	(void)state;
	errno = EPIPE;
	log_error("x");
	assert_int_equal(errno, EPIPE);
	log_open(LOG_TO_STDERR, LOG_ERR);
	errno = EPIPE;
	log_debug("not logged");
	assert_int_equal(errno, EPIPE);

	/* Where the write fails, too. */
	const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

	assert_int_not_equal(full, -1);
	stderr_to(full);
	log_open(LOG_TO_STDERR, LOG_DEBUG);
	for (int i = 0; i < 3; i++) {
		errno = EPIPE;
		log_error("lost");
		assert_int_equal(errno, EPIPE);
	}
	close(full);
}

static void
errno_can_be_written(void **state)
{
	(void)state;
	errno = EADDRINUSE;
	log_error("bind: %m");
	assert_string_equal(
	    capture_text(), "echod: bind: Address already in use\n");
	assert_int_equal(errno, EADDRINUSE);
	errno = EMFILE;
	log_debug("accept: %m");
	assert_string_equal(capture_text(), "accept: Too many open files\n");
}

static void
long_lines_are_cut(void **state)
{
	(void)state;
	for (size_t len = LINE_MAX_SIZE - 20; len < LINE_MAX_SIZE + 20; len++) {
		char text[2 * LINE_MAX_SIZE];

		memset(text, 'x', len);
		text[len] = '\0';
		log_info("%s", text);

		const char *got = capture_text();
		const size_t want =
		    len < LINE_MAX_SIZE - 1 ? len : LINE_MAX_SIZE - 1;

		assert_int_equal(strspn(got, "x"), want);
		assert_string_equal(got + want, "\n");
		log_error("%s", text);
		got = capture_text();
		assert_true(strlen(got) <= LINE_MAX_SIZE);
		assert_int_equal(strncmp(got, "echod: xxx", 10), 0);
		assert_int_equal(strchr(got, '\n') - got + 1, strlen(got));
	}
}

/*
 * The journal, sd-daemon(3).
 */

static void
set_stream(unsigned long long dev, unsigned long long ino)
{
	char text[64];

	snprintf(text, sizeof(text), "%llu:%llu", dev, ino);
	setenv("JOURNAL_STREAM", text, 1);
	log_open(LOG_TO_STDERR, LOG_DEBUG);
}

static void
journal_gets_priorities(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	set_stream(st.st_dev, st.st_ino);
	log_error("e");
	log_warning("w");
	log_line(LOG_NOTICE, "n");
	log_info("i");
	log_debug("d");
	assert_string_equal(capture_text(), "<3>e\n<4>w\n<5>n\n<6>i\n<7>d\n");
	unsetenv("JOURNAL_STREAM");
}

static void
other_streams_get_none(void **state)
{
	static const char *const rows[] = { "", ":", "1", "1:", "x:y", "-:-" };
	struct stat st;

	(void)state;
	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	for (size_t i = 0; i < COUNT(rows); i++) {
		setenv("JOURNAL_STREAM", rows[i], 1);
		log_open(LOG_TO_STDERR, LOG_DEBUG);
		log_info("x");
		assert_string_equal(capture_text(), "x\n");
	}
	/* Inherited, but standard error was redirected. */
	set_stream(st.st_dev, st.st_ino + 1);
	log_info("x");
	assert_string_equal(capture_text(), "x\n");
	set_stream(st.st_dev + 1, st.st_ino);
	log_info("x");
	assert_string_equal(capture_text(), "x\n");
	unsetenv("JOURNAL_STREAM");
}

/*
 * Readers that do not read.
 */

enum { LINES = 5000, DEADLINE = 5 /* s */ };

/* Make ends[1] standard error; the other end is non-blocking. */
static void
use(const int ends[2])
{
	stderr_to(ends[1]);
	close(ends[1]);
	assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(log_open(LOG_TO_STDERR, LOG_DEBUG), 0);
}

static void
use_pipe(int ends[2])
{
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_true(fcntl(ends[0], F_SETPIPE_SZ, 16384) >= 16384);
	use(ends);
}

/* Expect "line 0" and on to be in fd, each whole.  Returns how many. */
static int
count_lines(int fd)
{
	FILE *in = fdopen(dup(fd), "r");
	char line[256], want[256];
	int n = 0;

	assert_non_null(in);
	while (fgets(line, sizeof(line), in) != NULL) {
		snprintf(want, sizeof(want), "line %d\n", n);
		assert_string_equal(line, want);
		n++;
	}
	fclose(in);
	return n;
}

static void
expect_read(int fd, const char *want)
{
	char text[4096];
	const ssize_t n = read(fd, text, sizeof(text) - 1);

	assert_true(n > 0);
	text[n] = '\0';
	assert_string_equal(text, want);
}

/* A write that waits would do so for good: interrupt it, again and again. */
static volatile sig_atomic_t waited;

static void
on_alarm(int sig)
{
	(void)sig;
	waited = 1;
}

static void
set_alarm(int seconds)
{
	const struct itimerval timer = {
		.it_value.tv_sec = seconds,
		.it_interval.tv_usec = 10000,
	};
	struct sigaction sa = { .sa_handler = on_alarm }; /* no SA_RESTART */

	sigemptyset(&sa.sa_mask);
	waited = 0;
	assert_int_equal(sigaction(SIGALRM, &sa, NULL), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

static void
expect_not_waited(void)
{
	const struct itimerval none = { .it_value.tv_sec = 0 };

	assert_int_equal(setitimer(ITIMER_REAL, &none, NULL), 0);
	assert_false(waited);
}

/* Log more than there is room for.  Returns how many lines were lost. */
static int
fill_up(int fd)
{
	set_alarm(DEADLINE);
	for (int i = 0; i < LINES && !waited; i++) {
		errno = EXDEV;
		log_info("line %d", i);
		assert_int_equal(errno, EXDEV);
	}
	expect_not_waited();

	const int n = count_lines(fd);

	assert_in_range(n, 1, LINES - 1);
	return LINES - n;
}

static void
expect_losses_told(const int ends[2])
{
	char want[128];
	const int lost = fill_up(ends[0]);

	snprintf(want, sizeof(want),
	    "echod: %d log lines were lost: nobody took them\nnext\n", lost);
	log_info("next");
	expect_read(ends[0], want);
	/* Once. */
	log_info("another");
	expect_read(ends[0], "another\n");
	assert_int_equal(read(ends[0], want, 1), -1);
	close(ends[0]);
}

static void
full_pipe_does_not_block(void **state)
{
	int ends[2];

	(void)state;
	use_pipe(ends);
	expect_losses_told(ends);
}

static void
full_stream_socket_does_not_block(void **state)
{
	int ends[2];

	(void)state;
	/* This is what the journal gives. */
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	use(ends);
	expect_losses_told(ends);
}

static void
unread_terminal_does_not_block(void **state)
{
	static char text[1024 * 1024];
	const int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	size_t len = 0;

	(void)state;
	assert_int_not_equal(master, -1);
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);

	const int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	const int ends[2] = { master, slave };
	struct pollfd more = { .fd = master, .events = POLLIN };

	assert_int_not_equal(slave, -1);
	use(ends);
	set_alarm(DEADLINE);
	for (int i = 0; i < 2 * LINES && !waited; i++)
		log_info("line %d", i);
	expect_not_waited();
	/* What it gives comes little by little. */
	while (strstr(text, "log lines were lost") == NULL) {
		log_info("next");
		assert_int_equal(poll(&more, 1, DEADLINE * 1000), 1);

		const ssize_t n =
		    read(master, text + len, sizeof(text) - 1 - len);

		assert_true(n > 0);
		len += (size_t)n;
	}
	stderr_back();
	close(master);
}

static void
losses_add_up_until_told(void **state)
{
	int ends[2], lost;
	char want[128], text[4096];

	(void)state;
	use_pipe(ends);
	lost = fill_up(ends[0]);

	/* What is not logged loses and tells nothing. */
	log_open(LOG_TO_STDERR, LOG_ERR);
	log_info("not logged");
	log_open(LOG_TO_STDERR, LOG_DEBUG);

	/* Full again, by others, so that it cannot be told. */
	assert_int_equal(fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK), 0);
	memset(text, '.', sizeof(text));
	while (write(STDERR_FILENO, text, sizeof(text)) > 0)
		;
	for (int i = 0; i < 10; i++, lost++)
		log_error("lost");
	while (read(ends[0], text, sizeof(text)) > 0)
		;
	log_open(LOG_TO_STDERR, LOG_ERR); /* -q does not hide it */
	log_error("next");
	snprintf(want, sizeof(want),
	    "echod: %d log lines were lost: nobody took them\n"
	    "echod: next\n",
	    lost);
	expect_read(ends[0], want);
	close(ends[0]);
}

static void
gone_reader_does_no_harm(void **state)
{
	int ends[2];

	(void)state;
	use_pipe(ends);
	close(ends[0]);
	for (int i = 0; i < 3; i++) {
		errno = EXDEV;
		log_error("lost");
		assert_int_equal(errno, EXDEV);
	}
	/* Somebody reads again. */
	use_pipe(ends);
	log_info("next");
	expect_read(
	    ends[0], "echod: 3 log lines were lost: nobody took them\nnext\n");
	close(ends[0]);
}

/*
 * syslogd.
 */

static void
syslog_gets_datagrams(void **state)
{
	char want[128], stamp[32], again[32];
	struct timespec before, after; /* time(2) lags a little behind */
	struct tm tm;

	(void)state;
	assert_int_equal(log_open(LOG_TO_SYSLOG, LOG_INFO), 0);
	log_settle();
	do { /* not across the end of a second */
		clock_gettime(CLOCK_REALTIME, &before);
		errno = EXDEV;
		log_info("connected with %s", "192.0.2.7:50312");
		assert_int_equal(errno, EXDEV);
		clock_gettime(CLOCK_REALTIME, &after);
		localtime_r(&before.tv_sec, &tm);
		strftime(stamp, sizeof(stamp), "%b %e %T", &tm);
		localtime_r(&after.tv_sec, &tm);
		strftime(again, sizeof(again), "%b %e %T", &tm);
	} while (strcmp(stamp, again) != 0);
	assert_string_equal(syslogd.path, "/dev/log");
	assert_false(syslogd.waits);
	snprintf(want, sizeof(want),
	    "<%d>%s echod[%d]: connected with 192.0.2.7:50312",
	    LOG_DAEMON | LOG_INFO, stamp, (int)getpid());
	assert_string_equal(syslogd.text, want);
	assert_int_equal(fcntl(syslogd.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);

	log_error("x");
	assert_int_equal(strncmp(syslogd.text, "<27>", 4), 0);
	log_warning("x");
	assert_int_equal(strncmp(syslogd.text, "<28>", 4), 0);

	const unsigned calls = syslogd.calls;

	log_debug("not logged");
	assert_int_equal(syslogd.calls, calls);
	assert_string_equal(capture_text(), "");
}

static void
syslogd_may_come_and_go(void **state)
{
	static const int errors[] = { ENOENT, ECONNREFUSED, EAGAIN, ENOBUFS };

	(void)state;
	assert_int_equal(log_open(LOG_TO_SYSLOG, LOG_INFO), 0);
	log_settle();
	for (size_t i = 0; i < COUNT(errors); i++) {
		syslogd.error = errors[i];
		for (int j = 0; j < 5; j++) {
			errno = EXDEV;
			log_info("lost");
			assert_int_equal(errno, EXDEV);
		}
		syslogd.error = 0;
		syslogd.taken = 0;
		log_info("next");
		assert_int_equal(syslogd.taken, 2);
		assert_non_null(strstr(syslogd.text, "]: next"));
	}
	assert_string_equal(capture_text(), "");
}

static void
losses_are_told_to_syslog(void **state)
{
	(void)state;
	assert_int_equal(log_open(LOG_TO_SYSLOG, LOG_INFO), 0);
	log_settle();
	syslogd.error = EAGAIN;
	for (int i = 0; i < 12; i++)
		log_info("lost");
	syslogd.error = 0;
	syslogd.taken = 0;
	log_open(LOG_TO_STDERR, LOG_INFO);
	log_info("next");
	assert_string_equal(capture_text(),
	    "echod: 12 log lines were lost: nobody took them\nnext\n");
}

/* Until echod serves, whoever started it reads what it says. */
static void
syslog_waits_until_all_is_settled(void **state)
{
	(void)state;
	assert_int_equal(log_open(LOG_TO_SYSLOG, LOG_INFO), 0);
	log_error("cannot");
	assert_string_equal(capture_text(), "echod: cannot\n");
	log_settle();
	log_error("later");
	assert_string_equal(capture_text(), "");
	assert_non_null(strstr(syslogd.text, "]: later"));
}

/* Whatever a user typed, a line stays a line. */
static void
control_characters_are_replaced(void **state)
{
	(void)state;
	log_info("a%sb", "\n\t\033[2J\177");
	assert_string_equal(capture_text(), "a???[2J?b\n");
}

static void
without_a_socket_all_stays(void **state)
{
	struct rlimit old, none;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);

	const int result = log_open(LOG_TO_SYSLOG, LOG_DEBUG);
	const int error = errno;

	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(result, -1);
	assert_int_equal(error, EMFILE);
	log_warning("still here");
	assert_string_equal(capture_text(), "echod: still here\n");
	assert_int_equal(syslogd.calls, 0);
}

static void
reopening_keeps_no_descriptor(void **state)
{
	const size_t before = count_descriptors();
	int first;

	(void)state;
	log_open(LOG_TO_SYSLOG, LOG_INFO);
	log_settle();
	log_info("x");
	first = syslogd.fd;
	log_open(LOG_TO_SYSLOG, LOG_DEBUG);
	log_settle();
	log_info("x");
	log_open(LOG_TO_STDERR, LOG_DEBUG);

	const size_t after = count_descriptors();

	close_socket(first); /* the last one is for teardown() */
	assert_int_equal(after, before);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(warnings_and_errors_have_a_prefix),
		TEST(only_the_urgent_is_logged),
		TEST(errno_stays),
		TEST(errno_can_be_written),
		TEST(long_lines_are_cut),
		TEST(journal_gets_priorities),
		TEST(other_streams_get_none),
		TEST(full_pipe_does_not_block),
		TEST(full_stream_socket_does_not_block),
		TEST(unread_terminal_does_not_block),
		TEST(losses_add_up_until_told),
		TEST(gone_reader_does_no_harm),
		TEST(syslog_gets_datagrams),
		TEST(syslogd_may_come_and_go),
		TEST(losses_are_told_to_syslog),
		TEST(syslog_waits_until_all_is_settled),
		TEST(control_characters_are_replaced),
		TEST(without_a_socket_all_stays),
		TEST(reopening_keeps_no_descriptor),
	};

	signal(SIGPIPE, SIG_IGN); /* as signals_init() does */
	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
