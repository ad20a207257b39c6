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
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "echod/address.h"

struct scoreboard;

struct slot {
	/* echoed so far; a cache line of its own */
	alignas(64) _Atomic uint64_t bytes;
	struct address peer; /* see scoreboard_introduce() */
	_Atomic bool admitted; /* by the parent: see scoreboard_admit() */
};

/* Make a board of n slots, shared with children.  NULL with errno set. */
struct scoreboard *scoreboard_new(size_t n);

void scoreboard_free(struct scoreboard *b);

/* The i-th slot, zero, for a new child. */
struct slot *scoreboard_take(struct scoreboard *b, size_t i);

/* The bytes in the i-th slot, which was taken. */
uint64_t scoreboard_bytes(const struct scoreboard *b, size_t i);

/*
 * For a child: its client is in fact peer, which its PROXY header said; or,
 * where that is NULL, who it seemed to be.  Async-signal-safe.
 */
void scoreboard_introduce(struct slot *slot, const struct address *peer);

/*
 * The first slot from the from-th on whose child said so and was not yet heard,
 * or SIZE_MAX.
 */
size_t scoreboard_introduced(const struct scoreboard *b, size_t from);

/*
 * Hear what the child of the i-th slot said.  False: nothing new.  *peer gets
 * the address; its len is 0 if it is who it seemed to be.  It is a child's
 * word, but it is an address.
 */
bool scoreboard_hear(struct scoreboard *b, size_t i, struct address *peer);

/* The client of the i-th slot may be served, says the parent to its child. */
void scoreboard_admit(struct scoreboard *b, size_t i);

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
