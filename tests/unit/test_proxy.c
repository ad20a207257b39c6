/*
 * PROXY headers: every form of them, byte by byte, and where they go wrong.
 */
#include "echod/proxy.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V4 "\xc0\0\2\7\xc6\x33\x64\1\xc4\x88\0\7" /* 192.0.2.7:50312 */
#define V6                                                                     \
	"\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\7"                                \
	"\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1"                                \
	"\xc4\x88\0\7" /* [2001:db8::7]:50312 */
/* An IPv6 address with as many characters as one may have, and one less. */
#define LONGEST "0" LONG
#define LONG "000:0000:0000:0000:0000:ffff:255.255.255.255"

/* A header, or what is like one. */
struct header {
	size_t len;
	uint8_t bytes[65536 + 64];
};

enum { LOCAL = 0x20, PROXY = 0x21, CRC32C = 3, NOOP = 4, FIXED = 16 };

static void
append(struct header *h, const void *data, size_t len)
{
	assert_in_range(h->len + len, 0, sizeof(h->bytes));
	if (len > 0)
		memcpy(&h->bytes[h->len], data, len);
	h->len += len;
}

/* Start one of version 2 with so many zeros behind its fixed part. */
static void
start(struct header *h, uint8_t command, uint8_t family, size_t zeros)
{
	memset(h, 0, sizeof(*h));
	append(h, SIGNATURE, 12);
	append(h, &command, 1);
	append(h, &family, 1);
	h->len = FIXED + zeros;
}

/* The same with what belongs there. */
static void
start_v4(struct header *h)
{
	start(h, PROXY, 0x11, 0);
	append(h, V4, 12);
}

static void
set_length(struct header *h, size_t length)
{
	h->bytes[14] = (uint8_t)(length >> 8);
	h->bytes[15] = (uint8_t)length;
}

static void
finish(struct header *h)
{
	set_length(h, h->len - FIXED);
}

static void
append_tlv(struct header *h, uint8_t type, const void *value, size_t size)
{
	const uint8_t fixed[] = { type, (uint8_t)(size >> 8), (uint8_t)size };

	append(h, fixed, sizeof(fixed));
	append(h, value, size);
}

/* Another implementation than that under test: bits unreflected. */
static uint32_t
crc32c(const uint8_t *bytes, size_t len)
{
	uint32_t crc = UINT32_MAX, reflected = 0;

	for (size_t i = 0; i < 8 * len; i++) {
		const uint32_t bit = bytes[i / 8] >> i % 8 & 1;

		crc = crc << 1 ^ ((crc >> 31 ^ bit) != 0 ? 0x1edc6f41 : 0);
	}
	for (int i = 0; i < 32; i++)
		reflected |= (crc >> i & 1) << (31 - i);
	return ~reflected;
}

/* Put the right checksum at a place where zeros are. */
static void
set_sum(struct header *h, size_t at)
{
	const uint32_t crc = crc32c(h->bytes, h->len);

	for (size_t i = 0; i < 4; i++)
		h->bytes[at + i] = (uint8_t)(crc >> (24 - 8 * i));
}

/* Parse bytes behind which there is nothing that may be read. */
static enum proxy_result
parse(const void *data, size_t len, struct address *peer, size_t *used)
{
	void *copy = malloc(len);

	if (len > 0) {
		assert_non_null(copy);
		memcpy(copy, data, len);
	}

	const enum proxy_result result = proxy_parse(copy, len, peer, used);

	free(copy);
	return result;
}

/* The result, which sets what it says it sets. */
static enum proxy_result
result_of(const void *data, size_t len)
{
	struct address peer, before;
	size_t used = SIZE_MAX;

	memset(&before, 0xa5, sizeof(before));
	memcpy(&peer, &before, sizeof(peer));

	const enum proxy_result result = parse(data, len, &peer, &used);
	const bool done = result == PROXY_PEER || result == PROXY_LOCAL;

	assert_int_equal(used <= len, done);
	if (!done)
		assert_true(used == SIZE_MAX);
	if (result != PROXY_PEER)
		assert_memory_equal(&peer, &before, sizeof(peer));
	return result;
}

/* The first so many bytes are right, and nothing is with any that follow. */
static void
expect_stop(
    const void *data, size_t len, size_t right, enum proxy_result result)
{
	const char *text = data;

	for (size_t i = 0; i <= len; i++) {
		const enum proxy_result want = i <= right ? PROXY_MORE : result;
		const enum proxy_result got = result_of(data, i);

		if (got != want)
			fail_msg("%d, not %d, at %zu of %zu: %.*s", got, want,
			    i, len, (int)i, text);
	}
}

/* No byte is missing, and whatever follows is not the header's. */
static void
expect_whole(const void *data, size_t len, const char *peer)
{
	static const char *const payloads[] = { "", "\r", "\n", "\r\n", " ",
		"0", "x", "PROXY UNKNOWN\r\n", "\r\n\r\n", "\x03" };
	const enum proxy_result want = peer[0] ? PROXY_PEER : PROXY_LOCAL;
	struct address addr;
	char text[ADDRESS_TEXT_SIZE];
	struct header h;

	expect_stop(data, len - 1, len - 1, PROXY_MORE);
	for (size_t i = 0; i < COUNT(payloads); i++) {
		size_t used = 0;

		h.len = 0;
		append(&h, data, len);
		append(&h, payloads[i], strlen(payloads[i]));
		assert_int_equal(result_of(h.bytes, h.len), want);
		assert_int_equal(parse(h.bytes, h.len, &addr, &used), want);
		assert_int_equal(used, len);
		if (want == PROXY_PEER)
			assert_string_equal(address_format(&addr, text), peer);
	}
}

static void
expect_wrong_at(const struct header *h, size_t right)
{
	expect_stop(h->bytes, h->len, right, PROXY_WRONG);
}

static void
nothing_may_become_anything(void **state)
{
	size_t used = 7;

	(void)state;
	assert_int_equal(proxy_parse(NULL, 0, NULL, &used), PROXY_MORE);
	assert_int_equal(used, 7);
	for (int c = 0; c < 256; c++) {
		const uint8_t byte = (uint8_t)c;

		assert_int_equal(result_of(&byte, 1),
		    c == 'P' || c == '\r' ? PROXY_MORE : PROXY_WRONG);
	}
}

static void
line_has_a_peer(void **state)
{
	static const struct {
		const char *line, *peer;
	} rows[] = {
		{ "TCP4 192.168.0.1 192.168.0.11 56324 443",
		    "192.168.0.1:56324" },
		{ "TCP4 255.255.255.255 255.255.255.255 65535 65535",
		    "255.255.255.255:65535" },
		{ "TCP4 0.0.0.0 0.0.0.0 0 0", "0.0.0.0:0" },
		{ "TCP4 10.20.100.249 1.2.3.4 1 65535", "10.20.100.249:1" },
		{ "TCP6 :: :: 0 0", "[::]:0" },
		{ "TCP6 2001:db8::7 ::1 50312 7", "[2001:db8::7]:50312" },
		{ "TCP6 1:2:3:4:5:6:7:8 8:7:6:5:4:3:2:1 1 2",
		    "[1:2:3:4:5:6:7:8]:1" },
		{ "TCP6 1:2:3:4:5:6:7:: ::2:3:4:5:6:7:8 1 2",
		    "[1:2:3:4:5:6:7:0]:1" },
		{ "TCP6 2001:DB8::aBcD fe80:: 1 2", "[2001:db8::abcd]:1" },
		{ "TCP6 0001:0002::0003 ::1 1 2", "[1:2::3]:1" },
		{ "TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
		  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535",
		    "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535" },
		{ "TCP6 ::ffff:192.0.2.7 ::1 50312 7", "192.0.2.7:50312" },
		{ "TCP6 1:2:3:4:5:6:1.2.3.4 ::1.2.3.4 1 2",
		    "[1:2:3:4:5:6:102:304]:1" },
		{ "TCP6 1::5:6:1.2.3.4 1::2:3:4:5:1.2.3.4 1 2",
		    "[1::5:6:102:304]:1" },
		{ "TCP6 " LONGEST " ::255.255.255.255 65535 65535",
		    "255.255.255.255:65535" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char line[128];
		const int len =
		    snprintf(line, sizeof(line), "PROXY %s\r\n", rows[i].line);

		expect_whole(line, (size_t)len, rows[i].peer);
	}
}

static void
line_of_unknown_is_local(void **state)
{
	static const struct {
		const char *line;
		size_t len;
	} rows[] = {
#define ROW(text) { text, sizeof(text) - 1 }
		ROW("PROXY UNKNOWN\r\n"),
		ROW("PROXY UNKNOWN \r\n"),
		ROW("PROXY UNKNOWN  \r\n"),
		ROW("PROXY UNKNOWN ::1 ::2 3 4\r\n"),
		ROW("PROXY UNKNOWN what you like, \r and \n, \n\r, \0\xff\r\n"),
		ROW("PROXY UNKNOWN \r\r\n"),
#undef ROW
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		expect_whole(rows[i].line, rows[i].len, "");
}

/* Each may begin a line, and cannot go on with what follows it. */
static const struct {
	const char *right, *wrong;
} wrong_lines[] = {
	/* the words */
	{ "", "proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n" },
	{ "", "GET / HTTP/1.1\r\n" },
	{ "", " PROXY UNKNOWN\r\n" },
	{ "P", "OST / HTTP/1.1\r\n" },
	{ "PROXY", "\tTCP4 1.2.3.4" },
	{ "PROXY", "\r\n" },
	{ "PROXY ", " TCP4 1.2.3.4" },
	{ "PROXY ", "tcp4 1.2.3.4" },
	{ "PROXY U", "DP4 1.2.3.4" },
	{ "PROXY TCP", " 1.2.3.4" },
	{ "PROXY TCP", "5 1.2.3.4" },
	{ "PROXY TCP4", "6 1.2.3.4" },
	{ "PROXY TCP4", "\r\n" },
	{ "PROXY TCP6", "\r\n" },
	{ "PROXY UNKNOWN", "S\r\n" },
	{ "PROXY UNKNOWN", "\n" },
	{ "PROXY UNKNOWN\r", "\r\n" },
	{ "PROXY UNKNOWN\r", " \r\n" },
	/* IPv4 */
	{ "PROXY TCP4 ", " 1.2.3.4" },
	{ "PROXY TCP4 ", ".1.2.3" },
	{ "PROXY TCP4 ", "-1.2.3.4" },
	{ "PROXY TCP4 ", "+1.2.3.4" },
	{ "PROXY TCP4 ", "::1" },
	{ "PROXY TCP4 ", "localhost" },
	{ "PROXY TCP4 1", " 1.2.3.4" },
	{ "PROXY TCP4 1", ":2" },
	{ "PROXY TCP4 1.", ".2.3" },
	{ "PROXY TCP4 1.2.3", " 1.2.3.4" },
	{ "PROXY TCP4 1.2.3.", " 1.2.3.4" },
	{ "PROXY TCP4 1.2.3.4", ". 1.2.3.4" },
	{ "PROXY TCP4 1.2.3.4", ":7 1.2.3.4" },
	{ "PROXY TCP4 1.2.3.4", "\t1.2.3.4" },
	{ "PROXY TCP4 1.2.3.4", "\r\n" },
	{ "PROXY TCP4 25", "6.2.3.4" },
	{ "PROXY TCP4 26", "0.2.3.4" },
	{ "PROXY TCP4 100", "0.2.3.4" },
	{ "PROXY TCP4 1.2.3.25", "6 1.2.3.4" },
	{ "PROXY TCP4 0", "1.2.3.4" },
	{ "PROXY TCP4 0", "0.2.3.4" },
	{ "PROXY TCP4 0", "x1.2.3.4" },
	{ "PROXY TCP4 1.2.3.0", "4 1.2.3.4" },
	{ "PROXY TCP4 1.2.3.4 ", " 1.2.3.4 1 2\r\n" },
	{ "PROXY TCP4 1.2.3.4 ", "::1 1 2\r\n" },
	{ "PROXY TCP4 1.2.3.4 1.2.3.25", "6 1 2\r\n" },
	{ "PROXY TCP4 1.2.3.4 1.2.3", " 1 2\r\n" },
	/* IPv6 */
	{ "PROXY TCP6 ", " ::1" },
	{ "PROXY TCP6 ", "[::1]" },
	{ "PROXY TCP6 ", "g::" },
	{ "PROXY TCP6 ", "/" },
	{ "PROXY TCP6 :", "1::" },
	{ "PROXY TCP6 :", " ::1" },
	{ "PROXY TCP6 ::", ":" },
	{ "PROXY TCP6 ::", "g" },
	{ "PROXY TCP6 ::", "@" },
	{ "PROXY TCP6 ::", "\x11" },
	{ "PROXY TCP6 ::", "\r\n" },
	{ "PROXY TCP6 ::1", "%1 ::1 1 2\r\n" },
	{ "PROXY TCP6 ::1", "/64" },
	{ "PROXY TCP6 ::1:", " ::1" },
	{ "PROXY TCP6 ::1:", ":1" },
	{ "PROXY TCP6 1::2:", ":3" },
	{ "PROXY TCP6 ::1234", "5" },
	{ "PROXY TCP6 0000", "0::" },
	{ "PROXY TCP6 1", " ::1" },
	{ "PROXY TCP6 1:", " ::1" },
	{ "PROXY TCP6 1:2:3:4:5:6:7", " ::1" },
	{ "PROXY TCP6 1:2:3:4:5:6:7:", " ::1" },
	{ "PROXY TCP6 1:2:3:4:5:6:7:8", ":" },
	{ "PROXY TCP6 1:2:3:4:5:6:7:8", ".1.2.3" },
	{ "PROXY TCP6 1:2:3:4:5:6:7::", "8" },
	{ "PROXY TCP6 1:2:3:4:5:6:7::", ":" },
	{ "PROXY TCP6 ::2:3:4:5:6:7:8", ":" },
	{ "PROXY TCP6 1::3:4:5:6:7:8", ":9" },
	{ "PROXY TCP6 1", ".2.3.4 ::1 1 2\r\n" },
	{ "PROXY TCP6 1:2:3:4:5:1", ".2.3.4" },
	{ "PROXY TCP6 1:2:3:4:5:6:7:1", ".2.3.4" },
	{ "PROXY TCP6 1::3:4:5:6:7:1", ".2.3.4" },
	{ "PROXY TCP6 ::256", ".2.3.4" },
	{ "PROXY TCP6 ::01", ".2.3.4" },
	{ "PROXY TCP6 ::1a", ".2.3.4" },
	{ "PROXY TCP6 ::1.2", " ::1" },
	{ "PROXY TCP6 ::1.2.25", "6.4" },
	{ "PROXY TCP6 ::1.2.3.4", ":1" },
	{ "PROXY TCP6 ::1.2.3.4", ".5" },
	{ "PROXY TCP6 ::1.2.3.0", "4" },
	{ "PROXY TCP6 ::1 1", ".2.3.4 1 2\r\n" },
	{ "PROXY TCP6 ::1 ", " ::1 1 2\r\n" },
	{ "PROXY TCP6 ::1 ::", "x 1 2\r\n" },
	/* ports */
	{ "PROXY TCP4 1.2.3.4 1.2.3.4 ", " 1 2\r\n" },
	{ "PROXY TCP4 1.2.3.4 1.2.3.4 ", "-1 2\r\n" },
	{ "PROXY TCP4 1.2.3.4 1.2.3.4 ", "+1 2\r\n" },
	{ "PROXY TCP4 1.2.3.4 1.2.3.4 ", "echo 2\r\n" },
	{ "PROXY TCP4 1.2.3.4 1.2.3.4 ", "\r\n" },
	{ "PROXY TCP4 1.2.3.4 1.2.3.4 0", "1 2\r\n" },
	{ "PROXY TCP4 1.2.3.4 1.2.3.4 0", "0 2\r\n" },
	{ "PROXY TCP4 1.2.3.4 1.2.3.4 0", "x1 2\r\n" },
	{ "PROXY TCP4 1.2.3.4 1.2.3.4 1", "a 2\r\n" },
	{ "PROXY TCP4 1.2.3.4 1.2.3.4 6553", "6 2\r\n" },
	{ "PROXY TCP4 1.2.3.4 1.2.3.4 9999", "9 2\r\n" },
	{ "PROXY TCP4 1.2.3.4 1.2.3.4 10000", "0 2\r\n" },
	{ "PROXY TCP4 1.2.3.4 1.2.3.4 1", "\r\n" },
	{ "PROXY TCP4 1.2.3.4 1.2.3.4 1 ", " 2\r\n" },
	{ "PROXY TCP4 1.2.3.4 1.2.3.4 1 ", "\r\n" },
	{ "PROXY TCP4 1.2.3.4 1.2.3.4 1 0", "2\r\n" },
	{ "PROXY TCP4 1.2.3.4 1.2.3.4 1 6553", "6\r\n" },
	{ "PROXY TCP6 ::1 ::1 1 6553", "6\r\n" },
	/* the end */
	{ "PROXY TCP4 1.2.3.4 1.2.3.4 1 2", "\n" },
	{ "PROXY TCP4 1.2.3.4 1.2.3.4 1 2", " \r\n" },
	{ "PROXY TCP4 1.2.3.4 1.2.3.4 1 2", " 3\r\n" },
	{ "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r", "\r\n" },
	{ "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r", "x" },
	{ "PROXY TCP6 ::1 ::1 1 2", "\n" },
};

/* From the first byte on that "PROXY " does not have there, or as a whole. */
static void
line_is_wrong(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(wrong_lines); i++) {
		const size_t right = strlen(wrong_lines[i].right);
		char line[256];
		const int len = snprintf(line, sizeof(line), "%s%s\r\n",
		    wrong_lines[i].right, wrong_lines[i].wrong);
		const char *crlf = strstr(line, "\r\n");

		expect_stop(line, (size_t)len,
		    right < strlen("PROXY ") ? right
					     : (size_t)(crlf + 1 - line),
		    PROXY_WRONG);
	}
}

static void
line_has_107_bytes(void **state)
{
	char line[512];

	(void)state;
	memset(line, 'x', sizeof(line));
	memcpy(line, "PROXY UNKNOWN ", 14);
	expect_stop(line, sizeof(line), 106, PROXY_LONG);
	memcpy(line + 105, "\r\n", 2);
	expect_whole(line, 107, "");
	line[105] = '\n'; /* not the end */
	expect_stop(line, sizeof(line), 106, PROXY_LONG);
	memcpy(line + 105, "x\r\n", 3);
	expect_stop(line, sizeof(line), 106, PROXY_LONG);

	/* 107 and 108 bytes, of which each is right */
	snprintf(line, sizeof(line), "PROXY TCP6 %s %s 1 1\r\n", LONGEST, LONG);
	assert_int_equal(strlen(line), 107);
	expect_whole(line, 107, "255.255.255.255:1");
	snprintf(
	    line, sizeof(line), "PROXY TCP6 %s %s 1 1\r\n", LONGEST, LONGEST);
	assert_int_equal(strlen(line), 108);
	expect_stop(line, 108, 106, PROXY_LONG);
}

static void
line_has_any_port(void **state)
{
	char line[128];

	(void)state;
	for (unsigned port = 0; port < 70000; port++) {
		struct address peer;
		size_t used = 0;
		const int len = snprintf(line, sizeof(line),
		    "PROXY TCP6 ::1 ::2 %u %u\r\n", port, 69999 - port);
		const bool right = port <= 65535 && 69999 - port <= 65535;

		assert_int_equal(proxy_parse(line, (size_t)len, &peer, &used),
		    right ? PROXY_PEER : PROXY_WRONG);
		if (right)
			assert_int_equal(address_port(&peer), port);
	}
}

static void
peer_is_whole(void **state)
{
	static const char line[] = "PROXY TCP6 fe80::1 fe80::2 50312 7\r\n";
	static const char line4[] = "PROXY TCP4 192.0.2.7 1.2.3.4 50312 7\r\n";
	const struct address v4 = make_v4("192.0.2.7", 50312);
	const struct address v6 = make_v6("2001:db8::7", 0, 50312);
	const struct address local = make_v6("fe80::1", 0, 50312);
	struct address peer;
	struct header h;
	size_t used;

	(void)state;
	start_v4(&h);
	finish(&h);
	memset(&peer, 0xff, sizeof(peer));
	assert_int_equal(parse(h.bytes, h.len, &peer, &used), PROXY_PEER);
	assert_int_equal(peer.len, sizeof(peer.in));
	assert_memory_equal(&peer.in, &v4.in, sizeof(peer.in));

	memset(&peer, 0xff, sizeof(peer));
	assert_int_equal(
	    parse(line4, sizeof(line4) - 1, &peer, &used), PROXY_PEER);
	assert_int_equal(peer.len, sizeof(peer.in));
	assert_memory_equal(&peer.in, &v4.in, sizeof(peer.in));

	start(&h, PROXY, 0x21, 0);
	append(&h, V6, 36);
	finish(&h);
	memset(&peer, 0xff, sizeof(peer));
	assert_int_equal(parse(h.bytes, h.len, &peer, &used), PROXY_PEER);
	assert_int_equal(peer.len, sizeof(peer.in6));
	assert_memory_equal(&peer.in6, &v6.in6, sizeof(peer.in6));

	memset(&peer, 0xff, sizeof(peer));
	assert_int_equal(
	    parse(line, sizeof(line) - 1, &peer, &used), PROXY_PEER);
	assert_int_equal(peer.len, sizeof(peer.in6));
	assert_memory_equal(&peer.in6, &local.in6, sizeof(peer.in6));
}

static void
mapped_peer_stays_ipv6(void **state)
{
	static const char line[] = "PROXY TCP6 ::ffff:192.0.2.7 ::1 1 7\r\n";
	struct address peer;
	size_t used;

	(void)state;
	assert_int_equal(
	    parse(line, sizeof(line) - 1, &peer, &used), PROXY_PEER);
	assert_int_equal(peer.sa.sa_family, AF_INET6);
	assert_true(IN6_IS_ADDR_V4MAPPED(&peer.in6.sin6_addr));
}

static void
binary_has_a_peer_or_not(void **state)
{
	static const struct {
		uint8_t command, family;
		size_t addresses; /* at least */
		const char *peer;
	} rows[] = {
		{ PROXY, 0x11, 12, "0.0.0.0:0" },
		{ PROXY, 0x21, 36, "[::]:0" },
		{ PROXY, 0x12, 12, "" },
		{ PROXY, 0x22, 36, "" },
		{ PROXY, 0x31, 216, "" },
		{ PROXY, 0x32, 216, "" },
		{ PROXY, 0x00, 0, "" },
		{ LOCAL, 0x00, 0, "" },
		{ LOCAL, 0x11, 0, "" },
		{ LOCAL, 0x21, 0, "" },
		{ LOCAL, 0x31, 0, "" },
		{ LOCAL, 0xff, 0, "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct header h;
		const size_t least = rows[i].addresses;

		start(&h, rows[i].command, rows[i].family, least);
		finish(&h);
		expect_whole(h.bytes, h.len, rows[i].peer);
		for (size_t n = 0; n < least; n++) {
			set_length(&h, n);
			expect_wrong_at(&h, FIXED - 1);
		}
		set_length(&h, least + 3);
		append_tlv(&h, NOOP, "", 0);
		expect_whole(h.bytes, h.len, rows[i].peer);
	}
}

static void
binary_peer_is_the_source(void **state)
{
	struct header h;

	(void)state;
	start_v4(&h);
	finish(&h);
	expect_whole(h.bytes, h.len, "192.0.2.7:50312");
	start(&h, PROXY, 0x21, 0);
	append(&h, V6, 36);
	finish(&h);
	expect_whole(h.bytes, h.len, "[2001:db8::7]:50312");
}

static void
signature_is_exact(void **state)
{
	struct header h;

	(void)state;
	start_v4(&h);
	finish(&h);
	for (size_t i = 0; i < 12; i++) {
		const uint8_t right = h.bytes[i];

		for (int c = 0; c < 256; c++) {
			h.bytes[i] = (uint8_t)c;
			if (c != right) /* PROXY starts with a P, too */
				expect_wrong_at(&h, i == 0 && c == 'P' ? 1 : i);
		}
		h.bytes[i] = right;
	}
	expect_whole(h.bytes, h.len, "192.0.2.7:50312");
}

static void
command_and_family_are_known(void **state)
{
	struct header h;

	(void)state;
	for (int c = 0; c < 256; c++) {
		start(&h, (uint8_t)c, 0x11, 12);
		finish(&h);
		if (c != LOCAL && c != PROXY)
			expect_wrong_at(&h, 12);
		start(&h, PROXY, (uint8_t)c, 216);
		finish(&h);
		if (memchr("\x00\x11\x12\x21\x22\x31\x32", c, 7) == NULL)
			expect_wrong_at(&h, 13);
		h.bytes[12] = LOCAL; /* which says nothing of a family */
		expect_whole(h.bytes, h.len, "");
	}
}

static void
tlvs_fill_the_header(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		size_t right; /* bytes; as many as there are: all is well */
	} rows[] = {
#define ROW(text, right) { text, sizeof(text) - 1, right }
		ROW("\4\0\0", 3),
		ROW("\4\0\0\4\0\0", 6),
		ROW("\4\0\1x", 4),
		ROW("\1\0\2h2\2\0\13example.org\x20\0\5\1\0\0\0\0\xea\0\0", 30),
		ROW("\0\0\0\xff\0\1x", 7),
		/* no TLV is so short, and the header's length says it */
		ROW("\4", SIZE_MAX),
		ROW("\4\0", SIZE_MAX),
		/* no room for a value */
		ROW("\4\0\1", 2),
		ROW("\4\0\2x", 2),
		ROW("\4\1\0x", 2),
		ROW("\4\xff\xff", 2),
		ROW("\4\0\0\4\0\1", 5),
		/* no room for another one */
		ROW("\4\0\0\4", 2),
		ROW("\4\0\0\4\0", 2),
		ROW("\4\0\1x\4\0", 2),
#undef ROW
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct header h;

		start_v4(&h);
		append(&h, rows[i].bytes, rows[i].len);
		finish(&h);
		if (rows[i].right == rows[i].len)
			expect_whole(h.bytes, h.len, "192.0.2.7:50312");
		else if (rows[i].right == SIZE_MAX)
			expect_wrong_at(&h, FIXED - 1);
		else
			expect_wrong_at(&h, FIXED + 12 + rows[i].right);

		/* Those of a connection that is not TCP, too. */
		start(&h, PROXY, 0x32, 216);
		append(&h, rows[i].bytes, rows[i].len);
		finish(&h);
		assert_int_equal(result_of(h.bytes, h.len),
		    rows[i].right == rows[i].len ? PROXY_LOCAL : PROXY_WRONG);

		/* What has no known form has none. */
		start(&h, i % 2 == 0 ? LOCAL : PROXY, 0, 0);
		append(&h, rows[i].bytes, rows[i].len);
		finish(&h);
		expect_whole(h.bytes, h.len, "");
	}
}

/* As AWS says that its load balancers send it, and one of them did. */
static void
checksum_of_others_is_right(void **state)
{
	static const char example[] =
	    SIGNATURE "\x21\x11\0\x54"
		      "\xac\x1f\x07\x71\xac\x1f\x0a\x1f\xc8\xf2\0\x50"
		      "\3\0\4\xe8\xd6\x89\x2d"
		      "\xea\0\x17\1vpce-08d2bf15fac5001c9"
		      "\4\0\x24\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
		      "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
	static const char capture[] =
	    SIGNATURE "\x21\x11\0\x54"
		      "\xc0\xa8\x2c\x0a\xc0\xa8\x2c\x07\xcc\x3e\x24\x1b"
		      "\3\0\4\xb9\x28\x6f\xa6"
		      "\xea\0\x17\1vpce-00eafc458ec97b833"
		      "\4\0\x24\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
		      "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

	(void)state;
	expect_whole(example, sizeof(example) - 1, "172.31.7.113:51442");
	expect_whole(capture, sizeof(capture) - 1, "192.168.44.10:52286");
}

static void
checksum_is_verified(void **state)
{
	static const uint8_t check[] = "123456789";
	struct header h;
	size_t sum;

	(void)state;
	assert_int_equal(crc32c(check, 9), 0xe3069283);
	for (size_t before = 0; before < 3; before++) {
		start_v4(&h);
		for (size_t i = 0; i < before; i++)
			append_tlv(&h, NOOP, "xyz", i);
		sum = h.len + 3;
		append_tlv(&h, CRC32C, "\0\0\0\0", 4);
		append_tlv(&h, 0xe0, "abcdef", 6 - 3 * before);
		finish(&h);
		set_sum(&h, sum);
		expect_whole(h.bytes, h.len, "192.0.2.7:50312");
		for (size_t i = 8 * FIXED; i < 8 * h.len; i++) {
			if (i / 8 == sum - 3) /* then it is no checksum */
				continue;
			h.bytes[i / 8] ^= (uint8_t)(1 << i % 8);
			assert_int_equal(
			    result_of(h.bytes, h.len), PROXY_WRONG);
			h.bytes[i / 8] ^= (uint8_t)(1 << i % 8);
		}
		memset(&h.bytes[sum], 0, 4);
		expect_wrong_at(&h, h.len - 1);
	}

	/* One that nobody wants to know stays unread. */
	start(&h, LOCAL, 0, 0);
	append_tlv(&h, CRC32C, "\0\0\0\0", 4);
	finish(&h);
	expect_whole(h.bytes, h.len, "");
	start(&h, PROXY, 0x22, 36);
	append_tlv(&h, CRC32C, "\0\0\0\0", 4);
	finish(&h);
	expect_wrong_at(&h, h.len - 1);
	set_sum(&h, FIXED + 36 + 3);
	expect_whole(h.bytes, h.len, "");
}

static void
checksum_is_one_of_four_bytes(void **state)
{
	struct header h;

	(void)state;
	for (size_t size = 0; size < 300; size++) {
		static const uint8_t zeros[300];

		start_v4(&h);
		append_tlv(&h, CRC32C, zeros, size);
		finish(&h);
		if (size >= 4)
			set_sum(&h, FIXED + 12 + 3);
		if (size == 4)
			expect_whole(h.bytes, h.len, "192.0.2.7:50312");
		else
			expect_wrong_at(&h, FIXED + 12 + 2);
	}

	/* Two of them are wrong, and were both of them right. */
	start_v4(&h);
	append_tlv(&h, CRC32C, "\0\0\0\0", 4);
	append_tlv(&h, CRC32C, "\0\0\0\0", 4);
	finish(&h);
	set_sum(&h, FIXED + 12 + 7 + 3);
	expect_wrong_at(&h, FIXED + 12 + 7 + 2);
	start_v4(&h);
	append_tlv(&h, CRC32C, "\0\0\0\0", 4);
	append_tlv(&h, CRC32C, "\0\0\0\0", 4);
	finish(&h);
	set_sum(&h, FIXED + 12 + 3);
	expect_wrong_at(&h, FIXED + 12 + 7 + 2);
}

static void
binary_has_a_limit(void **state)
{
	static const uint8_t zeros[65536];
	static const struct {
		uint8_t command, family;
	} rows[] = { { PROXY, 0x11 }, { LOCAL, 0 }, { PROXY, 0 } };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		for (size_t more = 0; more < 3; more++) {
			const size_t total =
			    more < 2 ? PROXY_HEADER_MAX + more : FIXED + 65535;
			struct header h;

			start(&h, rows[i].command, rows[i].family, 12);
			append_tlv(&h, NOOP, zeros, total - h.len - 3);
			finish(&h);
			assert_int_equal(h.len, total);
			for (size_t n = 0; n <= FIXED; n++)
				assert_int_equal(result_of(h.bytes, n),
				    n == FIXED && more > 0 ? PROXY_LONG
							   : PROXY_MORE);
			assert_int_equal(result_of(h.bytes, total - 1),
			    more > 0 ? PROXY_LONG : PROXY_MORE);
			assert_int_equal(result_of(h.bytes, total),
			    more > 0	 ? PROXY_LONG
				: i == 0 ? PROXY_PEER
					 : PROXY_LOCAL);
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_may_become_anything),
		cmocka_unit_test(line_has_a_peer),
		cmocka_unit_test(line_of_unknown_is_local),
		cmocka_unit_test(line_is_wrong),
		cmocka_unit_test(line_has_107_bytes),
		cmocka_unit_test(line_has_any_port),
		cmocka_unit_test(peer_is_whole),
		cmocka_unit_test(mapped_peer_stays_ipv6),
		cmocka_unit_test(binary_has_a_peer_or_not),
		cmocka_unit_test(binary_peer_is_the_source),
		cmocka_unit_test(signature_is_exact),
		cmocka_unit_test(command_and_family_are_known),
		cmocka_unit_test(tlvs_fill_the_header),
		cmocka_unit_test(checksum_of_others_is_right),
		cmocka_unit_test(checksum_is_verified),
		cmocka_unit_test(checksum_is_one_of_four_bytes),
		cmocka_unit_test(binary_has_a_limit),
	};

	return cmocka_run_group_tests_name("proxy", tests, NULL, NULL);
}
