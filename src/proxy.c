#include "echod/proxy.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "echod/number.h"

/* Version 2: where things are, and what they may be. */
enum {
	V2_COMMAND = 12, /* and the version */
	V2_FAMILY = 13, /* and the protocol */
	V2_LENGTH = 14, /* of what follows, 2 bytes */
	V2_FIXED = 16, /* addresses follow, then TLVs */

	COMMAND_LOCAL = 0x20,
	COMMAND_PROXY = 0x21,
	FAMILY_UNSPEC = 0x00,

	TLV_LENGTH = 1, /* 2 bytes */
	TLV_FIXED = 3,
	TLV_CRC32C = 0x03,
	CRC32C_SIZE = 4,
};

static const uint8_t signature[V2_COMMAND] = { '\r', '\n', '\r', '\n', '\0',
	'\r', '\n', 'Q', 'U', 'I', 'T', '\n' };

/* What V2_FAMILY may be, but for FAMILY_UNSPEC. */
struct layout {
	uint8_t family;
	uint8_t addresses; /* bytes of all of them, with their ports */
	uint8_t ip; /* bytes of one of TCP, else 0 */
};

static const struct layout layouts[] = {
	{ 0x11, 12, 4 }, /* TCP over IPv4 */
	{ 0x12, 12, 0 }, /* UDP */
	{ 0x21, 36, 16 }, /* TCP over IPv6 */
	{ 0x22, 36, 0 }, /* UDP */
	{ 0x31, 216, 0 }, /* UNIX stream */
	{ 0x32, 216, 0 }, /* UNIX datagram */
};

/* Make *peer of an address in network order and a port in host order. */
static void
set_peer(struct address *peer, bool v6, const uint8_t *ip, unsigned port)
{
	memset(peer, 0, sizeof(*peer));
	if (v6) {
		peer->len = sizeof(peer->in6);
		peer->in6.sin6_family = AF_INET6;
		peer->in6.sin6_port = htons((uint16_t)port);
		memcpy(&peer->in6.sin6_addr, ip, sizeof(peer->in6.sin6_addr));
	} else {
		peer->len = sizeof(peer->in);
		peer->in.sin_family = AF_INET;
		peer->in.sin_port = htons((uint16_t)port);
		memcpy(&peer->in.sin_addr, ip, sizeof(peer->in.sin_addr));
	}
}

/* The next field of a line, which is a port: without zeros before it. */
static bool
take_port(char **line, unsigned *port)
{
	const char *text = strsep(line, " ");
	long long n;

	if (text == NULL || (text[0] == '0' && text[1] != '\0') ||
	    !number_parse(text, 0, UINT16_MAX, &n))
		return false;
	*port = (unsigned)n;
	return true;
}

static bool
take_ip(char **line, int family, uint8_t *ip)
{
	const char *text = strsep(line, " ");

	return text != NULL && inet_pton(family, text, ip) == 1;
}

/* What follows "PROXY TCP4 " or "PROXY TCP6 ". */
static bool
parse_tcp(char *line, int family, struct address *peer)
{
	uint8_t source[16], destination[16];
	unsigned from, to;

	if (!take_ip(&line, family, source) ||
	    !take_ip(&line, family, destination) || !take_port(&line, &from) ||
	    !take_port(&line, &to) || line != NULL)
		return false;
	set_peer(peer, family == AF_INET6, source, from);
	return true;
}

/* What follows "PROXY ", len characters, which may be any. */
static enum proxy_result
parse_line(char *line, size_t len, struct address *peer)
{
	static const char unknown[] = "UNKNOWN";
	int family;

	if (strncmp(line, unknown, sizeof(unknown) - 1) == 0 &&
	    (line[sizeof(unknown) - 1] == ' ' || len == sizeof(unknown) - 1))
		return PROXY_LOCAL;

	const char *word = strsep(&line, " ");

	if (strlen(word) + 1 + (line != NULL ? strlen(line) : 0) != len)
		return PROXY_WRONG; /* a NUL */
	if (strcmp(word, "TCP4") == 0)
		family = AF_INET;
	else if (strcmp(word, "TCP6") == 0)
		family = AF_INET6;
	else
		return PROXY_WRONG;
	return parse_tcp(line, family, peer) ? PROXY_PEER : PROXY_WRONG;
}

static enum proxy_result
parse_v1(const uint8_t *data, size_t len, struct address *peer, size_t *used)
{
	static const char start[] = "PROXY ";
	const size_t n = len < PROXY_LINE_MAX ? len : PROXY_LINE_MAX;
	const size_t prefix = sizeof(start) - 1;
	char line[PROXY_LINE_MAX];

	if (memcmp(data, start, n < prefix ? n : prefix) != 0)
		return PROXY_WRONG;

	const uint8_t *crlf = memmem(data, n, "\r\n", 2);

	if (crlf == NULL)
		return len < PROXY_LINE_MAX ? PROXY_MORE : PROXY_LONG;

	const size_t size = (size_t)(crlf - data) - prefix;

	memcpy(line, data + prefix, size);
	line[size] = '\0';

	const enum proxy_result result = parse_line(line, size, peer);

	if (result != PROXY_WRONG)
		*used = prefix + size + strlen("\r\n");
	return result;
}

static unsigned
number16(const uint8_t *bytes)
{
	return (unsigned)bytes[0] << 8 | bytes[1];
}

static uint32_t
number32(const uint8_t *bytes)
{
	return (uint32_t)number16(bytes) << 16 | number16(bytes + 2);
}

/* Go on with a CRC32c (RFC 9260, appendix A), bits reflected. */
static uint32_t
crc32c(uint32_t crc, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82f63b78) : 0);
	}
	return crc;
}

/* Whether the checksum, at sum, is the header's with zeros in its place. */
static bool
is_intact(const uint8_t *header, size_t len, size_t sum)
{
	static const uint8_t zeros[CRC32C_SIZE];
	const size_t behind = sum + CRC32C_SIZE;
	uint32_t crc = UINT32_MAX;

	crc = crc32c(crc, header, sum);
	crc = crc32c(crc, zeros, sizeof(zeros));
	crc = crc32c(crc, header + behind, len - behind);
	return ~crc == number32(header + sum);
}

/*
 * Whether the TLVs from at to the end of a header of total bytes, of which
 * there are len, are right as far as they go.
 */
static bool
check_tlvs(const uint8_t *header, size_t len, size_t at, size_t total)
{
	size_t sum = 0; /* where the checksum is */

	while (at < total) {
		if (total - at < TLV_FIXED)
			return false;
		if (len < at + TLV_FIXED)
			return true;

		const uint8_t type = header[at];
		const size_t size = number16(&header[at + TLV_LENGTH]);

		at += TLV_FIXED;
		if (size > total - at)
			return false;
		if (type == TLV_CRC32C) {
			if (size != CRC32C_SIZE || sum != 0)
				return false;
			sum = at;
		}
		at += size;
	}
	return sum == 0 || len < total || is_intact(header, total, sum);
}

static const struct layout *
layout_of(uint8_t family)
{
	for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++)
		if (layouts[i].family == family)
			return &layouts[i];
	return NULL;
}

/* Whether what follows the fixed part has no form that is known. */
static bool
is_opaque(const uint8_t *header)
{
	return header[V2_COMMAND] == COMMAND_LOCAL ||
	    header[V2_FAMILY] == FAMILY_UNSPEC;
}

/* Whether the fixed part, but for its length, is right as far as it goes. */
static bool
check_fixed(const uint8_t *header, size_t len)
{
	if (memcmp(header, signature,
		len < sizeof(signature) ? len : sizeof(signature)) != 0)
		return false;
	if (len > V2_COMMAND && header[V2_COMMAND] != COMMAND_LOCAL &&
	    header[V2_COMMAND] != COMMAND_PROXY)
		return false;
	return len <= V2_FAMILY || is_opaque(header) ||
	    layout_of(header[V2_FAMILY]) != NULL;
}

static enum proxy_result
parse_v2(const uint8_t *data, size_t len, struct address *peer, size_t *used)
{
	if (!check_fixed(data, len))
		return PROXY_WRONG;
	if (len < V2_FIXED)
		return PROXY_MORE;

	const size_t total = V2_FIXED + number16(&data[V2_LENGTH]);
	const struct layout *layout =
	    is_opaque(data) ? NULL : layout_of(data[V2_FAMILY]);

	if (total > PROXY_HEADER_MAX)
		return PROXY_LONG;
	if (layout != NULL) {
		const size_t tlvs = V2_FIXED + layout->addresses;

		if (tlvs > total || !check_tlvs(data, len, tlvs, total))
			return PROXY_WRONG;
	}
	if (len < total)
		return PROXY_MORE;
	*used = total;
	if (layout == NULL || layout->ip == 0)
		return PROXY_LOCAL;

	/* Both addresses, then both ports, the source's first. */
	const uint8_t *source = &data[V2_FIXED];

	set_peer(
	    peer, layout->ip == 16, source, number16(source + 2 * layout->ip));
	return PROXY_PEER;
}

enum proxy_result
proxy_parse(const void *data, size_t len, struct address *peer, size_t *used)
{
	const uint8_t *bytes = data;

	if (len == 0)
		return PROXY_MORE;
	return bytes[0] == signature[0] ? parse_v2(bytes, len, peer, used)
					: parse_v1(bytes, len, peer, used);
}
