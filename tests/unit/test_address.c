/*
 * Addresses: every way to write one, and how a peer is written; networks, and
 * who is in them; the source that a peer counts under.
 */
#include "echod/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "support.h"

enum { SEED = 862, BITS = 128, ROUNDS = 20 };

/* What a label, and a whole host, may be at most. */
#define X15 "xxxxxxxxxxxxxxx"
#define X63 X15 X15 X15 X15 "xxx"
#define X255 X63 "." X63 "." X63 "." X63

static void
parse_takes_apart(void **state)
{
	static const struct {
		const char *text, *host;
		uint16_t port;
	} rows[] = {
		/* HOST, a name */
		{ "localhost", "localhost", 0 },
		{ "a", "a", 0 },
		{ "echo.example.org", "echo.example.org", 0 },
		{ "echo.example.org.", "echo.example.org.", 0 },
		{ "xn--bcher-kva.example", "xn--bcher-kva.example", 0 },
		{ "under_score-dash", "under_score-dash", 0 },
		{ "echo", "echo", 0 },
		{ X255, X255, 0 },
		/* HOST, an IPv4 address */
		{ "0.0.0.0", "0.0.0.0", 0 },
		{ "192.0.2.7", "192.0.2.7", 0 },
		{ "255.255.255.255", "255.255.255.255", 0 },
		/* HOST:PORT */
		{ "localhost:1", "localhost", 1 },
		{ "localhost:7", "localhost", 7 },
		{ "localhost:65535", "localhost", 65535 },
		{ "localhost:echo", "localhost", 7 },
		{ "echo:echo", "echo", 7 },
		{ "192.0.2.7:50312", "192.0.2.7", 50312 },
		{ "0.0.0.0:echo", "0.0.0.0", 7 },
		{ X255 ":7", X255, 7 },
		/* V6: all colons are its own */
		{ "::", "::", 0 },
		{ "::1", "::1", 0 },
		{ "::7", "::7", 0 },
		{ "1::", "1::", 0 },
		{ "2001:db8::7", "2001:db8::7", 0 },
		{ "2001:DB8::ABCD", "2001:DB8::ABCD", 0 },
		{ "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8", 0 },
		{ "::ffff:192.0.2.7", "::ffff:192.0.2.7", 0 },
		{ "fe80::1%2", "fe80::1%2", 0 },
		{ "fe80::1%eth0", "fe80::1%eth0", 0 },
		{ "fe80::1%eth0.100", "fe80::1%eth0.100", 0 },
		/* [V6] */
		{ "[::]", "::", 0 },
		{ "[::1]", "::1", 0 },
		{ "[2001:db8::7]", "2001:db8::7", 0 },
		{ "[::ffff:192.0.2.7]", "::ffff:192.0.2.7", 0 },
		{ "[fe80::1%eth0]", "fe80::1%eth0", 0 },
		/* [V6]:PORT */
		{ "[::]:7", "::", 7 },
		{ "[::1]:echo", "::1", 7 },
		{ "[2001:db8::7]:65535", "2001:db8::7", 65535 },
		{ "[1:2:3:4:5:6:7:8]:9", "1:2:3:4:5:6:7:8", 9 },
		{ "[::ffff:192.0.2.7]:7", "::ffff:192.0.2.7", 7 },
		{ "[fe80::1%2]:7", "fe80::1%2", 7 },
		{ "[fe80::1%eth0]:7", "fe80::1%eth0", 7 },
		{ "[fe80::1%4294967295]:7", "fe80::1%4294967295", 7 },
		/* :PORT */
		{ ":1", "", 1 },
		{ ":7", "", 7 },
		{ ":65535", "", 65535 },
		{ ":echo", "", 7 },
	};

	(void)state;
	assert_int_equal(strlen(X255), ADDRESS_HOST_SIZE - 1);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct address_spec spec;

		memset(&spec, 0xff, sizeof(spec));

		const char *bad = address_parse(rows[i].text, &spec);

		if (bad != NULL)
			fail_msg("'%s': %s", rows[i].text, bad);
		if (strcmp(spec.host, rows[i].host) != 0 ||
		    spec.port != rows[i].port)
			fail_msg("'%s' became '%s' and %u", rows[i].text,
			    spec.host, spec.port);
	}
}

static void
parse_refuses(void **state)
{
	static const struct {
		const char *text, *reason; /* a part of it */
	} rows[] = {
		{ "", "empty" },
		/* the host */
		{ X255 "x", "too long" },
		{ X255 "x:7", "too long" },
		{ "[" X255 "x]:7", "too long" },
		{ X255 X255 X255 X255 X255, "too long" },
		{ "local host", "character" },
		{ " localhost", "character" },
		{ "localhost ", "character" },
		{ " :7", "character" },
		{ "b\xc3\xbc"
		  "cher.example",
		    "character" },
		/* brackets */
		{ "[", "closed" },
		{ "[::1", "closed" },
		{ "[::1:7", "closed" },
		{ "[]", "nothing" },
		{ "[]:7", "nothing" },
		{ "[::1]7", "follow" },
		{ "[::1] ", "follow" },
		{ "[::1]]", "follow" },
		{ "[::1]]:7", "follow" },
		{ "[::1][::1]", "follow" },
		{ "[[::1]]:7", "" },
		{ "[[::1]", "character" },
		{ "]", "character" },
		{ "::1]", "character" },
		{ "localhost]:7", "character" },
		{ "local[host", "character" },
		{ "::1[", "character" },
		{ "host[::1]:7", "character" },
		/* the port */
		{ ":", "port" },
		{ "localhost:", "port" },
		{ "192.0.2.7:", "port" },
		{ "[::1]:", "port" },
		{ "[::1]::7", "port" },
		{ "[::1]:7:7", "port" },
		{ ":0", "port" },
		{ "localhost:0", "port" },
		{ "[::1]:0", "port" },
		{ ":65536", "port" },
		{ "localhost:65536", "port" },
		{ ":-1", "port" },
		{ ":+7", "port" },
		{ ": 7", "port" },
		{ ":7 ", "port" },
		{ ":7x", "port" },
		{ ":0x7", "port" },
		{ ":7.0", "port" },
		{ ":4294967303", "port" },
		{ ":18446744073709551623", "port" },
		{ ":99999999999999999999", "port" },
		{ "localhost:no-such-service", "port" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct address_spec spec;
		const char *bad = address_parse(rows[i].text, &spec);

		if (bad == NULL)
			fail_msg("'%s' became '%s' and %u", rows[i].text,
			    spec.host, spec.port);
		if (strstr(bad, rows[i].reason) == NULL)
			fail_msg("'%s': %s", rows[i].text, bad);
	}
}

/* More than one colon, or brackets, are for IPv6 addresses only. */
static void
parse_refuses_what_no_v6_is(void **state)
{
	static const char *const rows[] = {
		":7:7",
		"localhost:7:7",
		"192.0.2.7:7:7",
		":::",
		"1:2:3",
		"1:2:3:4:5:6:7:8:9",
		"12345::",
		"::g",
		"1::2::3",
		"fe80::1%",
		"[fe80::1%]:7",
		"[%eth0]",
		"[localhost]",
		"[localhost]:7",
		"[192.0.2.7]:7",
		"[7]",
	};
	size_t taken = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct address_spec spec;

		if (address_parse(rows[i], &spec) != NULL)
			continue;
		print_error(
		    "'%s' became '%s' and %u\n", rows[i], spec.host, spec.port);
		taken++;
	}
	assert_int_equal(taken, 0);
}

static void
parse_refuses_control_characters(void **state)
{
	static const char *const at[] = { "%clocalhost", "local%chost:7",
		"localhost%c", "[::%c1]:7", ":%c7", ":7%c", ":ec%cho" };

	(void)state;
	for (int c = 1; c < 256; c++) {
		if (c > ' ' && c < 127)
			continue;
		for (size_t i = 0; i < COUNT(at); i++) {
			const char *percent = strchr(at[i], '%');
			struct address_spec spec;
			char text[32];

			snprintf(text, sizeof(text), "%.*s%c%s",
			    (int)(percent - at[i]), at[i], c, percent + 2);
			if (address_parse(text, &spec) == NULL)
				fail_msg("%s with character %d", at[i], c);
		}
	}
}

static void
port_is_a_number_or_a_service(void **state)
{
	static const struct {
		const char *text;
		uint16_t port;
	} rows[] = {
		{ "1", 1 },
		{ "7", 7 },
		{ "1023", 1023 },
		{ "32768", 32768 },
		{ "65535", 65535 },
		{ "echo", 7 },
		{ "0", 0 },
		{ "00", 0 },
		{ "65536", 0 },
		{ "65543", 0 }, /* 7, modulo 2^16 */
		{ "-1", 0 },
		{ "-7", 0 },
		{ "+1", 0 },
		{ "+7", 0 },
		{ " 7", 0 },
		{ "\t7", 0 },
		{ "\n7", 0 },
		{ "7 ", 0 },
		{ "7\n", 0 },
		{ "7x", 0 },
		{ "0x7", 0 },
		{ "7,8", 0 },
		{ "7-8", 0 },
		{ "7.", 0 },
		{ "1e3", 0 },
		{ "", 0 },
		{ "-", 0 },
		{ " ", 0 },
		{ "2147483648", 0 },
		{ "4294967303", 0 }, /* 7, modulo 2^32 */
		{ "9223372036854775808", 0 },
		{ "18446744073709551623", 0 }, /* 7, modulo 2^64 */
		{ "99999999999999999999", 0 },
		{ "no-such-service", 0 },
		{ "echo ", 0 },
		{ "echoes", 0 },
		{ "7/tcp", 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const uint16_t port = address_parse_port(rows[i].text);

		if (port != rows[i].port)
			fail_msg("'%s' became %u", rows[i].text, port);
	}
}

static void
port_is_a_service_of_tcp(void **state)
{
	static const char *const names[] = { "ssh", "http", "domain", "tftp" };

	(void)state;
	/* The last is UDP's only.  Without /etc/services nothing is known. */
	for (size_t i = 0; i < COUNT(names); i++) {
		const struct servent *se = getservbyname(names[i], "tcp");
		const uint16_t want =
		    se != NULL ? ntohs((uint16_t)se->s_port) : 0;

		assert_int_equal(address_parse_port(names[i]), want);
	}
}

static void
every_port_is_read_and_written(void **state)
{
	(void)state;
	for (unsigned port = 1; port <= UINT16_MAX; port++) {
		const struct address v4 = make_v4("192.0.2.7", (uint16_t)port);
		const struct address v6 = make_v6("::1", 0, (uint16_t)port);
		char digits[8];

		snprintf(digits, sizeof(digits), "%u", port);
		assert_int_equal(address_parse_port(digits), port);
		assert_int_equal(address_port(&v4), port);
		assert_int_equal(address_port(&v6), port);
	}
}

struct form {
	int family;
	const char *ip;
	uint32_t scope;
	uint16_t port;
	const char *text;
};

static struct address
make(const struct form *row)
{
	return row->family == AF_INET ? make_v4(row->ip, row->port)
				      : make_v6(row->ip, row->scope, row->port);
}

static const struct form forms[] = {
	{ AF_INET, "0.0.0.0", 0, 7, "0.0.0.0:7" },
	{ AF_INET, "127.0.0.1", 0, 1234, "127.0.0.1:1234" },
	{ AF_INET, "192.0.2.7", 0, 50312, "192.0.2.7:50312" },
	{ AF_INET, "1.2.3.4", 0, 1, "1.2.3.4:1" },
	{ AF_INET, "255.255.255.255", 0, 65535, "255.255.255.255:65535" },
	{ AF_INET6, "::", 0, 7, "[::]:7" },
	{ AF_INET6, "::1", 0, 50312, "[::1]:50312" },
	{ AF_INET6, "2001:db8::7", 0, 50312, "[2001:db8::7]:50312" },
	{ AF_INET6, "2001:DB8:0:0:1::0:7", 0, 7, "[2001:db8::1:0:0:7]:7" },
	{ AF_INET6, "1:2:3:4:5:6:7:8", 0, 256, "[1:2:3:4:5:6:7:8]:256" },
	{ AF_INET6, "::ffff:0:0", 0, 7, "0.0.0.0:7" },
	{ AF_INET6, "::ffff:192.0.2.7", 0, 50312, "192.0.2.7:50312" },
	{ AF_INET6, "::fffe:192.0.2.7", 0, 7, "[::fffe:c000:207]:7" },
	{ AF_INET6, "::192.0.2.7", 0, 7, "[::192.0.2.7]:7" },
	{ AF_INET6, "64:ff9b::192.0.2.7", 0, 7, "[64:ff9b::c000:207]:7" },
	{ AF_INET6, "fe80::1", 0, 7, "[fe80::1]:7" },
	{ AF_INET6, "fe80::1", 1, 7, "[fe80::1%1]:7" },
	{ AF_INET6, "fe80::1", 2147483648, 7, "[fe80::1%2147483648]:7" },
	{ AF_INET6, "ff02::1", 4294967295, 7, "[ff02::1%4294967295]:7" },
	{ AF_INET6, "fe80:1111:2222:3333:4444:5555:6666:7777", 4294967295,
	    65535,
	    "[fe80:1111:2222:3333:4444:5555:6666:7777%4294967295]:65535" },
};

static void
format_is_what_a_person_types(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(forms); i++) {
		const struct address addr = make(&forms[i]);
		char text[ADDRESS_TEXT_SIZE];

		memset(text, '#', sizeof(text));
		assert_ptr_equal(address_format(&addr, text), text);
		assert_string_equal(text, forms[i].text);
	}
}

static void
format_can_be_parsed_again(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(forms); i++) {
		const struct address addr = make(&forms[i]);
		char text[ADDRESS_TEXT_SIZE], again[300];
		struct address_spec spec;

		assert_null(address_parse(address_format(&addr, text), &spec));
		assert_int_equal(spec.port, forms[i].port);
		snprintf(again, sizeof(again),
		    text[0] == '[' ? "[%s]:%u" : "%s:%u", spec.host, spec.port);
		assert_string_equal(again, text);
	}
}

static void
wildcard_is_every_interface(void **state)
{
	static const struct form rows[] = {
		{ AF_INET, "0.0.0.0", 0, 7, "yes" },
		{ AF_INET, "0.0.0.0", 0, 0, "yes" },
		{ AF_INET6, "::", 0, 7, "yes" },
		{ AF_INET, "127.0.0.1", 0, 7, "" },
		{ AF_INET, "0.0.0.1", 0, 7, "" },
		{ AF_INET, "128.0.0.0", 0, 7, "" },
		{ AF_INET, "255.255.255.255", 0, 7, "" },
		{ AF_INET6, "::1", 0, 7, "" },
		{ AF_INET6, "8000::", 0, 7, "" },
		{ AF_INET6, "::ffff:0.0.0.0", 0, 7, "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct address addr = make(&rows[i]);

		if (address_is_wildcard(&addr) != (rows[i].text[0] != '\0'))
			fail_msg("%s", rows[i].ip);
	}
}

static void
groups_are_told_from_hosts(void **state)
{
	static const struct form rows[] = {
		{ AF_INET, "224.0.0.0", 0, 7, "yes" },
		{ AF_INET, "224.0.0.1", 0, 0, "yes" },
		{ AF_INET, "239.255.255.255", 0, 7, "yes" },
		{ AF_INET, "255.255.255.255", 0, 7, "yes" },
		{ AF_INET6, "ff00::", 0, 7, "yes" },
		{ AF_INET6, "ff02::1", 2, 7, "yes" },
		{ AF_INET6, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 0, 7,
		    "yes" },
		{ AF_INET6, "::ffff:224.0.0.1", 0, 7, "yes" },
		{ AF_INET6, "::ffff:255.255.255.255", 0, 7, "yes" },
		{ AF_INET, "0.0.0.0", 0, 7, "" },
		{ AF_INET, "127.0.0.1", 0, 7, "" },
		{ AF_INET, "1.0.0.224", 0, 7, "" },
		{ AF_INET, "223.255.255.255", 0, 7, "" },
		{ AF_INET, "240.0.0.0", 0, 7, "" },
		{ AF_INET, "255.255.255.254", 0, 7, "" },
		{ AF_INET, "192.0.2.255", 0, 7, "" }, /* only its net knows */
		{ AF_INET6, "::", 0, 7, "" },
		{ AF_INET6, "::1", 0, 7, "" },
		{ AF_INET6, "feff::1", 0, 7, "" },
		{ AF_INET6, "fe80::1", 2, 7, "" },
		{ AF_INET6, "::ffff:192.0.2.7", 0, 7, "" },
		{ AF_INET6, "::224.0.0.1", 0, 7, "" },
		{ AF_INET6, "ff::", 0, 7, "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct address addr = make(&rows[i]);

		if (address_is_group(&addr) != (rows[i].text[0] != '\0'))
			fail_msg("%s", rows[i].ip);
	}
}

/*
 * Networks.
 */

static struct network
make_network(const char *text)
{
	struct network net;

	memset(&net, 0xff, sizeof(net));

	const char *bad = address_parse_network(text, &net);

	if (bad != NULL)
		fail_msg("'%s': %s", text, bad);
	return net;
}

static void
networks_are_read(void **state)
{
	static const struct {
		const char *text, *net;
		int bits;
	} rows[] = {
		{ "0.0.0.0/0", "::ffff:0.0.0.0", 96 },
		{ "128.0.0.0/1", "::ffff:128.0.0.0", 97 },
		{ "10.0.0.0/8", "::ffff:10.0.0.0", 104 },
		{ "192.0.2.0/24", "::ffff:192.0.2.0", 120 },
		{ "192.0.2.128/25", "::ffff:192.0.2.128", 121 },
		{ "192.0.2.6/31", "::ffff:192.0.2.6", 127 },
		{ "192.0.2.7/32", "::ffff:192.0.2.7", 128 },
		{ "192.0.2.7", "::ffff:192.0.2.7", 128 },
		{ "0.0.0.0", "::ffff:0.0.0.0", 128 },
		{ "255.255.255.255", "::ffff:255.255.255.255", 128 },
		{ "::/0", "::", 0 },
		{ "8000::/1", "8000::", 1 },
		{ "2001:db8::/32", "2001:db8::", 32 },
		{ "2001:DB8:0:0:1::/80", "2001:db8:0:0:1::", 80 },
		{ "fe80::/10", "fe80::", 10 },
		{ "::1/128", "::1", 128 },
		{ "::1", "::1", 128 },
		{ "::", "::", 128 },
		{ "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8", 128 },
		/* IPv4 written as IPv6: the bits are counted as written */
		{ "::ffff:192.0.2.0/120", "::ffff:192.0.2.0", 120 },
		{ "::ffff:0:0/96", "::ffff:0.0.0.0", 96 },
		{ "::ffff:192.0.2.7", "::ffff:192.0.2.7", 128 },
		/* the longest that is one */
		{ "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255/128",
		    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 128 },
		/* numbers are read as those of options are */
		{ "192.0.2.0/024", "::ffff:192.0.2.0", 120 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct network net = make_network(rows[i].text);
		struct in6_addr want;

		assert_int_equal(inet_pton(AF_INET6, rows[i].net, &want), 1);
		if (memcmp(&net.net, &want, sizeof(want)) != 0 ||
		    net.bits != rows[i].bits)
			fail_msg("'%s' has %d bits", rows[i].text, net.bits);
	}
}

static void
no_networks_are_refused(void **state)
{
	static const struct {
		const char *text, *reason; /* a part of it */
	} rows[] = {
		{ "", "IPv6 address" },
		{ "/", "IPv6 address" },
		{ "/24", "IPv6 address" },
		{ "x", "IPv6 address" },
		{ "localhost", "IPv6 address" },
		{ "localhost/24", "IPv6 address" },
		{ " 192.0.2.0/24", "IPv6 address" },
		{ "192.0.2.0 /24", "IPv6 address" },
		{ "192.0.2/24", "IPv6 address" },
		{ "192.0.2.0.0/24", "IPv6 address" },
		{ "192.0.2.256", "IPv6 address" },
		{ "0xc0.0.2.7", "IPv6 address" },
		{ "010.0.0.0/8", "IPv6 address" },
		{ "3221225991", "IPv6 address" },
		{ "[::1]", "IPv6 address" },
		{ "[::1]/128", "IPv6 address" },
		{ "::1%lo", "IPv6 address" },
		{ "fe80::%1/64", "IPv6 address" },
		{ "::g/16", "IPv6 address" },
		{ "192.0.2.7:50312", "IPv6 address" },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.2555", "IPv6 " },
		{ "11111111111111111111111111111111111111111111111111111111/8",
		    "IPv6 address" },
		/* bits */
		{ "192.0.2.0/", "0 to 32 bits" },
		{ "192.0.2.0/33", "0 to 32 bits" },
		{ "192.0.2.0/120", "0 to 32 bits" },
		{ "192.0.2.0/-1", "0 to 32 bits" },
		{ "192.0.2.0/+8", "0 to 32 bits" },
		{ "192.0.2.0/ 24", "0 to 32 bits" },
		{ "192.0.2.0/24 ", "0 to 32 bits" },
		{ "192.0.2.0/24/24", "0 to 32 bits" },
		{ "192.0.2.0//24", "0 to 32 bits" },
		{ "192.0.2.0/x", "0 to 32 bits" },
		{ "192.0.2.0/0x18", "0 to 32 bits" },
		{ "192.0.2.0/255.255.255.0", "0 to 32 bits" },
		{ "192.0.2.0/4294967320", "0 to 32 bits" }, /* 24 mod 2^32 */
		{ "::/", "0 to 128 bits" },
		{ "::/129", "0 to 128 bits" },
		{ "2001:db8::/-1", "0 to 128 bits" },
		{ "2001:db8::/32x", "0 to 128 bits" },
		/* an address where a network is meant, or a slip */
		{ "192.0.2.7/24", "beyond" },
		{ "192.0.2.1/0", "beyond" },
		{ "192.0.2.7/31", "beyond" },
		{ "128.0.0.0/0", "beyond" },
		{ "2001:db8::1/32", "beyond" },
		{ "2001:db8::/31x", "0 to 128 bits" },
		{ "2001:db8::/28", "beyond" },
		{ "::1/127", "beyond" },
		{ "::ffff:192.0.2.0/24", "beyond" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct network net;
		const char *bad = address_parse_network(rows[i].text, &net);

		if (bad == NULL)
			fail_msg("'%s' is taken", rows[i].text);
		if (strstr(bad, rows[i].reason) == NULL)
			fail_msg("'%s': %s", rows[i].text, bad);
	}
}

static void
networks_have_their_addresses(void **state)
{
	static const struct {
		const char *net, *ip;
		bool in;
	} rows[] = {
		{ "192.0.2.0/24", "192.0.2.0", true },
		{ "192.0.2.0/24", "192.0.2.7", true },
		{ "192.0.2.0/24", "192.0.2.255", true },
		{ "192.0.2.0/24", "192.0.1.255", false },
		{ "192.0.2.0/24", "192.0.3.0", false },
		{ "192.0.2.128/25", "192.0.2.127", false },
		{ "192.0.2.128/25", "192.0.2.128", true },
		{ "192.0.2.7", "192.0.2.7", true },
		{ "192.0.2.7", "192.0.2.6", false },
		{ "192.0.2.7/32", "192.0.2.7", true },
		{ "0.0.0.0/0", "0.0.0.0", true },
		{ "0.0.0.0/0", "255.255.255.255", true },
		{ "2001:db8::/32", "2001:db8::", true },
		{ "2001:db8::/32", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
		    true },
		{ "2001:db8::/32", "2001:db7:ffff::", false },
		{ "2001:db8::/32", "2001:db9::", false },
		{ "2001:db8::/61", "2001:db8:0:7::1", true },
		{ "2001:db8::/61", "2001:db8:0:8::1", false },
		{ "::1", "::1", true },
		{ "::1", "::2", false },
		/* IPv4 on a socket of IPv6 is IPv4 */
		{ "192.0.2.0/24", "::ffff:192.0.2.7", true },
		{ "192.0.2.0/24", "::ffff:192.0.3.7", false },
		{ "192.0.2.7", "::ffff:192.0.2.7", true },
		{ "0.0.0.0/0", "::ffff:192.0.2.7", true },
		{ "::ffff:192.0.2.0/120", "192.0.2.7", true },
		{ "::ffff:192.0.2.0/120", "192.0.3.7", false },
		/* but no IPv6 is */
		{ "0.0.0.0/0", "::1", false },
		{ "0.0.0.0/0", "::192.0.2.7", false },
		{ "192.0.2.0/24", "2001:db8::7", false },
		/* all that there is */
		{ "::/0", "::", true },
		{ "::/0", "2001:db8::7", true },
		{ "::/0", "192.0.2.7", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct network net = make_network(rows[i].net);
		const bool v6 = strchr(rows[i].ip, ':') != NULL;
		/* Port and scope do not matter. */
		const struct address addr = v6
		    ? make_v6(rows[i].ip, 7, (uint16_t)(i * 1000))
		    : make_v4(rows[i].ip, (uint16_t)(i * 1000));

		if (address_in_network(&addr, &net) != rows[i].in)
			fail_msg("%s and %s", rows[i].ip, rows[i].net);
	}
}

/* Of each length: the address itself, and the ones with one bit turned. */
static void
every_bit_counts_as_it_should(void **state)
{
	static const char ip[] = "a5a5:5a5a:c3c3:3c3c:9696:6969:f0f0:0f0f";
	const struct address addr = make_v6(ip, 0, 7);

	(void)state;
	for (int bits = 0; bits <= BITS; bits++) {
		struct network net = { .bits = bits };

		for (int i = 0; i < bits; i++)
			net.net.s6_addr[i / 8] |=
			    addr.in6.sin6_addr.s6_addr[i / 8] & 0x80 >> i % 8;
		assert_true(address_in_network(&addr, &net));
		for (int i = 0; i < BITS; i++) {
			struct address other = addr;

			other.in6.sin6_addr.s6_addr[i / 8] ^= 0x80 >> i % 8;
			if (address_in_network(&other, &net) != (i >= bits))
				fail_msg("bit %d of %d", i, bits);
		}
	}
}

static void
one_network_of_several_is_enough(void **state)
{
	const struct network net[] = { make_network("192.0.2.0/24"),
		make_network("2001:db8::/32"), make_network("198.51.100.7") };
	static const struct {
		const char *ip;
		size_t least; /* of them, to be among; 0: it never is */
	} rows[] = {
		{ "192.0.2.7", 1 },
		{ "::ffff:192.0.2.255", 1 },
		{ "2001:db8:7::7", 2 },
		{ "198.51.100.7", 3 },
		{ "198.51.100.8", 0 },
		{ "192.0.3.0", 0 },
		{ "2001:db9::", 0 },
		{ "::", 0 },
		{ "0.0.0.0", 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const bool v6 = strchr(rows[i].ip, ':') != NULL;
		const struct address addr =
		    v6 ? make_v6(rows[i].ip, 0, 7) : make_v4(rows[i].ip, 7);

		for (size_t n = 0; n <= COUNT(net); n++)
			if (address_in_networks(&addr, net, n) !=
			    (rows[i].least > 0 && n >= rows[i].least))
				fail_msg("%s, of %zu", rows[i].ip, n);
		/* Without any, there need be no array. */
		assert_false(address_in_networks(&addr, NULL, 0));
	}
}

static void
equal_is_same_address_and_port(void **state)
{
	/* No two of these are the same socket. */
	static const struct form rows[] = {
		{ AF_INET, "0.0.0.0", 0, 7, NULL },
		{ AF_INET, "0.0.0.0", 0, 8, NULL },
		{ AF_INET, "0.0.0.0", 0, 7 << 8, NULL },
		{ AF_INET, "127.0.0.1", 0, 7, NULL },
		{ AF_INET, "127.0.0.2", 0, 7, NULL },
		{ AF_INET6, "::", 0, 7, NULL },
		{ AF_INET6, "::1", 0, 7, NULL },
		{ AF_INET6, "::1", 0, 8, NULL },
		{ AF_INET6, "::ffff:0.0.0.0", 0, 7, NULL },
		{ AF_INET6, "::ffff:127.0.0.1", 0, 7, NULL },
		{ AF_INET6, "fe80::1", 1, 7, NULL },
		{ AF_INET6, "fe80::1", 2, 7, NULL },
		{ AF_INET6, "fe80::2", 1, 7, NULL },
		{ AF_INET6, "8000::1", 1, 7, NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		for (size_t j = 0; j < COUNT(rows); j++) {
			struct address a = make(&rows[i]);
			struct address b = make(&rows[j]);

			if (address_equal(&a, &b) != (i == j))
				fail_msg("%s and %s, rows %zu and %zu",
				    rows[i].ip, rows[j].ip, i, j);
			/* What bind(2) does not look at. */
			if (b.sa.sa_family == AF_INET)
				memset(
				    b.in.sin_zero, 0xff, sizeof(b.in.sin_zero));
			else
				b.in6.sin6_flowinfo = 0xffff;
			if (address_equal(&a, &b) != (i == j))
				fail_msg("%s and %s, rows %zu and %zu",
				    rows[i].ip, rows[j].ip, i, j);
		}
}

/*
 * Sources.
 */

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
		cmocka_unit_test(parse_takes_apart),
		cmocka_unit_test(parse_refuses),
		cmocka_unit_test(parse_refuses_what_no_v6_is),
		cmocka_unit_test(parse_refuses_control_characters),
		cmocka_unit_test(port_is_a_number_or_a_service),
		cmocka_unit_test(port_is_a_service_of_tcp),
		cmocka_unit_test(every_port_is_read_and_written),
		cmocka_unit_test(format_is_what_a_person_types),
		cmocka_unit_test(format_can_be_parsed_again),
		cmocka_unit_test(wildcard_is_every_interface),
		cmocka_unit_test(groups_are_told_from_hosts),
		cmocka_unit_test(networks_are_read),
		cmocka_unit_test(no_networks_are_refused),
		cmocka_unit_test(networks_have_their_addresses),
		cmocka_unit_test(every_bit_counts_as_it_should),
		cmocka_unit_test(one_network_of_several_is_enough),
		cmocka_unit_test(equal_is_same_address_and_port),
		cmocka_unit_test(v4_is_a_source_whole),
		cmocka_unit_test(v6_is_its_first_bits),
		cmocka_unit_test(no_other_bit_counts),
		cmocka_unit_test(port_and_scope_do_not_count),
		cmocka_unit_test(source_is_written_for_people),
	};

	return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
