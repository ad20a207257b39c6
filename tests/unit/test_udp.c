/*
 * The UDP worker: what it sends back, to whom, to whom not, and what it tells.
 *
 * A worker is a child, and its sockets are real ones on loopback.  Linked with
 * --wrap for the names below: so datagrams can come from where no test machine
 * is, the network can fail, and the time be what a test says.
 */
#include "echod/udp.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "echod/clock.h"
#include "echod/session.h"
#include "echod/signals.h"
#include "echod/socket.h"
#include "echod/sources.h"
#include "support.h"

int64_t __real_clock_now(void);
int64_t __wrap_clock_now(void);
void *__real_memory_new(size_t size);
void *__wrap_memory_new(size_t size);
int __real_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
    const sigset_t *mask);
int __wrap_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
    const sigset_t *mask);
int __real_recvmmsg(int fd, struct mmsghdr *msg, unsigned n, int flags,
    struct timespec *timeout);
int __wrap_recvmmsg(int fd, struct mmsghdr *msg, unsigned n, int flags,
    struct timespec *timeout);
int __real_sendmmsg(int fd, struct mmsghdr *msg, unsigned n, int flags);
int __wrap_sendmmsg(int fd, struct mmsghdr *msg, unsigned n, int flags);

enum {
	LARGEST = 65507, /* of UDP over IPv4 */
	LARGEST6 = 65527, /* and over IPv6 */
	MANY = 1000000, /* a rate that no test reaches */
	SOCKETS = 4,
	SENT_MAX = 64,
	PATIENCE = 10000, /* ms, for what is to come */
};

#define START (862 * CLOCK_SECOND)

/* With the worker. */
static struct shared {
	_Atomic int64_t now; /* its time */
	_Atomic unsigned nsent; /* instead of being sent */
	struct address to[SENT_MAX];
} * shared;

/* What happens to a worker that is started. */
static struct {
	const struct address *from; /* datagrams seem to be of these, in turn */
	size_t nfrom;
	bool keep; /* nothing is sent, but noted */
	const struct in6_addr *to; /* they seem to be for it: of IPv6 */
	bool spoil; /* what begins with "!" seems to be for a group, with */
	int flags; /* these, and so many bytes too few that say so */
	size_t missing;
	int receive_error; /* errno of recvmmsg(2) */
	bool receive_once; /* it is of the first only */
	int send_error; /* of sendmmsg(2), for what begins with "!" */
	bool send_once;
	unsigned send_most; /* datagrams at once, 0: any */
	bool always_ready; /* says ppoll(2), as in a flood */
	int poll_error;
	size_t memory; /* that there is, 0: any */
} happens;

int64_t
__wrap_clock_now(void)
{
	return shared->now != 0 ? shared->now : __real_clock_now();
}

void *
__wrap_memory_new(size_t size)
{
	if (happens.memory == 0 || size <= happens.memory)
		return __real_memory_new(size);
	errno = ENOMEM;
	return NULL;
}

int
__wrap_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
    const sigset_t *mask)
{
	static const struct timespec moment = { .tv_nsec = 5000000 };

	if (n > 0 && happens.poll_error != 0) {
		errno = happens.poll_error;
		return -1;
	}
	if (n > 0 && timeout != NULL && shared->now != 0)
		timeout = &moment; /* it looks whether time has passed */
	if (n == 0 || !happens.always_ready)
		return __real_ppoll(fds, n, timeout, mask);
	fds[0].revents = POLLIN;
	return 1;
}

/* Let it seem to be for whom happens says. */
static void
redirect(struct msghdr *msg)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);

	for (; c != NULL; c = CMSG_NXTHDR(msg, c)) {
		struct in6_pktinfo info;

		if (c->cmsg_level != IPPROTO_IPV6 ||
		    c->cmsg_type != IPV6_PKTINFO)
			continue;
		memcpy(&info, CMSG_DATA(c), sizeof(info));
		info.ipi6_addr = *happens.to;
		memcpy(CMSG_DATA(c), &info, sizeof(info));
	}
}

/* Let what begins with "!" seem to be for a group, and be cut short. */
static void
spoil(struct mmsghdr *msg)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg->msg_hdr);

	if (msg->msg_len == 0 ||
	    *(const char *)msg->msg_hdr.msg_iov->iov_base != '!')
		return;
	msg->msg_hdr.msg_flags |= happens.flags;
	for (; c != NULL; c = CMSG_NXTHDR(&msg->msg_hdr, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			const struct in_pktinfo info = {
				.ipi_addr.s_addr = htonl(0xefffff07),
			};

			memcpy(CMSG_DATA(c), &info, sizeof(info));
		} else if (c->cmsg_level == IPPROTO_IPV6 &&
		    c->cmsg_type == IPV6_PKTINFO) {
			const struct in6_pktinfo info = {
				.ipi6_addr.s6_addr = { 0xff, 0x05 },
			};

			memcpy(CMSG_DATA(c), &info, sizeof(info));
		}
		c->cmsg_len -= happens.missing;
	}
}

int
__wrap_recvmmsg(int fd, struct mmsghdr *msg, unsigned n, int flags,
    struct timespec *timeout)
{
	static size_t next;

	if (happens.receive_error != 0) {
		errno = happens.receive_error;
		if (happens.receive_once)
			happens.receive_error = 0;
		return -1;
	}

	const int received = __real_recvmmsg(fd, msg, n, flags, timeout);

	for (int i = 0; i < received && happens.nfrom > 0; i++) {
		const struct address *from =
		    &happens.from[next++ % happens.nfrom];

		memcpy(msg[i].msg_hdr.msg_name, &from->sa, from->len);
		msg[i].msg_hdr.msg_namelen = from->len;
	}
	for (int i = 0; i < received && happens.to != NULL; i++)
		redirect(&msg[i].msg_hdr);
	for (int i = 0; i < received && happens.spoil; i++)
		spoil(&msg[i]);
	return received;
}

/* Whether the network does not take it: one of those that are sent as one. */
static bool
is_bad(const struct mmsghdr *msg)
{
	for (size_t i = 0; i < msg->msg_hdr.msg_iovlen; i++) {
		const struct iovec *iov = &msg->msg_hdr.msg_iov[i];

		if (happens.send_error != 0 && iov->iov_len > 0 &&
		    *(const char *)iov->iov_base == '!')
			return true;
	}
	return false;
}

/* Note where it would go. */
static void
keep(struct mmsghdr *msg)
{
	msg->msg_len = 0;
	for (size_t i = 0; i < msg->msg_hdr.msg_iovlen; i++) {
		struct address *to = &shared->to[shared->nsent++ % SENT_MAX];

		to->len = msg->msg_hdr.msg_namelen;
		memcpy(&to->sa, msg->msg_hdr.msg_name, to->len);
		msg->msg_len += (unsigned)msg->msg_hdr.msg_iov[i].iov_len;
	}
}

int
__wrap_sendmmsg(int fd, struct mmsghdr *msg, unsigned n, int flags)
{
	unsigned good = 0;

	if (happens.send_most != 0 && n > happens.send_most)
		n = happens.send_most;
	/* As the kernel does: of those before a bad one it tells first. */
	while (good < n && !is_bad(&msg[good]))
		good++;
	if (n > 0 && good == 0) {
		errno = happens.send_error;
		if (happens.send_once)
			happens.send_error = 0;
		return -1;
	}
	if (!happens.keep)
		return __real_sendmmsg(fd, msg, good, flags);
	for (unsigned i = 0; i < good; i++)
		keep(&msg[i]);
	return (int)good;
}

/*
 * A worker, and its sockets.
 */

static sigset_t waiting;
static struct listeners ls;
static int report = -1, report_end = -1; /* of the pipe: ours, the worker's */
static pid_t worker; /* 0: none */
static int rate;

static int
setup_all(void **state)
{
	(void)state;
	signals_init(&waiting);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return shared == MAP_FAILED ? -1 : 0;
}

static int
teardown_all(void **state)
{
	(void)state;
	return munmap(shared, sizeof(*shared));
}

static int
setup(void **state)
{
	int ends[2];

	(void)state;
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) == -1)
		return -1;
	report = ends[0];
	report_end = ends[1];
	rate = MANY;
	shared->now = START;
	shared->nsent = 0;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	if (worker != 0) {
		kill(worker, SIGKILL);
		waitpid(worker, NULL, 0);
	}
	worker = 0;
	for (size_t i = 0; i < ls.n; i++)
		close(ls.at[i].fd);
	ls.n = 0;
	if (report != -1)
		close(report);
	if (report_end != -1)
		close(report_end);
	report = report_end = -1;
	memset(&happens, 0, sizeof(happens));
	return 0;
}

static uint16_t
port_of(struct address addr)
{
	return address_port(&addr);
}

/* Add one to those that a worker will serve.  Returns where it is. */
static struct address
add_socket(int type, struct address addr, bool dual)
{
	struct listener *l = &ls.at[ls.n++];

	assert_true(ls.n <= SOCKETS);
	*l = (struct listener){
		.fd = make_socket(type, &addr, dual),
		.type = type,
	};
	if (type == SOCK_DGRAM)
		assert_int_equal(
		    socket_set_datagram(l->fd, addr.sa.sa_family), 0);
	l->addr = name_of(l->fd);
	return l->addr;
}

static struct address
add_v4(const char *ip)
{
	return add_socket(SOCK_DGRAM, make_v4(ip, 0), false);
}

static struct address
add_v6(const char *ip)
{
	return add_socket(SOCK_DGRAM, make_v6(ip, 0, 0), false);
}

/* A socket for IPv4: of IPv4, or of IPv6 that takes it, too. */
static struct address
add_wildcard(bool dual)
{
	return dual ? add_socket(SOCK_DGRAM, make_v6("::", 0, 0), true)
		    : add_v4("0.0.0.0");
}

static void
start_for(int ipv6_prefix)
{
	const struct udp udp = {
		.ls = &ls,
		.report = report_end,
		.rate = rate,
		.ipv6_prefix = ipv6_prefix,
		.waiting = &waiting,
	};

	worker = fork();
	assert_int_not_equal(worker, -1);
	if (worker == 0) {
		/* In the parent it stays open, to be looked at. */
		close(report);
		udp_run(&udp);
	}
}

static void
start(void)
{
	start_for(64);
}

/* Wait for the worker's end. */
static void
expect_end(enum session_end end)
{
	int status;

	assert_int_equal(waitpid(worker, &status, 0), worker);
	worker = 0;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != (int)end)
		fail_msg("the worker ended with %#x", status);
}

static void
stop(void)
{
	assert_int_equal(kill(worker, SIGTERM), 0);
	expect_end(SESSION_DRAINED);
}

/* It does nothing, and what comes stays in its queue, until continue_it(). */
static void
suspend_it(void)
{
	int status;

	assert_int_equal(kill(worker, SIGSTOP), 0);
	assert_int_equal(waitpid(worker, &status, WUNTRACED), worker);
	assert_true(WIFSTOPPED(status));
}

static void
continue_it(void)
{
	assert_int_equal(kill(worker, SIGCONT), 0);
}

/*
 * Who asks it.
 */

/* A socket that takes replies from where it asks only. */
static int
make_asker(const struct address *from, const struct address *to)
{
	const int fd = from != NULL
	    ? make_socket(SOCK_DGRAM, from, false)
	    : socket(to->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_not_equal(fd, -1);
	set_int(fd, SOL_SOCKET, SO_BROADCAST, 1);
	assert_int_equal(connect(fd, &to->sa, to->len), 0);
	return fd;
}

static void
ask(int fd, const void *data, size_t len)
{
	assert_int_equal(send(fd, data, len, 0), (ssize_t)len);
}

static void
expect_reply(int fd, const void *data, size_t len)
{
	static char got[65536];
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	const int ready = poll(&pfd, 1, PATIENCE);

	if (ready != 1)
		fail_msg("no reply of %zu bytes", len);
	assert_int_equal(recv(fd, got, sizeof(got), 0), (ssize_t)len);
	if (len > 0)
		assert_memory_equal(got, data, len);
}

static void
expect_echo(int fd, const char *text)
{
	ask(fd, text, strlen(text));
	expect_reply(fd, text, strlen(text));
}

/* Of those before something that was answered, nothing came. */
static void
expect_nothing(int fd)
{
	char byte;

	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
}

/* One of 127.0.0.1 that a worker will serve, and who asks there. */
static int
add_asked(void)
{
	const struct address at = add_v4("127.0.0.1");

	return make_asker(NULL, &at);
}

/*
 * Reports.
 */

static void
add_report(struct udp_report *sum, const struct udp_report *r)
{
	sum->sent.datagrams += r->sent.datagrams;
	sum->sent.bytes += r->sent.bytes;
	sum->sent.lost += r->sent.lost;
	for (size_t i = 0; i < UDP_REFUSED; i++) {
		if (sum->refused[i] == 0)
			sum->from[i] = r->from[i];
		sum->refused[i] += r->refused[i];
	}
}

/* Add what is in the pipe.  Returns whether there was something. */
static bool
read_report(struct udp_report *sum)
{
	struct udp_report r;
	const ssize_t n = read(report, &r, sizeof(r));

	if (n <= 0)
		return false;
	assert_int_equal(n, sizeof(r)); /* whole ones */
	add_report(sum, &r);
	return true;
}

/* What it reports of n datagrams, in however many pieces. */
static struct udp_report
collect(uint64_t n)
{
	struct udp_report sum = { 0 };

	for (int i = 0; i < PATIENCE / 20; i++) {
		struct pollfd pfd = { .fd = report, .events = POLLIN };
		uint64_t got;

		poll(&pfd, 1, 20);
		while (read_report(&sum))
			;
		got = sum.sent.datagrams + sum.sent.lost +
		    sum.refused[UDP_FAST] + sum.refused[UDP_SOURCE];
		if (got > n)
			fail_msg("%ju datagrams are reported", (uintmax_t)got);
		if (got == n)
			return sum;
		shared->now += CLOCK_SECOND; /* it wakes up for the next */
	}
	fail_msg("%ju datagrams are not reported", (uintmax_t)n);
	return sum;
}

/* What is left of them in the pipe. */
static struct udp_report
read_reports(void)
{
	struct udp_report sum = { 0 };

	while (read_report(&sum))
		;
	return sum;
}

static void
expect_report(const struct udp_report *r, uint64_t datagrams, uint64_t lost,
    uint64_t fast, uint64_t source)
{
	assert_int_equal(r->sent.datagrams, datagrams);
	assert_int_equal(r->sent.lost, lost);
	assert_int_equal(r->refused[UDP_FAST], fast);
	assert_int_equal(r->refused[UDP_SOURCE], source);
}

/* That many, and no others, in however many pieces. */
static struct udp_report
expect_reports(
    uint64_t datagrams, uint64_t lost, uint64_t fast, uint64_t source)
{
	const struct udp_report r = collect(datagrams + lost + fast + source);

	expect_report(&r, datagrams, lost, fast, source);
	return r;
}

/*
 * What comes back.
 */

static void
datagrams_come_back_as_they_were(void **state)
{
	static const size_t sizes[] = { 0, 1, 2, 512, 1472, 1473, 65506,
		LARGEST, 0, 5 };
	static char data[LARGEST];
	const int asker = add_asked();
	uint64_t bytes = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 7 >> i % 5);
	start();
	for (size_t i = 0; i < COUNT(sizes); i++) {
		ask(asker, data, sizes[i]);
		expect_reply(asker, data, sizes[i]);
		bytes += sizes[i];
	}
	expect_nothing(asker); /* one for each */
	close(asker);

	const struct udp_report r = expect_reports(COUNT(sizes), 0, 0, 0);

	assert_int_equal(r.sent.bytes, bytes);
	stop();
}

static void
datagrams_of_ipv6_come_back(void **state)
{
	static char data[LARGEST6];

	(void)state;
	if (!has_ipv6())
		skip();

	const struct address at = add_v6("::1");
	const int asker = make_asker(NULL, &at);

	memset(data, 'x', sizeof(data));
	start();
	ask(asker, data, 0);
	expect_reply(asker, data, 0);
	ask(asker, data, LARGEST6);
	expect_reply(asker, data, LARGEST6);
	close(asker);
	stop();
}

/* More than a batch at once, on each socket. */
static void
many_come_back_in_order(void **state)
{
	enum { N = 100 };
	const struct address at[] = { add_v4("127.0.0.1"), add_v4("127.0.0.2"),
		add_v4("127.0.0.1") };
	int asker[COUNT(at)];

	(void)state;
	for (size_t i = 0; i < COUNT(at); i++)
		asker[i] = make_asker(NULL, &at[i]);
	start();
	suspend_it();
	for (int n = 0; n < N; n++)
		for (size_t i = 0; i < COUNT(at); i++)
			ask(asker[i], &n, 1 + (size_t)n % sizeof(n));
	continue_it();
	for (size_t i = 0; i < COUNT(at); i++) {
		for (int n = 0; n < N; n++)
			expect_reply(asker[i], &n, 1 + (size_t)n % sizeof(n));
		close(asker[i]);
	}
	expect_reports(N * COUNT(at), 0, 0, 0);
	stop();
}

/* Of one size the kernel is given many as one; they arrive as they came. */
static void
equal_ones_come_back_apart(void **state)
{
	static const size_t sizes[] = { 1, 512, 1472, 1473 };
	static char data[2048];
	enum { N = 50 };
	const struct address at = add_v4("127.0.0.1");
	const int asker[] = { make_asker(NULL, &at), make_asker(NULL, &at) };

	(void)state;
	start();
	for (size_t i = 0; i < COUNT(sizes); i++) {
		suspend_it();
		for (int n = 0; n < N; n++) {
			memset(data, n, sizeof(data));
			ask(asker[n % 2], data, sizes[i]);
		}
		continue_it();
		for (int n = 0; n < N; n++) {
			memset(data, n, sizeof(data));
			expect_reply(asker[n % 2], data, sizes[i]);
		}
	}

	const struct udp_report r = expect_reports(N * COUNT(sizes), 0, 0, 0);

	assert_int_equal(r.sent.bytes, N * (1 + 512 + 1472 + 1473));
	close_pair(asker);
	stop();
}

/* A reply from anywhere else would not be taken by who asked. */
static void
reply_is_from_where_was_asked(void **state)
{
	static const char *const ips[] = { "127.0.0.1", "127.0.0.5",
		"127.99.88.77" };
	const uint16_t v4 = port_of(add_v4("0.0.0.0"));
	uint16_t v6 = 0, dual = 0;
	struct address to;

	(void)state;
	if (has_ipv6()) {
		v6 = port_of(add_v6("::"));
		dual = port_of(add_wildcard(true));
	}
	start();
	for (size_t i = 0; i < COUNT(ips); i++) {
		const uint16_t ports[] = { v4, dual };

		for (size_t j = 0; j < COUNT(ports); j++) {
			if (ports[j] == 0)
				continue;
			to = make_v4(ips[i], ports[j]);

			const int asker = make_asker(NULL, &to);

			expect_echo(asker, "hello");
			close(asker);
		}
	}
	for (int i = 0; i < 2 && v6 != 0; i++) {
		to = make_v6("::1", 0, i == 0 ? v6 : dual);

		const int asker = make_asker(NULL, &to);

		expect_echo(asker, "hello");
		close(asker);
	}
	stop();
}

/* What is TCP's is others' to serve. */
static void
other_sockets_are_not_served(void **state)
{
	const struct address tcp =
	    add_socket(SOCK_STREAM, make_v4("127.0.0.1", 0), false);
	const struct address at = add_v4("127.0.0.1");
	/* That port is not one of UDP's. */
	const struct address from = make_v4("127.0.0.3", address_port(&tcp));
	const int asker = make_asker(&from, &at);

	(void)state;
	start();
	expect_echo(asker, "hello");
	close(asker);
	stop();
}

static void
worker_has_few_descriptors(void **state)
{
	(void)state;
	add_v4("127.0.0.1");
	add_socket(SOCK_STREAM, make_v4("127.0.0.1", 0), false);

	/* Others lie between and behind them. */
	const int other = dup(STDERR_FILENO);
	const int asker = add_asked();

	start();
	expect_echo(asker, "hello");
	/* Standard input, two of UDP, the report. */
	assert_int_equal(count_descriptors_of(worker), 4);
	close(asker);
	close(other);
	stop();
}

/*
 * What does not.
 */

/* Who would have it sent to them, and whether it is. */
static const struct {
	const char *ip;
	uint16_t port;
	bool answered;
} sources[] = {
	/* services, which may answer */
	{ "192.0.2.7", 0, false },
	{ "192.0.2.7", 7, false },
	{ "192.0.2.7", 19, false },
	{ "192.0.2.7", 53, false },
	{ "192.0.2.7", 1023, false },
	{ "192.0.2.7", 1024, true },
	{ "192.0.2.7", 50312, true },
	{ "192.0.2.7", 65535, true },
	{ "2001:db8::7", 1023, false },
	{ "2001:db8::7", 1024, true },
	/* nobody, or everybody */
	{ "0.0.0.0", 50312, false },
	{ "255.255.255.255", 50312, false },
	{ "224.0.0.1", 50312, false },
	{ "239.255.255.255", 50312, false },
	{ "::", 50312, false },
	{ "ff02::1", 50312, false },
	{ "::ffff:224.0.0.1", 50312, false },
	{ "::ffff:255.255.255.255", 50312, false },
	/* anybody */
	{ "127.0.0.1", 50312, true },
	{ "223.255.255.255", 50312, true },
	{ "240.0.0.1", 50312, true },
	{ "::1", 50312, true },
	{ "fe80::7", 50312, true },
	{ "::ffff:192.0.2.7", 50312, true },
};

static void
sources_that_may_answer_are_refused(void **state)
{
	struct address from[COUNT(sources)];
	unsigned good = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(sources); i++) {
		const bool v6 = strchr(sources[i].ip, ':') != NULL;

		from[i] = v6 ? make_v6(sources[i].ip, 0, sources[i].port)
			     : make_v4(sources[i].ip, sources[i].port);
	}
	happens.from = from;
	happens.nfrom = COUNT(from);
	happens.keep = true;

	const int asker = add_asked();

	start();
	for (size_t i = 0; i < COUNT(sources); i++)
		ask(asker, "x", 1);
	for (size_t i = 0; i < COUNT(sources); i++)
		good += sources[i].answered;

	const struct udp_report r =
	    expect_reports(good, 0, 0, COUNT(sources) - good);

	stop();
	assert_int_equal(r.sent.bytes, good);
	/* The first that was refused. */
	assert_true(address_equal(&r.from[UDP_SOURCE], &from[0]));
	assert_int_equal(shared->nsent, good);
	for (size_t i = 0, n = 0; i < COUNT(sources); i++) {
		if (!sources[i].answered)
			continue;
		if (!address_equal(&shared->to[n], &from[i]))
			fail_msg("%s, port %u", sources[i].ip, sources[i].port);
		n++;
	}
	close(asker);
}

/* Another echod could be there; of whatever address. */
static void
own_ports_are_refused(void **state)
{
	const struct address at[] = { add_v4("127.0.0.1"),
		add_v4("127.0.0.1") };
	int asker[COUNT(at)];

	(void)state;
	for (size_t i = 0; i < COUNT(at); i++) {
		const struct address from =
		    make_v4("127.0.0.3", address_port(&at[i]));

		asker[i] = make_asker(&from, &at[0]);
	}

	const int other = make_asker(NULL, &at[0]);

	start();
	for (size_t i = 0; i < COUNT(at); i++)
		ask(asker[i], "hello", 5);
	expect_echo(other, "hello");
	for (size_t i = 0; i < COUNT(at); i++) {
		expect_nothing(asker[i]);
		close(asker[i]);
	}
	close(other);

	const struct udp_report r = expect_reports(1, 0, 0, COUNT(at));

	assert_int_equal(
	    address_port(&r.from[UDP_SOURCE]), address_port(&at[0]));
	assert_int_equal(r.from[UDP_SOURCE].len, sizeof(struct sockaddr_in));
	stop();
}

/* Two workers in each other's face, which nobody can stop, are silent. */
static void
echo_is_not_answered(void **state)
{
	const struct address at = add_v4("127.0.0.1");
	const struct address from = make_v4("127.0.0.1", 0);
	const int asker = make_socket(SOCK_DGRAM, &from, false);

	(void)state;
	happens.from = &at; /* it seems to ask itself */
	happens.nfrom = 1;
	start();
	for (int i = 0; i < 10; i++)
		assert_int_equal(sendto(asker, "x", 1, 0, &at.sa, at.len), 1);
	expect_reports(0, 0, 0, 10);
	expect_nothing(asker);
	assert_int_not_equal(port_of(name_of(asker)), address_port(&at));
	close(asker);
	stop();
}

/* All that are asked at once would answer. */
static void
expect_no_answer_to_broadcasts(bool dual)
{
	static const char *const ips[] = { "127.255.255.255",
		"255.255.255.255" };
	const uint16_t port = port_of(add_wildcard(dual));
	struct address to = make_v4("127.0.0.1", port);
	const int other = make_asker(NULL, &to);
	uint64_t n = 0;

	start();
	for (size_t i = 0; i < COUNT(ips); i++) {
		const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		to = make_v4(ips[i], port);
		set_int(fd, SOL_SOCKET, SO_BROADCAST, 1);
		/* To nowhere else; which not every kernel lets everybody do. */
		if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2) == 0 &&
		    sendto(fd, "hello", 5, 0, &to.sa, to.len) == 5)
			n++;
		expect_echo(other, "hello");
		expect_nothing(fd);
		close(fd);
	}
	close(other);
	assert_true(n >= 1);
	expect_reports(COUNT(ips), 0, 0, n);
	stop();
}

static void
broadcasts_are_refused(void **state)
{
	(void)state;
	expect_no_answer_to_broadcasts(false);
}

static void
broadcasts_are_refused_by_ipv6(void **state)
{
	(void)state;
	if (!has_ipv6())
		skip();
	expect_no_answer_to_broadcasts(true);
}

/* Join a group, or send to it, on the loopback alone. */
static void
set_group(int fd, int name)
{
	const struct ip_mreqn group = {
		.imr_multiaddr.s_addr = htonl(0xefffff07), /* 239.255.255.7 */
		.imr_address.s_addr = htonl(INADDR_LOOPBACK),
		.imr_ifindex = (int)if_nametoindex("lo"),
	};

	assert_int_equal(
	    setsockopt(fd, IPPROTO_IP, name, &group, sizeof(group)), 0);
}

static void
expect_no_answer_to_multicasts(bool dual)
{
	const uint16_t port = port_of(add_wildcard(dual));
	struct address to = make_v4("127.0.0.1", port);
	const int other = make_asker(NULL, &to);
	const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	set_group(ls.at[0].fd, IP_ADD_MEMBERSHIP);
	set_group(fd, IP_MULTICAST_IF);
	start();
	to = make_v4("239.255.255.7", port);
	assert_int_equal(sendto(fd, "hello", 5, 0, &to.sa, to.len), 5);
	expect_echo(other, "hello");
	expect_nothing(fd);
	close(other);
	close(fd);
	expect_reports(1, 0, 0, 1);
	stop();
}

static void
multicasts_are_refused(void **state)
{
	(void)state;
	expect_no_answer_to_multicasts(false);
}

static void
multicasts_are_refused_by_ipv6(void **state)
{
	(void)state;
	if (!has_ipv6())
		skip();
	expect_no_answer_to_multicasts(true);
}

/*
 * What arrived before the socket was echod's, says less; a manager's socket may
 * have waited for long.
 */
static void
early_datagrams_are_told_apart(void **state)
{
	const struct address any = make_v4("0.0.0.0", 0);
	struct listener *l = &ls.at[ls.n++];

	(void)state;
	*l = (struct listener){
		.fd = make_socket(SOCK_DGRAM, &any, false),
		.type = SOCK_DGRAM,
	};
	l->addr = name_of(l->fd);

	struct address to = make_v4("127.0.0.5", address_port(&l->addr));
	const int asker = make_asker(NULL, &to);

	set_group(l->fd, IP_ADD_MEMBERSHIP);
	set_group(asker, IP_MULTICAST_IF);
	ask(asker, "early", 5);

	const int other = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	set_group(other, IP_MULTICAST_IF);
	to = make_v4("239.255.255.7", address_port(&l->addr));
	assert_int_equal(sendto(other, "early", 5, 0, &to.sa, to.len), 5);
	assert_int_equal(socket_set_datagram(l->fd, AF_INET), 0);
	start();
	expect_reply(asker, "early", 5);
	expect_echo(asker, "hello");
	expect_nothing(other);
	close(asker);
	close(other);
	expect_reports(2, 0, 0, 1);
	stop();
}

/* Loopback has no multicast of IPv6, so it only seems to be one. */
static void
multicasts_of_ipv6_are_refused(void **state)
{
	static const char *const groups[] = { "ff01::1", "ff02::1", "ff05::7",
		"ff0e::7" };

	(void)state;
	if (!has_ipv6())
		skip();

	const struct address at = add_v6("::1");
	const int asker = make_asker(NULL, &at);

	for (size_t i = 0; i < COUNT(groups); i++) {
		const struct address group = make_v6(groups[i], 0, 0);

		happens.to = &group.in6.sin6_addr;
		start();
		ask(asker, "hello", 5);
		ask(asker, "", 0);
		expect_reports(0, 0, 0, 2);
		expect_nothing(asker);
		stop();
		happens.to = NULL;
	}
	close(asker);
}

/* What happens to something that is for a group, when it seems to be cut. */
static void
expect_spoilt(const struct address *at, bool answered)
{
	const int asker = make_asker(NULL, at);

	happens.spoil = true;
	start();
	ask(asker, "!", 1);
	if (answered)
		expect_reply(asker, "!", 1);
	/* Others are none the worse. */
	expect_echo(asker, "hello");
	expect_nothing(asker);

	const struct udp_report r =
	    expect_reports(1 + answered, 0, 0, !answered);

	if (!answered)
		assert_int_equal(
		    address_port(&r.from[UDP_SOURCE]), port_of(name_of(asker)));
	close(asker);
	stop();
}

/* A socket of either family, and one that is of both. */
static size_t
add_all_families(struct address at[static 3])
{
	at[0] = add_v4("127.0.0.1");
	if (!has_ipv6())
		return 1;
	at[1] = add_v6("::1");
	at[2] = make_v4("127.0.0.1", port_of(add_wildcard(true)));
	return 3;
}

/* Nobody knows what was cut off. */
static void
what_is_cut_short_is_refused(void **state)
{
	static const size_t missing[] = { 0, 1, 4, sizeof(struct in_pktinfo) };
	struct address at[3];
	const size_t n = add_all_families(at);

	(void)state;
	happens.flags = MSG_CTRUNC;
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < COUNT(missing); j++) {
			happens.missing = missing[j];
			expect_spoilt(&at[i], false);
		}
}

/* What is too short for what it should be says nothing, not even a group. */
static void
what_is_too_short_is_not_read(void **state)
{
	static const size_t missing[] = { 1, 4, sizeof(struct in_pktinfo) };
	struct address at[3];
	const size_t n = add_all_families(at);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		happens.missing = 0;
		expect_spoilt(&at[i], false); /* which a whole one does */
		for (size_t j = 0; j < COUNT(missing); j++) {
			happens.missing = missing[j];
			expect_spoilt(&at[i], true);
		}
	}
}

/* By the kernel, of a socket that tells more than there is room for. */
static void
what_the_kernel_cuts_is_refused(void **state)
{
	static const int names[] = { IP_RECVTTL, IP_RECVTOS,
		IP_RECVORIGDSTADDR };
	const struct address at = add_v4("127.0.0.1");
	const int asker = make_asker(NULL, &at);

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++)
		set_int(ls.at[0].fd, IPPROTO_IP, names[i], 1);
	start();
	for (int i = 0; i < 3; i++)
		ask(asker, "hello", 5);
	expect_reports(0, 0, 0, 3);
	expect_nothing(asker);
	close(asker);
	stop();
}

/* A manager may have told its socket to say when, and of errors, too. */
static void
sockets_of_others_are_served(void **state)
{
	static const int names[] = { SO_TIMESTAMP, SO_TIMESTAMPNS };
	struct address at[3];
	const size_t n = add_all_families(at);

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		for (size_t j = 0; j < n; j++) {
			const int fd = ls.at[j].fd;
			const int family = ls.at[j].addr.sa.sa_family;

			set_int(fd, SOL_SOCKET, names[i], 1);
			set_int(fd, IPPROTO_IP, IP_RECVERR, 1);
			assert_int_equal(socket_set_datagram(fd, family), 0);
		}
		start();
		for (size_t j = 0; j < n; j++) {
			const int asker = make_asker(NULL, &at[j]);

			expect_echo(asker, "hello");
			close(asker);
		}
		expect_reports(n, 0, 0, 0);
		stop();
	}
}

/*
 * How many.
 */

static void
source_has_its_rate(void **state)
{
	const struct address at = add_v4("127.0.0.1");
	const struct address other = make_v4("127.0.0.9", 0);
	/* Of one address, whatever the ports. */
	const int asker[] = { make_asker(NULL, &at), make_asker(NULL, &at) };
	const int neighbour = make_asker(&other, &at);

	(void)state;
	rate = 4;
	start();
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 4; i++)
			expect_echo(asker[i % 2], "hello");
		for (int i = 0; i < 5; i++)
			ask(asker[i % 2], "hello", 5);
		/* Another one does not notice. */
		expect_echo(neighbour, "hello");
		expect_nothing(asker[0]);
		expect_nothing(asker[1]);
		/* A token comes back each quarter, all of them after one. */
		shared->now += CLOCK_SECOND / 4;
		expect_echo(asker[0], "hello");
		ask(asker[1], "hello", 5);
		expect_echo(neighbour, "hello");
		expect_nothing(asker[1]);
		shared->now += CLOCK_SECOND;
	}

	const struct address first = name_of(asker[0]);
	const struct udp_report r = expect_reports(3 * 7, 0, 3 * 6, 0);

	assert_true(address_equal(&r.from[UDP_FAST], &first));
	for (size_t i = 0; i < COUNT(asker); i++)
		close(asker[i]);
	close(neighbour);
	stop();
}

/* More than are remembered: there is always room for one more. */
static void
sources_may_be_many(void **state)
{
	enum { N = SOURCES_SPARE + 1024, IN_FLIGHT = 32 };
	static struct address from[N];
	const int asker = add_asked();
	const struct address self = name_of(asker);

	(void)state;
	for (size_t i = 0; i < N; i++) {
		from[i] = make_v4("127.1.0.0", 5000);
		from[i].in.sin_addr.s_addr |= htonl((uint32_t)i);
		if (i % IN_FLIGHT == IN_FLIGHT - 1)
			from[i] = self; /* so it is told how far it is */
	}
	happens.from = from;
	happens.nfrom = N;
	start();
	for (size_t i = 0; i < N; i++) {
		ask(asker, "x", 1);
		if (i % IN_FLIGHT == IN_FLIGHT - 1)
			expect_reply(asker, "x", 1);
	}
	expect_reports(N, 0, 0, 0);
	close(asker);
	stop();
}

/* A source of IPv6 is a net. */
static void
prefix_is_a_source(void **state)
{
	const struct address from[] = {
		make_v6("2001:db8:0:7::1", 0, 5000),
		make_v6("2001:db8:0:7:ffff::1", 0, 5001),
		make_v6("2001:db8:0:8::1", 0, 5002), make_v4("192.0.2.7", 5003),
		make_v4("192.0.2.8", 5004),
		make_v6("::ffff:192.0.2.7", 0, 5005), /* the same as above */
	};
	static const struct {
		int prefix;
		unsigned good;
	} rows[] = { { 64, 4 }, { 128, 5 }, { 48, 3 } };
	const int asker = add_asked();

	(void)state;
	happens.from = from;
	happens.nfrom = COUNT(from);
	happens.keep = true;
	rate = 1;
	for (size_t i = 0; i < COUNT(rows); i++) {
		start_for(rows[i].prefix);
		suspend_it();
		for (size_t j = 0; j < COUNT(from); j++)
			ask(asker, "x", 1);
		/* All of them at the same time. */
		continue_it();
		stop();

		const struct udp_report r = read_reports();

		expect_report(
		    &r, rows[i].good, 0, COUNT(from) - rows[i].good, 0);
	}
	close(asker);
}

/* Who may not be answered does not use up what is the others'. */
static void
refused_for_another_reason_costs_nothing(void **state)
{
	const struct address from[] = { make_v4("192.0.2.7", 7),
		make_v4("192.0.2.7", 19), make_v4("192.0.2.7", 5000) };
	const int asker = add_asked();

	(void)state;
	happens.from = from;
	happens.nfrom = COUNT(from);
	happens.keep = true;
	rate = 1;
	start();
	for (size_t i = 0; i < 2 * COUNT(from); i++)
		ask(asker, "x", 1);

	const struct udp_report r = expect_reports(1, 0, 1, 4);

	assert_true(address_equal(&r.from[UDP_SOURCE], &from[0]));
	assert_true(address_equal(&r.from[UDP_FAST], &from[2]));
	close(asker);
	stop();
}

/*
 * What it tells, and when.
 */

/* It has been through with whatever came before. */
static void
expect_two_echoes(int asker)
{
	expect_echo(asker, "hello");
	expect_echo(asker, "world");
}

static void
first_report_comes_at_once(void **state)
{
	const int asker = add_asked();
	struct pollfd pfd = { .fd = report, .events = POLLIN };
	struct udp_report r = { 0 };

	(void)state;
	start();
	assert_int_equal(poll(&pfd, 1, 0), 0);
	expect_echo(asker, "hello");
	assert_int_equal(poll(&pfd, 1, PATIENCE), 1);
	assert_true(read_report(&r));
	expect_report(&r, 1, 0, 0, 0);
	assert_int_equal(r.sent.bytes, 5);

	/* The next one after a second, and not before.  r is the sum. */
	expect_two_echoes(asker);
	assert_false(read_report(&r));
	shared->now = START + CLOCK_SECOND - 1;
	expect_two_echoes(asker);
	assert_false(read_report(&r));
	shared->now = START + CLOCK_SECOND;
	expect_echo(asker, "hello");
	assert_int_equal(poll(&pfd, 1, PATIENCE), 1);
	assert_true(read_report(&r));
	/* It may have seen the time, but not yet the last. */
	assert_in_range(r.sent.datagrams, 5, 6);
	assert_int_equal(r.sent.bytes, 5 * r.sent.datagrams);
	assert_false(read_report(&r));
	close(asker);
	stop();
	/* In the end all is told, and nothing twice. */
	while (read_report(&r))
		;
	expect_report(&r, 6, 0, 0, 0);
	assert_int_equal(r.sent.bytes, 30);
}

/* Without another datagram, too: in real time. */
static void
later_report_comes_by_itself(void **state)
{
	const int asker = add_asked();
	struct pollfd pfd = { .fd = report, .events = POLLIN };
	struct udp_report r = { 0 };

	(void)state;
	shared->now = 0;
	start();
	expect_two_echoes(asker);
	while (r.sent.datagrams < 2) {
		assert_int_equal(poll(&pfd, 1, PATIENCE), 1);
		assert_true(read_report(&r));
	}
	expect_report(&r, 2, 0, 0, 0);
	close(asker);
	stop();
}

/* The parent is busy: it hears of all of it later. */
static void
report_waits_for_room(void **state)
{
	static const char page[4096];
	const int asker = add_asked();
	char some[4096];
	size_t filled = 0;
	ssize_t n;

	(void)state;
	while ((n = write(report_end, page, sizeof(page))) > 0)
		filled += (size_t)n;
	assert_int_equal(errno, EAGAIN);
	start();
	for (int i = 0; i < 5; i++) {
		expect_two_echoes(asker);
		shared->now += CLOCK_SECOND;
	}
	/* Neither a part of one, nor is the worker the worse for it. */
	while ((n = read(report, some, sizeof(some))) > 0) {
		assert_true((size_t)n <= filled);
		filled -= (size_t)n;
		if (filled == 0)
			break;
	}
	assert_int_equal(filled, 0);
	assert_int_equal(expect_reports(10, 0, 0, 0).sent.bytes, 50);
	close(asker);
	stop();
}

/*
 * How it ends.
 */

static void
stop_answers_what_has_arrived(void **state)
{
	static const int signals[] = { SIGTERM, SIGINT };
	enum { N = 100 };
	const struct address at[] = { add_v4("127.0.0.1"),
		add_v4("127.0.0.1") };

	(void)state;
	for (size_t i = 0; i < COUNT(signals); i++) {
		const int asker[] = { make_asker(NULL, &at[0]),
			make_asker(NULL, &at[1]) };

		start();
		expect_echo(asker[0], "hello");
		suspend_it();
		for (int n = 0; n < N; n++)
			for (size_t j = 0; j < COUNT(asker); j++)
				ask(asker[j], &n, sizeof(n));
		assert_int_equal(kill(worker, signals[i]), 0);
		continue_it();
		expect_end(SESSION_DRAINED);
		for (size_t j = 0; j < COUNT(asker); j++) {
			for (int n = 0; n < N; n++)
				expect_reply(asker[j], &n, sizeof(n));
			close(asker[j]);
		}

		/* And told before its time. */
		const struct udp_report r = read_reports();

		expect_report(&r, 2 * N + 1, 0, 0, 0);
	}
}

static void
stop_is_noticed_in_a_flood(void **state)
{
	const int asker = add_asked();

	(void)state;
	happens.always_ready = true; /* so ppoll(2) lets no signal in */
	start();
	expect_echo(asker, "hello");
	close(asker);
	stop();
}

static void
other_signals_do_no_harm(void **state)
{
	static const int signals[] = { SIGHUP, SIGPIPE, SIGUSR1, SIGCHLD };
	const int asker = add_asked();

	(void)state;
	start();
	for (size_t i = 0; i < COUNT(signals); i++) {
		assert_int_equal(kill(worker, signals[i]), 0);
		expect_echo(asker, "hello");
	}
	close(asker);
	stop();
}

static void
worker_ends_with_its_parent(void **state)
{
	const int asker = add_asked();

	(void)state;
	start();
	expect_echo(asker, "hello");
	close(report); /* whoever reads it is gone */
	report = -1;
	expect_end(SESSION_FAILED);
	close(asker);
}

/*
 * What may fail.
 */

static void
short_sends_go_on(void **state)
{
	enum { N = 40 };
	const int asker = add_asked();
	char text[N];

	(void)state;
	memset(text, 'x', sizeof(text));
	happens.send_most = 3;
	start();
	suspend_it();
	/* No two of a size, which would be sent as one. */
	for (size_t n = 1; n <= N; n++)
		ask(asker, text, n);
	continue_it();
	for (size_t n = 1; n <= N; n++)
		expect_reply(asker, text, n);

	const struct udp_report r = expect_reports(N, 0, 0, 0);

	assert_int_equal(r.sent.bytes, N * (N + 1) / 2);
	close(asker);
	stop();
}

/* A firewall, no route: of one datagram, it is the one that is lost. */
static void
one_that_cannot_be_sent_is_lost(void **state)
{
	static const int errors[] = { EPERM, ENOBUFS, ENOMEM, EACCES,
		EHOSTUNREACH, ENETUNREACH, ENETDOWN, EMSGSIZE, EINVAL,
		ECONNREFUSED };
	static const char *const texts[] = { "a", "!", "b", "c", "!!", "!!!",
		"d" };
	const int asker = add_asked();

	(void)state;
	for (size_t i = 0; i < COUNT(errors); i++) {
		happens.send_error = errors[i];
		start();
		suspend_it();
		for (size_t j = 0; j < COUNT(texts); j++)
			ask(asker, texts[j], strlen(texts[j]));
		continue_it();
		for (size_t j = 0; j < COUNT(texts); j++)
			if (texts[j][0] != '!')
				expect_reply(asker, texts[j], strlen(texts[j]));

		const struct udp_report r = expect_reports(4, 3, 0, 0);

		assert_int_equal(r.sent.bytes, 4);
		expect_nothing(asker);
		stop();
	}
	close(asker);
}

/* The network takes no more for now: what it was asked to take is lost. */
static void
what_there_is_no_room_for_is_lost(void **state)
{
	/* Those of one size are sent as one. */
	static const char *const texts[] = { "a", "bb", "!!", "cc", "d" };
	const int asker = add_asked();

	(void)state;
	happens.send_error = EAGAIN;
	happens.send_once = true;
	start();
	suspend_it();
	for (size_t i = 0; i < COUNT(texts); i++)
		ask(asker, texts[i], strlen(texts[i]));
	continue_it();
	expect_reply(asker, "a", 1);
	expect_reply(asker, "d", 1);
	/* It goes on. */
	expect_echo(asker, "!!");

	const struct udp_report r = expect_reports(3, 3, 0, 0);

	assert_int_equal(r.sent.bytes, 4);
	close(asker);
	stop();
}

static void
interrupted_send_is_made_again(void **state)
{
	const int asker = add_asked();

	(void)state;
	happens.send_error = EINTR;
	happens.send_once = true;
	start();
	expect_echo(asker, "!");
	expect_reports(1, 0, 0, 0);
	close(asker);
	stop();
}

static void
receiving_may_be_disturbed(void **state)
{
	/* The network's, of a connected socket's peer, are no failure. */
	static const int errors[] = { EINTR, EAGAIN, ECONNREFUSED, EHOSTUNREACH,
		ENETUNREACH, EHOSTDOWN, ENETDOWN, ENOPROTOOPT, EPROTO, EACCES,
		EPERM, EMSGSIZE, ETIMEDOUT };
	const int asker = add_asked();

	(void)state;
	for (size_t i = 0; i < COUNT(errors); i++) {
		happens.receive_error = errors[i];
		happens.receive_once = true;
		start();
		expect_echo(asker, "hello");
		stop();
	}
	close(asker);
}

/* A manager handed over one that is connected, and its peer went away. */
static void
connected_socket_survives_its_peer(void **state)
{
	const struct address at = add_v4("127.0.0.1");
	const struct address any = make_v4("127.0.0.1", 0);
	int asker = make_asker(&any, &at);
	const struct address from = name_of(asker);

	(void)state;
	assert_int_equal(connect(ls.at[0].fd, &from.sa, from.len), 0);
	start();
	expect_echo(asker, "hello");
	suspend_it();
	ask(asker, "hello", 5);
	close(asker);
	continue_it(); /* its reply is answered by ICMP */
	expect_reports(2, 0, 0, 0);
	asker = make_asker(&from, &at);
	expect_echo(asker, "world");
	close(asker);
	stop();
}

static void
hard_failures_are_the_end(void **state)
{
	static const int errors[] = { ENOTSOCK, EBADF, ENOMEM, EFAULT, EIO };
	const int asker = add_asked();

	(void)state;
	ask(asker, "hello", 5);
	for (size_t i = 0; i < COUNT(errors); i++) {
		happens.receive_error = errors[i];
		start();
		expect_end(SESSION_FAILED);
	}
	happens.receive_error = 0;

	happens.poll_error = ENOMEM;
	start();
	expect_end(SESSION_FAILED);
	happens.poll_error = 0;

	/* Of batches, and of sources. */
	happens.memory = 4096;
	start();
	expect_end(SESSION_FAILED);
	happens.memory = 0;

	/* What has waited is answered by the next worker. */
	start();
	expect_reply(asker, "hello", 5);
	close(asker);
	stop();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(datagrams_come_back_as_they_were),
		TEST(datagrams_of_ipv6_come_back),
		TEST(many_come_back_in_order),
		TEST(equal_ones_come_back_apart),
		TEST(reply_is_from_where_was_asked),
		TEST(other_sockets_are_not_served),
		TEST(worker_has_few_descriptors),
		TEST(sources_that_may_answer_are_refused),
		TEST(own_ports_are_refused),
		TEST(echo_is_not_answered),
		TEST(broadcasts_are_refused),
		TEST(broadcasts_are_refused_by_ipv6),
		TEST(early_datagrams_are_told_apart),
		TEST(multicasts_are_refused),
		TEST(multicasts_are_refused_by_ipv6),
		TEST(multicasts_of_ipv6_are_refused),
		TEST(what_is_cut_short_is_refused),
		TEST(what_is_too_short_is_not_read),
		TEST(what_the_kernel_cuts_is_refused),
		TEST(sockets_of_others_are_served),
		TEST(source_has_its_rate),
		TEST(sources_may_be_many),
		TEST(prefix_is_a_source),
		TEST(refused_for_another_reason_costs_nothing),
		TEST(first_report_comes_at_once),
		TEST(later_report_comes_by_itself),
		TEST(report_waits_for_room),
		TEST(stop_answers_what_has_arrived),
		TEST(stop_is_noticed_in_a_flood),
		TEST(other_signals_do_no_harm),
		TEST(worker_ends_with_its_parent),
		TEST(short_sends_go_on),
		TEST(one_that_cannot_be_sent_is_lost),
		TEST(what_there_is_no_room_for_is_lost),
		TEST(interrupted_send_is_made_again),
		TEST(receiving_may_be_disturbed),
		TEST(connected_socket_survives_its_peer),
		TEST(hard_failures_are_the_end),
	};

	return cmocka_run_group_tests_name(
	    "udp", tests, setup_all, teardown_all);
}
