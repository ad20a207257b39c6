#include "echod/server.h"

#include <bsd/string.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "echod/clock.h"
#include "echod/log.h"
#include "echod/memory.h"
#include "echod/parent.h"
#include "echod/signals.h"
#include "echod/title.h"

/*
 * A connection is announced when it has lasted so long, or has ended: then it
 * is known whether it was a load balancer's probe, which is not worth a line.
 */
#define ANNOUNCE_AFTER (200 * CLOCK_MILLISECOND)

/* The service manager is told of changes so often at most. */
#define STATUS_INTERVAL (1 * CLOCK_SECOND)

void
server_changed(struct server *s)
{
	s->stale_title = true;
	s->stale_status = s->sd->fd != -1;
}

void
server_back_off(struct server *s, const char *what, int error)
{
	if (backoff_begin(&s->backoff, clock_now(), what, error))
		log_warning(
		    "%s; new clients wait until that is over", s->backoff.why);
	s->metrics.backoffs++;
	server_changed(s);
}

static void
end_backoff(struct server *s, int64_t at)
{
	if (!backoff_end(&s->backoff, at))
		return;
	log_info("accepting clients as before");
	server_changed(s);
}

static void
set_title(struct server *s)
{
	const size_t n = clients_count(s->clients);

	if (!s->stale_title)
		return;
	title_set(
	    "listening on %s, %zu client%s", s->name, n, n == 1 ? "" : "s");
	s->stale_title = false;
}

/* All counters, as they are now. */
static struct metrics
measure(const struct server *s)
{
	struct metrics m = s->metrics;
	struct client *c;

	m.active = clients_count(s->clients);
	for (c = clients_first(s->clients); c != NULL; c = clients_next(c))
		m.bytes += scoreboard_bytes(s->board, c->slot);
	return m;
}

void
server_answer(struct server *s, int64_t at)
{
	char text[METRICS_STATUS_SIZE];

	if (!signals_status)
		return;
	signals_status = 0;

	const struct metrics m = measure(s);

	log_info("%s", metrics_status(&m, at, text));
}

/* Tell the service manager what has changed. */
static void
tell_status(struct server *s, int64_t at)
{
	char text[METRICS_BRIEF_SIZE], status[SYSTEMD_STATUS_SIZE];

	if (!s->stale_status || at < s->status_next)
		return;
	s->stale_status = false;
	s->status_next = at + STATUS_INTERVAL;

	struct metrics m = s->metrics; /* without bytes: nobody asks */

	m.active = clients_count(s->clients);
	metrics_brief(&m, text);
	if (s->backoff.pause != 0)
		snprintf(status, sizeof(status), "%s; new ones wait: %s", text,
		    s->backoff.why);
	else if (clients_full(s->clients))
		snprintf(status, sizeof(status),
		    "%s; new ones wait: --max-clients is reached", text);
	else
		strlcpy(status, text, sizeof(status));
	systemd_status(s->sd, status);
}

static void
announce_due(struct server *s, int64_t at)
{
	struct client *c;

	while ((c = clients_unannounced(s->clients)) != NULL &&
	    c->since + ANNOUNCE_AFTER <= at) {
		event_connected(LOG_INFO, c);
		clients_announce(s->clients, c);
	}
}

/* When to wake up though nothing happens. */
static int64_t
next_deadline(const struct server *s, int64_t at)
{
	const struct client *c = clients_unannounced(s->clients);
	const int64_t dues[] = {
		c != NULL ? c->since + ANNOUNCE_AFTER : CLOCK_NEVER,
		backoff_next(&s->backoff, at),
		s->refusals.held > 0 ? s->refusals.next : CLOCK_NEVER,
		s->stale_status ? s->status_next : CLOCK_NEVER,
		s->look_next,
		s->sd->alive_next,
	};
	int64_t next = CLOCK_NEVER;

	for (size_t i = 0; i < sizeof(dues) / sizeof(dues[0]); i++)
		next = clock_earlier(next, dues[i]);
	return next;
}

int
server_wait(struct server *s, nfds_t nfds, int64_t at, int64_t deadline)
{
	const int64_t left = deadline > at ? deadline - at : 0;
	const struct timespec ts = {
		.tv_sec = left / CLOCK_SECOND,
		.tv_nsec = left % CLOCK_SECOND,
	};

	return ppoll(
	    s->fds, nfds, deadline == CLOCK_NEVER ? NULL : &ts, s->waiting);
}

/* All that is due at some time. */
static void
keep_up(struct server *s, int64_t at)
{
	server_answer(s, at);
	announce_due(s, at);
	event_refusals_held(&s->refusals, at);
	end_backoff(s, at);
	set_title(s);
	tell_status(s, at);
	systemd_alive(s->sd, at);
}

static void __attribute__((noinline)) serve_once(struct server *s)
{
	reap_ended(s);

	const int64_t at = clock_now(); /* after all that reap_ended() noted */

	intake_retry(s, at);
	keep_up(s, at);

	const nfds_t nfds = intake_open(s, at) ? s->ls->n : 0;
	const int ready = server_wait(s, nfds, at, next_deadline(s, at));

	if (ready == -1 && errno != EINTR)
		server_back_off(s, "cannot poll", errno);
	if (ready <= 0)
		return;
	for (size_t i = 0; i < nfds; i++)
		if (s->fds[i].revents != 0 && intake_open(s, clock_now()))
			intake_batch(s, s->fds[i].fd);
	signals_deliver(s->waiting);
}

/*
 * Echod and its children do not interrupt who runs when they wake up,
 * sched(7): with many clients that write, more is done per wake-up.
 */
static void
be_patient(void)
{
	const struct sched_param none = { 0 };

	if (sched_setscheduler(0, SCHED_BATCH, &none) == -1)
		log_debug("cannot be scheduled as a batch: %s",
		    strerror(errno)); /* a filter of the service manager */
}

struct server *
server_new(const struct options *opt, struct listeners *ls, struct systemd *sd)
{
	struct server *s = memory_new(sizeof(*s));
	const size_t max = (size_t)opt->max_clients;

	if (s == NULL)
		goto fail;
	s->opt = opt;
	s->ls = ls;
	s->sd = sd;
	/* Next to the program, if that can be: page tables are shared then. */
	s->board = scoreboard_new(max);
	s->clients = clients_new(max);
	if (s->clients == NULL || s->board == NULL)
		goto fail;
	if (opt->max_per_source > 0 || opt->rate > 0) {
		s->sources = sources_new(max, opt->max_per_source, opt->rate);
		if (s->sources == NULL)
			goto fail;
	}
	s->metrics.started = clock_now();
	s->looked = s->metrics.started;
	s->look_next = CLOCK_NEVER;
	server_changed(s);
	be_patient();
	listeners_title(ls, s->name);
	for (size_t i = 0; i < ls->n; i++)
		s->fds[i] = (struct pollfd){
			.fd = ls->at[i].fd,
			.events = POLLIN,
		};
	return s;
fail:
	log_error("no memory for %zu clients: %s; lower --max-clients", max,
	    strerror(errno));
	server_free(s);
	return NULL;
}

void
server_run(struct server *s, const sigset_t *waiting)
{
	/*
	 * The frames below, that of serve_once() and on, begin a page of the
	 * usual size: a child writes to no other page of the stack.
	 */
	_Alignas(4096) volatile char page_end = 0;

	(void)page_end;
	s->waiting = waiting;
	while (!signals_stop)
		serve_once(s);
	drain(s);
}

void
server_free(struct server *s)
{
	if (s == NULL)
		return;
	clients_free(s->clients);
	sources_free(s->sources);
	scoreboard_free(s->board);
	memory_free(s, sizeof(*s));
}
