#include "echod/target.h"

#include <string.h>

/*
 * The two addresses differ for a broadcast.  The second one is not known of
 * what arrived before the socket was ours.
 */
static bool
is_for_us_alone(const struct in_pktinfo *info)
{
	const in_addr_t to = ntohl(info->ipi_addr.s_addr);

	if (info->ipi_spec_dst.s_addr == htonl(INADDR_ANY))
		return !IN_MULTICAST(to) && to != INADDR_BROADCAST;
	return info->ipi_addr.s_addr == info->ipi_spec_dst.s_addr;
}

/* Whether it is whole, and such a message. */
static bool
is(const struct cmsghdr *c, int level, int type, size_t size)
{
	return c->cmsg_level == level && c->cmsg_type == type &&
	    c->cmsg_len >= CMSG_LEN(size);
}

/*
 * A socket of IPv6 that takes IPv4, too, tells both: then the address is an
 * IPv4-mapped one, and only the one of IPv4 says whether it is a broadcast.
 */
struct target
target_of(struct msghdr *msg)
{
	/* What is cut short may be what says that it is not for us alone. */
	struct target target = { .alone = (msg->msg_flags & MSG_CTRUNC) == 0 };

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL;
	     c = CMSG_NXTHDR(msg, c)) {
		if (is(c, IPPROTO_IP, IP_PKTINFO, sizeof(struct in_pktinfo))) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			target.alone &= is_for_us_alone(&info);
			if (target.known)
				continue;
			target.known = true;
			target.family = AF_INET;
			target.in = info.ipi_addr;
		} else if (is(c, IPPROTO_IPV6, IPV6_PKTINFO,
			       sizeof(struct in6_pktinfo))) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			target.alone &= !IN6_IS_ADDR_MULTICAST(&info.ipi6_addr);
			target.known = true;
			target.family = AF_INET6;
			target.in6 = info.ipi6_addr;
			target.interface = info.ipi6_ifindex;
		}
	}
	return target;
}

/* Let it be the only control message. */
static void
put(struct msghdr *msg, int level, int type, const void *info, size_t size)
{
	struct cmsghdr *c = msg->msg_control;

	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(c), info, size);
	msg->msg_controllen = CMSG_SPACE(size);
}

void
target_reply_from(struct msghdr *msg, const struct target *target)
{
	if (!target->known) {
		msg->msg_control = NULL;
		msg->msg_controllen = 0;
	} else if (target->family == AF_INET) {
		/* Of all interfaces: the way back may be another. */
		const struct in_pktinfo info = { .ipi_spec_dst = target->in };

		put(msg, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	} else {
		const struct in6_pktinfo info = {
			.ipi6_addr = target->in6,
			.ipi6_ifindex =
			    IN6_IS_ADDR_LINKLOCAL(&target->in6) ? target->interface : 0,
		};

		put(msg, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
	}
}
