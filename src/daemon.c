#include "echod/daemon.h"

#include <bsd/libutil.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sysexits.h>
#include <unistd.h>

#include "echod/clock.h"
#include "echod/log.h"

int
daemon_tidy_descriptors(int handed_over)
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
daemon_leave_input(void)
{
	const int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null == -1 || dup3(null, STDIN_FILENO, 0) == -1) {
		log_error("cannot read from /dev/null: %s", strerror(errno));
		return EX_OSERR;
	}
	close(null);
	return 0;
}

/* The process that was called: wait, and exit as the daemon fares. */
static void
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

/* fork(2), and go on in the child.  Returns 0, or the status to exit with. */
static int
become_child(void (*parent)(const int ends[2]), const int ends[2])
{
	const pid_t pid = fork();

	if (pid == -1) {
		log_error(
		    "cannot go to the background: fork: %s", strerror(errno));
		return EX_OSERR;
	}
	if (pid != 0)
		parent(ends);
	return 0;
}

static void
end(const int ends[2])
{
	(void)ends;
	_exit(EX_OK);
}

int
daemon_background(int *ready)
{
	int ends[2], status;

	if (pipe2(ends, O_CLOEXEC) == -1) {
		log_error("cannot make a pipe: %s", strerror(errno));
		return EX_OSERR;
	}
	*ready = ends[1];
	/* Twice: a service manager insists on a daemon that is init's child. */
	if ((status = become_child(wait_for_daemon, ends)) != 0)
		return status;

	const pid_t parent = getpid();

	if ((status = become_child(end, ends)) != 0)
		return status;
	while (getppid() == parent)
		clock_pause(CLOCK_MILLISECOND);
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

int
daemon_pidfile_lock(struct pidfh **pf, const char *path)
{
	pid_t other = -1;

	*pf = NULL;
	if (path == NULL)
		return 0;
	*pf = pidfile_open(path, 0644, &other);
	if (*pf != NULL) {
		/* libbsd 0.11 documents O_CLOEXEC but does not set it. */
		if (fcntl(pidfile_fileno(*pf), F_SETFD, FD_CLOEXEC) == 0)
			return 0;
		log_error(
		    "cannot set up the pidfile %s: %s", path, strerror(errno));
		return EX_OSERR;
	}
	switch (errno) {
	case EEXIST:
		log_error("already running, pid %d, which holds the pidfile %s",
		    (int)other, path);
		break;
	case EAGAIN: /* held, but as yet without a pid */
	case EINVAL: /* held, with something else in it */
		log_error(
		    "already running: another process holds the pidfile %s",
		    path);
		break;
	default:
		log_error(
		    "cannot make the pidfile %s: %s; choose another with --pidfile",
		    path, strerror(errno));
	}
	return EX_CANTCREAT;
}

int
daemon_pidfile_write(struct pidfh *pf)
{
	if (pf == NULL || pidfile_write(pf) == 0)
		return 0;
	log_error("cannot write the pidfile: %s", strerror(errno));
	return EX_CANTCREAT;
}

void
daemon_pidfile_remove(struct pidfh *pf)
{
	if (pf == NULL)
		return;
	/* First empty: root's file may be no longer ours to remove. */
	if (ftruncate(pidfile_fileno(pf), 0) == -1 || pidfile_remove(pf) == -1)
		log_debug("cannot remove the pidfile: %s", strerror(errno));
}

int
daemon_pidfile_keep(struct pidfh **pf, int *kept)
{
	*kept = -1;
	if (*pf == NULL)
		return 0;
	*kept = fcntl(pidfile_fileno(*pf), F_DUPFD_CLOEXEC, 0);
	if (*kept == -1) {
		log_error("cannot keep the pidfile: %s", strerror(errno));
		return EX_OSERR;
	}
	pidfile_close(*pf);
	*pf = NULL;
	return 0;
}

void
daemon_pidfile_empty(int kept)
{
	if (kept == -1)
		return;
	if (ftruncate(kept, 0) == -1)
		log_warning("cannot empty the pidfile: %s", strerror(errno));
	close(kept);
}
