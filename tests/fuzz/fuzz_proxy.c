/*
 * PROXY headers: an input is what a proxy sends first.
 */
#include "echod/proxy.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

/* What proxy_parse() says. */
struct answer {
	enum proxy_result result;
	struct address peer;
	size_t used;
};

static struct answer
parse(const void *data, size_t len)
{
	struct answer a = { .used = 0 };

	a.result = proxy_parse(data, len, &a.peer, &a.used);
	assert(a.used <= len);
	assert((a.used > 0) ==
	    (a.result == PROXY_PEER || a.result == PROXY_LOCAL));
	assert((a.peer.len > 0) == (a.result == PROXY_PEER));
	return a;
}

static bool
same(const struct answer *a, const struct answer *b)
{
	return a->result == b->result && a->used == b->used &&
	    a->peer.len == b->peer.len &&
	    (a->peer.len == 0 || address_equal(&a->peer, &b->peer));
}

/* What is said of the first bytes is said of more of them, but for MORE. */
static void
check_prefixes(const uint8_t *data, size_t size, const struct answer *whole)
{
	uint8_t *block = malloc(size); /* nothing beyond it may be read */

	assert(size == 0 || block != NULL);
	for (size_t n = 0; n <= size; n++) {
		if (n > 0)
			memcpy(block + size - n, data, n);

		const struct answer a = parse(block + size - n, n);

		assert(a.result == PROXY_MORE || same(&a, whole));
		assert(n < whole->used || whole->used == 0 || a.used > 0);
	}
	free(block);
}

/* A port, written as one must be. */
static bool
is_port(const char *text)
{
	char again[32];

	snprintf(again, sizeof(again), "%lu", strtoul(text, NULL, 10));
	return strcmp(text, again) == 0 && strtoul(text, NULL, 10) <= 65535;
}

/* A whole line has a peer if its words are those that libc knows. */
static void
check_line(const uint8_t *data, size_t size, const struct answer *whole)
{
	const size_t most = size < PROXY_LINE_MAX ? size : PROXY_LINE_MAX;
	const char *crlf = memmem(data, most, "\r\n", 2);
	char line[PROXY_LINE_MAX + 1], *rest = line, *words[7];
	uint8_t ip[16];
	size_t n = 0;

	if (size == 0 || data[0] != 'P' || crlf == NULL)
		return;

	const size_t len = (size_t)(crlf - (const char *)data);

	memcpy(line, data, len);
	line[len] = '\0';
	while (n < 7 && (words[n] = strsep(&rest, " ")) != NULL)
		n++;

	const bool v6 = n > 1 && strcmp(words[1], "TCP6") == 0;
	const int family = v6 ? AF_INET6 : AF_INET;
	const bool right = n == 6 && memchr(data, '\0', len) == NULL &&
	    strcmp(words[0], "PROXY") == 0 &&
	    (v6 || strcmp(words[1], "TCP4") == 0) &&
	    inet_pton(family, words[3], ip) == 1 &&
	    inet_pton(family, words[2], ip) == 1 && is_port(words[4]) &&
	    is_port(words[5]);

	assert(right == (whole->result == PROXY_PEER));
	if (!right)
		return;
	assert(whole->used == len + 2);
	assert(whole->peer.sa.sa_family == family);
	assert(address_port(&whole->peer) == strtoul(words[4], NULL, 10));
	assert(memcmp(ip,
		   v6 ? (const void *)&whole->peer.in6.sin6_addr
		      : (const void *)&whole->peer.in.sin_addr,
		   v6 ? 16 : 4) == 0);
}

/* The peer as a line: what is written of it is read. */
static void
check_as_line(const struct answer *whole)
{
	const struct address *peer = &whole->peer;
	const bool v6 = peer->sa.sa_family == AF_INET6;
	char ip[INET6_ADDRSTRLEN], line[PROXY_LINE_MAX + 1];

	inet_ntop(peer->sa.sa_family,
	    v6 ? (const void *)&peer->in6.sin6_addr
	       : (const void *)&peer->in.sin_addr,
	    ip, sizeof(ip));

	const int len =
	    snprintf(line, sizeof(line), "PROXY TCP%d %s %s %u 7\r\n",
		v6 ? 6 : 4, ip, v6 ? "::1" : "127.0.0.1", address_port(peer));
	struct answer again = parse(line, (size_t)len);

	assert(again.used == (size_t)len);
	again.used = whole->used;
	assert(same(&again, whole));
}

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

/* The peer in version 2, with a checksum and so much to ignore. */
static void
check_as_binary(const struct answer *whole, const uint8_t *data, size_t size)
{
	const struct address *peer = &whole->peer;
	const bool v6 = peer->sa.sa_family == AF_INET6;
	const size_t ip = v6 ? 16 : 4, sum = 16 + 2 * ip + 4 + 3;
	uint8_t header[4096] = "\r\n\r\n\0\r\nQUIT\n\x21";
	size_t len = sum + 4 + 3 + size;

	if (len > sizeof(header))
		return;
	header[13] = v6 ? 0x21 : 0x11;
	header[14] = (uint8_t)((len - 16) >> 8);
	header[15] = (uint8_t)(len - 16);
	memcpy(&header[16],
	    v6 ? (const void *)&peer->in6.sin6_addr
	       : (const void *)&peer->in.sin_addr,
	    ip);
	header[16 + 2 * ip] = (uint8_t)(address_port(peer) >> 8);
	header[16 + 2 * ip + 1] = (uint8_t)address_port(peer);
	memcpy(&header[sum - 3], "\3\0\4", 3);
	memcpy(&header[sum + 4], "\4", 1);
	header[sum + 5] = (uint8_t)(size >> 8);
	header[sum + 6] = (uint8_t)size;
	memcpy(&header[sum + 7], data, size);

	const uint32_t crc = htonl(crc32c(header, len));

	memcpy(&header[sum], &crc, sizeof(crc));

	struct answer again = parse(header, len);

	assert(again.used == len);
	again.used = whole->used;
	assert(same(&again, whole));
	header[len - 1] ^= data[0] | 1; /* any other value */
	again = parse(header, len);
	assert(again.result == PROXY_WRONG);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct answer whole = parse(data, size);
	char text[ADDRESS_TEXT_SIZE];

	check_prefixes(data, size, &whole);
	check_line(data, size, &whole);
	if (whole.result != PROXY_PEER)
		return 0;
	assert(memchr(address_format(&whole.peer, text), '\0', sizeof(text)) !=
	    NULL);
	check_as_line(&whole);
	check_as_binary(&whole, data, size);
	return 0;
}
