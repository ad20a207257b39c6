/*
 * What is set on sockets, once for all that they do.  Each function returns 0,
 * or -1 with errno set.
 */
#ifndef ECHOD_SOCKET_H
#define ECHOD_SOCKET_H

/*
 * On a listening socket of TCP, for all that are accepted from it to inherit,
 * or on one of them.  idle_timeout is in seconds, 0: none; see echo.h.
 */
int socket_set_stream(int fd, int idle_timeout);

/*
 * On the socket of a client that somebody else accepted: the same; where it is
 * not of TCP, the idle timeout only.
 */
int socket_set_client(int fd, int idle_timeout);

/*
 * What is asked for for datagrams that have to wait, in bytes: the kernel takes
 * as much as net.core.rmem_max or wmem_max, and gives twice that, socket(7).
 */
enum { SOCKET_QUEUE_SIZE = 4 << 20 };

/*
 * On a UDP socket of a family: each datagram tells where it was sent to, as
 * ip(7) and ipv6(7) say, and the queues are as long as may be.  When the
 * network takes no more, a reply waits for a moment, then it is lost.
 */
int socket_set_datagram(int fd, int family);

#endif
