/*
 * What the parent knows, for the rooms it lives in: server has the loop,
 * intake lets clients in, reap sees them out, drain ends it all; worker looks
 * after the one who serves UDP, and show tells the world.
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
#include "echod/udp.h"
#include "echod/writer.h"

enum {
	PARENT_FDS = 1 + LISTENERS_MAX, /* worker's reports come first */
	WHY_SIZE = 96,
};

/* Who serves UDP. */
struct worker {
	size_t sockets; /* how many there are to serve; 0: no worker */
	pid_t pid; /* 0: it does not run */
	int report[2]; /* a pipe, -1: none; see udp.h */
	struct backoff backoff; /* it is not started meanwhile */
	struct refusals refusals[UDP_REFUSED];
};

/* Who writes the metrics file. */
struct shown {
	struct writer writer; /* its pid is 0: there is none */
	bool stale; /* something has changed */
	int64_t next; /* nothing is written before */
	size_t len; /* of what was written last */
	char text[METRICS_TEXT_SIZE];
};

struct server {
	const struct options *opt;
	struct listeners *ls;
	struct systemd *sd;
	struct clients *clients;
	struct sources *sources; /* NULL where they are not limited */
	struct scoreboard *board; /* by the clients' slots */
	int64_t looked; /* when all children were looked at: see reap_ended() */
	int64_t look_next; /* and when they are again; CLOCK_NEVER: no need */
	struct metrics metrics; /* but for what clients and board know */
	struct refusals refusals;
	pid_t pid; /* of this process */
	const sigset_t *waiting; /* signals_init()'s mask */
	nfds_t nfds;
	struct pollfd fds[PARENT_FDS];

	char name[LISTENERS_TEXT_SIZE]; /* of ls, for the title */
	bool stale_title, stale_status; /* something has changed */
	int64_t status_next; /* the manager is not told before */
	struct shown shown;
	struct worker worker;

	/* Accepted, but fork failed: it goes first when there is room. */
	struct client *unforked;
	int unforked_fd;

	struct backoff backoff; /* nothing is accepted meanwhile */
	char why[WHY_SIZE]; /* what is lacking, for people */

	bool cutting_off; /* clients that have not finished */
};

/* server: what is shown to the world is out of date. */
void server_changed(struct server *s);

/* Something is lacking: leave the clients in the backlog for a while. */
void server_back_off(struct server *s, const char *what, int error);

/* Whether anybody works for us who has to end before we do. */
bool server_has_children(const struct server *s);

/* ppoll(2) on nfds of fds until deadline, with the signals let in. */
int server_wait(struct server *s, nfds_t nfds, int64_t at, int64_t deadline);

/* show: answer SIGUSR1, if it came. */
void show_answer(struct server *s, int64_t at);

/* Bring the title, systemd's status and the metrics file up to date. */
void show(struct server *s, int64_t at);

/* When there is something to show next. */
int64_t show_next(const struct server *s);

/* The same two, of the metrics file only. */
void show_metrics(struct server *s, int64_t at);
int64_t show_metrics_next(const struct server *s);

/* The child pid has ended.  Returns whether it was the metrics file's writer.
 */
bool show_ended(struct server *s, pid_t pid, int status);

/* worker: make what it takes.  Returns 0, or -1 with errno set. */
int worker_init(struct server *s);

/* Start it, or start it again, if it is to run, does not and may. */
void worker_keep(struct server *s, int64_t at);

/* Read what it reports. */
void worker_hear(struct server *s, int64_t at);

/* It has ended: the same, and the refusals that have no line yet. */
void worker_say_the_last(struct server *s);

/* When there is something to do for it next. */
int64_t worker_next(const struct server *s, int64_t at);

/* The child pid has ended.  Returns whether it was the worker. */
bool worker_ended(struct server *s, pid_t pid, int status);

/* intake: whether new clients are wanted; else nobody is to poll for them. */
bool intake_open(const struct server *s, int64_t at);

/* Try to fork once more for the client that is kept, if there is one. */
void intake_retry(struct server *s, int64_t at);

/* Accept a bounded number of clients, so that nothing else has to wait. */
void intake_batch(struct server *s, int listener);

/* Hear who the client of c is, if its child has said so: it may be refused. */
void intake_introduce(struct server *s, struct client *c);

/* The same of all; those that are refused are killed. */
void intake_introductions(struct server *s);

/* Close the listeners: nobody new, but the one that is kept has a last try. */
void intake_close(struct server *s);

/* reap: bury the children that have ended, if it is time to; or all. */
void reap_ended(struct server *s);
void reap_last(struct server *s);

/* Give back what a client held, seated or not. */
void reap_forget(struct server *s, struct client *c);

/* drain: close the listeners and let the clients finish within the grace. */
void drain(struct server *s);

#endif
