#include "echod/sources.h"

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>
#include <stdbool.h>
#include <string.h>

#include "echod/clock.h"
#include "echod/memory.h"

struct source {
	struct in6_addr net;
	int active;
	int64_t due; /* when its token bucket is full again */
	RB_ENTRY(source) by_net;
	TAILQ_ENTRY(source) in_line;
};

RB_HEAD(net_tree, source);
TAILQ_HEAD(source_line, source);

struct sources {
	struct net_tree by_net;
	struct source_line idle; /* without a client; least recent first */
	int max_active, rate;
	size_t max, used;
	struct source at[];
};

static size_t
size_for(size_t max)
{
	return sizeof(struct sources) + max * sizeof(struct source);
}

static int
compare(const struct source *a, const struct source *b)
{
	return memcmp(&a->net, &b->net, sizeof(a->net));
}

/* As in clients.c. */
RB_GENERATE_INTERNAL(
    net_tree, source, by_net, compare, __attribute__((__unused__)) static)

struct sources *
sources_new(size_t max_clients, int max_active, int rate)
{
	const size_t max = max_clients + SOURCES_SPARE;
	struct sources *ss = memory_new(size_for(max));

	if (ss == NULL)
		return NULL;
	RB_INIT(&ss->by_net);
	TAILQ_INIT(&ss->idle);
	ss->max_active = max_active;
	ss->rate = rate;
	ss->max = max;
	return ss;
}

void
sources_free(struct sources *ss)
{
	if (ss != NULL)
		memory_free(ss, size_for(ss->max));
}

/* Find net, or make it, in the place of the one that is idle for longest. */
static struct source *
find(struct sources *ss, const struct in6_addr *net)
{
	struct source key = { .net = *net };
	struct source *s = RB_FIND(net_tree, &ss->by_net, &key);

	if (s != NULL)
		return s;
	if (ss->used < ss->max) {
		s = &ss->at[ss->used++];
	} else { /* one is idle: max is more than there are clients */
		s = TAILQ_FIRST(&ss->idle);
		TAILQ_REMOVE(&ss->idle, s, in_line);
		RB_REMOVE(net_tree, &ss->by_net, s);
	}
	*s = key;
	RB_INSERT(net_tree, &ss->by_net, s);
	TAILQ_INSERT_TAIL(&ss->idle, s, in_line);
	return s;
}

/*
 * Take a token.  The bucket is kept as the time when it will be full: each
 * token taken puts that off by the time it takes to refill.
 */
static bool
take_token(struct source *s, int rate, int64_t at)
{
	const int64_t refill = CLOCK_SECOND / rate;

	if (s->due < at)
		s->due = at;
	if (s->due - at > (rate - 1) * refill)
		return false;
	s->due += refill;
	return true;
}

enum sources_verdict
sources_knock(struct sources *ss, const struct in6_addr *net, int64_t at,
    struct source **source)
{
	struct source *s = find(ss, net);

	if (s->active == 0) {
		TAILQ_REMOVE(&ss->idle, s, in_line);
		TAILQ_INSERT_TAIL(&ss->idle, s, in_line);
	}
	if (ss->max_active > 0 && s->active >= ss->max_active)
		return SOURCES_MANY;
	if (ss->rate > 0 && !take_token(s, ss->rate, at))
		return SOURCES_FAST;
	if (s->active++ == 0)
		TAILQ_REMOVE(&ss->idle, s, in_line);
	*source = s;
	return SOURCES_ADMIT;
}

void
sources_leave(struct sources *ss, struct source *s)
{
	if (--s->active == 0)
		TAILQ_INSERT_TAIL(&ss->idle, s, in_line);
}

size_t
sources_count(const struct sources *ss)
{
	return ss->used;
}
