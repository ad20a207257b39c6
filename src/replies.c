#include "echod/replies.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <string.h>

enum {
	SEGMENT_SIZE = 1472, /* more does not fit into a packet of Ethernet */
	MESSAGE_SIZE = 65000, /* of all of them; headers come to that */
};

/* Messages, each with as many datagrams as it has iovecs. */
struct messages {
	struct mmsghdr msg[REPLIES_MAX];
	struct iovec iov[REPLIES_MAX];
	size_t n;
};

/* Whether two datagrams go from the same address to the same address. */
static bool
is_same_way(const struct msghdr *a, const struct msghdr *b)
{
	const struct cmsghdr *x = a->msg_control, *y = b->msg_control;

	if (a->msg_namelen != b->msg_namelen ||
	    memcmp(a->msg_name, b->msg_name, a->msg_namelen) != 0 ||
	    a->msg_controllen != b->msg_controllen)
		return false;
	return a->msg_controllen == 0 ||
	    (x->cmsg_len == y->cmsg_len && memcmp(x, y, x->cmsg_len) == 0);
}

/* Let the kernel cut a message into datagrams of that size. */
static void
cut_into(struct msghdr *msg, uint16_t size)
{
	char *control = msg->msg_control;
	struct cmsghdr *c = (void *)(control + msg->msg_controllen);

	c->cmsg_level = SOL_UDP;
	c->cmsg_type = UDP_SEGMENT;
	c->cmsg_len = CMSG_LEN(sizeof(size));
	memcpy(CMSG_DATA(c), &size, sizeof(size));
	msg->msg_controllen += CMSG_SPACE(sizeof(size));
}

/*
 * Begin a message with the i-th datagram, and take those into it that may be,
 * up to the first to the same address that may not: it must not be overtaken.
 */
static void
gather(struct messages *all, const struct mmsghdr msg[], size_t n, size_t i,
    struct iovec **iov, bool taken[])
{
	const size_t size = msg[i].msg_len;
	struct mmsghdr *m = &all->msg[all->n++];

	*m = msg[i];
	m->msg_hdr.msg_iov = *iov;
	*(*iov)++ = *msg[i].msg_hdr.msg_iov;
	if (size == 0 || size > SEGMENT_SIZE ||
	    msg[i].msg_hdr.msg_control == NULL)
		return;
	for (size_t j = i + 1; j < n; j++) {
		if (taken[j] || !is_same_way(&msg[i].msg_hdr, &msg[j].msg_hdr))
			continue;
		if (msg[j].msg_len != size ||
		    (m->msg_hdr.msg_iovlen + 1) * size > MESSAGE_SIZE)
			break;
		taken[j] = true;
		*(*iov)++ = *msg[j].msg_hdr.msg_iov;
		m->msg_hdr.msg_iovlen++;
	}
	if (m->msg_hdr.msg_iovlen > 1)
		cut_into(&m->msg_hdr, (uint16_t)size);
}

static void
count(struct replies_sent *sent, const struct mmsghdr *m)
{
	sent->datagrams += m->msg_hdr.msg_iovlen;
	sent->bytes += m->msg_len;
}

/*
 * Send as many messages as can be sent, EINTR or not.  Where there is no room,
 * that is waited for once in a batch, and not once for each: then *flags say
 * so.
 */
static int
send_some(int fd, struct mmsghdr *m, size_t n, int *flags)
{
	int sent;

	while ((sent = sendmmsg(fd, m, (unsigned)n, *flags)) == -1 &&
	    errno == EINTR)
		;
	if (sent == -1 && errno == EAGAIN)
		*flags = MSG_DONTWAIT;
	return sent;
}

/*
 * Send the datagrams of a message one by one: its way is narrower than
 * Ethernet, or its interface cannot do sums.
 */
static void
send_apart(
    int fd, const struct msghdr *msg, int *flags, struct replies_sent *sent)
{
	struct mmsghdr one = { .msg_hdr = *msg };

	one.msg_hdr.msg_iovlen = 1;
	one.msg_hdr.msg_controllen -= CMSG_SPACE(sizeof(uint16_t));
	for (size_t i = 0; i < msg->msg_iovlen; i++) {
		one.msg_hdr.msg_iov = &msg->msg_iov[i];
		if (send_some(fd, &one, 1, flags) == 1)
			count(sent, &one);
		else
			sent->lost++;
	}
}

static void
send_all(int fd, struct messages *all, struct replies_sent *sent)
{
	int flags = 0;

	for (size_t i = 0; i < all->n;) {
		struct mmsghdr *m = &all->msg[i];
		const int n = send_some(fd, m, all->n - i, &flags);

		for (int k = 0; k < n; k++, i++)
			count(sent, &all->msg[i]);
		if (n > 0)
			continue;
		i++;
		if (m->msg_hdr.msg_iovlen > 1 && errno != EAGAIN)
			send_apart(fd, &m->msg_hdr, &flags, sent);
		else /* a firewall, no way there, no room for now, ... */
			sent->lost += m->msg_hdr.msg_iovlen;
	}
}

void
replies_send(
    int fd, const struct mmsghdr msg[], size_t n, struct replies_sent *sent)
{
	bool taken[REPLIES_MAX] = { false };
	struct messages all = { .n = 0 };
	struct iovec *iov = all.iov;

	for (size_t i = 0; i < n; i++)
		if (!taken[i])
			gather(&all, msg, n, i, &iov, taken);
	send_all(fd, &all, sent);
}
