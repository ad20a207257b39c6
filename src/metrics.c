#include "echod/metrics.h"

#include <inttypes.h>
#include <stdio.h>

#include "echod/clock.h"

char *
metrics_status(
    const struct metrics *m, int64_t now, char text[static METRICS_STATUS_SIZE])
{
	snprintf(text, METRICS_STATUS_SIZE,
	    "status: up %" PRId64 " s, %zu active, %" PRIu64
	    " accepted, %" PRIu64 " refused (%" PRIu64
	    " over --max-per-source, %" PRIu64 " over --rate), %" PRIu64
	    " lost, %" PRIu64 " bytes, %" PRIu64 " backoffs",
	    (now - m->started) / CLOCK_SECOND, m->active, m->accepted,
	    m->too_many + m->too_fast, m->too_many, m->too_fast, m->lost,
	    m->bytes, m->backoffs);
	return text;
}

char *
metrics_brief(const struct metrics *m, char text[static METRICS_BRIEF_SIZE])
{
	snprintf(text, METRICS_BRIEF_SIZE,
	    "%zu client%s, %" PRIu64 " accepted, %" PRIu64 " refused",
	    m->active, m->active == 1 ? "" : "s", m->accepted,
	    m->too_many + m->too_fast);
	return text;
}
