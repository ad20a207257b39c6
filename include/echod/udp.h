/*
 * The UDP worker: one process that sends every datagram back (RFC 862), but for
 * those whose echo could do harm (CVE-1999-0103).
 */
#ifndef ECHOD_UDP_H
#define ECHOD_UDP_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "echod/address.h"
#include "echod/listener.h"
#include "echod/replies.h"

enum { UDP_RATE = 100 }; /* replies a second for a source, unless told others */

/* Why a datagram gets no answer. */
enum udp_refused {
	UDP_FAST, /* its source sends more than it may */
	/*
	 * Its source could answer, as it is the port of a service, or does not
	 * exist; or it was sent to a multicast or broadcast address.
	 */
	UDP_SOURCE,
	UDP_REFUSED
};

/* What the worker tells the parent: all of it since it did before. */
struct udp_report {
	struct replies_sent sent;
	uint64_t refused[UDP_REFUSED];
	struct address from[UDP_REFUSED]; /* the first of them */
};

struct udp {
	const struct listeners *ls; /* those of UDP are served */
	int report; /* a pipe to the parent, for whole struct udp_report */
	int rate; /* replies a second for a source */
	int ipv6_prefix; /* bits of an IPv6 source */
	const sigset_t *waiting; /* signals_init()'s mask */
};

/*
 * The life of the worker, right after fork(2).  It keeps standard input, the
 * sockets and the report.  A reply goes out from the address that was asked. It
 * reports at once, but once a second at most.  TERM makes it answer what has
 * arrived, and leave by _exit(2) with SESSION_DRAINED of session.h; where it
 * cannot go on it leaves with SESSION_FAILED, as it does if the parent is gone.
 */
_Noreturn void udp_run(const struct udp *udp);

#endif
