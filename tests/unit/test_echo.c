/*
 * Echo: every byte, in order, over sockets and pipes, whatever read(2) and
 * write(2) do.
 *
 * Linked with --wrap=read --wrap=write: a test may play a script of what the
 * two return, or disturb the real ones.  A peer, where one is needed, runs in a
 * thread, uses neither, and reports what it saw instead of asserting.
 */
#include "echod/echo.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "support.h"

enum { SEED = 862 };

ssize_t __real_read(int fd, void *buf, size_t size);
ssize_t __real_write(int fd, const void *buf, size_t size);
ssize_t __wrap_read(int fd, void *buf, size_t size);
ssize_t __wrap_write(int fd, const void *buf, size_t size);

/* Any byte is known by its position, so loss and disorder show. */
static unsigned char
byte_at(uint64_t position)
{
	const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
	uint64_t x = (position + 1) * odd;

	x = (x ^ (x >> 32)) * odd;
	return (unsigned char)(x >> 56);
}

static void
fill(void *buf, size_t size, uint64_t position)
{
	unsigned char *to = buf;

	for (size_t i = 0; i < size; i++)
		to[i] = byte_at(position + i);
}

static bool
is_filled(const void *buf, size_t size, uint64_t position)
{
	const unsigned char *from = buf;

	for (size_t i = 0; i < size; i++)
		if (from[i] != byte_at(position + i))
			return false;
	return true;
}

/*
 * A script: the calls that echo() makes, and what each returns.
 */

enum { IN = 1000, OUT = 1001, BUFFER = 4096, SCRIPT_MAX = 16 };

enum call { END, READ, WRITE };

/* A timeout of read(2). */
#define TICK                                                                   \
	{                                                                      \
		READ, BUFFER, -EAGAIN                                          \
	}

struct step {
	enum call call;
	size_t size; /* asked for */
	ssize_t result; /* or -errno */
};

static struct {
	const struct step *next; /* NULL: no script is played */
	uint64_t was_read, was_written;
} script;

static ssize_t
play(enum call call, int fd, const void *buf, size_t size)
{
	const struct step *step = script.next++;

	if (call != step->call || fd != (call == READ ? IN : OUT) ||
	    size != step->size) {
		script.next = NULL; /* other tests shall not suffer */
		fail_msg("%s of %zu bytes, fd %d, is not in the script",
		    call == READ ? "read" : "write", size, fd);
	}
	if (step->result < 0) {
		errno = (int)-step->result;
		return -1;
	}
	if (call == WRITE) {
		assert_true(is_filled(buf, size, script.was_written));
		script.was_written += (uint64_t)step->result;
	}
	return step->result;
}

/*
 * Disturbances of the real calls.
 */

static struct {
	bool active;
	uint64_t random;
	uint32_t one_in; /* so often a call is interrupted, 0: never */
	uint32_t at_most; /* bytes that a call moves, 0: any */
	unsigned faked; /* calls interrupted */
} disturb;

static struct {
	sem_t *on_read, *on_write; /* posted as a signal interrupts a call */
} interrupted;

static size_t
cut(size_t size)
{
	if (disturb.at_most == 0 || size < 2)
		return size;
	if (size > disturb.at_most)
		size = disturb.at_most;
	return 1 + random_below(&disturb.random, (uint32_t)size);
}

static bool
fake_eintr(void)
{
	if (disturb.one_in == 0 ||
	    random_below(&disturb.random, disturb.one_in) != 0)
		return false;
	disturb.faked++;
	errno = EINTR;
	return true;
}

static ssize_t
tell(ssize_t n, sem_t *sem)
{
	const int saved = errno;

	if (n == -1 && saved == EINTR && sem != NULL)
		sem_post(sem);
	errno = saved;
	return n;
}

ssize_t
__wrap_read(int fd, void *buf, size_t size)
{
	if (script.next != NULL) {
		const ssize_t n = play(READ, fd, buf, size);

		if (n > 0) {
			fill(buf, (size_t)n, script.was_read);
			script.was_read += (uint64_t)n;
		}
		return n;
	}
	if (disturb.active) {
		if (fake_eintr())
			return -1;
		size = cut(size);
	}
	return tell(__real_read(fd, buf, size), interrupted.on_read);
}

ssize_t
__wrap_write(int fd, const void *buf, size_t size)
{
	if (script.next != NULL)
		return play(WRITE, fd, buf, size);
	if (disturb.active) {
		if (fake_eintr())
			return -1;
		size = cut(size);
	}
	return tell(__real_write(fd, buf, size), interrupted.on_write);
}

struct play {
	const char *name;
	enum echo_end end;
	uint64_t total; /* that it adds */
	int error; /* with ECHO_FAILED: what errno has */
	struct step steps[SCRIPT_MAX];
	size_t held; /* in the buffer at the start */
};

static void
expect_play(const struct play *row)
{
	static char buf[BUFFER];
	_Atomic uint64_t total = 1000000;

	script.next = row->steps;
	script.was_read = row->held;
	script.was_written = 0;
	fill(buf, row->held, 0);
	errno = 0;

	const enum echo_end end =
	    echo(IN, OUT, buf, sizeof(buf), row->held, &total);
	const int error = errno;
	const struct step *stop = script.next;

	script.next = NULL;
	if (end != row->end)
		fail_msg("%s: ended with %d", row->name, (int)end);
	if (stop->call != END)
		fail_msg("%s: stopped before step %td", row->name,
		    stop - row->steps);
	if (total != 1000000 + row->total)
		fail_msg("%s: the total grew by %llu", row->name,
		    (unsigned long long)(total - 1000000));
	if (end == ECHO_FAILED && error != row->error)
		fail_msg("%s: errno is %d", row->name, error);
}

static void
scripts_are_followed(void **state)
{
	static const struct play rows[] = {
		{ "at once", ECHO_EOF, 0, 0, { { READ, BUFFER, 0 } }, 0 },
		{ "a byte", ECHO_EOF, 1, 0,
		    { { READ, BUFFER, 1 }, { WRITE, 1, 1 },
			{ READ, BUFFER, 0 } },
		    0 },
		{ "a buffer", ECHO_EOF, BUFFER, 0,
		    { { READ, BUFFER, BUFFER }, { WRITE, BUFFER, BUFFER },
			{ READ, BUFFER, 0 } },
		    0 },
		{ "several", ECHO_EOF, 111, 0,
		    { { READ, BUFFER, 1 }, { WRITE, 1, 1 },
			{ READ, BUFFER, 10 }, { WRITE, 10, 10 },
			{ READ, BUFFER, 100 }, { WRITE, 100, 100 },
			{ READ, BUFFER, 0 } },
		    0 },
		{ "short writes", ECHO_EOF, 100, 0,
		    { { READ, BUFFER, 100 }, { WRITE, 100, 1 },
			{ WRITE, 99, 98 }, { WRITE, 1, 1 },
			{ READ, BUFFER, 0 } },
		    0 },
		{ "EINTR of read", ECHO_EOF, 5, 0,
		    { { READ, BUFFER, -EINTR }, { READ, BUFFER, -EINTR },
			{ READ, BUFFER, 5 }, { WRITE, 5, 5 },
			{ READ, BUFFER, -EINTR }, { READ, BUFFER, 0 } },
		    0 },
		{ "EINTR of write", ECHO_EOF, 100, 0,
		    { { READ, BUFFER, 100 }, { WRITE, 100, -EINTR },
			{ WRITE, 100, -EINTR }, { WRITE, 100, 60 },
			{ WRITE, 40, -EINTR }, { WRITE, 40, 40 },
			{ READ, BUFFER, 0 } },
		    0 },
		{ "timeout of read", ECHO_SILENT, 0, 0,
		    { TICK, TICK, TICK, TICK }, 0 },
		{ "timeout of a later read", ECHO_SILENT, 9, 0,
		    { { READ, BUFFER, 9 }, { WRITE, 9, 9 },
			{ READ, BUFFER, -EINTR }, TICK, TICK, TICK, TICK,
			TICK },
		    0 },
		{ "timeouts with something in between", ECHO_SILENT, 9, 0,
		    { TICK, TICK, TICK, { READ, BUFFER, 9 }, { WRITE, 9, 9 },
			TICK, TICK, TICK, TICK, TICK },
		    0 },
		{ "timeout of write", ECHO_STALLED, 0, 0,
		    { { READ, BUFFER, 9 }, { WRITE, 9, -EAGAIN },
			{ WRITE, 9, -EAGAIN }, { WRITE, 9, -EAGAIN },
			{ WRITE, 9, -EAGAIN }, { WRITE, 9, -EAGAIN } },
		    0 },
		{ "timeout amid a write", ECHO_STALLED, 60, 0,
		    { { READ, BUFFER, 100 }, { WRITE, 100, 60 },
			{ WRITE, 40, -EINTR }, { WRITE, 40, -EAGAIN },
			{ WRITE, 40, -EAGAIN }, { WRITE, 40, -EAGAIN },
			{ WRITE, 40, -EAGAIN }, { WRITE, 40, -EAGAIN } },
		    0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		expect_play(&rows[i]);
}

/* What was read before is written before anything is read, and counts. */
static void
held_bytes_go_first(void **state)
{
	static const struct play rows[] = {
		{ "a byte", ECHO_EOF, 1, 0,
		    { { WRITE, 1, 1 }, { READ, BUFFER, 0 } }, 1 },
		{ "a buffer", ECHO_EOF, BUFFER, 0,
		    { { WRITE, BUFFER, BUFFER }, { READ, BUFFER, 0 } },
		    BUFFER },
		{ "and more", ECHO_EOF, 17, 0,
		    { { WRITE, 7, 7 }, { READ, BUFFER, 10 }, { WRITE, 10, 10 },
			{ READ, BUFFER, 0 } },
		    7 },
		{ "a buffer, and another", ECHO_EOF, 2 * BUFFER, 0,
		    { { WRITE, BUFFER, BUFFER }, { READ, BUFFER, BUFFER },
			{ WRITE, BUFFER, BUFFER }, { READ, BUFFER, 0 } },
		    BUFFER },
		{ "short writes", ECHO_EOF, 105, 0,
		    { { WRITE, 100, 1 }, { WRITE, 99, 98 }, { WRITE, 1, 1 },
			{ READ, BUFFER, 5 }, { WRITE, 5, 5 },
			{ READ, BUFFER, 0 } },
		    100 },
		{ "EINTR", ECHO_EOF, 100, 0,
		    { { WRITE, 100, -EINTR }, { WRITE, 100, 60 },
			{ WRITE, 40, -EINTR }, { WRITE, 40, 40 },
			{ READ, BUFFER, -EINTR }, { READ, BUFFER, 0 } },
		    100 },
		{ "a stalled client", ECHO_STALLED, 0, 0,
		    { { WRITE, 9, -EAGAIN }, { WRITE, 9, -EAGAIN },
			{ WRITE, 9, -EAGAIN }, { WRITE, 9, -EAGAIN } },
		    9 },
		{ "a client that stalls amid them", ECHO_STALLED, 60, 0,
		    { { WRITE, 100, 60 }, { WRITE, 40, -EAGAIN },
			{ WRITE, 40, -EAGAIN }, { WRITE, 40, -EAGAIN },
			{ WRITE, 40, -EAGAIN }, { WRITE, 40, -EAGAIN } },
		    100 },
		{ "a silent client", ECHO_SILENT, 9, 0,
		    { { WRITE, 9, 9 }, TICK, TICK, TICK, TICK, TICK }, 9 },
		{ "a client that is gone", ECHO_RESET, 0, 0,
		    { { WRITE, 9, -EPIPE } }, 9 },
		{ "a client that vanishes amid them", ECHO_VANISHED, 5, 0,
		    { { WRITE, 9, 5 }, { WRITE, 4, -ETIMEDOUT } }, 9 },
		{ "a full disk", ECHO_FAILED, 5, ENOSPC,
		    { { WRITE, 9, 5 }, { WRITE, 4, -ENOSPC } }, 9 },
		{ "a client that goes after them", ECHO_RESET, 9, 0,
		    { { WRITE, 9, 9 }, { READ, BUFFER, -ECONNRESET } }, 9 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		expect_play(&rows[i]);
}

static void
errors_are_classified(void **state)
{
	static const struct {
		int error;
		enum echo_end end;
	} rows[] = {
		{ ECONNRESET, ECHO_RESET },
		{ EPIPE, ECHO_RESET },
		{ ETIMEDOUT, ECHO_VANISHED },
		{ EHOSTUNREACH, ECHO_VANISHED },
		{ ENETUNREACH, ECHO_VANISHED },
		{ EHOSTDOWN, ECHO_VANISHED },
		{ ENETDOWN, ECHO_VANISHED },
		{ EBADF, ECHO_FAILED },
		{ EFAULT, ECHO_FAILED },
		{ EINVAL, ECHO_FAILED },
		{ EIO, ECHO_FAILED },
		{ ENOBUFS, ECHO_FAILED },
		{ ENOMEM, ECHO_FAILED },
		{ ENOSPC, ECHO_FAILED },
		{ ENOTCONN, ECHO_FAILED },
		{ EPERM, ECHO_VANISHED },
		{ ECONNREFUSED, ECHO_VANISHED },
		{ EPROTO, ECHO_VANISHED },
		{ EACCES, ECHO_VANISHED },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const int error = rows[i].error;

		assert_int_equal(echo_why(error), rows[i].end);

		const struct play plays[] = {
			{ strerror(error), rows[i].end, 0, error,
			    { { READ, BUFFER, -error } }, 0 },
			{ strerror(error), rows[i].end, 7, error,
			    { { READ, BUFFER, 7 }, { WRITE, 7, 7 },
				{ READ, BUFFER, -error } },
			    0 },
			{ strerror(error), rows[i].end, 0, error,
			    { { READ, BUFFER, 7 }, { WRITE, 7, -error } }, 0 },
			{ strerror(error), rows[i].end, 5, error,
			    { { READ, BUFFER, 7 }, { WRITE, 7, 5 },
				{ WRITE, 2, -error } },
			    0 },
		};

		for (size_t j = 0; j < COUNT(plays); j++)
			expect_play(&plays[j]);
	}
}

/*
 * The real thing: echo() in this thread, its peer in another.
 */

enum kind { PIPES, LOCAL, TCP };

/*
 * With the loopback's segments of 64 KiB a small buffer has no room for one,
 * and TCP waits 200 ms each time in the hope of more.
 */
enum { SEGMENT = 512 };

struct wire {
	int in, out; /* echo()'s; the same for a socket */
	int to, from; /* the peer's, of the same kind, non-blocking */
};

static struct wire
make_wire(enum kind kind)
{
	struct wire w = { -1, -1, -1, -1 };
	int pair[2], back[2];

	switch (kind) {
	case PIPES:
		assert_int_equal(pipe(pair), 0);
		assert_int_equal(pipe(back), 0);
		w = (struct wire){ pair[0], back[1], pair[1], back[0] };
		break;
	case LOCAL:
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
		w = (struct wire){ pair[0], pair[0], pair[1], pair[1] };
		break;
	case TCP:
		tcp_pair(pair, SEGMENT);
		w = (struct wire){ pair[0], pair[0], pair[1], pair[1] };
		break;
	}
	assert_int_equal(fcntl(w.to, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(fcntl(w.from, F_SETFL, O_NONBLOCK), 0);
	return w;
}

static void
close_two(int a, int b)
{
	close(a);
	if (b != a)
		close(b);
}

static void
make_blocking(int fd)
{
	assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
}

static void
make_impatient(int fd)
{
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
}

static void
end_of_echo(const struct wire *w)
{
	close_two(w->in, w->out);
}

static void
small_buffers(const struct wire *w)
{
	const int size = 4096; /* the kernel doubles it, and has a minimum */

	setsockopt(w->out, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	setsockopt(w->to, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	setsockopt(w->from, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

/* What the peer does, and what it saw. */
struct peer {
	struct wire w;
	uint64_t bytes; /* to send, then it half-closes */
	uint32_t largest; /* chunk to send or receive at once */
	bool late; /* receive nothing before it cannot send more */
	uint64_t random;
	uint64_t sent, received;
	bool wrong; /* something else came back */
	int error; /* of a system call */
};

static void
half_close(struct peer *p)
{
	if (p->w.to == p->w.from)
		shutdown(p->w.to, SHUT_WR);
	else
		close(p->w.to);
	p->w.to = -1;
}

/* Returns whether there was room. */
static bool
send_some(struct peer *p)
{
	char chunk[65536];
	size_t size = 1 + random_below(&p->random, p->largest);

	if (size > p->bytes - p->sent)
		size = p->bytes - p->sent;
	fill(chunk, size, p->sent);

	const ssize_t n = __real_write(p->w.to, chunk, size);

	if (n > 0)
		p->sent += (uint64_t)n;
	else if (errno != EAGAIN)
		p->error = errno;
	return n > 0;
}

/* Returns false at end of file. */
static bool
receive_some(struct peer *p)
{
	char chunk[65536];
	const size_t size = 1 + random_below(&p->random, p->largest);
	const ssize_t n = __real_read(p->w.from, chunk, size);

	if (n > 0) {
		p->wrong |= !is_filled(chunk, (size_t)n, p->received);
		p->received += (uint64_t)n;
	} else if (n == -1 && errno != EAGAIN) {
		p->error = errno;
	}
	return n != 0;
}

static void *
run_peer(void *arg)
{
	struct peer *p = arg;
	bool open = true;

	while (open && p->error == 0) {
		struct pollfd fds[] = {
			{ .fd = p->w.to, .events = POLLOUT },
			{ .fd = p->w.from, .events = p->late ? 0 : POLLIN },
		};

		if (p->w.to != -1 && p->sent == p->bytes) {
			half_close(p);
			continue;
		}
		/* Where nothing moves any more, both sides are full. */
		if (poll(fds, 2, p->late ? 50 : -1) == 0 || p->w.to == -1)
			p->late = false;
		if (fds[0].revents & (POLLOUT | POLLERR))
			send_some(p);
		if (!p->late && (fds[1].revents & (POLLIN | POLLHUP)))
			open = receive_some(p);
	}
	if (p->w.to != -1 && p->w.to != p->w.from)
		close(p->w.to);
	close(p->w.from);
	return NULL;
}

static pthread_t
start(void *(*run)(void *), void *arg)
{
	pthread_t thread;
	sigset_t all, before;

	/* Signals are for the thread that echoes. */
	sigfillset(&all);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, &all, &before), 0);
	assert_int_equal(pthread_create(&thread, NULL, run, arg), 0);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
	return thread;
}

/* Whether somebody who shares echo()'s descriptors does not want to wait. */
static bool impatient;

struct transfer {
	const char *name;
	enum kind kind;
	size_t buffer;
	uint64_t bytes;
	uint32_t largest;
	bool small, late;
	uint32_t one_in, at_most; /* of disturb */
};

static void
expect_transfer(const struct transfer *row, uint64_t seed)
{
	static char buf[65536];
	_Atomic uint64_t total = 0;
	struct peer p = {
		.w = make_wire(row->kind),
		.bytes = row->bytes,
		.largest = row->largest,
		.late = row->late,
		.random = seed,
	};
	const struct wire w = p.w;

	if (row->small)
		small_buffers(&w);
	if (impatient) {
		make_impatient(w.in);
		make_impatient(w.out);
	}
	disturb.active = true;
	disturb.random = seed + 1;
	disturb.one_in = row->one_in;
	disturb.at_most = row->at_most;
	disturb.faked = 0;

	const pthread_t thread = start(run_peer, &p);
	const enum echo_end end =
	    echo(w.in, w.out, buf, row->buffer, 0, &total);

	end_of_echo(&w);
	assert_int_equal(pthread_join(thread, NULL), 0);
	disturb.active = false;
	if (end != ECHO_EOF || p.error != 0 || p.wrong ||
	    p.sent != row->bytes || p.received != row->bytes ||
	    total != row->bytes)
		fail_msg("%s: end %d, errno %d, %s, %llu of %llu bytes sent, "
			 "%llu received, a total of %llu",
		    row->name, (int)end, p.error, p.wrong ? "wrong" : "right",
		    (unsigned long long)p.sent, (unsigned long long)row->bytes,
		    (unsigned long long)p.received, (unsigned long long)total);
	if (row->one_in != 0 && disturb.faked == 0)
		fail_msg("%s: nothing was interrupted", row->name);
}

static void
all_bytes_come_back_in_order(void **state)
{
	enum { KB = 1024, MB = 1024 * KB };
	static const struct transfer rows[] = {
		/* name, kind, buffer, bytes, chunks, small, late, EINTR, cut */
		{ "nothing", LOCAL, 65536, 0, 1, 0, 0, 0, 0 },
		{ "nothing, TCP", TCP, 65536, 0, 1, 0, 0, 0, 0 },
		{ "nothing, pipes", PIPES, 65536, 0, 1, 0, 0, 0, 0 },
		{ "a byte", TCP, 65536, 1, 1, 0, 0, 0, 0 },
		{ "a buffer", LOCAL, 4096, 4096, 4096, 0, 0, 0, 0 },
		{ "and one more", LOCAL, 4096, 4097, 4097, 0, 0, 0, 0 },
		{ "bytes", LOCAL, 65536, 2 * KB, 1, 0, 0, 0, 0 },
		{ "bytes, TCP", TCP, 65536, 2 * KB, 1, 0, 0, 0, 0 },
		{ "a tiny buffer", LOCAL, 1, 4 * KB, 999, 0, 0, 0, 0 },
		{ "an odd buffer", PIPES, 1021, 256 * KB, 65536, 0, 0, 0, 0 },
		{ "bulk", LOCAL, 65536, 4 * MB, 65536, 0, 0, 0, 0 },
		{ "bulk, pipes", PIPES, 65536, 4 * MB, 65536, 0, 0, 0, 0 },
		{ "bulk, TCP", TCP, 65536, 4 * MB, 65536, 0, 0, 0, 0 },
		{ "small SO_SNDBUF", LOCAL, 65536, 512 * KB, 65536, 1, 0, 0,
		    0 },
		{ "small SO_SNDBUF, TCP", TCP, 65536, 512 * KB, 65536, 1, 0, 0,
		    0 },
		{ "a late reader", LOCAL, 65536, 512 * KB, 65536, 1, 1, 0, 0 },
		{ "a late reader, TCP", TCP, 65536, 512 * KB, 65536, 1, 1, 0,
		    0 },
		{ "a late reader, pipes", PIPES, 65536, 512 * KB, 65536, 0, 1,
		    0, 0 },
		{ "short calls", LOCAL, 65536, 256 * KB, 65536, 0, 0, 0, 99 },
		{ "very short calls", PIPES, 65536, 8 * KB, 999, 0, 0, 0, 1 },
		{ "EINTR", LOCAL, 65536, 512 * KB, 9999, 0, 0, 2, 0 },
		{ "EINTR, TCP", TCP, 65536, 512 * KB, 9999, 0, 0, 2, 0 },
		{ "all at once", LOCAL, 65536, 512 * KB, 65536, 1, 0, 2, 9999 },
		{ "all at once, TCP", TCP, 65536, 512 * KB, 65536, 1, 1, 2,
		    9999 },
		{ "all at once, pipes", PIPES, 65536, 512 * KB, 65536, 0, 1, 2,
		    9999 },
	};

	(void)state;
	print_message("seed %d\n", SEED);
	for (size_t i = 0; i < COUNT(rows); i++)
		expect_transfer(&rows[i], SEED + i);
}

/* Send all, half-close, and only then look what came back. */
static void
half_closing_client_gets_all(void **state)
{
	static const enum kind kinds[] = { LOCAL, TCP };

	(void)state;
	for (size_t i = 0; i < COUNT(kinds); i++) {
		char text[6] = "", buf[64];
		_Atomic uint64_t total = 0;
		const struct wire w = make_wire(kinds[i]);

		make_blocking(w.from);
		assert_int_equal(__real_write(w.to, "hello", 5), 5);
		assert_int_equal(shutdown(w.to, SHUT_WR), 0);
		assert_int_equal(
		    echo(w.in, w.out, buf, sizeof(buf), 0, &total), ECHO_EOF);
		assert_int_equal(total, 5);
		end_of_echo(&w);
		assert_int_equal(recv(w.from, text, sizeof(text), 0), 5);
		assert_string_equal(text, "hello");
		assert_int_equal(recv(w.from, text, sizeof(text), 0), 0);
		close(w.from);
	}
}

/* O_NONBLOCK is of the open file, which others may have, too. */
static void
others_may_not_want_to_wait(void **state)
{
	enum { KB = 1024, MB = 1024 * KB };
	static const struct transfer rows[] = {
		{ "nothing", TCP, 65536, 0, 1, 0, 0, 0, 0 },
		{ "bytes", LOCAL, 65536, 2 * KB, 1, 0, 0, 0, 0 },
		{ "bulk", LOCAL, 65536, 4 * MB, 65536, 0, 0, 0, 0 },
		{ "bulk, pipes", PIPES, 65536, 4 * MB, 65536, 0, 0, 0, 0 },
		{ "bulk, TCP", TCP, 65536, 4 * MB, 65536, 0, 0, 0, 0 },
		{ "a late reader", LOCAL, 65536, 512 * KB, 65536, 1, 1, 0, 0 },
		{ "a late reader, TCP", TCP, 65536, 512 * KB, 65536, 1, 1, 0,
		    0 },
		{ "a late reader, pipes", PIPES, 65536, 512 * KB, 65536, 0, 1,
		    0, 0 },
		{ "all at once", LOCAL, 65536, 512 * KB, 65536, 1, 1, 2, 9999 },
	};

	(void)state;
	impatient = true;
	for (size_t i = 0; i < COUNT(rows); i++)
		expect_transfer(&rows[i], SEED + i);
	impatient = false;
}

/* Over every kind of wire, and more of them than it takes at once. */
static void
held_bytes_come_back_in_order(void **state)
{
	static const enum kind kinds[] = { PIPES, LOCAL, TCP };
	static char buf[65536];

	(void)state;
	for (size_t i = 0; i < COUNT(kinds); i++) {
		_Atomic uint64_t total = 0;
		struct peer p = {
			.w = make_wire(kinds[i]),
			.bytes = sizeof(buf) + 100000,
			.largest = 9999,
			.random = SEED,
			.sent = sizeof(buf), /* it seems */
		};
		const struct wire w = p.w;

		small_buffers(&w);
		fill(buf, sizeof(buf), 0);

		const pthread_t thread = start(run_peer, &p);
		const enum echo_end end =
		    echo(w.in, w.out, buf, sizeof(buf), sizeof(buf), &total);

		end_of_echo(&w);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_int_equal(end, ECHO_EOF);
		assert_int_equal(p.error, 0);
		assert_false(p.wrong);
		assert_int_equal(p.received, sizeof(buf) + 100000);
		assert_int_equal(total, sizeof(buf) + 100000);
	}
}

/*
 * Real signals.
 */

static volatile sig_atomic_t signals;
static volatile sig_atomic_t shut = -1; /* a socket */

static void
on_signal(int sig)
{
	const int saved = errno;

	(void)sig;
	signals = signals + 1;
	if (shut != -1)
		shutdown(shut, SHUT_RD);
	errno = saved;
}

static void
catch_signal(int sig, void (*handler)(int))
{
	struct sigaction sa = { .sa_handler = handler }; /* no SA_RESTART */

	sigemptyset(&sa.sa_mask);
	assert_int_equal(sigaction(sig, &sa, NULL), 0);
}

struct storm {
	pthread_t target;
	struct peer peer;
	sem_t on_read, on_write;
};

/* Signal the echoing thread until a call of it is interrupted. */
static void
signal_until(struct storm *s, sem_t *sem)
{
	while (sem_trywait(sem) == -1) {
		/* If nobody takes anything, it will be in write(2). */
		if (sem == &s->on_write)
			send_some(&s->peer);
		pthread_kill(s->target, SIGUSR1);
		sched_yield();
	}
}

static void *
run_storm(void *arg)
{
	struct storm *s = arg;
	struct peer *p = &s->peer;

	for (int i = 0; i < 20 && p->error == 0; i++) {
		signal_until(s, &s->on_read);
		signal_until(s, &s->on_write);

		struct pollfd more = { .fd = p->w.from, .events = POLLIN };

		while (p->received < p->sent && p->error == 0) {
			pthread_kill(s->target, SIGUSR1);
			poll(&more, 1, -1);
			receive_some(p);
		}
		/* Forget those in between. */
		while (sem_trywait(&s->on_read) == 0 ||
		    sem_trywait(&s->on_write) == 0)
			;
	}
	half_close(p);
	return NULL;
}

static void
signal_storm_loses_nothing(void **state)
{
	static const enum kind kinds[] = { LOCAL, TCP, PIPES };
	static char buf[65536];

	(void)state;
	catch_signal(SIGUSR1, on_signal);
	for (size_t i = 0; i < COUNT(kinds); i++) {
		_Atomic uint64_t total = 0;
		struct storm s = {
			.target = pthread_self(),
			.peer = {
				.w = make_wire(kinds[i]),
				.bytes = UINT64_MAX,
				.largest = 60000,
				.random = SEED,
			},
		};
		const struct wire w = s.peer.w;

		small_buffers(&w);
		sem_init(&s.on_read, 0, 0);
		sem_init(&s.on_write, 0, 0);
		interrupted.on_read = &s.on_read;
		interrupted.on_write = &s.on_write;
		signals = 0;

		const pthread_t thread = start(run_storm, &s);
		const enum echo_end end =
		    echo(w.in, w.out, buf, sizeof(buf), 0, &total);

		assert_int_equal(pthread_join(thread, NULL), 0);
		interrupted.on_read = interrupted.on_write = NULL;
		sem_destroy(&s.on_read);
		sem_destroy(&s.on_write);
		end_of_echo(&w);
		close(w.from);
		assert_int_equal(end, ECHO_EOF);
		assert_int_equal(s.peer.error, 0);
		assert_false(s.peer.wrong);
		assert_int_equal(s.peer.received, s.peer.sent);
		assert_int_equal(total, s.peer.sent);
		assert_true(signals >= 40);
	}
}

/* As a child is drained: what has arrived comes back, then end of file. */
static void *
run_stopper(void *arg)
{
	struct storm *s = arg;
	struct peer *p = &s->peer;
	struct pollfd more = { .fd = p->w.from, .events = POLLIN };

	while (p->sent < p->bytes)
		send_some(p);
	while (p->received < p->bytes && p->error == 0 && !p->wrong) {
		poll(&more, 1, -1);
		receive_some(p);
	}
	pthread_kill(s->target, SIGUSR1);
	return NULL;
}

static void
shutdown_by_a_handler_is_end_of_file(void **state)
{
	static const enum kind kinds[] = { LOCAL, TCP };

	(void)state;
	catch_signal(SIGUSR1, on_signal);
	for (size_t i = 0; i < COUNT(kinds); i++) {
		char buf[512];
		_Atomic uint64_t total = 0;
		struct storm s = {
			.target = pthread_self(),
			.peer = {
				.w = make_wire(kinds[i]),
				.bytes = 3000,
				.largest = 999,
				.random = SEED,
			},
		};
		const struct wire w = s.peer.w;

		shut = w.in;

		const pthread_t thread = start(run_stopper, &s);
		const enum echo_end end =
		    echo(w.in, w.out, buf, sizeof(buf), 0, &total);

		assert_int_equal(pthread_join(thread, NULL), 0);
		shut = -1;
		end_of_echo(&w);
		close(w.from);
		assert_int_equal(end, ECHO_EOF);
		assert_int_equal(s.peer.error, 0);
		assert_false(s.peer.wrong);
		assert_int_equal(total, 3000);
	}
}

/* What has arrived by then comes back all the same. */
static void
shutdown_flushes_what_has_arrived(void **state)
{
	static const enum kind kinds[] = { LOCAL, TCP };

	(void)state;
	for (size_t i = 0; i < COUNT(kinds); i++) {
		char text[6] = "", buf[2];
		_Atomic uint64_t total = 0;
		const struct wire w = make_wire(kinds[i]);
		struct pollfd arrived = { .fd = w.in, .events = POLLIN };

		make_blocking(w.from);
		assert_int_equal(__real_write(w.to, "hello", 5), 5);
		assert_int_equal(poll(&arrived, 1, -1), 1);
		assert_int_equal(shutdown(w.in, SHUT_RD), 0);
		assert_int_equal(
		    echo(w.in, w.out, buf, sizeof(buf), 0, &total), ECHO_EOF);
		end_of_echo(&w);
		assert_int_equal(total, 5);
		assert_int_equal(
		    recv(w.from, text, sizeof(text), MSG_WAITALL), 5);
		assert_string_equal(text, "hello");
		close(w.from);
	}
}

/*
 * Peers that go, are silent, or do not read.
 */

static void
reset_is_told(void **state)
{
	char buf[64];
	_Atomic uint64_t total = 0;
	const struct wire w = make_wire(TCP);

	(void)state;
	close_with_reset(w.to);
	assert_int_equal(
	    echo(w.in, w.out, buf, sizeof(buf), 0, &total), ECHO_RESET);
	assert_int_equal(total, 0);
	end_of_echo(&w);
}

/* A client that sends a lot and goes without reading what came back. */
static void *
run_leaver(void *arg)
{
	struct peer *p = arg;
	struct pollfd some = { .fd = p->w.from, .events = POLLIN };

	while (send_some(p))
		;
	poll(&some, 1, -1);
	while (send_some(p))
		;
	close(p->w.to);
	return NULL;
}

static void
reset_amid_a_write_is_told(void **state)
{
	static const enum kind kinds[] = { LOCAL, TCP };
	static char buf[65536];

	(void)state;
	for (size_t i = 0; i < COUNT(kinds); i++) {
		_Atomic uint64_t total = 0;
		struct peer p = {
			.w = make_wire(kinds[i]),
			.bytes = UINT64_MAX,
			.largest = 65536,
			.random = SEED,
		};
		const struct wire w = p.w;

		small_buffers(&w);

		const pthread_t thread = start(run_leaver, &p);
		const enum echo_end end =
		    echo(w.in, w.out, buf, sizeof(buf), 0, &total);

		assert_int_equal(pthread_join(thread, NULL), 0);
		end_of_echo(&w);
		assert_int_equal(end, ECHO_RESET);
		assert_int_equal(p.error, 0);
		assert_in_range(total, 1, p.sent);
	}
}

static void
broken_pipe_is_told(void **state)
{
	char buf[64];
	_Atomic uint64_t total = 0;
	const struct wire w = make_wire(PIPES);

	(void)state;
	assert_int_equal(__real_write(w.to, "hello", 5), 5);
	close_two(w.to, w.from);
	assert_int_equal(
	    echo(w.in, w.out, buf, sizeof(buf), 0, &total), ECHO_RESET);
	assert_int_equal(total, 0);
	end_of_echo(&w);
}

static void
full_disk_is_a_failure(void **state)
{
	char buf[64];
	_Atomic uint64_t total = 0;
	const struct wire w = make_wire(PIPES);
	const int full = open("/dev/full", O_WRONLY);

	(void)state;
	assert_int_not_equal(full, -1);
	assert_int_equal(__real_write(w.to, "hello", 5), 5);
	assert_int_equal(
	    echo(w.in, full, buf, sizeof(buf), 0, &total), ECHO_FAILED);
	assert_int_equal(errno, ENOSPC);
	assert_int_equal(total, 0);
	close(full);
	close_two(w.to, w.from);
	end_of_echo(&w);
}

static int64_t
milliseconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

enum { TIMEOUT = 100 }; /* ms */

static void
set_timeout(int fd, int name)
{
	const struct timeval tv = { .tv_usec = TIMEOUT * 1000 };

	assert_int_equal(setsockopt(fd, SOL_SOCKET, name, &tv, sizeof(tv)), 0);
}

static void
silent_client_is_told(void **state)
{
	static const enum kind kinds[] = { LOCAL, TCP };

	(void)state;
	for (size_t i = 0; i < 2 * COUNT(kinds); i++) {
		char text[6] = "", buf[64];
		_Atomic uint64_t total = 0;
		const struct wire w = make_wire(kinds[i % COUNT(kinds)]);

		make_blocking(w.from);
		set_timeout(w.in, SO_RCVTIMEO);
		if (i >= COUNT(kinds)) /* it waits all the same */
			make_impatient(w.in);
		assert_int_equal(__real_write(w.to, "hello", 5), 5);

		const int64_t before = milliseconds();

		assert_int_equal(echo(w.in, w.out, buf, sizeof(buf), 0, &total),
		    ECHO_SILENT);
		/* Timers count in jiffies, of up to 10 ms. */
		assert_true(milliseconds() - before >= TIMEOUT - 20);
		assert_int_equal(total, 5);
		assert_int_equal(recv(w.from, text, sizeof(text), 0), 5);
		assert_string_equal(text, "hello");

		/* It may go on where it was. */
		assert_int_equal(__real_write(w.to, "world", 5), 5);
		assert_int_equal(shutdown(w.to, SHUT_WR), 0);
		assert_int_equal(
		    echo(w.in, w.out, buf, sizeof(buf), 0, &total), ECHO_EOF);
		assert_int_equal(total, 10);
		assert_int_equal(recv(w.from, text, sizeof(text), 0), 5);
		assert_string_equal(text, "world");
		end_of_echo(&w);
		close(w.from);
	}
}

static void *
run_sender(void *arg)
{
	struct peer *p = arg;
	struct pollfd room = { .fd = p->w.to, .events = POLLOUT };

	/* Until echo()'s end is closed, with a reset as it had bytes left. */
	while (p->error == 0 && poll(&room, 1, -1) == 1)
		send_some(p);
	return NULL;
}

/* What a client that does not read would find counts, and nothing else. */
static void
stalled_client_is_told(void **state)
{
	static const enum kind kinds[] = { LOCAL, TCP };
	static char buf[65536];

	(void)state;
	for (size_t i = 0; i < 2 * COUNT(kinds); i++) {
		_Atomic uint64_t total = 0;
		struct peer p = {
			.w = make_wire(kinds[i % COUNT(kinds)]),
			.bytes = UINT64_MAX,
			.largest = 65536,
			.random = SEED,
		};
		const struct wire w = p.w;

		small_buffers(&w);
		set_timeout(w.out, SO_SNDTIMEO);
		if (i >= COUNT(kinds)) /* it waits all the same */
			make_impatient(w.out);

		const int64_t before = milliseconds();
		const pthread_t thread = start(run_sender, &p);
		const enum echo_end end =
		    echo(w.in, w.out, buf, sizeof(buf), 0, &total);
		const int64_t lasted = milliseconds() - before;

		/* All that was written is still there to be received. */
		struct pollfd more = { .fd = w.from, .events = POLLIN };
		struct peer reader = { .w = w, .largest = 65536, .random = 1 };

		while (reader.received < total && !reader.wrong &&
		    poll(&more, 1, 1000) == 1)
			receive_some(&reader);
		end_of_echo(&w);
		assert_int_equal(pthread_join(thread, NULL), 0);
		receive_some(&reader);
		close(w.from);
		assert_int_equal(end, ECHO_STALLED);
		assert_true(lasted >= TIMEOUT - 20);
		assert_true(total > 0);
		assert_false(reader.wrong);
		assert_int_equal(reader.received, total);
		assert_true(p.error == EPIPE || p.error == ECONNRESET);
	}
}

/* One buffer is all that is ever on the way. */
static void
nothing_beyond_the_buffer_is_touched(void **state)
{
	enum { SIZE = 100, GUARD = 32 };
	char buf[SIZE + GUARD], guard[GUARD];
	_Atomic uint64_t total = 0;
	const struct wire w = make_wire(PIPES);

	(void)state;
	memset(guard, '#', sizeof(guard));
	memset(buf, '.', sizeof(buf));
	memcpy(buf + SIZE, guard, sizeof(guard));
	for (int i = 0; i < 20; i++)
		assert_int_equal(__real_write(w.to, buf, SIZE), SIZE);
	close(w.to);
	assert_int_equal(echo(w.in, w.out, buf, SIZE, 0, &total), ECHO_EOF);
	assert_int_equal(total, 20 * SIZE);
	assert_memory_equal(buf + SIZE, guard, sizeof(guard));
	end_of_echo(&w);
	close(w.from);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scripts_are_followed),
		cmocka_unit_test(held_bytes_go_first),
		cmocka_unit_test(errors_are_classified),
		cmocka_unit_test(all_bytes_come_back_in_order),
		cmocka_unit_test(others_may_not_want_to_wait),
		cmocka_unit_test(held_bytes_come_back_in_order),
		cmocka_unit_test(half_closing_client_gets_all),
		cmocka_unit_test(signal_storm_loses_nothing),
		cmocka_unit_test(shutdown_by_a_handler_is_end_of_file),
		cmocka_unit_test(shutdown_flushes_what_has_arrived),
		cmocka_unit_test(reset_is_told),
		cmocka_unit_test(reset_amid_a_write_is_told),
		cmocka_unit_test(broken_pipe_is_told),
		cmocka_unit_test(full_disk_is_a_failure),
		cmocka_unit_test(silent_client_is_told),
		cmocka_unit_test(stalled_client_is_told),
		cmocka_unit_test(nothing_beyond_the_buffer_is_touched),
	};

	catch_signal(SIGPIPE, SIG_IGN); /* as echo() demands */
	return cmocka_run_group_tests_name("echo", tests, NULL, NULL);
}
