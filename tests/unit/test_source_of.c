/*
 * The source that a peer counts under, and how a source is written.
 */
#include "echod/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "support.h"

enum { SEED = 862, BITS = 128, ROUNDS = 20 };

static struct in6_addr
make_source(const char *ip)
{
	return make_v6(ip, 0, 0).in6.sin6_addr;
}

static void
expect_source(const struct address *addr, int prefix, const char *want)
{
	const struct in6_addr got = address_source(addr, prefix);
	const struct in6_addr source = make_source(want);
	char text[INET6_ADDRSTRLEN];

	if (memcmp(&got, &source, sizeof(got)) != 0)
		fail_msg("/%d: %s is wanted, %s came", prefix, want,
		    inet_ntop(AF_INET6, &got, text, sizeof(text)));
}

static void
v4_is_a_source_whole(void **state)
{
	static const char *const rows[] = { "0.0.0.0", "0.0.0.1", "127.0.0.1",
		"192.0.2.7", "192.0.2.255", "255.255.255.255" };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct address v4 = make_v4(rows[i], 50312);
		char mapped[32];

		snprintf(mapped, sizeof(mapped), "::ffff:%s", rows[i]);

		const struct address v6 = make_v6(mapped, 0, 862);

		/* --ipv6-prefix is not about IPv4, however it is written. */
		for (int prefix = 1; prefix <= BITS; prefix++) {
			expect_source(&v4, prefix, mapped);
			expect_source(&v6, prefix, mapped);
		}
	}
}

static void
v6_is_its_first_bits(void **state)
{
	static const struct {
		const char *ip;
		int prefix;
		const char *want;
	} rows[] = {
		{ "2001:db8:1:2:3:4:5:6", 64, "2001:db8:1:2::" },
		{ "2001:db8:1:2:ffff:ffff:ffff:ffff", 64, "2001:db8:1:2::" },
		{ "2001:db8:1:3:3:4:5:6", 64, "2001:db8:1:3::" },
		{ "2001:db8:1:2:3:4:5:6", 128, "2001:db8:1:2:3:4:5:6" },
		{ "2001:db8:1:2:3:4:5:ffff", 127, "2001:db8:1:2:3:4:5:fffe" },
		{ "2001:db8:1:2:3:4:5:ffff", 120, "2001:db8:1:2:3:4:5:ff00" },
		{ "2001:db8:1:2ff:3:4:5:6", 56, "2001:db8:1:200::" },
		{ "2001:db8:1:3ff:3:4:5:6", 56, "2001:db8:1:300::" },
		{ "2001:db8:1:ffff::", 57, "2001:db8:1:ff80::" },
		{ "2001:db8:1:ffff::", 63, "2001:db8:1:fffe::" },
		{ "2001:db8:1:2:ffff::", 65, "2001:db8:1:2:8000::" },
		{ "2001:db8:1:2::", 48, "2001:db8:1::" },
		{ "7fff:ffff::", 1, "::" },
		{ "8000::", 1, "8000::" },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 1, "8000::" },
		{ "::", 64, "::" },
		{ "::1", 64, "::" },
		{ "::1", 128, "::1" },
		{ "fe80::1", 64, "fe80::" },
		/* no IPv4-mapped ones */
		{ "::192.0.2.7", 128, "::192.0.2.7" },
		{ "::fffe:192.0.2.7", 96, "::fffe:0:0" },
		{ "::1:ffff:192.0.2.7", 96, "::1:ffff:0:0" },
		{ "64:ff9b::192.0.2.7", 64, "64:ff9b::" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct address addr = make_v6(rows[i].ip, 0, 50312);

		expect_source(&addr, rows[i].prefix, rows[i].want);
	}
}

/* Whether bit i, from the left, is the same in both. */
static bool
same_bit(const struct in6_addr *a, const struct in6_addr *b, int i)
{
	return !((a->s6_addr[i / 8] ^ b->s6_addr[i / 8]) & (0x80 >> i % 8));
}

static void
no_other_bit_counts(void **state)
{
	static const struct in6_addr none;
	uint64_t random = SEED;

	(void)state;
	print_message("seed %d\n", SEED);
	for (int prefix = 1; prefix <= BITS; prefix++)
		for (int round = 0; round < ROUNDS; round++) {
			struct address addr =
			    make_v6("::1", round, (uint16_t)prefix);
			struct in6_addr *ip = &addr.in6.sin6_addr;

			for (size_t i = 0; i < sizeof(ip->s6_addr); i++)
				ip->s6_addr[i] =
				    (uint8_t)random_below(&random, 256);

			const struct in6_addr got =
			    address_source(&addr, prefix);

			for (int i = 0; i < BITS; i++)
				if (!same_bit(&got, i < prefix ? ip : &none, i))
					fail_msg("bit %d of /%d", i, prefix);
		}
}

static void
port_and_scope_do_not_count(void **state)
{
	const struct address v4 = make_v4("192.0.2.7", 1);
	const struct address same4 = make_v4("192.0.2.7", 65535);
	const struct address v6 = make_v6("fe80::7", 1, 1);
	const struct address same6 = make_v6("fe80::7", 2, 65535);
	struct in6_addr a = address_source(&v4, 64);
	struct in6_addr b = address_source(&same4, 64);

	(void)state;
	assert_memory_equal(&a, &b, sizeof(a));
	a = address_source(&v6, 128);
	b = address_source(&same6, 128);
	assert_memory_equal(&a, &b, sizeof(a));
}

static void
source_is_written_for_people(void **state)
{
	static const struct {
		const char *source;
		int prefix;
		const char *want;
	} rows[] = {
		{ "::ffff:192.0.2.7", 64, "192.0.2.7" },
		{ "::ffff:192.0.2.7", 1, "192.0.2.7" },
		{ "::ffff:192.0.2.7", 128, "192.0.2.7" },
		{ "::ffff:0.0.0.0", 64, "0.0.0.0" },
		{ "::ffff:255.255.255.255", 64, "255.255.255.255" },
		{ "2001:db8::", 64, "2001:db8::/64" },
		{ "2001:db8:1:200::", 56, "2001:db8:1:200::/56" },
		{ "2001:DB8::7", 128, "2001:db8::7/128" },
		{ "::", 1, "::/1" },
		{ "8000::", 1, "8000::/1" },
		{ "::fffe:0:0", 96, "::fffe:0:0/96" },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 128,
		    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct in6_addr source = make_source(rows[i].source);
		char text[ADDRESS_TEXT_SIZE];

		memset(text, '#', sizeof(text));
		assert_ptr_equal(
		    address_format_source(&source, rows[i].prefix, text), text);
		assert_string_equal(text, rows[i].want);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(v4_is_a_source_whole),
		cmocka_unit_test(v6_is_its_first_bits),
		cmocka_unit_test(no_other_bit_counts),
		cmocka_unit_test(port_and_scope_do_not_count),
		cmocka_unit_test(source_is_written_for_people),
	};

	return cmocka_run_group_tests_name("source_of", tests, NULL, NULL);
}
