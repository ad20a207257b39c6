#include "echod/echo.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <linux/sockios.h>

enum echo_end
echo_why(int error)
{
	switch (error) {
	case ECONNRESET:
	case EPIPE:
		return ECHO_RESET;
	case ETIMEDOUT: /* and what ICMP said last: icmp(7) */
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EHOSTDOWN:
	case ENETDOWN:
	case ENONET:
	case ECONNREFUSED:
	case ENOPROTOOPT:
	case EPROTO:
	case EOPNOTSUPP:
	case EMSGSIZE:
	case EACCES:
	case EPERM:
		return ECHO_VANISHED;
	default:
		return ECHO_FAILED;
	}
}

static ssize_t
read_some(int fd, void *buf, size_t size)
{
	ssize_t n;

	do
		n = read(fd, buf, size);
	while (n == -1 && errno == EINTR);
	return n;
}

/*
 * errno is EAGAIN: whether a timeout is why.  Else somebody who shares fd does
 * not want to wait, and has set O_NONBLOCK; but we do.
 */
static bool
has_timed_out(int fd, short events, int option)
{
	struct pollfd pfd = { .fd = fd, .events = events };
	struct timeval tv = { 0 };
	socklen_t len = sizeof(tv);
	const int flags = fcntl(fd, F_GETFL);

	if (flags == -1 || (flags & O_NONBLOCK) == 0)
		return true;
	(void)getsockopt(fd, SOL_SOCKET, option, &tv, &len); /* if it is one */

	const struct timespec ts = {
		.tv_sec = tv.tv_sec,
		.tv_nsec = tv.tv_usec * 1000,
	};
	const bool never = ts.tv_sec == 0 && ts.tv_nsec == 0;

	return ppoll(&pfd, 1, never ? NULL : &ts, NULL) == 0;
}

/* How long nothing has moved. */
struct stall {
	int ticks; /* timeouts in a row */
	int held; /* by the kernel for the peer, at the last timeout */
};

/* At some time until the next timeout the kernel may give more to the peer. */
static void
move(struct stall *stall)
{
	*stall = (struct stall){ .held = INT_MAX };
}

/*
 * read(2) or write(2) timed out: whether it was once too often.  The peer may
 * be taking what the kernel holds for it; write(2) does not tell, as it wakes
 * up for a third of its buffer only.  If so the whole of the interval does not
 * count: who knows when in it that was.
 */
static bool
is_stalled(struct stall *stall, int fd)
{
	const int before = stall->held;

	if (ioctl(fd, SIOCOUTQ, &stall->held) == -1)
		stall->held = 0;
	stall->ticks = stall->held < before ? 0 : stall->ticks + 1;
	errno = EAGAIN; /* as it was */
	return stall->ticks >= ECHO_TICKS;
}

/* Returns 0, or -1 with errno set; what was written counts either way. */
static int
write_all(int fd, const char *buf, size_t len, _Atomic uint64_t *total,
    struct stall *stall)
{
	while (len > 0) {
		const ssize_t n = write(fd, buf, len);

		if (n == -1) {
			if (errno == EINTR ||
			    (errno == EAGAIN &&
				(!has_timed_out(fd, POLLOUT, SO_SNDTIMEO) ||
				    !is_stalled(stall, fd))))
				continue;
			return -1;
		}
		move(stall);
		buf += n;
		len -= (size_t)n;
		/* One writer only: no locked instruction is needed. */
		atomic_store_explicit(total,
		    atomic_load_explicit(total, memory_order_relaxed) +
			(uint64_t)n,
		    memory_order_relaxed);
	}
	return 0;
}

enum echo_end
echo(int in, int out, void *buf, size_t size, size_t held,
    _Atomic uint64_t *total)
{
	struct stall stall = { 0 };
	ssize_t n = (ssize_t)held;

	for (;;) {
		if (write_all(out, buf, (size_t)n, total, &stall) == -1)
			return errno == EAGAIN ? ECHO_STALLED : echo_why(errno);
		while ((n = read_some(in, buf, size)) == -1) {
			if (errno != EAGAIN)
				return echo_why(errno);
			if (has_timed_out(in, POLLIN, SO_RCVTIMEO) &&
			    is_stalled(&stall, out))
				return ECHO_SILENT;
		}
		if (n == 0)
			return ECHO_EOF;
		move(&stall);
	}
}
