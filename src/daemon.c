#include "echod/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/types.h>
#include <sysexits.h>
#include <unistd.h>

#include "echod/clock.h"
#include "echod/log.h"

/* The process that was called: wait, and exit as the daemon fares. */
static _Noreturn void
wait_for_daemon(const int ends[2])
{
	unsigned char status;
	ssize_t n;

	close(ends[1]);
	do
		n = read(ends[0], &status, sizeof(status));
	while (n == -1 && errno == EINTR);
	if (n == 1)
		_exit(status);
	log_error("the daemon was killed before it served");
	_exit(EX_OSERR);
}

/*
 * Twice: a service manager insists on a daemon that is init's child.  Returns
 * in the second child, or -1 with errno set.
 */
static int
fork_twice(const int ends[2])
{
	pid_t pid = fork();

	if (pid > 0)
		wait_for_daemon(ends);
	if (pid == -1)
		return -1;

	const pid_t parent = getpid();

	pid = fork();
	if (pid > 0)
		_exit(EX_OK);
	if (pid == -1)
		return -1;
	while (getppid() == parent)
		clock_pause(CLOCK_MILLISECOND);
	return 0;
}

int
daemon_background(int *ready)
{
	int ends[2];

	*ready = -1;
	if (pipe2(ends, O_CLOEXEC) == -1) {
		log_error("cannot make a pipe: %s", strerror(errno));
		return EX_OSERR;
	}
	*ready = ends[1];
	if (fork_twice(ends) == -1) {
		log_error(
		    "cannot go to the background: fork: %s", strerror(errno));
		return EX_OSERR;
	}
	close(ends[0]);
	if (setsid() == -1 || chdir("/") == -1) {
		log_error("cannot leave the terminal: %s", strerror(errno));
		return EX_OSERR;
	}
	return 0;
}

void
daemon_tell(int ready, int status)
{
	const unsigned char byte = (unsigned char)status;

	/* A caller that was interrupted meanwhile is no reason to stop. */
	if (write(ready, &byte, sizeof(byte)) == -1)
		log_debug("nobody waits for the daemon any more");
	close(ready);
}

void
daemon_ready(int ready, bool keep_stderr)
{
	dup3(STDIN_FILENO, STDOUT_FILENO, 0);
	if (!keep_stderr)
		dup3(STDIN_FILENO, STDERR_FILENO, 0);
	daemon_tell(ready, EX_OK);
}
