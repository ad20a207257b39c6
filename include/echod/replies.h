/*
 * Send many datagrams at once, for less than they would cost one by one.
 */
#ifndef ECHOD_REPLIES_H
#define ECHOD_REPLIES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum {
	REPLIES_MAX = 64,
	/* Of its control data, each datagram leaves so much room at the end. */
	REPLIES_ROOM = CMSG_SPACE(sizeof(uint16_t)),
};

struct replies_sent {
	uint64_t datagrams, bytes;
	uint64_t lost; /* datagrams that could not be sent */
};

/*
 * Send up to REPLIES_MAX datagrams by fd: msg[i] in a single iovec, with its
 * size as msg_len, too.  Those to one address from one address, of one size,
 * are given to the kernel as one message, for it to cut (UDP_SEGMENT of
 * udp(7)).  Datagrams that go another way may overtake them, but
 * none that go the same.  What the network does not take is lost.  Adds to
 * *sent.
 */
void replies_send(
    int fd, const struct mmsghdr msg[], size_t n, struct replies_sent *sent);

#endif
