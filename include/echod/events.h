/*
 * What is worth a line in the log, and how it is written: a function per event.
 */
#ifndef ECHOD_EVENTS_H
#define ECHOD_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "echod/address.h"
#include "echod/clients.h"
#include "echod/clock.h"
#include "echod/ending.h"

/*
 * A connection is announced when it has lasted so long, or has ended: then it
 * is known whether it was a load balancer's probe, which is not worth a line.
 */
#define EVENT_ANNOUNCE_AFTER (200 * CLOCK_MILLISECOND)

/* A client is connected; priority is one of syslog(3)'s. */
void event_connected(int priority, const struct client *c);

/* Its child has ended so, lasted ns after it came. */
void event_closed(const struct ending *e, const struct client *c,
    uint64_t bytes, int64_t lasted);

/* Of many refusals the first has its line, then a line per second the number.
 */
struct refusals {
	const char *what; /* is refused, " datagrams"; NULL: clients */
	int64_t next; /* no line before that time, in ns of a monotonic clock */
	uint64_t held; /* without a line so far */
};

/* Whether the one at the time at gets a line; if not it is counted. */
bool event_refusal_due(struct refusals *r, int64_t at);

/* So many more are without a line. */
void event_refusals_hold(struct refusals *r, uint64_t n);

/* Log the number of those without a line, if there are any and it is time. */
void event_refusals_held(struct refusals *r, int64_t at);

/* peer was refused: of source, there are limit clients already... */
void event_refused_many(
    const struct address *peer, const char *source, int limit);

/* ...or they come more than limit times per second. */
void event_refused_fast(
    const struct address *peer, const char *source, int limit);

/* The same of a datagram from peer... */
void event_refused_datagram_fast(
    const struct address *peer, const char *source, int limit);

/* ...or it is from where an echo might be answered, or was not for us alone. */
void event_refused_datagram_source(const struct address *peer);

#endif
