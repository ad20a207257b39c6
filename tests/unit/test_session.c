/*
 * Sessions: why they end, as their children tell.
 *
 * Linked with --wrap=ioctl and --wrap=read, so that a child's calls can be
 * given results that a loopback never has.
 */
#include "echod/session.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "echod/scoreboard.h"
#include "echod/signals.h"
#include "support.h"

ssize_t __real_read(int fd, void *buf, size_t size);
ssize_t __wrap_read(int fd, void *buf, size_t size);
int __real_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, void *arg);

/* For the children. */
static int read_error; /* errno of each read(2), 0: the real one */
static const int *held; /* what SIOCOUTQ gives; -1 fails; NULL: the real one */

/* With the children. */
static struct shared {
	_Atomic unsigned asked; /* how often for SIOCOUTQ */
} * shared;
static struct scoreboard *board;
static struct slot *slot;

ssize_t
__wrap_read(int fd, void *buf, size_t size)
{
	if (read_error == 0)
		return __real_read(fd, buf, size);
	errno = read_error;
	return -1;
}

int
__wrap_ioctl(int fd, unsigned long request, void *arg)
{
	if (request != SIOCOUTQ || held == NULL)
		return __real_ioctl(fd, request, arg);
	shared->asked++;
	if (*held == -1) {
		errno = EIO;
		return -1;
	}
	memcpy(arg, held++, sizeof(*held));
	return 0;
}

static sigset_t waiting;

static int
setup_all(void **state)
{
	(void)state;
	signals_init(&waiting);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	board = scoreboard_new(1);
	return shared == MAP_FAILED || board == NULL ? -1 : 0;
}

static int
teardown_all(void **state)
{
	(void)state;
	scoreboard_free(board);
	return munmap(shared, sizeof(*shared));
}

struct running {
	pid_t pid;
	int client; /* this end */
};

/* Start one with an idle timeout, in ms, for a client that has sent early. */
static struct running
start_with(int idle, const char *early)
{
	const struct timeval tv = { .tv_usec = idle * 1000 };
	struct running s;
	int pair[2];

	tcp_pair(pair, 0);
	assert_int_equal(
	    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), 0);
	assert_int_equal(
	    setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)), 0);
	assert_int_equal(
	    send(pair[1], early, strlen(early), 0), (ssize_t)strlen(early));
	slot = scoreboard_take(board, 0);
	shared->asked = 0;
	s.pid = fork();
	assert_int_not_equal(s.pid, -1);
	if (s.pid == 0)
		session_run(&(struct session){
		    .client = pair[0],
		    .slot = slot,
		    .waiting = &waiting,
		    .grace = 5,
		});
	close(pair[0]);
	s.client = pair[1];
	return s;
}

static struct running
start(void)
{
	return start_with(0, "");
}

static void
expect_end(const struct running *s, int priority, const char *reason)
{
	char why[SESSION_REASON_SIZE];
	int status;

	assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
	assert_int_equal(session_reason(status, false, why), priority);
	assert_string_equal(why, reason);
}

static void
expect_received(const struct running *s, const char *word)
{
	char text[64] = "";

	assert_int_equal(recv(s->client, text, strlen(word), MSG_WAITALL),
	    (ssize_t)strlen(word));
	assert_string_equal(text, word);
}

/* So the child is up. */
static void
expect_echo(const struct running *s, const char *word)
{
	assert_int_equal(
	    send(s->client, word, strlen(word), 0), (ssize_t)strlen(word));
	expect_received(s, word);
}

static void
expect_end_of_file(const struct running *s)
{
	char byte;

	assert_int_equal(recv(s->client, &byte, 1, 0), 0);
}

static void
client_closes(void **state)
{
	struct running s = start();

	(void)state;
	expect_echo(&s, "hello");
	assert_int_equal(shutdown(s.client, SHUT_WR), 0);
	expect_end_of_file(&s);
	expect_end(&s, LOG_INFO, "end of file");
	assert_int_equal(slot->bytes, 5);
	close(s.client);

	s = start();
	close(s.client);
	expect_end(&s, LOG_INFO, "end of file");
	assert_int_equal(slot->bytes, 0);
}

static void
client_resets(void **state)
{
	const struct linger hard = { .l_onoff = 1 };
	const struct running s = start();

	(void)state;
	expect_echo(&s, "hello");
	assert_int_equal(
	    setsockopt(s.client, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)),
	    0);
	close(s.client);
	expect_end(&s, LOG_INFO, "reset by the client");
	assert_int_equal(slot->bytes, 5);
}

static void
client_is_idle(void **state)
{
	const struct running s = start_with(50, "hello");

	(void)state;
	expect_received(&s, "hello");
	expect_end_of_file(&s);
	expect_end(&s, LOG_INFO, "idle");
	assert_int_equal(slot->bytes, 5);
	close(s.client);
}

static void
client_stalls(void **state)
{
	static const char chunk[65536];
	const struct running s = start_with(50, "");

	(void)state;
	/* Until the child has ended; it resets, as it leaves bytes unread. */
	while (send(s.client, chunk, sizeof(chunk), MSG_NOSIGNAL) > 0)
		;
	expect_end(&s, LOG_INFO, "idle");
	assert_true(slot->bytes > 0);
	close(s.client);
}

/* Silent, but the kernel gets rid of what it holds for the client. */
static void
client_that_takes_is_not_idle(void **state)
{
	static const struct {
		int held[8];
		unsigned asked;
	} rows[] = {
		{ { 0, 0, 0, 0 }, 4 },
		{ { -1 }, 4 },
		{ { 100, 100, 100, 100 }, 4 },
		{ { 100, 0, 0, 0 }, 4 },
		{ { 100, 100, 99, 99, 99, 99 }, 6 },
		{ { 100, 50, 1, 1, 1, 1 }, 6 },
		{ { 100, 50, 40, 30, 20, -1 }, 8 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		held = rows[i].held;

		const struct running s = start_with(20, "");

		held = NULL;
		expect_end_of_file(&s);
		expect_end(&s, LOG_INFO, "idle");
		assert_int_equal(shared->asked, rows[i].asked);
		close(s.client);
	}
}

static void
errors_have_reasons(void **state)
{
	static const struct {
		int error, priority;
		const char *reason;
	} rows[] = {
		{ ECONNRESET, LOG_INFO, "reset by the client" },
		{ ETIMEDOUT, LOG_INFO, "the client vanished" },
		{ EHOSTUNREACH, LOG_INFO, "the client vanished" },
		{ EIO, LOG_ERR, "a system call failed" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		read_error = rows[i].error;

		const struct running s = start();

		read_error = 0;
		expect_end(&s, rows[i].priority, rows[i].reason);
		close(s.client);
	}
}

static void
stop_drains(void **state)
{
	static const int signals[] = { SIGTERM, SIGINT };

	(void)state;
	for (size_t i = 0; i < COUNT(signals); i++) {
		struct running s = start();

		expect_echo(&s, "hello");
		assert_int_equal(kill(s.pid, signals[i]), 0);
		expect_end_of_file(&s);
		expect_end(&s, LOG_INFO, "drained");
		assert_int_equal(slot->bytes, 5);
		close(s.client);

		/* It may come right after the fork. */
		s = start();
		assert_int_equal(kill(s.pid, signals[i]), 0);
		expect_end_of_file(&s);
		expect_end(&s, LOG_INFO, "drained");
		close(s.client);
	}
}

static void
other_signals_do_no_harm(void **state)
{
	static const int signals[] = { SIGHUP, SIGPIPE, SIGUSR1, SIGCHLD };
	const struct running s = start();

	(void)state;
	for (size_t i = 0; i < COUNT(signals); i++) {
		assert_int_equal(kill(s.pid, signals[i]), 0);
		expect_echo(&s, "hello");
	}
	assert_int_equal(shutdown(s.client, SHUT_WR), 0);
	expect_end(&s, LOG_INFO, "end of file");
	close(s.client);
}

static void
killed_child_is_a_warning(void **state)
{
	const struct running s = start();

	(void)state;
	expect_echo(&s, "hello");
	expect_echo(&s, "hello");
	assert_int_equal(kill(s.pid, SIGKILL), 0);
	expect_end(&s, LOG_WARNING, "killed by signal 9 (Killed)");
	/* It may have come between a write and its being counted. */
	assert_in_range(slot->bytes, 5, 10);
	close(s.client);
}

static void
child_has_one_descriptor(void **state)
{
	const struct running s = start();
	char path[64];
	int n = 0;

	(void)state;
	expect_echo(&s, "hello");
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)s.pid);

	DIR *dir = opendir(path);

	assert_non_null(dir);
	for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir))
		/* A debugging tool's own ones are high. */
		if (e->d_name[0] != '.' && atoi(e->d_name) < 1000)
			n++;
	closedir(dir);
	assert_int_equal(n, 1);
	close(s.client);
	expect_end(&s, LOG_INFO, "end of file");
}

static void
every_status_has_a_reason(void **state)
{
	(void)state;
	for (int exit = 0; exit < 256; exit++) {
		char why[SESSION_REASON_SIZE], number[16];
		const int priority =
		    session_reason(W_EXITCODE(exit, 0), false, why);

		assert_in_range(strnlen(why, sizeof(why)), 1, sizeof(why) - 1);
		if (exit < 64) /* it may be one of session_run()'s */
			continue;
		assert_int_equal(priority, LOG_ERR);
		snprintf(number, sizeof(number), " %d", exit);
		assert_non_null(strstr(why, number));
	}
	for (int sig = 1; sig <= SIGRTMAX; sig++)
		for (int core = 0; core < 2; core++) {
			char why[SESSION_REASON_SIZE], start_of[32];
			const int status =
			    W_EXITCODE(0, sig) | (core ? WCOREFLAG : 0);

			assert_int_equal(session_reason(status, false, why),
			    sig == SIGKILL ? LOG_WARNING : LOG_ERR);
			snprintf(start_of, sizeof(start_of),
			    "killed by signal %d (", sig);
			assert_ptr_equal(strstr(why, start_of), why);
			assert_int_equal(why[strlen(why) - 1], ')');
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(client_closes),
		cmocka_unit_test(client_resets),
		cmocka_unit_test(client_is_idle),
		cmocka_unit_test(client_stalls),
		cmocka_unit_test(client_that_takes_is_not_idle),
		cmocka_unit_test(errors_have_reasons),
		cmocka_unit_test(stop_drains),
		cmocka_unit_test(other_signals_do_no_harm),
		cmocka_unit_test(killed_child_is_a_warning),
		cmocka_unit_test(child_has_one_descriptor),
		cmocka_unit_test(every_status_has_a_reason),
	};

	return cmocka_run_group_tests_name(
	    "session", tests, setup_all, teardown_all);
}
