/*
 * What makes a process a daemon: the background, and a caller that is told.
 */
#ifndef ECHOD_DAEMON_H
#define ECHOD_DAEMON_H

#include <stdbool.h>

/*
 * Go to the background: a child of init, with a session of its own, in "/".
 * Returns in the daemon only.  The process that was called stays until
 * daemon_tell() or daemon_ready(), and exits with the status that it is told.
 * *ready gets a descriptor for these, or -1.  Returns 0, or, having logged why,
 * the status of sysexits(3) to exit with: then, too, daemon_tell() is to be
 * called, if *ready is not -1.
 */
int daemon_background(int *ready);

/* The daemon ends before it serves, with this status. */
void daemon_tell(int ready, int status);

/*
 * The daemon serves: let the caller go, and leave its terminal: 1 and, unless
 * keep_stderr, 2 become what 0 is.
 */
void daemon_ready(int ready, bool keep_stderr);

#endif
