/*
 * The pidfile, pidfile(3bsd), of an echod that gives up the right to remove it.
 */
#ifndef ECHOD_PIDFILE_H
#define ECHOD_PIDFILE_H

struct pidfile {
	struct pidfh *pf; /* libbsd's handle, until pidfile_keep(), or NULL */
	int fd; /* then this, or -1 */
};

/*
 * Open and lock the pidfile at path, an absolute one, or none where path is
 * NULL; the other functions take either.  It is to be done before
 * daemon_background(), which keeps the lock.  Returns 0, or, having logged why,
 * the status of sysexits(3) to exit with: then there is nothing to end.
 */
int pidfile_lock(struct pidfile *p, const char *path);

/* Write the pid of the calling process into it.  Returns as above. */
int pidfile_fill(const struct pidfile *p);

/*
 * Give up what libbsd needs to remove it, before the sandbox and in a process
 * without rights: keep a descriptor only, and with it the lock.  Returns as
 * above.
 */
int pidfile_keep(struct pidfile *p);

/*
 * Leave no pid behind: remove the file or, once it is kept, empty it.  Only the
 * process that serves or was to may do that: libbsd does not look at the pid.
 */
void pidfile_end(struct pidfile *p);

#endif
