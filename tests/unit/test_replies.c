/*
 * Replies: each datagram is sent once, as it is, and none overtakes another to
 * the same address, whatever the network takes.
 *
 * Linked with --wrap=sendmmsg: nothing is sent, but noted, and a test says what
 * the call returns.
 */
#include "echod/replies.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <string.h>

#include "support.h"

enum { SEED = 862, FD = 1000, CALLS_MAX = 512, LARGEST = 65507 };

int __wrap_sendmmsg(int fd, struct mmsghdr *msg, unsigned n, int flags);

/* A datagram: to a port, from an address. */
struct datagram {
	uint16_t to;
	uint8_t from; /* 0: it is not known */
	size_t size;
};

/* Those of a test, as replies_send() is given them. */
static struct {
	size_t n;
	struct datagram what[REPLIES_MAX];
	struct mmsghdr msg[REPLIES_MAX];
	struct iovec iov[REPLIES_MAX];
	struct address name[REPLIES_MAX];
	union {
		struct cmsghdr align;
		char
		    bytes[CMSG_SPACE(sizeof(struct in_pktinfo)) + REPLIES_ROOM];
	} control[REPLIES_MAX];
	char data[LARGEST];
} batch;

/* A message that was given to the kernel. */
struct sent {
	uint16_t to;
	uint8_t from;
	size_t datagrams, bytes;
	size_t segment; /* 0: it is not to be cut */
};

static struct {
	size_t calls, n;
	struct sent at[CALLS_MAX];
	int error; /* of every call */
	const int *errors; /* or of the first ones, up to 0 */
	size_t most; /* messages that a call takes, 0: all */
	bool full; /* a call of this batch has found no room */
	size_t waits; /* calls that may have waited for it in vain */
	uint64_t random; /* not 0: calls fail by chance */
	int chance_error;
} kernel;

/* The kernel takes all of it, until a test says otherwise. */
static void
make_batch(const struct datagram *what, size_t n)
{
	assert_true(n <= REPLIES_MAX);
	memset(&kernel, 0, sizeof(kernel));
	batch.n = n;
	for (size_t i = 0; i < n; i++) {
		const struct in_pktinfo info = {
			.ipi_spec_dst.s_addr = htonl(0x7f000000 + what[i].from),
		};
		struct msghdr *msg = &batch.msg[i].msg_hdr;
		struct cmsghdr *c = &batch.control[i].align;

		batch.what[i] = what[i];
		batch.name[i] = make_v4("192.0.2.7", what[i].to);
		batch.iov[i] = (struct iovec){ batch.data, what[i].size };
		batch.msg[i].msg_len = (unsigned)what[i].size;
		*msg = (struct msghdr){
			.msg_name = &batch.name[i].sa,
			.msg_namelen = batch.name[i].len,
			.msg_iov = &batch.iov[i],
			.msg_iovlen = 1,
		};
		if (what[i].from == 0)
			continue;
		/* There is garbage where nothing was written. */
		memset(&batch.control[i], 0xa5, sizeof(batch.control[i]));
		*c = (struct cmsghdr){
			.cmsg_len = CMSG_LEN(sizeof(info)),
			.cmsg_level = IPPROTO_IP,
			.cmsg_type = IP_PKTINFO,
		};
		memcpy(CMSG_DATA(c), &info, sizeof(info));
		msg->msg_control = c;
		msg->msg_controllen = CMSG_SPACE(sizeof(info));
	}
}

static struct sent
describe(const struct msghdr *msg)
{
	const struct address *name = msg->msg_name == NULL
	    ? NULL
	    : (const void *)((const char *)msg->msg_name -
		  offsetof(struct address, sa));
	struct sent s = { 0 };
	struct msghdr copy = *msg;

	assert_non_null(name);
	assert_int_equal(msg->msg_namelen, sizeof(name->in));
	s.to = address_port(name);
	s.datagrams = msg->msg_iovlen;
	for (size_t i = 0; i < msg->msg_iovlen; i++) {
		assert_ptr_equal(msg->msg_iov[i].iov_base, batch.data);
		s.bytes += msg->msg_iov[i].iov_len;
	}
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&copy); c != NULL;
	     c = CMSG_NXTHDR(&copy, c)) {
		if (c->cmsg_level == IPPROTO_IP) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			s.from = (uint8_t)ntohl(info.ipi_spec_dst.s_addr);
		} else {
			uint16_t size;

			assert_int_equal(c->cmsg_level, SOL_UDP);
			assert_int_equal(c->cmsg_type, UDP_SEGMENT);
			assert_int_equal(c->cmsg_len, CMSG_LEN(sizeof(size)));
			memcpy(&size, CMSG_DATA(c), sizeof(size));
			s.segment = size;
		}
	}
	/* What is cut, is cut into what it was made of. */
	assert_int_equal(s.segment != 0, s.datagrams > 1);
	for (size_t i = 0; i < msg->msg_iovlen && s.segment != 0; i++)
		assert_int_equal(msg->msg_iov[i].iov_len, s.segment);
	return s;
}

/* The error of a call, 0: it succeeds. */
static int
next_error(void)
{
	kernel.calls++;
	if (kernel.error != 0)
		return kernel.error;
	if (kernel.random != 0 && random_below(&kernel.random, 3) == 0)
		return kernel.chance_error;
	if (kernel.errors != NULL && *kernel.errors != 0)
		return *kernel.errors++;
	return 0;
}

int
__wrap_sendmmsg(int fd, struct mmsghdr *msg, unsigned n, int flags)
{
	const int error = next_error();

	assert_int_equal(fd, FD);
	/* Who found no room once, waits for none any more. */
	assert_int_equal(flags, kernel.full ? MSG_DONTWAIT : 0);
	assert_true(n > 0);
	if (error != 0) {
		kernel.waits += error == EAGAIN && flags == 0;
		kernel.full |= error == EAGAIN;
		errno = error;
		return -1;
	}
	if (kernel.most != 0 && n > kernel.most)
		n = (unsigned)kernel.most;
	for (unsigned i = 0; i < n; i++) {
		assert_true(kernel.n < CALLS_MAX);
		kernel.at[kernel.n] = describe(&msg[i].msg_hdr);
		msg[i].msg_len = (unsigned)kernel.at[kernel.n++].bytes;
	}
	return (int)n;
}

static struct replies_sent
send_batch(void)
{
	struct replies_sent sent = { 1000, 100000, 10 };

	kernel.full = false;
	replies_send(FD, batch.msg, batch.n, &sent);
	/* It adds. */
	sent.datagrams -= 1000;
	sent.bytes -= 100000;
	sent.lost -= 10;
	return sent;
}

/* The messages, "to:datagrams*size" each. */
static void
expect_messages(
    const char *name, const struct datagram *what, size_t n, const char *want)
{
	char got[4096] = "";
	uint64_t bytes = 0;

	make_batch(what, n);

	const struct replies_sent sent = send_batch();

	for (size_t i = 0; i < kernel.n; i++) {
		const struct sent *s = &kernel.at[i];

		snprintf(got + strlen(got), sizeof(got) - strlen(got),
		    "%s%u:%zu*%zu", i > 0 ? " " : "", s->to, s->datagrams,
		    s->bytes / s->datagrams);
	}
	for (size_t i = 0; i < n; i++)
		bytes += what[i].size;
	if (strcmp(got, want) != 0)
		fail_msg("%s: '%s' is wanted, '%s' came", name, want, got);
	assert_int_equal(sent.datagrams, n);
	assert_int_equal(sent.bytes, bytes);
	assert_int_equal(sent.lost, 0);
	assert_int_equal(kernel.calls, n > 0);
}

static void
those_of_one_size_go_as_one(void **state)
{
	static const struct {
		const char *name;
		struct datagram what[8];
		const char *want;
	} rows[] = {
		{ "nothing", { { 0 } }, "" },
		{ "one", { { 5000, 1, 100 } }, "5000:1*100" },
		{ "one that is empty", { { 5000, 1, 0 } }, "5000:1*0" },
		{ "equals",
		    { { 5000, 1, 100 }, { 5000, 1, 100 }, { 5000, 1, 100 } },
		    "5000:3*100" },
		{ "empty ones", { { 5000, 1, 0 }, { 5000, 1, 0 } },
		    "5000:1*0 5000:1*0" },
		{ "the longest", { { 5000, 1, 1472 }, { 5000, 1, 1472 } },
		    "5000:2*1472" },
		{ "too long ones", { { 5000, 1, 1473 }, { 5000, 1, 1473 } },
		    "5000:1*1473 5000:1*1473" },
		/* not overtaken by one behind it */
		{ "a shorter one between",
		    { { 5000, 1, 100 }, { 5000, 1, 99 }, { 5000, 1, 100 } },
		    "5000:1*100 5000:1*99 5000:1*100" },
		{ "a longer one between",
		    { { 5000, 1, 100 }, { 5000, 1, 100 }, { 5000, 1, 101 },
			{ 5000, 1, 100 }, { 5000, 1, 100 } },
		    "5000:2*100 5000:1*101 5000:2*100" },
		{ "an empty one between",
		    { { 5000, 1, 100 }, { 5000, 1, 0 }, { 5000, 1, 100 } },
		    "5000:1*100 5000:1*0 5000:1*100" },
		/* others are not in the way */
		{ "two who take turns",
		    { { 5000, 1, 100 }, { 5001, 1, 100 }, { 5000, 1, 100 },
			{ 5001, 1, 100 }, { 5000, 1, 100 } },
		    "5000:3*100 5001:2*100" },
		{ "two of different sizes",
		    { { 5000, 1, 100 }, { 5001, 1, 7 }, { 5000, 1, 100 },
			{ 5001, 1, 8 } },
		    "5000:2*100 5001:1*7 5001:1*8" },
		/* from where they were asked */
		{ "two addresses of ours",
		    { { 5000, 1, 100 }, { 5000, 2, 100 }, { 5000, 1, 100 } },
		    "5000:2*100 5000:1*100" },
		{ "nobody knows which", { { 5000, 0, 100 }, { 5000, 0, 100 } },
		    "5000:1*100 5000:1*100" },
		{ "known and not",
		    { { 5000, 1, 100 }, { 5000, 0, 100 }, { 5000, 1, 100 } },
		    "5000:2*100 5000:1*100" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		size_t n = 0;

		while (n < COUNT(rows[i].what) && rows[i].what[n].to != 0)
			n++;
		expect_messages(rows[i].name, rows[i].what, n, rows[i].want);
	}
}

/* A message has a longest, and so has a batch. */
static void
large_ones_go_as_several(void **state)
{
	struct datagram what[REPLIES_MAX];

	(void)state;
	for (size_t i = 0; i < REPLIES_MAX; i++)
		what[i] = (struct datagram){ 5000, 1, 1472 };
	expect_messages("64", what, REPLIES_MAX, "5000:44*1472 5000:20*1472");
	for (size_t i = 0; i < REPLIES_MAX; i++)
		what[i].size = 1;
	expect_messages("64", what, REPLIES_MAX, "5000:64*1");
	for (size_t i = 0; i < REPLIES_MAX; i++)
		what[i].size = LARGEST;
	make_batch(what, REPLIES_MAX);
	assert_int_equal(send_batch().datagrams, REPLIES_MAX);
	assert_int_equal(kernel.n, REPLIES_MAX);
}

static const struct datagram some[] = { { 5000, 1, 100 }, { 5000, 1, 100 },
	{ 5001, 1, 7 }, { 5000, 1, 100 }, { 5000, 1, 9 } };

/* A way that is narrower, an interface that cannot: one by one, they go. */
static void
what_cannot_be_cut_is_sent_apart(void **state)
{
	static const int errors[][2] = { { EINVAL }, { EMSGSIZE }, { EIO },
		{ EOPNOTSUPP }, { EPERM }, { ENOBUFS } };

	(void)state;
	for (size_t i = 0; i < COUNT(errors); i++) {
		make_batch(some, COUNT(some));
		kernel.errors = errors[i]; /* the first only */

		const struct replies_sent sent = send_batch();

		assert_int_equal(sent.datagrams, 5);
		assert_int_equal(sent.bytes, 316);
		assert_int_equal(sent.lost, 0);
		assert_int_equal(kernel.n, 5);
		for (size_t j = 0; j < kernel.n; j++) {
			assert_int_equal(kernel.at[j].datagrams, 1);
			assert_int_equal(kernel.at[j].segment, 0);
			assert_int_equal(kernel.at[j].from, 1);
			assert_int_equal(kernel.at[j].to, j == 3 ? 5001 : 5000);
		}
	}
}

/* What becomes of some when the first calls fail, or take few. */
static void
what_fails_is_lost_and_no_more(void **state)
{
	static const struct {
		const char *name;
		int errors[8];
		size_t most;
		const char *want;
	} rows[] = {
		{ "short sends", { 0 }, 1,
		    "5 of 316 bytes, 0 lost: 3 messages, 3 calls, 0 waits" },
		{ "interruptions", { EINTR, EINTR, EINTR }, 0,
		    "5 of 316 bytes, 0 lost: 3 messages, 4 calls, 0 waits" },
		/* Of three as one, and of the first of them. */
		{ "interruptions apart", { EINVAL, EINTR, EINTR }, 0,
		    "5 of 316 bytes, 0 lost: 5 messages, 7 calls, 0 waits" },
		{ "one that cannot be sent", { EPERM, EPERM }, 0,
		    "4 of 216 bytes, 1 lost: 4 messages, 5 calls, 0 waits" },
		/* Three messages, and three apart. */
		{ "all", { EPERM, EPERM, EPERM, EPERM, EPERM, EPERM }, 0,
		    "0 of 0 bytes, 5 lost: 0 messages, 6 calls, 0 waits" },
		/* The network takes no more for now, and would not apart. */
		{ "no room", { EAGAIN }, 0,
		    "2 of 16 bytes, 3 lost: 2 messages, 2 calls, 1 waits" },
		/* The one, three apart, and the rest. */
		{ "no room apart", { EINVAL, EAGAIN }, 0,
		    "4 of 216 bytes, 1 lost: 4 messages, 5 calls, 1 waits" },
		/* Nor does what comes behind them wait again. */
		{ "no room for long",
		    { EINVAL, EAGAIN, EAGAIN, EAGAIN, EAGAIN }, 0,
		    "1 of 9 bytes, 4 lost: 1 messages, 6 calls, 1 waits" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char got[256];

		make_batch(some, COUNT(some));
		kernel.errors = rows[i].errors;
		kernel.most = rows[i].most;

		const struct replies_sent sent = send_batch();

		snprintf(got, sizeof(got),
		    "%ju of %ju bytes, %ju lost: "
		    "%zu messages, %zu calls, %zu waits",
		    (uintmax_t)sent.datagrams, (uintmax_t)sent.bytes,
		    (uintmax_t)sent.lost, kernel.n, kernel.calls, kernel.waits);
		if (strcmp(got, rows[i].want) != 0)
			fail_msg("%s: %s", rows[i].name, got);
	}
}

/* One queue that is full, as of a slow interface, is waited for once. */
static void
full_queue_is_waited_for_once(void **state)
{
	struct datagram what[REPLIES_MAX];
	struct replies_sent sent;

	(void)state;
	for (size_t i = 0; i < REPLIES_MAX; i++)
		what[i] = (struct datagram){ (uint16_t)(5000 + i), 1, 100 };
	make_batch(what, REPLIES_MAX);
	kernel.error = EAGAIN;
	sent = send_batch();
	assert_int_equal(sent.datagrams, 0);
	assert_int_equal(sent.bytes, 0);
	assert_int_equal(sent.lost, REPLIES_MAX);
	/* Each is tried: it may go another way. */
	assert_int_equal(kernel.calls, REPLIES_MAX);
	assert_int_equal(kernel.waits, 1);

	/* There may be room for it in the next batch. */
	sent = send_batch();
	assert_int_equal(sent.lost, REPLIES_MAX);
	assert_int_equal(kernel.waits, 2);
	kernel.error = 0;
	sent = send_batch();
	assert_int_equal(sent.datagrams, REPLIES_MAX);
	assert_int_equal(sent.lost, 0);
}

/* Whatever else is between; and only what finds no room is lost. */
static void
others_go_past_a_full_queue(void **state)
{
	static const int errors[] = { EAGAIN, EINTR, EPERM, 0 };
	static const struct datagram what[] = { { 5000, 1, 100 },
		{ 5001, 1, 7 }, { 5002, 1, 8 }, { 5003, 1, 9 } };

	(void)state;
	make_batch(what, COUNT(what));
	kernel.errors = errors;

	const struct replies_sent sent = send_batch();

	assert_int_equal(sent.datagrams, 2);
	assert_int_equal(sent.bytes, 17);
	assert_int_equal(sent.lost, 2);
	assert_int_equal(kernel.waits, 1);
	assert_int_equal(kernel.calls, 4);
}

/*
 * Whatever comes, and whatever fails: all is sent or lost, and what is sent to
 * one address is in its order.
 */
static void
nothing_is_lost_in_the_counting(void **state)
{
	static const int errors[] = { EINTR, EINVAL, EPERM, EAGAIN };
	uint64_t random = SEED;

	(void)state;
	print_message("seed %d\n", SEED);
	for (int round = 0; round < 2000; round++) {
		struct datagram what[REPLIES_MAX];
		const size_t n = random_below(&random, REPLIES_MAX + 1);
		const int failing = round % (1 + (int)COUNT(errors));
		uint64_t bytes = 0, datagrams = 0;
		size_t at[4][2] = { { 0 } }; /* of each way, where it is */

		for (size_t i = 0; i < n; i++)
			what[i] = (struct datagram){
				(uint16_t)(5000 + random_below(&random, 4)),
				(uint8_t)random_below(&random, 2),
				100 + random_below(&random, 3),
			};
		make_batch(what, n);
		kernel.most = random_below(&random, 4);
		if (failing > 0) {
			kernel.random = SEED + (uint64_t)round;
			kernel.chance_error = errors[failing - 1];
		}

		const struct replies_sent sent = send_batch();

		for (size_t i = 0; i < kernel.n; i++) {
			datagrams += kernel.at[i].datagrams;
			bytes += kernel.at[i].bytes;
		}
		assert_int_equal(sent.datagrams, datagrams);
		assert_int_equal(sent.bytes, bytes);
		assert_int_equal(sent.datagrams + sent.lost, n);
		if (failing < 2)
			assert_int_equal(sent.lost, 0);
		assert_true(kernel.waits <= 1);
		if (sent.lost > 0)
			continue;
		/* Size by size, as they came. */
		for (size_t i = 0; i < kernel.n; i++) {
			const struct sent *s = &kernel.at[i];

			for (size_t k = 0; k < s->datagrams; k++) {
				size_t *next = &at[s->to - 5000][s->from];

				while (what[*next].to != s->to ||
				    what[*next].from != s->from)
					++*next;
				assert_true(*next < n);
				assert_int_equal(
				    what[*next].size, s->bytes / s->datagrams);
				++*next;
			}
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(those_of_one_size_go_as_one),
		cmocka_unit_test(large_ones_go_as_several),
		cmocka_unit_test(what_fails_is_lost_and_no_more),
		cmocka_unit_test(what_cannot_be_cut_is_sent_apart),
		cmocka_unit_test(full_queue_is_waited_for_once),
		cmocka_unit_test(others_go_past_a_full_queue),
		cmocka_unit_test(nothing_is_lost_in_the_counting),
	};

	return cmocka_run_group_tests_name("replies", tests, NULL, NULL);
}
