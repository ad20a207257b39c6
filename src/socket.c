#include "echod/socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "echod/echo.h"

/* An idle peer that vanished is noticed after 300 + 6 * 30 seconds. */
enum { KEEP_IDLE = 300, KEEP_INTERVAL = 30, KEEP_COUNT = 6 };

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct socket_option {
	int level, name, value;
};

static int
set_options(int fd, const struct socket_option *opts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (setsockopt(fd, opts[i].level, opts[i].name, &opts[i].value,
			sizeof(opts[i].value)) == -1)
			return -1;
	return 0;
}

/*
 * What accept(2) hands down on Linux (tcp(7), socket(7)): set here once, it
 * costs no system call per connection.  TCP_USER_TIMEOUT is left alone: Linux
 * also takes it as the time that a live client may keep its window shut, and
 * breaks off one that reads too slowly to open it wide.
 */
static const struct socket_option stream_options[] = {
	{ IPPROTO_TCP, TCP_NODELAY, 1 },
	{ SOL_SOCKET, SO_OOBINLINE, 1 }, /* urgent bytes are bytes */
	{ SOL_SOCKET, SO_KEEPALIVE, 1 },
	{ IPPROTO_TCP, TCP_KEEPIDLE, KEEP_IDLE },
	{ IPPROTO_TCP, TCP_KEEPINTVL, KEEP_INTERVAL },
	{ IPPROTO_TCP, TCP_KEEPCNT, KEEP_COUNT },
};

static int
set_idle_timeout(int fd, int idle_timeout)
{
	const int64_t tick = idle_timeout * INT64_C(1000000) / ECHO_TICKS;
	const struct timeval idle = {
		.tv_sec = tick / 1000000,
		.tv_usec = tick % 1000000,
	};

	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &idle, sizeof(idle)) == -1)
		return -1;
	return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &idle, sizeof(idle));
}

int
socket_set_stream(int fd, int idle_timeout)
{
	if (set_options(fd, stream_options, COUNT(stream_options)) == -1)
		return -1;
	return set_idle_timeout(fd, idle_timeout);
}

int
socket_set_client(int fd, int idle_timeout)
{
	int protocol;
	socklen_t len = sizeof(protocol);

	if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) == -1)
		return -1;
	return protocol == IPPROTO_TCP ? socket_set_stream(fd, idle_timeout)
				       : set_idle_timeout(fd, idle_timeout);
}

static const struct socket_option datagram_options[] = {
	{ SOL_SOCKET, SO_RCVBUF, SOCKET_QUEUE_SIZE },
	/* Replies to hosts of this network that do not answer are in it, too.
	 */
	{ SOL_SOCKET, SO_SNDBUF, SOCKET_QUEUE_SIZE },
	{ SOL_SOCKET, SO_TIMESTAMP, 0 }, /* takes room for nothing */
	{ IPPROTO_IP, IP_PKTINFO, 1 },
	{ IPPROTO_IP, IP_RECVERR,
	    0 }, /* errors that nobody reads stay for ever */
};

/* One that was handed over may take IPv4, too. */
static const struct socket_option datagram6_options[] = {
	{ IPPROTO_IPV6, IPV6_RECVPKTINFO, 1 },
	{ IPPROTO_IPV6, IPV6_RECVERR, 0 },
};

int
socket_set_datagram(int fd, int family)
{
	const struct timeval moment = { .tv_usec = 10000 };

	if (set_options(fd, datagram_options, COUNT(datagram_options)) == -1)
		return -1;
	if (family == AF_INET6 &&
	    set_options(fd, datagram6_options, COUNT(datagram6_options)) == -1)
		return -1;
	return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &moment, sizeof(moment));
}
