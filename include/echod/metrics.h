/*
 * Counters of all that echod has done, and how they are told.  Pure.
 */
#ifndef ECHOD_METRICS_H
#define ECHOD_METRICS_H

#include <stddef.h>
#include <stdint.h>

enum { METRICS_STATUS_SIZE = 320, METRICS_BRIEF_SIZE = 96 };

struct metrics {
	int64_t started; /* in ns of a monotonic clock */
	size_t active; /* clients now */
	uint64_t accepted; /* clients that got a child, ever */
	uint64_t too_many; /* refused: --max-per-source */
	uint64_t too_fast; /* refused: --rate */
	uint64_t bytes; /* echoed, ever */
	uint64_t backoffs; /* failures for a lack of resources */
	uint64_t lost; /* connections gone before they were accepted */
};

/* Write the status line of SIGUSR1.  Returns text. */
char *metrics_status(const struct metrics *m, int64_t now,
    char text[static METRICS_STATUS_SIZE]);

/* Write the line that systemctl(1) shows.  Returns text. */
char *metrics_brief(
    const struct metrics *m, char text[static METRICS_BRIEF_SIZE]);

#endif
