/*
 * Sessions: why they end, as their children tell, and how they begin where a
 * proxy speaks first.
 *
 * Linked with --wrap for the names below, so that a child's calls can be given
 * results that a loopback never has, and its time can fly.
 */
#include "echod/session.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "echod/clock.h"
#include "echod/ending.h"
#include "echod/proxy.h"
#include "echod/scoreboard.h"
#include "echod/signals.h"
#include "echod/title.h"
#include "support.h"

int64_t __real_clock_now(void);
int64_t __wrap_clock_now(void);
int __real_kill(pid_t pid, int sig);
int __wrap_kill(pid_t pid, int sig);
ssize_t __real_read(int fd, void *buf, size_t size);
ssize_t __wrap_read(int fd, void *buf, size_t size);
int __real_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, void *arg);

/* For the children. */
static int read_error; /* errno of each read(2), 0: the real one */
static bool read_once; /* it is of the first one only */
static size_t read_most; /* bytes that one gives, 0: any */
static const int *held; /* what SIOCOUTQ gives; -1 fails; NULL: the real one */
static bool proxied; /* they begin with a PROXY header */
static bool limited; /* and whose it is must be admitted */
static bool young; /* it was accepted just now */
static int64_t late; /* what has passed since the time was first asked for */
static int64_t step; /* and what passes each time it is */

/* With the children. */
static struct shared {
	_Atomic unsigned asked; /* how often for SIOCOUTQ */
	_Atomic unsigned reads; /* how often they read something */
	_Atomic unsigned ends; /* how often they read the end of file */
	_Atomic unsigned kills; /* how often they called kill(2) */
} * shared;
static pid_t tester;
static struct scoreboard *board;
static struct slot *slot;

ssize_t
__wrap_read(int fd, void *buf, size_t size)
{
	if (read_error == 0) {
		const ssize_t n = __real_read(fd, buf,
		    read_most != 0 && read_most < size ? read_most : size);

		shared->ends += n == 0 && getpid() != tester;
		shared->reads += n > 0 && getpid() != tester;
		return n;
	}
	errno = read_error;
	if (read_once)
		read_error = 0;
	return -1;
}

int64_t
__wrap_clock_now(void)
{
	static int64_t passed;
	const int64_t now = __real_clock_now() + passed;

	passed += step + late;
	late = 0;
	return now;
}

int
__wrap_kill(pid_t pid, int sig)
{
	shared->kills += getpid() != tester;
	return __real_kill(pid, sig);
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
	tester = getpid();
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
	shared->asked = shared->kills = 0;
	shared->reads = shared->ends = 0;
	s.pid = fork();
	assert_int_not_equal(s.pid, -1);
	if (s.pid == 0)
		session_run(&(struct session){
		    .client = pair[0],
		    .slot = slot,
		    .waiting = &waiting,
		    .grace = 5,
		    .since = young ? __real_clock_now() : 0,
		    .proxied = proxied,
		    .limited = limited,
		    .parent = tester,
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
	int status;

	assert_int_equal(waitpid(s->pid, &status, 0), s->pid);

	const struct ending e = ending_of(status, false);

	if (e.priority != priority || strcmp(e.why, reason) != 0)
		fail_msg("%s, and not %s", e.why, reason);
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
	const struct running s = start();

	(void)state;
	expect_echo(&s, "hello");
	close_with_reset(s.client);
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
		{ { 100, 0, 0, 0, 0, 0 }, 6 },
		{ { 100, 100, 99, 99, 99, 99, 99 }, 7 },
		{ { 100, 50, 1, 1, 1, 1, 1 }, 7 },
		{ { 100, 50, 40, 30, 20, -1 }, 10 },
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

	(void)state;
	expect_echo(&s, "hello");
	assert_int_equal(count_descriptors_of(s.pid), 1);
	close(s.client);
	expect_end(&s, LOG_INFO, "end of file");
}

/*
 * The PROXY protocol.
 */

static int
setup_proxied(void **state)
{
	(void)state;
	proxied = true;
	return 0;
}

static int
teardown_proxied(void **state)
{
	(void)state;
	proxied = limited = young = false;
	late = step = 0;
	read_error = 0;
	read_once = false;
	read_most = 0;
	return 0;
}

/* A header, and who it says that the client is; NULL: who it seemed to be. */
static const struct header {
	const char *bytes;
	size_t len;
	const char *peer;
} headers[] = {
#define HEADER(text, peer)                                                     \
	{                                                                      \
		text, sizeof(text) - 1, peer                                   \
	}
	HEADER(
	    "PROXY TCP4 192.0.2.7 198.51.100.1 50312 7\r\n", "192.0.2.7:50312"),
	HEADER("PROXY TCP6 2001:db8::7 2001:db8::1 50312 7\r\n",
	    "[2001:db8::7]:50312"),
	HEADER("PROXY UNKNOWN\r\n", NULL),
	/* version 2: PROXY over IPv4, over IPv6 with a TLV, and LOCAL */
	HEADER("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"
	       "\xc0\0\2\7\xc6\x33\x64\1\xc4\x88\0\7",
	    "192.0.2.7:50312"),
	HEADER("\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x2b"
	       "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\7"
	       "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\xc4\x88\0\7"
	       "\4\0\4xxxx",
	    "[2001:db8::7]:50312"),
	HEADER("\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", NULL),
};

static void
send_all(int fd, const void *bytes, size_t len)
{
	assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

/* The child has said who its client is, once. */
static void
expect_introduction(const char *peer)
{
	char text[ADDRESS_TEXT_SIZE];
	struct address heard;

	assert_true(scoreboard_hear(board, 0, &heard));
	assert_int_equal(heard.len != 0, peer != NULL);
	if (peer != NULL)
		assert_string_equal(address_format(&heard, text), peer);
	assert_false(scoreboard_hear(board, 0, &heard));
}

static void
expect_no_introduction(void)
{
	struct address heard;

	assert_false(scoreboard_hear(board, 0, &heard));
	assert_int_equal(shared->kills, 0);
}

/* Bytes of the header are neither echoed nor counted, those behind it are. */
static void
header_comes_before_the_echo(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(headers); i++) {
		const struct running s = start();
		char text[512];

		/* In one piece. */
		memcpy(text, headers[i].bytes, headers[i].len);
		memcpy(text + headers[i].len, "hello", 5);
		send_all(s.client, text, headers[i].len + 5);
		expect_received(&s, "hello");
		expect_introduction(headers[i].peer);
		/* Another one is no header any more. */
		send_all(s.client, headers[i].bytes, headers[i].len);
		assert_int_equal(
		    recv(s.client, text, headers[i].len, MSG_WAITALL),
		    (ssize_t)headers[i].len);
		assert_memory_equal(text, headers[i].bytes, headers[i].len);
		assert_int_equal(shutdown(s.client, SHUT_WR), 0);
		expect_end_of_file(&s);
		expect_end(&s, LOG_INFO, "end of file");
		assert_int_equal(slot->bytes, 5 + headers[i].len);
		assert_int_equal(shared->kills, 1);
		assert_false(scoreboard_hear(board, 0, &(struct address){ 0 }));
		close(s.client);
	}
}

static void
header_may_be_all(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(headers); i++) {
		const struct running s = start();

		send_all(s.client, headers[i].bytes, headers[i].len);
		assert_int_equal(shutdown(s.client, SHUT_WR), 0);
		expect_end_of_file(&s);
		expect_end(&s, LOG_INFO, "end of file");
		expect_introduction(headers[i].peer);
		assert_int_equal(slot->bytes, 0);
		close(s.client);
	}
}

static void
header_may_come_byte_by_byte(void **state)
{
	(void)state;
	read_most = 1;
	for (size_t i = 0; i < COUNT(headers); i++) {
		const struct running s = start();

		/* Each in a segment of its own. */
		for (size_t j = 0; j < headers[i].len; j++)
			send_all(s.client, headers[i].bytes + j, 1);
		expect_echo(&s, "hello");
		expect_introduction(headers[i].peer);
		assert_int_equal(shutdown(s.client, SHUT_WR), 0);
		expect_end(&s, LOG_INFO, "end of file");
		assert_int_equal(slot->bytes, 5);
		close(s.client);
	}
}

/* The longest header, and more behind it than the buffer takes at once. */
static void
much_may_follow(void **state)
{
	enum { FOLLOWS = 200000 };
	static char sent[PROXY_HEADER_MAX + FOLLOWS], got[FOLLOWS];
	const size_t more = PROXY_HEADER_MAX - headers[5].len;
	const struct running s = start();

	(void)state;
	memcpy(sent, headers[5].bytes, headers[5].len);
	sent[14] = (char)(more >> 8);
	sent[15] = (char)more;
	for (size_t i = PROXY_HEADER_MAX; i < sizeof(sent); i++)
		sent[i] = (char)(i * 7 >> i % 5);

	const pid_t sender = fork();

	if (sender == 0)
		_exit(send(s.client, sent, sizeof(sent), 0) ==
				(ssize_t)sizeof(sent) &&
			    shutdown(s.client, SHUT_WR) == 0
			? 0
			: 1);
	assert_int_equal(
	    recv(s.client, got, sizeof(got), MSG_WAITALL), sizeof(got));
	assert_memory_equal(got, sent + PROXY_HEADER_MAX, sizeof(got));
	expect_end_of_file(&s);
	expect_end(&s, LOG_INFO, "end of file");
	expect_introduction(NULL);
	assert_int_equal(slot->bytes, FOLLOWS);

	int status;

	assert_int_equal(waitpid(sender, &status, 0), sender);
	assert_int_equal(status, 0);
	close(s.client);
}

static void
parent_is_woken_up(void **state)
{
	static const struct timespec some_time = { .tv_sec = 10 };
	sigset_t chld;

	(void)state;
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	for (size_t i = 0; i < COUNT(headers); i++) {
		siginfo_t info = { 0 };

		/* Of children before it. */
		while (sigtimedwait(&chld, NULL, &(struct timespec){ 0 }) != -1)
			;

		const struct running s = start();

		send_all(s.client, headers[i].bytes, headers[i].len);
		assert_int_equal(
		    sigtimedwait(&chld, &info, &some_time), SIGCHLD);
		assert_int_equal(info.si_code, SI_USER);
		assert_int_equal(info.si_pid, s.pid);
		/* It was said before. */
		expect_introduction(headers[i].peer);
		expect_echo(&s, "hello");
		assert_int_equal(shared->kills, 1);
		close(s.client);
		expect_end(&s, LOG_INFO, "end of file");
	}
}

struct bad {
	const char *bytes;
	bool eof; /* behind them */
	int priority;
	const char *reason;
};

static void
bad_header_is_the_end(void **state)
{
	static const struct bad rows[] = {
		{ "GET / HTTP/1.0\r\n\r\n", false, LOG_WARNING,
		    "a wrong PROXY header" },
		{ "hello", false, LOG_WARNING, "a wrong PROXY header" },
		{ "PROXY TCP4 192.0.2.7 198.51.100.1 50312 70000\r\n", false,
		    LOG_WARNING, "a wrong PROXY header" },
		{ "\r\n\r\nx", false, LOG_WARNING, "a wrong PROXY header" },
		{ "PROXY UNKNOWN 234567890123456789012345678901234567890123456"
		  "78901234567890123456789012345678901234567890123\r\n",
		    false, LOG_WARNING, "a PROXY header that is too long" },
		/* cut short */
		{ "P", true, LOG_WARNING, "a wrong PROXY header" },
		{ "PROXY TCP4 192.0.2.7 198.51.100.1 50312 7\r", true,
		    LOG_WARNING, "a wrong PROXY header" },
		{ "\r\n\r\n", true, LOG_WARNING, "a wrong PROXY header" },
		/* a probe, as load balancers make them */
		{ "", true, LOG_INFO, "end of file" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct running s = start();
		char byte;

		send_all(s.client, rows[i].bytes, strlen(rows[i].bytes));
		if (rows[i].eof)
			assert_int_equal(shutdown(s.client, SHUT_WR), 0);
		/* Nothing of it comes back; reset, if there was more. */
		assert_true(recv(s.client, &byte, 1, 0) <= 0);
		expect_end(&s, rows[i].priority, rows[i].reason);
		assert_int_equal(slot->bytes, 0);
		expect_no_introduction();
		close(s.client);
	}
}

static void
reset_before_the_header_is_told(void **state)
{
	struct running s = start();

	(void)state;
	close_with_reset(s.client);
	expect_end(&s, LOG_INFO, "reset by the client");

	read_error = EIO;
	s = start();
	send_all(s.client, "P", 1);
	expect_end(&s, LOG_ERR, "a system call failed");
	expect_no_introduction();
	close(s.client);
}

static void
reading_a_header_may_be_disturbed(void **state)
{
	static const int errors[] = { EINTR, EAGAIN };

	(void)state;
	for (size_t i = 0; i < COUNT(errors); i++) {
		read_error = errors[i];
		read_once = true;

		const struct running s = start();

		read_error = 0;
		send_all(s.client, headers[0].bytes, headers[0].len);
		expect_echo(&s, "hello");
		expect_introduction(headers[0].peer);
		close(s.client);
		expect_end(&s, LOG_INFO, "end of file");
	}
}

/* Wait until the child waits, having read something so often. */
static void
wait_for_reads(const struct running *s, unsigned n)
{
	while (shared->reads < n)
		sched_yield();
	wait_until_asleep(s->pid);
}

/* Signals that interrupt the wait, as ignored ones do not, do not end it. */
static void
signals_may_come_before_the_header(void **state)
{
	static const int signals[] = { SIGUSR1, SIGCHLD };
	const struct running s = start();
	const char *rest = headers[0].bytes;

	(void)state;
	for (unsigned i = 0; i < COUNT(signals); i++, rest += 3) {
		send_all(s.client, rest, 3);
		wait_for_reads(&s, i + 1);
		assert_int_equal(kill(s.pid, signals[i]), 0);
	}
	send_all(s.client, rest, strlen(rest));
	expect_echo(&s, "hello");
	expect_introduction(headers[0].peer);
	close(s.client);
	expect_end(&s, LOG_INFO, "end of file");
}

static void
header_has_5_seconds(void **state)
{
	struct running s;

	(void)state;
	/* A moment before they are over. */
	late = 5 * CLOCK_SECOND - 20 * CLOCK_MILLISECOND;
	s = start();
	expect_end_of_file(&s);
	expect_end(&s, LOG_WARNING, "no PROXY header within 5 s");
	expect_no_introduction();
	assert_int_equal(slot->bytes, 0);
	close(s.client);

	/* After them, what has come all the same is too late. */
	late = 5 * CLOCK_SECOND;
	s = start_with(0, headers[0].bytes);
	expect_end(&s, LOG_WARNING, "no PROXY header within 5 s");
	expect_no_introduction();
	close(s.client);

	/* It has all of them. */
	late = 4 * CLOCK_SECOND;
	s = start_with(0, headers[0].bytes);
	expect_echo(&s, "hello");
	expect_introduction(headers[0].peer);
	close(s.client);
	expect_end(&s, LOG_INFO, "end of file");
}

/* They are for the whole, however often a byte comes. */
static void
dripping_header_has_no_more(void **state)
{
	struct running s;

	(void)state;
	read_most = 1;
	step = 5 * CLOCK_SECOND / (int64_t)headers[0].len;
	s = start_with(0, headers[0].bytes);
	expect_end(&s, LOG_WARNING, "no PROXY header within 5 s");
	expect_no_introduction();
	close(s.client);

	step = 4 * CLOCK_SECOND / (int64_t)headers[0].len;
	s = start_with(0, headers[0].bytes);
	step = 0;
	expect_echo(&s, "hello");
	expect_introduction(headers[0].peer);
	close(s.client);
	expect_end(&s, LOG_INFO, "end of file");
}

static void
stop_comes_before_the_header(void **state)
{
	static const int signals[] = { SIGTERM, SIGINT };
	static const char *const early[] = { "", "PROXY TCP4 192.0.2.7 " };

	(void)state;
	for (size_t i = 0; i < COUNT(signals); i++)
		for (size_t j = 0; j < COUNT(early); j++) {
			const struct running s = start_with(0, early[j]);

			wait_for_reads(&s, early[j][0] != '\0');
			assert_int_equal(kill(s.pid, signals[i]), 0);
			expect_end(&s, LOG_INFO, "drained");
			assert_int_equal(slot->bytes, 0);
			expect_no_introduction();
			close(s.client);
		}
}

/* One that has just come may not yet have got round to sending it. */
static void
header_may_come_after_the_stop(void **state)
{
	struct running s;

	(void)state;
	young = true;
	s = start_with(0, "PROXY TCP4 ");
	wait_for_reads(&s, 1);
	assert_int_equal(kill(s.pid, SIGTERM), 0);
	while (shared->ends == 0)
		sched_yield();
	send_all(s.client, headers[0].bytes + 11, headers[0].len - 11);
	expect_echo(&s, "hello");
	expect_end_of_file(&s);
	expect_end(&s, LOG_INFO, "drained");
	expect_introduction(headers[0].peer);
	assert_int_equal(slot->bytes, 5);
	close(s.client);

	/* But it has no more than a second. */
	step = CLOCK_SECOND / 10;
	s = start();
	wait_for_reads(&s, 0);
	assert_int_equal(kill(s.pid, SIGTERM), 0);
	expect_end(&s, LOG_INFO, "drained");
	expect_no_introduction();
	close(s.client);
}

/*
 * Admission.
 */

/* Wait until the child has said who its client is. */
static void
wait_for_introduction(const char *peer)
{
	while (scoreboard_introduced(board, 0) == SIZE_MAX)
		sched_yield();
	expect_introduction(peer);
}

static void
nothing_is_echoed_before_the_admission(void **state)
{
	char byte;

	(void)state;
	limited = true;
	for (size_t i = 0; i < COUNT(headers); i++) {
		const struct running s = start();

		send_all(s.client, headers[i].bytes, headers[i].len);
		send_all(s.client, "hello", 5);
		wait_for_introduction(headers[i].peer);
		assert_int_equal(recv(s.client, &byte, 1, MSG_DONTWAIT), -1);
		assert_int_equal(errno, EAGAIN);
		assert_int_equal(slot->bytes, 0);
		scoreboard_admit(board, 0);
		expect_received(&s, "hello");
		close(s.client);
		expect_end(&s, LOG_INFO, "end of file");
	}
}

static void
one_that_is_not_admitted_is_not_served(void **state)
{
	struct running s;
	char byte;

	(void)state;
	limited = true;
	/* It is killed. */
	s = start_with(0, headers[0].bytes);
	send_all(s.client, "hello", 5);
	wait_for_introduction(headers[0].peer);
	assert_int_equal(kill(s.pid, SIGKILL), 0);
	assert_true(recv(s.client, &byte, 1, 0) <= 0);
	expect_end(&s, LOG_WARNING, "killed by signal 9 (Killed)");
	assert_int_equal(slot->bytes, 0);
	close(s.client);

	/* Or there is nobody any more to say so. */
	step = CLOCK_SECOND;
	s = start_with(0, headers[0].bytes);
	assert_true(recv(s.client, &byte, 1, 0) <= 0);
	expect_end(&s, LOG_WARNING, "nobody had time to admit it");
	expect_introduction(headers[0].peer);
	assert_int_equal(slot->bytes, 0);
	close(s.client);
}

/* Whose header is missing is not asked about. */
static void
others_need_no_admission(void **state)
{
	struct running s;

	(void)state;
	limited = true;
	s = start();
	assert_int_equal(shutdown(s.client, SHUT_WR), 0);
	expect_end(&s, LOG_INFO, "end of file");
	close(s.client);
	proxied = false;
	s = start();
	expect_echo(&s, "hello");
	close(s.client);
	expect_end(&s, LOG_INFO, "end of file");
}

static void
stop_after_the_header_drains(void **state)
{
	const struct running s = start_with(0, headers[0].bytes);

	(void)state;
	expect_echo(&s, "hello");
	assert_int_equal(kill(s.pid, SIGTERM), 0);
	expect_end_of_file(&s);
	expect_end(&s, LOG_INFO, "drained");
	assert_int_equal(slot->bytes, 5);
	close(s.client);
}

/* Who is no proxy may send what it likes. */
static void
header_of_others_is_echoed(void **state)
{
	const struct running s = start();

	(void)state;
	expect_echo(&s, headers[0].bytes);
	close(s.client);
	expect_end(&s, LOG_INFO, "end of file");
	assert_int_equal(slot->bytes, headers[0].len);
	expect_no_introduction();
}

#define PROXY_TEST(f)                                                          \
	cmocka_unit_test_setup_teardown(f, setup_proxied, teardown_proxied)

int
main(int argc, char *argv[])
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
		PROXY_TEST(header_comes_before_the_echo),
		PROXY_TEST(header_may_be_all),
		PROXY_TEST(header_may_come_byte_by_byte),
		PROXY_TEST(much_may_follow),
		PROXY_TEST(parent_is_woken_up),
		PROXY_TEST(bad_header_is_the_end),
		PROXY_TEST(reset_before_the_header_is_told),
		PROXY_TEST(reading_a_header_may_be_disturbed),
		PROXY_TEST(signals_may_come_before_the_header),
		PROXY_TEST(header_has_5_seconds),
		PROXY_TEST(dripping_header_has_no_more),
		PROXY_TEST(stop_comes_before_the_header),
		PROXY_TEST(header_may_come_after_the_stop),
		PROXY_TEST(nothing_is_echoed_before_the_admission),
		PROXY_TEST(one_that_is_not_admitted_is_not_served),
		PROXY_TEST(others_need_no_admission),
		PROXY_TEST(stop_after_the_header_drains),
		cmocka_unit_test(header_of_others_is_echoed),
	};

	title_init(argc, argv, environ);
	return cmocka_run_group_tests_name(
	    "session", tests, setup_all, teardown_all);
}
