#include "echod/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "echod/log.h"

/* More than there are sockets to serve, and a few. */
enum { LOW = 128 };

void
descriptors_close(unsigned first, unsigned last)
{
	if (first > last || close_range(first, last, 0) == 0)
		return;
	for (unsigned fd = first; fd <= last && fd < LOW; fd++)
		close((int)fd);
}

int
descriptors_tidy(int handed_over)
{
	int fd;

	do
		fd = open("/dev/null", O_RDONLY);
	while (fd != -1 && fd <= STDERR_FILENO);
	if (fd == -1) {
		log_error("cannot open /dev/null: %s", strerror(errno));
		return EX_OSERR;
	}
	closefrom(STDERR_FILENO + 1 + (handed_over > 0 ? handed_over : 0));
	umask(022); /* the pidfile is for all to read */
	return 0;
}

int
descriptors_leave_input(void)
{
	const int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null == -1 || dup3(null, STDIN_FILENO, 0) == -1) {
		log_error("cannot read from /dev/null: %s", strerror(errno));
		return EX_OSERR;
	}
	close(null);
	return 0;
}
