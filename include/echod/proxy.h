/*
 * The PROXY protocol, versions 1 and 2: which client a proxy speaks for
 * (HAProxy's doc/proxy-protocol.txt of 2020/03/05).
 *
 * Pure: bytes in, an address or an error out.
 */
#ifndef ECHOD_PROXY_H
#define ECHOD_PROXY_H

#include <stddef.h>

#include "echod/address.h"

enum {
	PROXY_LINE_MAX = 107, /* of version 1, with its CRLF */
	PROXY_HEADER_MAX = 16384, /* of version 2: as much as HAProxy takes */
};

enum proxy_result {
	PROXY_MORE, /* so far right, but not all of a header */
	PROXY_PEER, /* the client is known */
	PROXY_LOCAL, /* the connection's own address counts */
	PROXY_WRONG, /* no header, or a wrong one */
	PROXY_LONG, /* a longer one than is taken */
};

/*
 * Read the header at the start of the len bytes of data, and nothing beyond
 * them.  They may be given again and again with more behind them: the answer
 * is PROXY_WRONG or PROXY_LONG as soon as it is clear that they are no header;
 * of the line of version 1, what follows "PROXY " is looked at when it is
 * whole.
 *
 * PROXY_PEER sets *peer to the source of a TCP connection: any address and
 * port, 0 too, as the proxy gave them, an IPv6 one without a scope.
 * PROXY_LOCAL is what the proxy says of itself (LOCAL), or cannot say (UNKNOWN
 * and UNSPEC), or says of a connection that is not TCP (UDP and UNIX).  Both
 * set *used to the size of the header; what is behind it is the client's.
 * Other results leave *peer and *used as they are, PROXY_LOCAL leaves *peer.
 *
 * Version 2: TLVs must fill the header.  At most one is a checksum (CRC32c),
 * which must be right; the others are skipped.  What follows LOCAL or UNSPEC
 * has no form that is known, and is skipped whole.
 */
enum proxy_result proxy_parse(
    const void *data, size_t len, struct address *peer, size_t *used);

#endif
