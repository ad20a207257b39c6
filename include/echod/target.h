/*
 * Where a datagram was sent to, as ip(7) and ipv6(7) tell it in control
 * messages.  Pure.
 */
#ifndef ECHOD_TARGET_H
#define ECHOD_TARGET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "echod/replies.h"

/*
 * Room for what is received: of both families, of which a reply uses one, and
 * for what replies_send() adds.
 */
union target_control {
	struct cmsghdr align;
	char in[CMSG_SPACE(sizeof(struct in_pktinfo)) +
	    CMSG_SPACE(sizeof(struct in6_pktinfo)) + REPLIES_ROOM];
};

struct target {
	bool known, alone; /* not multicast or broadcast */
	int family; /* of addr */
	union {
		struct in_addr in;
		struct in6_addr in6;
	};
	unsigned interface;
};

/* What msg, as recvmsg(2) filled it in, says about it. */
struct target target_of(struct msghdr *msg);

/*
 * Let msg, with the same control buffer, go out from there; from wherever the
 * kernel chooses if that is not known.
 */
void target_reply_from(struct msghdr *msg, const struct target *target);

#endif
