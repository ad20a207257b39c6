/*
 * inetd: what is found out about descriptors 0 and 1, and what cannot be
 * served.  How clients fare is for the end-to-end tests.
 *
 * Each attempt is a child with descriptors of its own.  Linked with --wrap for
 * the names below, to let them fail.
 */
#include "echod/inetd.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "echod/log.h"
#include "echod/title.h"
#include "support.h"

void *__real_memory_new(size_t size);
void *__wrap_memory_new(size_t size);
int __real_setsockopt(
    int fd, int level, int name, const void *value, socklen_t len);
int __wrap_setsockopt(
    int fd, int level, int name, const void *value, socklen_t len);
ssize_t __real_read(int fd, void *buf, size_t size);
ssize_t __wrap_read(int fd, void *buf, size_t size);

pid_t __real__Fork(void);
pid_t __wrap__Fork(void);

/* For the children: errnos. */
static int memory_error, option_error, read_error, fork_error;

enum { PAGES = 64 * 1024 }; /* bytes that a pipe holds */

pid_t
__wrap__Fork(void)
{
	if (fork_error == 0)
		return __real__Fork();
	errno = fork_error;
	return -1;
}

void *
__wrap_memory_new(size_t size)
{
	if (memory_error == 0)
		return __real_memory_new(size);
	errno = memory_error;
	return NULL;
}

int
__wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	if (option_error == 0)
		return __real_setsockopt(fd, level, name, value, len);
	errno = option_error;
	return -1;
}

ssize_t
__wrap_read(int fd, void *buf, size_t size)
{
	if (read_error == 0)
		return __real_read(fd, buf, size);
	errno = read_error;
	return -1;
}

static int
setup(void **state)
{
	capture_setup(state);
	return log_open(LOG_TO_STDERR, LOG_INFO);
}

static int
teardown(void **state)
{
	memory_error = option_error = read_error = fork_error = 0;
	return capture_teardown(state);
}

/* Start body in a child whose descriptors 0 and 1 these are. */
static pid_t
start(int in, int out, int (*body)(void))
{
	const pid_t pid = fork();

	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		if (dup2(in, STDIN_FILENO) == -1 ||
		    dup2(out, STDOUT_FILENO) == -1)
			_exit(100);
		_exit(body());
	}
	return pid;
}

/* Its status. */
static int
wait_for(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int
run(int in, int out, int (*body)(void))
{
	return wait_for(start(in, out, body));
}

static void
unix_pair(int pair[2])
{
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
}

/*
 * What is found out.
 */

/* Bits of an exit status, beside 0 for a failure. */
enum { PREPARED = 1, SESSION = 2, REMOTE = 4, BLOCKS = 8 };

static int
prepare(void)
{
	struct inetd inetd = { .idle = 0, .grace = 5 };

	if (inetd_prepare(&inetd) != 0)
		return 0;
	return PREPARED | (inetd.is_session ? SESSION : 0) |
	    (inetd.is_session && inetd.is_remote ? REMOTE : 0) |
	    ((fcntl(STDIN_FILENO, F_GETFL) & O_NONBLOCK) == 0 &&
			(fcntl(STDOUT_FILENO, F_GETFL) & O_NONBLOCK) == 0
		    ? BLOCKS
		    : 0);
}

static void
one_socket_is_a_session(void **state)
{
	int pair[2], other[2];

	(void)state;
	tcp_pair(pair, 0);
	assert_int_equal(run(pair[0], pair[0], prepare),
	    PREPARED | SESSION | REMOTE | BLOCKS);
	unix_pair(other);
	assert_int_equal(
	    run(other[0], other[0], prepare), PREPARED | SESSION | BLOCKS);
	/* Two are not, even of one connection. */
	assert_int_equal(run(pair[0], pair[1], prepare), PREPARED | BLOCKS);
	assert_int_equal(run(pair[0], other[0], prepare), PREPARED | BLOCKS);
	close_pair(pair);
	close_pair(other);
	expect_log(NULL);
}

static void
files_and_pipes_are_none(void **state)
{
	const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int ends[2], pair[2];

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	unix_pair(pair);
	assert_int_equal(run(null, null, prepare), PREPARED | BLOCKS);
	assert_int_equal(run(ends[0], ends[1], prepare), PREPARED | BLOCKS);
	assert_int_equal(run(pair[0], null, prepare), PREPARED | BLOCKS);
	assert_int_equal(run(null, pair[0], prepare), PREPARED | BLOCKS);
	close(null);
	close_pair(ends);
	close_pair(pair);
	expect_log(NULL);
}

static void
let_not_block(int fd)
{
	const int flags = fcntl(fd, F_GETFL);

	assert_int_not_equal(flags, -1);
	assert_int_equal(fcntl(fd, F_SETFL, flags | O_NONBLOCK), 0);
}

static void
expect_no_blocking(int fd)
{
	const int flags = fcntl(fd, F_GETFL);

	assert_int_not_equal(flags, -1);
	assert_true((flags & O_NONBLOCK) != 0);
}

/* Others may share it, a terminal above all, and have wanted it so. */
static void
what_does_not_block_stays_so(void **state)
{
	int ends[2], pair[2];

	(void)state;
	tcp_pair(pair, 0);
	let_not_block(pair[0]);
	assert_int_equal(
	    run(pair[0], pair[0], prepare), PREPARED | SESSION | REMOTE);
	expect_no_blocking(pair[0]);
	close_pair(pair);
	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(run(ends[0], ends[1], prepare), PREPARED);
	expect_no_blocking(ends[0]);
	expect_no_blocking(ends[1]);
	close_pair(ends);
	expect_log(NULL);
}

static int
prepare_with_idle_timeout(void)
{
	struct inetd inetd = { .idle = 600 };

	return inetd_prepare(&inetd);
}

static void
idle_timeout_is_of_sockets(void **state)
{
	const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int pair[2];

	(void)state;
	tcp_pair(pair, 0);
	assert_int_equal(run(pair[0], pair[0], prepare_with_idle_timeout), 0);
	assert_int_equal(get_int(pair[0], IPPROTO_TCP, TCP_NODELAY), 1);
	close_pair(pair);
	expect_log(NULL);
	assert_int_equal(run(null, null, prepare_with_idle_timeout), 0);
	close(null);
	expect_log("echod: --idle-timeout (-t) has no effect: "
		   "standard input and output are not one socket\n");
	/* Two of them are not, either. */
	tcp_pair(pair, 0);
	assert_int_equal(run(pair[0], pair[1], prepare_with_idle_timeout), 0);
	close_pair(pair);
	expect_log("standard input and output are not one socket\n");
}

static void
expect_refusal(int in, const char *why)
{
	char want[128];

	assert_int_equal(
	    run(in, in, prepare_with_idle_timeout), EX_UNAVAILABLE);
	snprintf(
	    want, sizeof(want), "echod: cannot serve standard input: %s", why);
	expect_log(want);
}

static void
what_is_no_client_is_refused(void **state)
{
	const struct address any = make_v4("127.0.0.1", 0);
	const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const int datagram = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int pair[2];

	(void)state;
	assert_int_equal(bind(listener, &any.sa, any.len), 0);
	assert_int_equal(listen(listener, 1), 0);
	expect_refusal(listener, "it still listens; inetd's word is nowait\n");
	expect_refusal(datagram, "it is no stream, such as those of TCP\n");
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	expect_refusal(pair[0], "it is no stream, such as those of TCP\n");
	close_pair(pair);
	close(listener);
	close(datagram);
}

static void
lack_of_resources_is_told(void **state)
{
	int pair[2];

	(void)state;
	tcp_pair(pair, 0);
	memory_error = ENOMEM;
	expect_refusal(pair[0], "Cannot allocate memory\n");
	memory_error = 0;
	option_error = ENOBUFS;
	expect_refusal(pair[0], "No buffer space available\n");
	close_pair(pair);
}

/*
 * Standard error.
 */

static int
has_stderr(void)
{
	/* It is as standard output. */
	if (dup2(STDOUT_FILENO, STDERR_FILENO) == -1)
		return 100;
	return inetd_has_stderr();
}

static void
stderr_of_the_client_is_known(void **state)
{
	const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int pair[2], other[2];

	(void)state;
	tcp_pair(pair, 0);
	unix_pair(other);
	assert_int_equal(run(pair[0], pair[0], has_stderr), true);
	assert_int_equal(run(other[0], other[0], has_stderr), true);
	assert_int_equal(run(pair[0], pair[1], has_stderr), false);
	assert_int_equal(run(pair[0], other[0], has_stderr), false);
	assert_int_equal(run(pair[0], null, has_stderr), false);
	assert_int_equal(run(null, pair[0], has_stderr), false);
	/* A terminal is both, and may be written to. */
	assert_int_equal(run(null, null, has_stderr), false);
	close(null);
	close_pair(pair);
	close_pair(other);
}

/*
 * What fails while it serves.
 */

static int
serve(void)
{
	struct inetd inetd = { .grace = 5 };
	const int status = inetd_prepare(&inetd);

	return status != 0 ? status : inetd_serve(&inetd);
}

/* A client's one line, whenever that was. */
static void
expect_closed(int bytes, const char *why)
{
	const char *text = capture_text();
	const char *at = strstr(text, "closed 127.0.0.1:");
	char want[64];

	snprintf(want, sizeof(want), "): %d bytes in ", bytes);
	if (at == NULL || (at = strstr(at, want)) == NULL)
		fail_aloud("no '%s' in '%s'", want, text);
	snprintf(want, sizeof(want), " s, %s\n", why);
	if (strstr(at, want) == NULL)
		fail_aloud("no '%s' in '%s'", want, text);
}

/* Of a client on a network its line in the log says so. */
static void
failure_to_serve_is_told(void **state)
{
	int pair[2];

	(void)state;
	read_error = EIO;
	tcp_pair(pair, 0);
	assert_int_equal(run(pair[0], pair[0], serve), EX_OSERR);
	expect_closed(0, "a system call failed");
	close_pair(pair);
	unix_pair(pair);
	assert_int_equal(run(pair[0], pair[0], serve), EX_OSERR);
	expect_log("echod: cannot echo: a system call failed\n");
	close_pair(pair);

	/* What a network does is no failure. */
	read_error = ETIMEDOUT;
	tcp_pair(pair, 0);
	assert_int_equal(run(pair[0], pair[0], serve), EX_OK);
	expect_log(NULL);
	close_pair(pair);
}

static void
failure_to_copy_is_told(void **state)
{
	const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	int pair[2];

	(void)state;
	tcp_pair(pair, 0);
	read_error = EIO;
	assert_int_equal(run(pair[0], full, serve), EX_OSERR);
	expect_log("echod: cannot echo: Input/output error\n");
	read_error = 0;
	assert_int_equal(send(pair[1], "hello", 5, 0), 5);
	assert_int_equal(run(pair[0], full, serve), EX_OSERR);
	expect_log("echod: cannot echo: No space left on device\n");
	close(full);
	close_pair(pair);
}

static void
lack_of_a_process_is_told(void **state)
{
	int pair[2];

	(void)state;
	tcp_pair(pair, 0);
	fork_error = EAGAIN;
	assert_int_equal(run(pair[0], pair[0], serve), EX_OSERR);
	expect_log("echod: cannot echo: Resource temporarily unavailable\n");
	close_pair(pair);
}

/* All of it, as it is in echod: from descriptor 0 to the line in the log. */
static void
session_is_served_to_its_end(void **state)
{
	int pair[2];
	char text[8] = "";

	(void)state;
	tcp_pair(pair, 0);
	assert_int_equal(send(pair[1], "hello", 5, 0), 5);
	assert_int_equal(shutdown(pair[1], SHUT_WR), 0);
	assert_int_equal(run(pair[0], pair[0], serve), EX_OK);
	assert_int_equal(recv(pair[1], text, sizeof(text), 0), 5);
	assert_string_equal(text, "hello");
	expect_closed(5, "end of file");
	close_pair(pair);
}

static void
expect_received(int fd, const char *want, size_t len)
{
	static char got[8 * PAGES];

	assert_true(len <= sizeof(got));
	for (size_t n = 0; n < len;) {
		const ssize_t more = __real_read(fd, got + n, len - n);

		assert_true(more > 0);
		n += (size_t)more;
	}
	assert_memory_equal(got, want, len);
}

/* So what it does has to wait, and is not given up. */
static void
a_moment_passes(void)
{
	poll(NULL, 0, 50);
}

static void
session_that_does_not_block_is_served(void **state)
{
	int pair[2];

	(void)state;
	tcp_pair(pair, 0);
	let_not_block(pair[0]);

	const pid_t pid = start(pair[0], pair[0], serve);

	for (int i = 0; i < 3; i++) {
		a_moment_passes();
		assert_int_equal(send(pair[1], "hello", 5, 0), 5);
		expect_received(pair[1], "hello", 5);
	}
	assert_int_equal(shutdown(pair[1], SHUT_WR), 0);
	assert_int_equal(wait_for(pid), EX_OK);
	expect_closed(15, "end of file");
	expect_no_blocking(pair[0]);
	close_pair(pair);
}

static void
filter_that_does_not_block_copies(void **state)
{
	static char data[2 * PAGES]; /* twice what the pipe holds */
	int ends[2], pair[2];

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 7 >> i % 5);
	unix_pair(pair);
	let_not_block(pair[0]);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	let_not_block(ends[1]);

	const pid_t pid = start(pair[0], ends[1], serve);

	a_moment_passes();
	assert_int_equal(send(pair[1], "hello", 5, 0), 5);
	expect_received(ends[0], "hello", 5);
	assert_int_equal(send(pair[1], data, sizeof(data), 0), sizeof(data));
	a_moment_passes(); /* there is no room */
	expect_received(ends[0], data, sizeof(data));
	assert_int_equal(shutdown(pair[1], SHUT_WR), 0);
	assert_int_equal(wait_for(pid), EX_OK);
	expect_no_blocking(pair[0]);
	expect_no_blocking(ends[1]);
	close_pair(ends);
	close_pair(pair);
	expect_log(NULL);
}

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		TEST(one_socket_is_a_session),
		TEST(files_and_pipes_are_none),
		TEST(what_does_not_block_stays_so),
		TEST(idle_timeout_is_of_sockets),
		TEST(what_is_no_client_is_refused),
		TEST(lack_of_resources_is_told),
		TEST(stderr_of_the_client_is_known),
		TEST(session_is_served_to_its_end),
		TEST(session_that_does_not_block_is_served),
		TEST(filter_that_does_not_block_copies),
		TEST(failure_to_serve_is_told),
		TEST(failure_to_copy_is_told),
		TEST(lack_of_a_process_is_told),
	};

	title_init(argc, argv, environ);
	return cmocka_run_group_tests_name("inetd", tests, NULL, NULL);
}
