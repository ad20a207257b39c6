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
 * On a UDP socket of a family: each datagram tells where it was sent to, as
 * ip(7) and ipv6(7) say, and the queue is as long as may be.  When the network
 * takes no more, a reply waits for a moment, then it is lost.
 */
int socket_set_datagram(int fd, int family);

#endif
