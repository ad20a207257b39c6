/*
 * Counters of all that echod has done, and how they are told.  Pure.
 */
#ifndef ECHOD_METRICS_H
#define ECHOD_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "echod/session.h"

enum {
	METRICS_STATUS_SIZE = 512,
	METRICS_BRIEF_SIZE = 96,
	METRICS_TEXT_SIZE = 8192,
	METRICS_NAME_SIZE = 64,
};

/* Why somebody was refused. */
enum refused {
	REFUSED_MANY, /* --max-per-source */
	REFUSED_FAST, /* --rate */
	REFUSED_HEADER, /* of the PROXY protocol: none, or a wrong one */
	REFUSED_DATAGRAM_FAST, /* --rate */
	REFUSED_DATAGRAM_SOURCE, /* might answer an echo */
	REFUSED_REASONS
};

struct metrics {
	int64_t started; /* in ns of a monotonic clock */
	uint64_t birth; /* the same in seconds since 1970 */
	char name[METRICS_NAME_SIZE]; /* which of several, or "" */
	size_t active; /* clients now */
	uint64_t accepted; /* clients that got a child, ever */
	uint64_t refused[REFUSED_REASONS];
	uint64_t bytes; /* echoed to clients, ever */
	uint64_t backoffs; /* failures for a lack of resources */
	uint64_t lost; /* connections gone before they were accepted */
	uint64_t ends[SESSION_ENDS]; /* of children, by why they ended */
	uint64_t datagrams; /* echoed, ever */
	uint64_t datagram_bytes;
	uint64_t datagrams_lost; /* could not be sent back */
};

/* Write the status line of SIGUSR1.  Returns text. */
char *metrics_status(const struct metrics *m, int64_t now,
    char text[static METRICS_STATUS_SIZE]);

/* Write the line that systemctl(1) shows.  Returns text. */
char *metrics_brief(
    const struct metrics *m, char text[static METRICS_BRIEF_SIZE]);

/*
 * Several echods on a host are told apart by their files: the name is NAME
 * where the file at path, an absolute one, is echod-NAME.prom.  Each series
 * then has it as a label, at most 63 characters of it, '_' for odd ones.
 */
void metrics_name(struct metrics *m, const char *path);

/*
 * Write all of it in the text format 0.0.4 of Prometheus, which is what
 * node_exporter's textfile collector reads.  Returns its length.
 */
size_t metrics_text(
    const struct metrics *m, char text[static METRICS_TEXT_SIZE]);

#endif
