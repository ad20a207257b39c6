/*
 * Socket addresses: what --listen and --port say, and how a peer is written.
 *
 * Pure, but for address_parse_port(), which may read /etc/services.
 */
#ifndef ECHOD_ADDRESS_H
#define ECHOD_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum {
	ADDRESS_HOST_SIZE =
	    256, /* a DNS name (RFC 1035) or V6%scope, and NUL */
	ADDRESS_TEXT_SIZE = 72, /* "[V6%4294967295]:65535" and NUL */
	ADDRESS_PORT_ECHO = 7, /* RFC 862 */
};

/* One IPv4 or IPv6 socket address. */
struct address {
	socklen_t len; /* of the member in use */
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	};
};

/* The addresses that begin with bits of net; those of IPv4 are mapped ones. */
struct network {
	struct in6_addr net;
	int bits; /* 0 to 128 */
};

/* Where to listen, as written: not yet resolved. */
struct address_spec {
	char host[ADDRESS_HOST_SIZE]; /* empty: every interface */
	uint16_t port; /* host order; 0: none was given */
};

/*
 * Take "HOST", "HOST:PORT", "V6", "[V6]", "[V6]:PORT" or ":PORT" apart.
 * HOST is a name or an address, V6 may carry a %scope (RFC 4007), PORT is as
 * for address_parse_port().  Returns NULL, or the reason (a static string)
 * why text is none of these; then *spec is undefined.
 */
const char *address_parse(const char *text, struct address_spec *spec);

/*
 * Read a port: a number from 1 to 65535, or the name of a TCP service.  The
 * name "echo" is known even where there is no /etc/services.  Returns the port
 * in host order, or 0 if text is neither.
 */
uint16_t address_parse_port(const char *text);

/*
 * Read a network, "192.0.2.0/24" or "2001:db8::/32" (RFC 4632, RFC 4291), or a
 * single address.  Returns NULL, or the reason (a static string) why text is
 * none, such as bits beyond its prefix; then *net is undefined.
 */
const char *address_parse_network(const char *text, struct network *net);

/* Whether addr is of that network; an IPv4-mapped address is an IPv4 one. */
bool address_in_network(const struct address *addr, const struct network *net);

/* Whether it is of one of n. */
bool address_in_networks(
    const struct address *addr, const struct network net[], size_t n);

/*
 * Write addr as a person types it, "192.0.2.7:50312" or
 * "[2001:db8::7%2]:50312". An IPv4-mapped address is written as IPv4.  Scopes
 * are numbers: their names cannot be asked for without a system call.  Returns
 * text.
 */
char *address_format(
    const struct address *addr, char text[static ADDRESS_TEXT_SIZE]);

/* The port of addr, in host order. */
uint16_t address_port(const struct address *addr);

/* Whether addr is its family's "every interface". */
bool address_is_wildcard(const struct address *addr);

/* Whether addr is a multicast group, or IPv4's 255.255.255.255. */
bool address_is_group(const struct address *addr);

/*
 * The source that addr counts under: its IPv4 address, as an IPv4-mapped IPv6
 * one, or the first prefix bits, 1 to 128, of its IPv6 address.
 */
struct in6_addr address_source(const struct address *addr, int prefix);

/* Write a source of address_source(): "192.0.2.7" or "2001:db8::/64". */
char *address_format_source(const struct in6_addr *source, int prefix,
    char text[static ADDRESS_TEXT_SIZE]);

/* Whether two sockets would be bound to the same address and port. */
bool address_equal(const struct address *a, const struct address *b);

#endif
