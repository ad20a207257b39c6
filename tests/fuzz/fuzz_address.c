/*
 * Addresses: an input is a text to parse, and its bytes are an address to
 * write.
 */
#include "echod/address.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { BITS = 128 };

/* What is taken is taken in its written form, too. */
static void
check_parse(const char *text)
{
	struct address_spec spec, again;
	char written[SPEC_TEXT_SIZE];

	memset(&spec, 0xff, sizeof(spec));

	const char *bad = address_parse(text, &spec);

	if (bad != NULL) {
		assert(bad[0] != '\0' && strchr(bad, '\n') == NULL);
		return;
	}
	check_spec(&spec);
	assert(strlen(spec.host) <= strlen(text));
	memset(&again, 0xff, sizeof(again));
	assert(address_parse(write_spec(&spec, written), &again) == NULL);
	assert(strcmp(again.host, spec.host) == 0);
	assert(again.port == spec.port);
}

/* A network is taken in its written form, and has its own first address. */
static void
check_parse_network(const char *text)
{
	char written[NETWORK_TEXT_SIZE];
	struct network net, again;

	memset(&net, 0xff, sizeof(net));

	const char *bad = address_parse_network(text, &net);

	if (bad != NULL) {
		assert(bad[0] != '\0' && strchr(bad, '\n') == NULL);
		return;
	}
	check_network(&net);
	assert(address_parse_network(write_network(&net, written), &again) ==
	    NULL);
	assert(memcmp(&net.net, &again.net, sizeof(net.net)) == 0);
	assert(net.bits == again.bits);
}

/* The services are echod's own and support.c's. */
static uint16_t
port_of(const char *text)
{
	const size_t digits = strspn(text, "0123456789");

	if (digits > 0 && text[digits] == '\0') {
		const unsigned long long n = strtoull(text, NULL, 10);

		return n <= UINT16_MAX ? (uint16_t)n : 0;
	}
	return strcmp(text, "echo") == 0 ? 7
	    : strcmp(text, "http") == 0	 ? 80
					 : 0;
}

static bool
same(const struct in6_addr *a, const struct in6_addr *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static bool
is_v4(const struct address *addr)
{
	return addr->sa.sa_family == AF_INET ||
	    IN6_IS_ADDR_V4MAPPED(&addr->in6.sin6_addr);
}

/* The IP address of addr, as an IPv6 one. */
static struct in6_addr
ip_of(const struct address *addr)
{
	struct in6_addr ip = { 0 };

	if (addr->sa.sa_family == AF_INET6)
		return addr->in6.sin6_addr;
	memset(&ip.s6_addr[10], 0xff, 2);
	memcpy(&ip.s6_addr[12], &addr->in.sin_addr, sizeof(addr->in.sin_addr));
	return ip;
}

/* The IP address that text is, as an IPv6 one. */
static struct in6_addr
ip_of_text(const char *text)
{
	struct address addr = { .in.sin_family = AF_INET };

	if (inet_pton(AF_INET, text, &addr.in.sin_addr) == 1)
		return ip_of(&addr);
	addr.in6.sin6_family = AF_INET6;
	assert(inet_pton(AF_INET6, text, &addr.in6.sin6_addr) == 1);
	return ip_of(&addr);
}

/* What is written is parsed to the same. */
static void
check_format(const struct address *addr)
{
	char text[ADDRESS_TEXT_SIZE];
	struct address_spec spec;
	unsigned scope = 0;

	memset(text, 0xff, sizeof(text));
	assert(address_format(addr, text) == text);
	assert(memchr(text, '\0', sizeof(text)) != NULL);
	if (address_port(addr) == 0) /* no port to connect to */
		return;
	assert(address_parse(text, &spec) == NULL);
	assert(spec.port == address_port(addr));

	char *percent = strchr(spec.host, '%');

	if (percent != NULL) {
		assert(sscanf(percent, "%%%u", &scope) == 1);
		*percent = '\0';
	}

	const struct in6_addr want = ip_of(addr), got = ip_of_text(spec.host);

	assert(same(&want, &got));
	assert(scope == (is_v4(addr) ? 0 : addr->in6.sin6_scope_id));
}

/* A source is that of its own address, and reads as what it is. */
static void
check_source(const struct address *addr, int prefix)
{
	const struct in6_addr source = address_source(addr, prefix);
	const struct in6_addr ip = ip_of(addr);
	struct address first = { .len = sizeof(first.in6) };
	char text[ADDRESS_TEXT_SIZE];
	int bits = BITS;

	first.in6.sin6_family = AF_INET6;
	first.in6.sin6_addr = source;

	struct in6_addr again = address_source(&first, prefix);

	assert(same(&source, &again));
	assert(is_v4(addr) == is_v4(&first));
	assert(!is_v4(addr) || same(&source, &ip));

	memset(text, 0xff, sizeof(text));
	assert(address_format_source(&source, prefix, text) == text);
	assert(memchr(text, '\0', sizeof(text)) != NULL);

	char *slash = strchr(text, '/');

	assert((slash == NULL) == is_v4(addr));
	if (slash != NULL) {
		assert(sscanf(slash, "/%d", &bits) == 1 && bits == prefix);
		*slash = '\0';
	}
	again = ip_of_text(text);
	assert(same(&source, &again));
}

/* A network that is wider than all of IPv4 is of IPv6 only. */
static bool
may_be_in(const struct address *addr, int bits)
{
	return bits >= 96 || !is_v4(addr);
}

/* A network of its first bits has it, but not the one with one of them turned.
 */
static void
check_membership(const struct address *addr, int bits, int bit)
{
	struct network net = { .net = ip_of(addr), .bits = bits };
	struct address other = {
		.len = sizeof(other.in6),
		.in6 = { .sin6_family = AF_INET6, .sin6_addr = net.net },
	};

	for (int i = bits; i < BITS; i++)
		net.net.s6_addr[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
	assert(address_in_network(addr, &net) == may_be_in(addr, bits));
	assert(address_in_network(&other, &net) == may_be_in(&other, bits));
	assert(address_is_group(addr) == address_is_group(&other));
	other.in6.sin6_addr.s6_addr[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
	assert(address_in_network(&other, &net) ==
	    (bit >= bits && may_be_in(&other, bits)));
}

/* Flip one bit of an IPv6 address: that matters where it should. */
static void
check_bit(const struct address *addr, int prefix, int bit)
{
	struct address other = *addr;

	if (is_v4(addr))
		return;
	other.in6.sin6_addr.s6_addr[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
	assert(!address_equal(addr, &other));
	if (is_v4(&other))
		return;

	const struct in6_addr a = address_source(addr, prefix);
	const struct in6_addr b = address_source(&other, prefix);

	assert(same(&a, &b) == (bit >= prefix));
}

/* An address of so many bytes. */
struct bytes {
	uint8_t family, ip[16], port[2], scope[4], prefix, bit;
};

static void
check_address(const struct bytes *bytes)
{
	const int prefix = 1 + bytes->prefix % BITS;
	struct address addr = { 0 };
	uint16_t port;

	memcpy(&port, bytes->port, sizeof(port));
	if (bytes->family % 2 == 0) {
		addr.len = sizeof(addr.in);
		addr.in.sin_family = AF_INET;
		addr.in.sin_port = port;
		memcpy(&addr.in.sin_addr, bytes->ip, sizeof(addr.in.sin_addr));
	} else {
		addr.len = sizeof(addr.in6);
		addr.in6.sin6_family = AF_INET6;
		addr.in6.sin6_port = port;
		memcpy(
		    &addr.in6.sin6_addr, bytes->ip, sizeof(addr.in6.sin6_addr));
		memcpy(&addr.in6.sin6_scope_id, bytes->scope,
		    sizeof(addr.in6.sin6_scope_id));
	}
	assert(address_port(&addr) == ntohs(port));
	assert(address_equal(&addr, &addr));
	check_format(&addr);
	check_source(&addr, prefix);
	check_bit(&addr, prefix, bytes->bit % BITS);
	check_membership(&addr, bytes->prefix % (BITS + 1), bytes->bit % BITS);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes bytes;
	char *text = malloc(size + 1); /* nothing may be read beyond it */

	assert(text != NULL);
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	check_parse(text);
	check_parse_network(text);
	assert(address_parse_port(text) == port_of(text));
	free(text);
	if (size >= sizeof(bytes)) {
		memcpy(&bytes, data, sizeof(bytes));
		check_address(&bytes);
	}
	return 0;
}
