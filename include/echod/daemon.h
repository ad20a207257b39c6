/*
 * What makes a process a daemon: descriptors, the background, the pidfile.
 */
#ifndef ECHOD_DAEMON_H
#define ECHOD_DAEMON_H

#include <stdbool.h>

struct pidfh; /* of libbsd, pidfile(3bsd) */

/*
 * Open /dev/null for each of descriptors 0 to 2 that is closed, lest a socket
 * become standard error, but not for writing.  Leave the handed over ones
 * after them, and close all above that the caller left open.  Set the umask.
 * Returns 0, or, having logged why, the status of sysexits(3) to exit with.
 */
int daemon_tidy_descriptors(int handed_over);

/*
 * Read nothing: standard input becomes /dev/null.  Clients' children have their
 * client there, and share the handlers of signals.h.  Returns as above.
 */
int daemon_leave_input(void);

/*
 * Go to the background: a child of init, with a session of its own, in "/".
 * Returns in the daemon only.  The process that was called stays until
 * daemon_tell() or daemon_ready(), and exits with the status that it is told.
 * *ready gets a descriptor for these.  Returns 0, or as above: then, too,
 * daemon_tell() is to be called, if *ready is not -1.
 */
int daemon_background(int *ready);

/* The daemon ends before it serves, with this status. */
void daemon_tell(int ready, int status);

/*
 * The daemon serves: let the caller go, and leave its terminal: 1 and, unless
 * keep_stderr, 2 become what 0 is.
 */
void daemon_ready(int ready, bool keep_stderr);

/*
 * Open and lock the pidfile at path, an absolute one.  To be done before
 * daemon_background(); daemon_pidfile_write() after it.  *pf gets the handle,
 * for daemon_pidfile_remove(), or NULL where path is NULL; the other two take
 * that.  Both return as above.
 */
int daemon_pidfile_lock(struct pidfh **pf, const char *path);
int daemon_pidfile_write(struct pidfh *pf);

/*
 * Remove the pidfile of an echod that does not come to serve.  Only the process
 * that wrote it may: libbsd does not look at the pid.
 */
void daemon_pidfile_remove(struct pidfh *pf);

/*
 * Before echod gives up what libbsd needs to handle a pidfile: keep of *pf,
 * which becomes NULL, a descriptor only, and with it the lock.  *kept gets it,
 * for daemon_pidfile_empty(), or -1 where there is no pidfile.  At the end the
 * file is left, but empty: no stale pid.  Returns as above.
 */
int daemon_pidfile_keep(struct pidfh **pf, int *kept);
void daemon_pidfile_empty(int kept);

#endif
