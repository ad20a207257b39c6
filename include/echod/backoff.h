/*
 * Backing off: when to try again after something ran out.  Pure.
 *
 * A spell begins with the first failure.  The pause after each further one is
 * twice as long, from 10 ms to 1 s, and the spell is over when all went well
 * for as long as the longest.  Times are clock.h's.
 */
#ifndef ECHOD_BACKOFF_H
#define ECHOD_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

/* Zero: no spell. */
struct backoff {
	int64_t pause; /* 0: no spell */
	int64_t until; /* do not try before */
};

/* What was tried failed.  Returns whether that began a spell. */
bool backoff_begin(struct backoff *b, int64_t at);

/* There may be what was lacking: try at once, but a failure goes on as before.
 */
void backoff_try(struct backoff *b, int64_t at);

/* End the spell if it is over.  Returns whether it just ended. */
bool backoff_end(struct backoff *b, int64_t at);

/* When to look again: to try, or to end the spell; CLOCK_NEVER: no spell. */
int64_t backoff_next(const struct backoff *b, int64_t at);

#endif
