#include "echod/echo.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/sockios.h>

/* What an errno of read(2) or write(2) says about the peer. */
static enum echo_end
classify(int error)
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

/* How long nothing has moved. */
struct stall {
	int ticks; /* timeouts in a row */
	int held; /* by the kernel for the peer, at the last timeout */
};

/*
 * read(2) or write(2) timed out: whether it was once too often.  The peer may
 * be taking what the kernel holds for it; write(2) does not tell, as it wakes
 * up for a third of its buffer only.
 */
static bool
is_stalled(struct stall *stall, int fd)
{
	const int before = stall->held;

	if (ioctl(fd, SIOCOUTQ, &stall->held) == -1)
		stall->held = 0;
	if (stall->held > 0 && stall->held < before)
		stall->ticks = 0;
	errno = EAGAIN; /* as it was */
	return ++stall->ticks >= ECHO_TICKS;
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
			    (errno == EAGAIN && !is_stalled(stall, fd)))
				continue;
			return -1;
		}
		stall->ticks = 0;
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
echo(int in, int out, void *buf, size_t size, _Atomic uint64_t *total)
{
	struct stall stall = { 0 };

	for (;;) {
		const ssize_t n = read_some(in, buf, size);

		if (n == 0)
			return ECHO_EOF;
		if (n == -1) {
			if (errno != EAGAIN)
				return classify(errno);
			if (is_stalled(&stall, out))
				return ECHO_SILENT;
			continue;
		}
		stall.ticks = 0;
		if (write_all(out, buf, (size_t)n, total, &stall) == -1)
			return errno == EAGAIN ? ECHO_STALLED : classify(errno);
	}
}
