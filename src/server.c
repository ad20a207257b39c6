#include "echod/server.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "echod/clock.h"
#include "echod/log.h"
#include "echod/memory.h"
#include "echod/parent.h"
#include "echod/signals.h"

enum { FIRST_LISTENER = 1 }; /* of fds; before it is the worker's report */

void
server_changed(struct server *s)
{
	s->stale_title = true;
	s->stale_status = s->sd->fd != -1;
	s->shown.stale = true;
}

void
server_back_off(struct server *s, const char *what, int error)
{
	snprintf(s->why, sizeof(s->why), "%s: %s", what, strerror(error));
	if (backoff_begin(&s->backoff, clock_now()))
		log_warning("%s; new clients wait until that is over", s->why);
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

bool
server_has_children(const struct server *s)
{
	return clients_count(s->clients) > 0 || s->worker.pid != 0;
}

static void
announce_due(struct server *s, int64_t at)
{
	struct client *c;

	while ((c = clients_unannounced(s->clients)) != NULL &&
	    c->due + EVENT_ANNOUNCE_AFTER <= at) {
		if (c->proxied) { /* nobody knows yet who it is */
			clients_put_off(s->clients, c, at);
			continue;
		}
		if (!c->refused)
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
		c != NULL ? c->due + EVENT_ANNOUNCE_AFTER : CLOCK_NEVER,
		backoff_next(&s->backoff, at),
		s->refusals.held > 0 ? s->refusals.next : CLOCK_NEVER,
		show_next(s),
		worker_next(s, at),
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
	const struct timespec ts = clock_span(deadline - at);

	return ppoll(
	    s->fds, nfds, deadline == CLOCK_NEVER ? NULL : &ts, s->waiting);
}

/* All that is due at some time. */
static void
keep_up(struct server *s, int64_t at)
{
	show_answer(s, at);
	announce_due(s, at);
	event_refusals_held(&s->refusals, at);
	end_backoff(s, at);
	worker_keep(s, at);
	show(s, at);
	systemd_alive(s->sd, at);
}

static void __attribute__((noinline)) serve_once(struct server *s)
{
	reap_ended(s);

	const int64_t at = clock_now(); /* after all that reap_ended() noted */

	intake_retry(s, at);
	keep_up(s, at);

	const nfds_t nfds = intake_open(s, at) ? s->nfds : FIRST_LISTENER;
	const int ready = server_wait(s, nfds, at, next_deadline(s, at));

	if (ready == -1 && errno != EINTR)
		server_back_off(s, "cannot poll", errno);
	if (ready <= 0)
		return;
	if (s->fds[0].revents != 0)
		worker_hear(s, clock_now());
	for (nfds_t i = FIRST_LISTENER; i < nfds; i++)
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

/* What to poll for, and what that is called. */
static void
listen_to(struct server *s)
{
	const struct listeners *ls = s->ls;

	/* poll(2) passes over -1 */
	s->fds[0] = (struct pollfd){ s->worker.report[0], POLLIN, 0 };
	s->nfds = FIRST_LISTENER;
	for (size_t i = 0; i < ls->n; i++)
		if (ls->at[i].type == SOCK_STREAM)
			s->fds[s->nfds++] =
			    (struct pollfd){ ls->at[i].fd, POLLIN, 0 };
	listeners_title(
	    ls, s->nfds > FIRST_LISTENER ? SOCK_STREAM : SOCK_DGRAM, s->name);
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
	/*
	 * First: then it comes next to the program, and shares its page tables
	 * in each child.
	 */
	s->board = scoreboard_new(max);
	s->clients = clients_new(max);
	if (s->clients == NULL || s->board == NULL)
		goto fail;
	if (opt->max_per_source > 0 || opt->rate > 0) {
		s->sources = sources_new(max, opt->max_per_source, opt->rate);
		if (s->sources == NULL)
			goto fail;
	}
	s->shown.writer.fd = -1;
	s->metrics.started = clock_now();
	s->metrics.birth = clock_date();
	s->looked = s->metrics.started;
	s->look_next = CLOCK_NEVER;
	s->pid = getpid();
	server_changed(s);
	be_patient();
	if (worker_init(s) == -1) {
		log_error("cannot make a pipe: %s", strerror(errno));
		server_free(s);
		return NULL;
	}
	listen_to(s);
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
	writer_end(&s->shown.writer);
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
