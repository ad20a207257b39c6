/*
 * A write(2) for LD_PRELOAD that, to a client, writes a few bytes at most and
 * is interrupted now and then.  A client is descriptor 0 of its child.
 */
#include <errno.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

ssize_t
write(int fd, const void *buf, size_t size)
{
	static const size_t most[] = { 1, 0, 2, 777, 0, 0, 3, 4096, 31 };
	static unsigned calls;

	if (fd == STDIN_FILENO) {
		const size_t n =
		    most[calls++ % (sizeof(most) / sizeof(most[0]))];

		if (n == 0) {
			errno = EINTR;
			return -1;
		}
		if (size > n)
			size = n;
	}
	return syscall(SYS_write, fd, buf, size);
}
