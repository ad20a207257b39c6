#include "echod/daemon.h"

#include <bsd/libutil.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

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
static _Noreturn void
wait_for(pid_t daemon, int pipe_end)
{
	char byte;
	ssize_t n;
	int status;

	do
		n = read(pipe_end, &byte, sizeof(byte));
	while (n == -1 && errno == EINTR);
	if (n == 1)
		_exit(EX_OK);
	/* The daemon closed its end, so it has ended and said why. */
	if (waitpid(daemon, &status, 0) == -1) {
		log_error("cannot wait for the daemon: %s", strerror(errno));
		_exit(EX_OSERR);
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
		_exit(WEXITSTATUS(status));
	if (WIFSIGNALED(status))
		log_error("the daemon was killed by signal %d before it served",
		    WTERMSIG(status));
	else
		log_error("the daemon stopped before it served");
	_exit(EX_OSERR);
}

int
daemon_background(int *ready)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) == -1) {
		log_error("cannot make a pipe: %s", strerror(errno));
		return EX_OSERR;
	}

	signal(SIGCHLD, SIG_DFL); /* or there may be no status to wait for */

	const pid_t pid = fork();

	if (pid == -1) {
		log_error(
		    "cannot go to the background: fork: %s", strerror(errno));
		return EX_OSERR;
	}
	if (pid != 0) {
		close(ends[1]);
		wait_for(pid, ends[0]);
	}
	close(ends[0]);
	*ready = ends[1];

	if (setsid() == -1 || chdir("/") == -1) {
		log_error("cannot leave the terminal: %s", strerror(errno));
		return EX_OSERR;
	}
	return 0;
}

void
daemon_ready(int ready, bool keep_stderr)
{
	dup3(STDIN_FILENO, STDOUT_FILENO, 0);
	if (!keep_stderr)
		dup3(STDIN_FILENO, STDERR_FILENO, 0);
	/* A caller that was interrupted meanwhile is no reason to stop. */
	if (write(ready, "", 1) == -1)
		log_debug("nobody waits for the daemon any more");
	close(ready);
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
