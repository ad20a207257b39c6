/*
 * Which descriptors a process has.
 */
#ifndef ECHOD_DESCRIPTORS_H
#define ECHOD_DESCRIPTORS_H

/*
 * Close all from first to last, those that are not open included.  Where there
 * is no close_range(2), before Linux 5.9, the low ones only: the parent opens
 * few, at the start.  Async-signal-safe.
 */
void descriptors_close(unsigned first, unsigned last);

/*
 * Open /dev/null for each of descriptors 0 to 2 that is closed, lest a socket
 * become standard error, but not for writing.  Leave the handed over ones
 * after them, and close all above that the caller left open.  Set the umask.
 * Returns 0, or, having logged why, the status of sysexits(3) to exit with.
 */
int descriptors_tidy(int handed_over);

/*
 * Read nothing: standard input becomes /dev/null.  Clients' children have their
 * client there, and share the handlers of signals.h.  Returns as above.
 */
int descriptors_leave_input(void);

#endif
