/*
 * What a client's child tells the parent while it runs: a slot of shared
 * memory each, written by the child alone.  Why it ended is its exit status.
 */
#ifndef ECHOD_SCOREBOARD_H
#define ECHOD_SCOREBOARD_H

#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>

struct slot {
	alignas(
	    64) _Atomic uint64_t bytes; /* echoed; a cache line of its own */
};

/* Map n slots, all zero, shared with children.  NULL with errno set. */
struct slot *scoreboard_new(size_t n);

void scoreboard_free(struct slot *board, size_t n);

#endif
