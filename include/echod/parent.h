/*
 * What the parent knows, for the rooms it lives in: server has the loop,
 * intake lets clients in, reap sees them out, drain ends it all.
 */
#ifndef ECHOD_PARENT_H
#define ECHOD_PARENT_H

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "echod/backoff.h"
#include "echod/clients.h"
#include "echod/events.h"
#include "echod/listener.h"
#include "echod/metrics.h"
#include "echod/options.h"
#include "echod/scoreboard.h"
#include "echod/sources.h"
#include "echod/systemd.h"

struct server {
	const struct options *opt;
	struct listeners *ls;
	struct systemd *sd;
	struct clients *clients;
	struct sources *sources; /* NULL where they are not limited */
	struct scoreboard *board; /* by the clients' slots */
	int64_t looked; /* when all children were looked at: see reap() */
	int64_t look_next; /* and when they are again; CLOCK_NEVER: no need */
	struct metrics metrics; /* but for what clients and board know */
	struct refusals refusals;
	const sigset_t *waiting; /* signals_init()'s mask */
	struct pollfd fds[LISTENERS_MAX]; /* of ls */

	char name[LISTENERS_TEXT_SIZE]; /* of ls, for the title */
	bool stale_title, stale_status; /* something has changed */
	int64_t status_next; /* the manager is not told before */

	/* Accepted, but fork failed: it goes first when there is room. */
	struct client *unforked;
	int unforked_fd;

	struct backoff backoff; /* nothing is accepted meanwhile */

	bool cutting_off; /* clients that have not finished */
};

/* server: what is shown to the world is out of date. */
void server_changed(struct server *s);

/* Something is lacking: leave the clients in the backlog for a while. */
void server_back_off(struct server *s, const char *what, int error);

/* Answer SIGUSR1, if it came. */
void server_answer(struct server *s, int64_t at);

/* ppoll(2) on nfds of fds until deadline, with the signals let in. */
int server_wait(struct server *s, nfds_t nfds, int64_t at, int64_t deadline);

/* intake: whether new clients are wanted; else nobody is to poll for them. */
bool intake_open(const struct server *s, int64_t at);

/* Try to fork once more for the client that is kept, if there is one. */
void intake_retry(struct server *s, int64_t at);

/* Accept a bounded number of clients, so that nothing else has to wait. */
void intake_batch(struct server *s, int listener);

/* reap: bury the children that have ended, if it is time to; or all. */
void reap_ended(struct server *s);
void reap_last(struct server *s);

/* Give back what a client held, seated or not. */
void reap_forget(struct server *s, struct client *c);

/* drain: close the listeners and let the clients finish within the grace. */
void drain(struct server *s);

#endif
