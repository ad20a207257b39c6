/*
 * Where clients come from: how many of each source are connected, and how
 * fast it knocks.
 *
 * Pure memory, bounded and allocated at the start; no system calls.
 */
#ifndef ECHOD_SOURCES_H
#define ECHOD_SOURCES_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

/*
 * So many sources without a client are remembered for their rate, the one that
 * knocked last the longest.
 */
enum { SOURCES_SPARE = 4096 };

struct sources;
struct source;

enum sources_verdict {
	SOURCES_ADMIT,
	SOURCES_MANY, /* as many of its clients are connected as may be */
	SOURCES_FAST, /* it knocks faster than it may */
};

/*
 * Make a table for max_clients clients in all.  Of one source, max_active may
 * be connected, and rate may come per second, rate at once (a token bucket);
 * 0 is no limit.  NULL with errno ENOMEM if there is no room.
 */
struct sources *sources_new(size_t max_clients, int max_active, int rate);

void sources_free(struct sources *ss);

/*
 * A client comes from net, one of address_source(), at a time in ns of a
 * monotonic clock.  If it is admitted, *source is for sources_leave(); no more
 * than max_clients may be admitted and not have left.
 */
enum sources_verdict sources_knock(struct sources *ss,
    const struct in6_addr *net, int64_t at, struct source **source);

/* A client that was admitted is gone. */
void sources_leave(struct sources *ss, struct source *source);

/* How many sources are remembered: at most max_clients + SOURCES_SPARE. */
size_t sources_count(const struct sources *ss);

#endif
