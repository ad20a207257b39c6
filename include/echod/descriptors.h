/*
 * Descriptors that a child does not need.
 */
#ifndef ECHOD_DESCRIPTORS_H
#define ECHOD_DESCRIPTORS_H

/*
 * Close all from first to last, those that are not open included.  Where there
 * is no close_range(2), before Linux 5.9, the low ones only: the parent opens
 * few, at the start.  Async-signal-safe.
 */
void descriptors_close(unsigned first, unsigned last);

#endif
