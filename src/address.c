#include "echod/address.h"

#include <arpa/inet.h>
#include <assert.h>
#include <bsd/string.h>
#include <ctype.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "echod/number.h"

uint16_t
address_parse_port(const char *text)
{
	long long port;

	if (number_parse(text, 1, UINT16_MAX, &port))
		return (uint16_t)port;
	if (strcmp(text, "echo") == 0)
		return ADDRESS_PORT_ECHO;

	const struct servent *service = getservbyname(text, "tcp");

	return service != NULL ? ntohs((uint16_t)service->s_port) : 0;
}

/*
 * Split text at its port: where the host starts and ends, where the port is,
 * and whether the host is written as only an IPv6 address is.
 */
static const char *
split(const char *text, const char **host, size_t *len, const char **port,
    bool *v6)
{
	const char *colon = strchr(text, ':');

	*host = text;
	*port = NULL;
	*v6 = true;
	if (text[0] == '[') {
		const char *end = strchr(text, ']');

		if (end == NULL)
			return "the bracket is not closed";
		if (end[1] != '\0' && end[1] != ':')
			return "only :PORT may follow the bracket";
		if (end == text + 1)
			return "nothing is between the brackets";
		*host = text + 1;
		*len = (size_t)(end - *host);
		if (end[1] == ':')
			*port = end + 2;
	} else if (colon != NULL && strchr(colon + 1, ':') == NULL) {
		*v6 = false;
		*len = (size_t)(colon - text);
		*port = colon + 1;
	} else { /* a name, an IPv4 address, or an IPv6 address without port */
		*v6 = colon != NULL;
		*len = strlen(text);
	}
	return NULL;
}

/* Whether host is an IPv6 address, perhaps with a scope (RFC 4007). */
static bool
is_ipv6(const char *host)
{
	char ip[ADDRESS_HOST_SIZE];
	struct in6_addr in6;

	strlcpy(ip, host, sizeof(ip));

	char *scope = strchr(ip, '%');

	if (scope != NULL)
		*scope++ = '\0';
	return inet_pton(AF_INET6, ip, &in6) == 1 &&
	    (scope == NULL || scope[0] != '\0');
}

const char *
address_parse(const char *text, struct address_spec *spec)
{
	const char *host, *port;
	size_t len;
	bool v6;

	if (text[0] == '\0')
		return "it is empty";

	const char *bad = split(text, &host, &len, &port, &v6);

	if (bad != NULL)
		return bad;
	if (len >= sizeof(spec->host))
		return "the host is too long";
	for (size_t i = 0; i < len; i++)
		if (!isgraph((unsigned char)host[i]) ||
		    strchr("[]", host[i]) != NULL)
			return "the host has a character that no host has";
	memset(spec, 0, sizeof(*spec));
	memcpy(spec->host, host, len);
	if (v6 && !is_ipv6(spec->host))
		return "brackets, or more than one colon, need an IPv6 address";
	if (port != NULL && (spec->port = address_parse_port(port)) == 0)
		return "its port is neither a number from 1 to 65535 nor a known service";
	return NULL;
}

/* The address, an IPv4 one as an IPv4-mapped one (RFC 4291, 2.5.5.2). */
static struct in6_addr
unified(const struct address *addr)
{
	struct in6_addr all = { 0 };

	assert(addr->sa.sa_family == AF_INET || addr->sa.sa_family == AF_INET6);
	if (addr->sa.sa_family == AF_INET6)
		return addr->in6.sin6_addr;
	all.s6_addr[10] = all.s6_addr[11] = 0xff;
	memcpy(&all.s6_addr[12], &addr->in.sin_addr, 4);
	return all;
}

/* An IPv4-mapped one as IPv4.  Returns whether it was one. */
static bool
write_ip(const struct in6_addr *all, char ip[static INET6_ADDRSTRLEN])
{
	const bool mapped = IN6_IS_ADDR_V4MAPPED(all);

	if (mapped)
		inet_ntop(AF_INET, &all->s6_addr[12], ip, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, all, ip, INET6_ADDRSTRLEN);
	return mapped;
}

char *
address_format(const struct address *addr, char text[static ADDRESS_TEXT_SIZE])
{
	const struct in6_addr all = unified(addr);
	char ip[INET6_ADDRSTRLEN], scope[sizeof("%4294967295")] = "";

	if (write_ip(&all, ip)) {
		snprintf(
		    text, ADDRESS_TEXT_SIZE, "%s:%u", ip, address_port(addr));
		return text;
	}
	if (addr->in6.sin6_scope_id != 0)
		snprintf(scope, sizeof(scope), "%%%u", addr->in6.sin6_scope_id);
	snprintf(text, ADDRESS_TEXT_SIZE, "[%s%s]:%u", ip, scope,
	    address_port(addr));
	return text;
}

/* Its first bits; the others are zero. */
static struct in6_addr
first_bits(struct in6_addr addr, int n)
{
	for (int i = 0; i < 16; i++) {
		const int bits = n - 8 * i; /* of this byte, that count */

		if (bits < 8)
			addr.s6_addr[i] &= bits > 0 ? 0xff << (8 - bits) : 0;
	}
	return addr;
}

struct in6_addr
address_source(const struct address *addr, int prefix)
{
	const struct in6_addr all = unified(addr);

	return IN6_IS_ADDR_V4MAPPED(&all) ? all : first_bits(all, prefix);
}

const char *
address_parse_network(const char *text, struct network *net)
{
	const char *slash = strchr(text, '/');
	const size_t len =
	    slash != NULL ? (size_t)(slash - text) : strlen(text);
	struct address addr = { 0 };
	char ip[INET6_ADDRSTRLEN];
	long long bits;

	if (len >= sizeof(ip))
		return "must be an IPv4 or IPv6 address, or ADDRESS/BITS";
	memcpy(ip, text, len);
	ip[len] = '\0';
	if (inet_pton(AF_INET, ip, &addr.in.sin_addr) == 1)
		addr.sa.sa_family = AF_INET;
	else if (inet_pton(AF_INET6, ip, &addr.in6.sin6_addr) == 1)
		addr.sa.sa_family = AF_INET6;
	else
		return "must be an IPv4 or IPv6 address, or ADDRESS/BITS";

	const int size = addr.sa.sa_family == AF_INET ? 32 : 128;

	bits = size;
	if (slash != NULL && !number_parse(slash + 1, 0, size, &bits))
		return size == 32 ? "after the slash must be 0 to 32 bits"
				  : "after the slash must be 0 to 128 bits";
	net->bits = (int)bits + 128 - size;
	net->net = unified(&addr);

	const struct in6_addr first = first_bits(net->net, net->bits);

	if (!IN6_ARE_ADDR_EQUAL(&first, &net->net))
		return "its address has bits beyond those before the slash";
	return NULL;
}

bool
address_in_network(const struct address *addr, const struct network *net)
{
	const struct in6_addr all = unified(addr);
	const struct in6_addr first = first_bits(all, net->bits);

	/* "::/0" is all of IPv6, and not of IPv4. */
	if (IN6_IS_ADDR_V4MAPPED(&all) && net->bits < 96)
		return false;
	return IN6_ARE_ADDR_EQUAL(&first, &net->net);
}

bool
address_in_networks(
    const struct address *addr, const struct network net[], size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (address_in_network(addr, &net[i]))
			return true;
	return false;
}

char *
address_format_source(const struct in6_addr *source, int prefix,
    char text[static ADDRESS_TEXT_SIZE])
{
	char ip[INET6_ADDRSTRLEN];

	if (write_ip(source, ip))
		snprintf(text, ADDRESS_TEXT_SIZE, "%s", ip);
	else
		snprintf(text, ADDRESS_TEXT_SIZE, "%s/%d", ip, prefix);
	return text;
}

uint16_t
address_port(const struct address *addr)
{
	return ntohs(addr->sa.sa_family == AF_INET ? addr->in.sin_port
						   : addr->in6.sin6_port);
}

bool
address_is_wildcard(const struct address *addr)
{
	return addr->sa.sa_family == AF_INET
	    ? addr->in.sin_addr.s_addr == htonl(INADDR_ANY)
	    : IN6_IS_ADDR_UNSPECIFIED(&addr->in6.sin6_addr);
}

bool
address_is_group(const struct address *addr)
{
	const struct in6_addr all = unified(addr);
	in_addr_t in;

	if (!IN6_IS_ADDR_V4MAPPED(&all))
		return IN6_IS_ADDR_MULTICAST(&all);
	memcpy(&in, &all.s6_addr[12], sizeof(in));
	return IN_MULTICAST(ntohl(in)) || in == htonl(INADDR_BROADCAST);
}

bool
address_equal(const struct address *a, const struct address *b)
{
	if (a->sa.sa_family != b->sa.sa_family ||
	    address_port(a) != address_port(b))
		return false;
	if (a->sa.sa_family == AF_INET)
		return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
	return IN6_ARE_ADDR_EQUAL(&a->in6.sin6_addr, &b->in6.sin6_addr) &&
	    a->in6.sin6_scope_id == b->in6.sin6_scope_id;
}
