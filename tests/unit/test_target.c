/*
 * Where a datagram was sent to: what control messages say, and what a reply
 * then has.
 */
#include "echod/target.h"

#include <arpa/inet.h>
#include <string.h>

#include "support.h"

enum { INTERFACE = 7 };

/* A message with room for what is added. */
struct letter {
	struct msghdr msg;
	size_t used;
	union target_control control;
};

static void
begin(struct letter *l)
{
	memset(l, 0, sizeof(*l));
	l->msg.msg_control = &l->control;
}

static void
add(struct letter *l, int level, int type, const void *data, size_t size)
{
	struct cmsghdr *c = (void *)(l->control.in + l->used);

	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(c), data, size);
	l->used += CMSG_SPACE(size);
	l->msg.msg_controllen = l->used;
}

/* The local address is what ip(7) calls ipi_spec_dst; NULL: it is not known. */
static void
add_ipv4(struct letter *l, const char *to, const char *local)
{
	struct in_pktinfo info = { .ipi_ifindex = INTERFACE };

	assert_int_equal(inet_pton(AF_INET, to, &info.ipi_addr), 1);
	if (local != NULL)
		assert_int_equal(
		    inet_pton(AF_INET, local, &info.ipi_spec_dst), 1);
	add(l, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
}

static void
add_ipv6(struct letter *l, const char *to)
{
	struct in6_pktinfo info = { .ipi6_ifindex = INTERFACE };

	assert_int_equal(inet_pton(AF_INET6, to, &info.ipi6_addr), 1);
	add(l, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
}

static void
ipv4_is_told_from_its_broadcasts(void **state)
{
	static const struct {
		const char *to, *local;
		bool alone;
	} rows[] = {
		{ "192.0.2.1", "192.0.2.1", true },
		{ "127.0.0.1", "127.0.0.1", true },
		{ "192.0.2.255", "192.0.2.1", false },
		{ "255.255.255.255", "192.0.2.1", false },
		{ "224.0.0.1", "192.0.2.1", false },
		{ "192.0.2.1", NULL, true },
		{ "255.255.255.255", NULL, false },
		{ "239.255.255.255", NULL, false },
		{ "223.255.255.255", NULL, true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct letter l;
		char text[INET_ADDRSTRLEN];

		begin(&l);
		add_ipv4(&l, rows[i].to, rows[i].local);

		const struct target t = target_of(&l.msg);

		assert_true(t.known);
		assert_int_equal(t.alone, rows[i].alone);
		assert_int_equal(t.family, AF_INET);
		inet_ntop(AF_INET, &t.in, text, sizeof(text));
		assert_string_equal(text, rows[i].to);
	}
}

static void
ipv6_is_told_from_its_multicasts(void **state)
{
	static const struct {
		const char *to;
		bool alone;
	} rows[] = {
		{ "2001:db8::1", true },
		{ "::1", true },
		{ "fe80::1", true },
		{ "ff02::1", false },
		{ "ff0e::101", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct letter l;
		char text[INET6_ADDRSTRLEN];

		begin(&l);
		add_ipv6(&l, rows[i].to);

		const struct target t = target_of(&l.msg);

		assert_true(t.known);
		assert_int_equal(t.alone, rows[i].alone);
		assert_int_equal(t.family, AF_INET6);
		inet_ntop(AF_INET6, &t.in6, text, sizeof(text));
		assert_string_equal(text, rows[i].to);
	}
}

/* A socket of IPv6 that takes IPv4: the one has the address, the other says. */
static void
both_count_in_either_order(void **state)
{
	(void)state;
	for (int order = 0; order < 2; order++)
		for (int broadcast = 0; broadcast < 2; broadcast++) {
			const char *local =
			    broadcast ? "192.0.2.9" : "192.0.2.1";
			struct letter l;

			begin(&l);
			if (order == 0)
				add_ipv4(&l, "192.0.2.1", local);
			add_ipv6(&l, "::ffff:192.0.2.1");
			if (order == 1)
				add_ipv4(&l, "192.0.2.1", local);

			const struct target t = target_of(&l.msg);

			assert_int_equal(t.family, AF_INET6);
			assert_int_equal(t.alone, !broadcast);
		}
}

static void
what_is_not_whole_is_not_believed(void **state)
{
	const struct in_pktinfo info = { 0 };
	struct letter l;

	(void)state;
	begin(&l);
	assert_false(target_of(&l.msg).known);
	assert_true(target_of(&l.msg).alone);

	add(&l, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info) - 1);
	assert_false(target_of(&l.msg).known);

	add(&l, SOL_SOCKET, IP_PKTINFO, &info, sizeof(info));
	assert_false(target_of(&l.msg).known);

	begin(&l);
	add_ipv4(&l, "192.0.2.1", "192.0.2.1");
	l.msg.msg_flags = MSG_CTRUNC;
	assert_false(target_of(&l.msg).alone);
}

static void
ipv4_replies_from_there(void **state)
{
	struct in_pktinfo want = { 0 };
	struct letter l;

	(void)state;
	begin(&l);
	add_ipv4(&l, "192.0.2.1", "192.0.2.1");

	const struct target t = target_of(&l.msg);

	target_reply_from(&l.msg, &t);

	const struct cmsghdr *c = CMSG_FIRSTHDR(&l.msg);

	assert_non_null(c);
	assert_int_equal(c->cmsg_level, IPPROTO_IP);
	assert_int_equal(c->cmsg_type, IP_PKTINFO);
	assert_int_equal(c->cmsg_len, CMSG_LEN(sizeof(want)));
	assert_int_equal(l.msg.msg_controllen, CMSG_SPACE(sizeof(want)));
	want.ipi_spec_dst = t.in; /* of any interface */
	assert_memory_equal(CMSG_DATA(c), &want, sizeof(want));
}

/* Only a link-local address means nothing without its interface. */
static void
ipv6_replies_from_there(void **state)
{
	static const char *const to[] = { "2001:db8::1", "fe80::1" };

	(void)state;
	for (size_t i = 0; i < COUNT(to); i++) {
		struct in6_pktinfo want = { .ipi6_ifindex =
						i == 1 ? INTERFACE : 0 };
		struct letter l;

		begin(&l);
		add_ipv6(&l, to[i]);

		const struct target t = target_of(&l.msg);

		target_reply_from(&l.msg, &t);

		const struct cmsghdr *c = CMSG_FIRSTHDR(&l.msg);

		assert_non_null(c);
		assert_int_equal(c->cmsg_level, IPPROTO_IPV6);
		assert_int_equal(c->cmsg_type, IPV6_PKTINFO);
		assert_int_equal(c->cmsg_len, CMSG_LEN(sizeof(want)));
		assert_int_equal(
		    l.msg.msg_controllen, CMSG_SPACE(sizeof(want)));
		want.ipi6_addr = t.in6;
		assert_memory_equal(CMSG_DATA(c), &want, sizeof(want));
	}
}

static void
without_a_target_the_kernel_chooses(void **state)
{
	const struct target none = { .known = false };
	struct letter l;

	(void)state;
	begin(&l);
	add_ipv4(&l, "192.0.2.1", "192.0.2.1");
	target_reply_from(&l.msg, &none);
	assert_null(l.msg.msg_control);
	assert_int_equal(l.msg.msg_controllen, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ipv4_is_told_from_its_broadcasts),
		cmocka_unit_test(ipv6_is_told_from_its_multicasts),
		cmocka_unit_test(both_count_in_either_order),
		cmocka_unit_test(what_is_not_whole_is_not_believed),
		cmocka_unit_test(ipv4_replies_from_there),
		cmocka_unit_test(ipv6_replies_from_there),
		cmocka_unit_test(without_a_target_the_kernel_chooses),
	};

	return cmocka_run_group_tests_name("target", tests, NULL, NULL);
}
