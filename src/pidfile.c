#include "echod/pidfile.h"

#include <bsd/libutil.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "echod/log.h"

/* What pidfile_open(3bsd) says. */
static void
complain(const char *path, int error, pid_t other)
{
	switch (error) {
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
		    path, strerror(error));
	}
}

int
pidfile_lock(struct pidfile *p, const char *path)
{
	pid_t other = -1;

	*p = (struct pidfile){ .fd = -1 };
	if (path == NULL)
		return 0;
	p->pf = pidfile_open(path, 0644, &other);
	if (p->pf == NULL) {
		complain(path, errno, other);
		return EX_CANTCREAT;
	}
	/* libbsd 0.11 documents O_CLOEXEC but does not set it. */
	if (fcntl(pidfile_fileno(p->pf), F_SETFD, FD_CLOEXEC) == -1) {
		log_error(
		    "cannot set up the pidfile %s: %s", path, strerror(errno));
		pidfile_end(p);
		return EX_OSERR;
	}
	return 0;
}

int
pidfile_fill(const struct pidfile *p)
{
	if (p->pf == NULL || pidfile_write(p->pf) == 0)
		return 0;
	log_error("cannot write the pidfile: %s", strerror(errno));
	return EX_CANTCREAT;
}

int
pidfile_keep(struct pidfile *p)
{
	if (p->pf == NULL)
		return 0;
	p->fd = fcntl(pidfile_fileno(p->pf), F_DUPFD_CLOEXEC, 0);
	if (p->fd == -1) {
		log_error("cannot keep the pidfile: %s", strerror(errno));
		return EX_OSERR;
	}
	pidfile_close(p->pf);
	p->pf = NULL;
	return 0;
}

static void
empty(struct pidfile *p)
{
	if (ftruncate(p->fd, 0) == -1)
		log_warning("cannot empty the pidfile: %s", strerror(errno));
	close(p->fd);
	p->fd = -1;
}

/* First empty: root's file may be no longer ours to remove. */
static void
remove_it(struct pidfile *p)
{
	if (ftruncate(pidfile_fileno(p->pf), 0) == -1 ||
	    pidfile_remove(p->pf) == -1)
		log_debug("cannot remove the pidfile: %s", strerror(errno));
	p->pf = NULL;
}

void
pidfile_end(struct pidfile *p)
{
	if (p->pf != NULL)
		remove_it(p);
	else if (p->fd != -1)
		empty(p);
}
