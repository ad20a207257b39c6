/*
 * Who is connected: a record per child, found by its pid.
 *
 * Pure memory, all of it allocated at the start; no system calls.
 */
#ifndef ECHOD_CLIENTS_H
#define ECHOD_CLIENTS_H

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "echod/address.h"

struct source;

struct client {
	struct address peer;
	int64_t since; /* when it connected, in the caller's clock */
	int64_t due; /* the caller's: when it counts as new; first, since */
	pid_t pid; /* 0: taken, but not seated */
	size_t slot; /* this record's number, from 0 up to max - 1 */
	size_t nth; /* how many were seated, with it, when it was */
	bool announced;
	bool proxied; /* peer is a proxy's, which has not said who it is for */
	bool refused; /* it is being killed */
	int goodbyes; /* how often it said so and stayed; reap.c counts */
	struct source *source; /* NULL where sources are not limited */
	RB_ENTRY(client) by_pid;
	TAILQ_ENTRY(client) in_line; /* the free ones, or the unannounced */
};

struct clients;

/* Make a table for max clients.  NULL with errno ENOMEM if there is no room. */
struct clients *clients_new(size_t max);

void clients_free(struct clients *cs);

/* The record with that slot.  NULL if none was ever taken. */
struct client *clients_at(struct clients *cs, size_t slot);

/* Take a free record for a client to be.  NULL if there is none. */
struct client *clients_take(
    struct clients *cs, const struct address *peer, int64_t now);

/* Its child runs as pid, which no seated client has.  It is unannounced. */
void clients_seat(struct clients *cs, struct client *c, pid_t pid);

/* Give a taken record back, seated or not. */
void clients_give_back(struct clients *cs, struct client *c);

/* The seated client of pid, or NULL. */
struct client *clients_find(struct clients *cs, pid_t pid);

/* The first seated client in order of pids, and the one after c; or NULL. */
struct client *clients_first(struct clients *cs);
struct client *clients_next(struct client *c);

/* The unannounced client that is seated, or was put off, for longest; or NULL.
 */
struct client *clients_unannounced(struct clients *cs);

/* Put the unannounced c off: it is the last of them, due anew from at on. */
void clients_put_off(struct clients *cs, struct client *c, int64_t at);

/* Mark c as announced. */
void clients_announce(struct clients *cs, struct client *c);

/* How many are seated, and whether no record is free. */
size_t clients_count(const struct clients *cs);
bool clients_full(const struct clients *cs);

#endif
