/*
 * What a client's child tells the parent: a slot of shared memory each, written
 * by the child alone, and its goodbye.  Why it ended is its exit status.
 *
 * The goodbye spares the parent to look for those that have ended: waitpid(2)
 * for any child looks at each one there is, and with thousands of them that
 * costs more than all the rest.
 */
#ifndef ECHOD_SCOREBOARD_H
#define ECHOD_SCOREBOARD_H

#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>

struct scoreboard;

struct slot {
	/* echoed so far; a cache line of its own */
	alignas(64) _Atomic uint64_t bytes;
};

/* Make a board of n slots, shared with children.  NULL with errno set. */
struct scoreboard *scoreboard_new(size_t n);

void scoreboard_free(struct scoreboard *b);

/* The i-th slot, zero, for a new child. */
struct slot *scoreboard_take(struct scoreboard *b, size_t i);

/* The bytes in the i-th slot, which was taken. */
uint64_t scoreboard_bytes(const struct scoreboard *b, size_t i);

/* For a child: it is about to end.  Async-signal-safe. */
void scoreboard_goodbye(struct slot *slot);

/*
 * Find the first slot from the from-th on whose child said goodbye, and forget
 * that it did.  Returns its number, or SIZE_MAX if there is none.
 */
size_t scoreboard_leaving(struct scoreboard *b, size_t from);

/* The child of the i-th slot said goodbye, but has not ended: say it again. */
void scoreboard_still_leaving(struct scoreboard *b, size_t i);

#endif
