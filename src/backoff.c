#include "echod/backoff.h"

#include "echod/clock.h"

#define PAUSE_MIN (10 * CLOCK_MILLISECOND)
#define PAUSE_MAX (1 * CLOCK_SECOND)

bool
backoff_begin(struct backoff *b, int64_t at)
{
	const bool first = b->pause == 0;

	b->pause = first ? PAUSE_MIN : 2 * b->pause;
	if (b->pause > PAUSE_MAX)
		b->pause = PAUSE_MAX;
	b->until = at + b->pause;
	return first;
}

void
backoff_try(struct backoff *b, int64_t at)
{
	if (b->until > at)
		b->until = at;
}

bool
backoff_end(struct backoff *b, int64_t at)
{
	if (b->pause == 0 || at - b->until < PAUSE_MAX)
		return false;
	b->pause = 0;
	return true;
}

int64_t
backoff_next(const struct backoff *b, int64_t at)
{
	if (b->pause == 0)
		return CLOCK_NEVER;
	return at < b->until ? b->until : b->until + PAUSE_MAX;
}
