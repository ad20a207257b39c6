#include "support.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

/*
 * Linked with --wrap=getservbyname: the services are the same everywhere, and
 * no file is read for each of a million inputs.
 */
struct servent *__wrap_getservbyname(const char *name, const char *proto);

struct servent *
__wrap_getservbyname(const char *name, const char *proto)
{
	static struct servent http;

	assert(strcmp(proto, "tcp") == 0);
	if (strcmp(name, "http") != 0)
		return NULL;
	http.s_port = htons(80);
	return &http;
}

void
check_spec(const struct address_spec *spec)
{
	char ip[ADDRESS_HOST_SIZE];
	struct in6_addr in6;

	assert(memchr(spec->host, '\0', sizeof(spec->host)) != NULL);
	assert(spec->host[0] != '\0' || spec->port != 0);
	for (const char *p = spec->host; *p != '\0'; p++)
		assert(isgraph((unsigned char)*p) && *p != '[' && *p != ']');
	if (strchr(spec->host, ':') == NULL)
		return;

	/* It is an IPv6 address, perhaps with a scope. */
	const size_t len = strcspn(spec->host, "%");

	assert(spec->host[len] == '\0' || spec->host[len + 1] != '\0');
	memcpy(ip, spec->host, len);
	ip[len] = '\0';
	assert(inet_pton(AF_INET6, ip, &in6) == 1);
}

char *
write_spec(const struct address_spec *spec, char text[static SPEC_TEXT_SIZE])
{
	const bool brackets = strchr(spec->host, ':') != NULL;
	char port[sizeof(":65535")] = "";

	if (spec->port != 0)
		snprintf(port, sizeof(port), ":%u", spec->port);
	snprintf(text, SPEC_TEXT_SIZE, brackets ? "[%s]%s" : "%s%s", spec->host,
	    port);
	return text;
}

void
check_network(const struct network *net)
{
	const struct address first = {
		.len = sizeof(first.in6),
		.in6 = { .sin6_family = AF_INET6, .sin6_addr = net->net },
	};

	assert(net->bits >= 0 && net->bits <= 128);
	assert(address_in_network(&first, net));
	/* Beyond the prefix there is nothing; each bit before it counts. */
	for (int i = 0; i < 128; i++) {
		struct address other = first;

		other.in6.sin6_addr.s6_addr[i / 8] ^= (uint8_t)(0x80 >> i % 8);
		/* Of those it has no IPv4 addresses if it is wider than all. */
		if (net->bits >= 96 ||
		    !IN6_IS_ADDR_V4MAPPED(&other.in6.sin6_addr))
			assert(address_in_network(&other, net) ==
			    (i >= net->bits));
		if (i >= net->bits)
			assert((net->net.s6_addr[i / 8] & 0x80 >> i % 8) == 0);
	}
}

char *
write_network(const struct network *net, char text[static NETWORK_TEXT_SIZE])
{
	char ip[INET6_ADDRSTRLEN];

	assert(inet_ntop(AF_INET6, &net->net, ip, sizeof(ip)) == ip);
	snprintf(text, NETWORK_TEXT_SIZE, "%s/%d", ip, net->bits);
	return text;
}
