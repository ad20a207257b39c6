#include "echod/events.h"

#include <inttypes.h>

#include "echod/log.h"

void
event_connected(int priority, const struct client *c)
{
	char text[ADDRESS_TEXT_SIZE];

	log_line(priority, "connected with %s (pid %d, %zu active)",
	    address_format(&c->peer, text), (int)c->pid, c->nth);
}

void
event_closed(const struct ending *e, const struct client *c, uint64_t bytes,
    int64_t lasted)
{
	char text[ADDRESS_TEXT_SIZE];

	/* %.1f would cost more than all the rest. */
	const int64_t tenths =
	    (lasted + CLOCK_SECOND / 20) / (CLOCK_SECOND / 10);

	log_line(e->priority,
	    "closed %s (pid %d): %" PRIu64 " bytes in %" PRId64 ".%d s, %s",
	    address_format(&c->peer, text), (int)c->pid, bytes, tenths / 10,
	    (int)(tenths % 10), e->why);
}

bool
event_refusal_due(struct refusals *r, int64_t at)
{
	event_refusals_held(r, at);
	if (at < r->next) {
		r->held++;
		return false;
	}
	r->next = at + CLOCK_SECOND;
	return true;
}

void
event_refusals_hold(struct refusals *r, uint64_t n)
{
	r->held += n;
}

void
event_refusals_held(struct refusals *r, int64_t at)
{
	if (r->held == 0 || at < r->next)
		return;
	log_info("refused %" PRIu64 " more%s in the meantime", r->held,
	    r->what != NULL ? r->what : "");
	r->held = 0;
	r->next = at + CLOCK_SECOND;
}

void
event_refused_many(const struct address *peer, const char *source, int limit)
{
	char text[ADDRESS_TEXT_SIZE];

	log_info("refused %s: %d client%s from %s already",
	    address_format(peer, text), limit, limit == 1 ? "" : "s", source);
}

void
event_refused_fast(const struct address *peer, const char *source, int limit)
{
	char text[ADDRESS_TEXT_SIZE];

	log_info("refused %s: more than %d a second from %s",
	    address_format(peer, text), limit, source);
}

void
event_refused_datagram_fast(
    const struct address *peer, const char *source, int limit)
{
	char text[ADDRESS_TEXT_SIZE];

	log_info("refused datagram from %s: more than %d a second from %s",
	    address_format(peer, text), limit, source);
}

void
event_refused_datagram_source(const struct address *peer)
{
	char text[ADDRESS_TEXT_SIZE];

	log_info("refused datagram from %s: echoes might go round for ever",
	    address_format(peer, text));
}
