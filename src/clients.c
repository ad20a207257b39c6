#include "echod/clients.h"

#include "echod/memory.h"

RB_HEAD(pid_tree, client);
TAILQ_HEAD(client_line, client);

struct clients {
	struct pid_tree by_pid;
	struct client_line free;
	struct client_line unannounced;
	size_t max, used, count;
	struct client at[];
};

static size_t
size_for(size_t max)
{
	return sizeof(struct clients) + max * sizeof(struct client);
}

static int
compare(const struct client *a, const struct client *b)
{
	return (a->pid > b->pid) - (a->pid < b->pid);
}

/* RB_GENERATE_STATIC of libbsd 0.11 does not compile: it lacks __unused. */
RB_GENERATE_INTERNAL(
    pid_tree, client, by_pid, compare, __attribute__((__unused__)) static)

struct clients *
clients_new(size_t max)
{
	struct clients *cs = memory_new(size_for(max));

	if (cs == NULL)
		return NULL;
	RB_INIT(&cs->by_pid);
	TAILQ_INIT(&cs->free);
	TAILQ_INIT(&cs->unannounced);
	cs->max = max;
	return cs;
}

void
clients_free(struct clients *cs)
{
	if (cs != NULL)
		memory_free(cs, size_for(cs->max));
}

struct client *
clients_at(struct clients *cs, size_t slot)
{
	return slot < cs->used ? &cs->at[slot] : NULL;
}

struct client *
clients_take(struct clients *cs, const struct address *peer, int64_t now)
{
	struct client *c = TAILQ_FIRST(&cs->free);

	/* Records that were in use go first: few pages are ever touched. */
	if (c != NULL) {
		TAILQ_REMOVE(&cs->free, c, in_line);
	} else if (cs->used < cs->max) {
		c = &cs->at[cs->used];
		c->slot = cs->used++;
	} else {
		return NULL;
	}
	c->peer = *peer;
	c->since = c->due = now;
	c->pid = 0;
	c->goodbyes = 0;
	c->proxied = c->refused = false;
	c->source = NULL;
	return c;
}

void
clients_seat(struct clients *cs, struct client *c, pid_t pid)
{
	c->pid = pid;
	c->nth = ++cs->count;
	c->announced = false;
	RB_INSERT(pid_tree, &cs->by_pid, c);
	TAILQ_INSERT_TAIL(&cs->unannounced, c, in_line);
}

void
clients_give_back(struct clients *cs, struct client *c)
{
	if (c->pid != 0) {
		RB_REMOVE(pid_tree, &cs->by_pid, c);
		clients_announce(cs, c);
		cs->count--;
		c->pid = 0;
	}
	TAILQ_INSERT_HEAD(&cs->free, c, in_line);
}

struct client *
clients_find(struct clients *cs, pid_t pid)
{
	struct client key = { .pid = pid };

	return RB_FIND(pid_tree, &cs->by_pid, &key);
}

struct client *
clients_first(struct clients *cs)
{
	return RB_MIN(pid_tree, &cs->by_pid);
}

struct client *
clients_next(struct client *c)
{
	return RB_NEXT(pid_tree, NULL, c);
}

struct client *
clients_unannounced(struct clients *cs)
{
	return TAILQ_FIRST(&cs->unannounced);
}

void
clients_put_off(struct clients *cs, struct client *c, int64_t at)
{
	c->due = at;
	TAILQ_REMOVE(&cs->unannounced, c, in_line);
	TAILQ_INSERT_TAIL(&cs->unannounced, c, in_line);
}

void
clients_announce(struct clients *cs, struct client *c)
{
	if (c->announced)
		return;
	c->announced = true;
	TAILQ_REMOVE(&cs->unannounced, c, in_line);
}

size_t
clients_count(const struct clients *cs)
{
	return cs->count;
}

bool
clients_full(const struct clients *cs)
{
	return cs->used == cs->max && TAILQ_EMPTY(&cs->free);
}
