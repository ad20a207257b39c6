#include "echod/server.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "echod/clients.h"
#include "echod/clock.h"
#include "echod/events.h"
#include "echod/log.h"
#include "echod/metrics.h"
#include "echod/scoreboard.h"
#include "echod/session.h"
#include "echod/signals.h"
#include "echod/sources.h"
#include "echod/title.h"

#define BACKOFF_MIN (10 * CLOCK_MILLISECOND)
#define BACKOFF_MAX (1 * CLOCK_SECOND)

/*
 * A connection is announced when it has lasted so long, or has ended: then it
 * is known whether it was a load balancer's probe, which is not worth a line.
 */
#define ANNOUNCE_AFTER (200 * CLOCK_MILLISECOND)

/* Accepted in a row before children are reaped and signals looked at. */
enum { ACCEPT_BATCH = 16 };

struct server {
	const struct options *opt;
	struct listeners *ls;
	struct clients *clients;
	struct sources *sources; /* NULL where they are not limited */
	struct slot *board; /* by the clients' slots */
	struct metrics metrics;
	struct refusals refusals;
	const sigset_t *waiting;
	char name[LISTENERS_TEXT_SIZE]; /* of ls, for the title */
	bool stale_title;
	struct pollfd fds[LISTENERS_MAX]; /* of ls */

	/* Accepted, but fork failed: it goes first when there is room. */
	struct client *unforked;
	int unforked_fd;

	/* After a lack of resources nothing is accepted until then. */
	int64_t backoff, backoff_until;

	bool cutting_off; /* clients that have not finished */
};

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

static uint64_t
bytes_of(const struct server *s, const struct client *c)
{
	return atomic_load_explicit(
	    &s->board[c->slot].bytes, memory_order_relaxed);
}

/* Give back what a client held, seated or not. */
static void
forget(struct server *s, struct client *c)
{
	if (c->source != NULL)
		sources_leave(s->sources, c->source);
	clients_give_back(s->clients, c);
}

/* A child has ended. */
static void
part(struct server *s, pid_t pid, int status, int64_t at)
{
	struct client *c = clients_find(s->clients, pid);
	char why[SESSION_REASON_SIZE];

	if (c == NULL) /* inherited from whatever exec'ed echod */
		return;

	const uint64_t bytes = bytes_of(s, c);
	int priority = session_reason(status, s->cutting_off, why);

	if (!c->announced) {
		if (bytes == 0 && priority == LOG_INFO)
			priority = LOG_DEBUG; /* a probe */
		event_connected(
		    priority == LOG_DEBUG ? LOG_DEBUG : LOG_INFO, c);
	}
	event_closed(priority, c, bytes, at - c->since, why);
	s->metrics.bytes += bytes;
	forget(s, c);
	s->stale_title = true;
	if (s->backoff_until > at) /* there may be room again */
		s->backoff_until = at;
}

/* Bury all who have ended. */
static void
reap(struct server *s)
{
	int status;
	pid_t pid;

	signals_child = 0; /* before, or one that ends meanwhile is missed */
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0 ||
	    (pid == -1 && errno == EINTR))
		if (pid > 0)
			part(s, pid, status, clock_now());
}

/* Something is lacking: leave the clients in the backlog for a while. */
static void
back_off(struct server *s, const char *what, int error)
{
	if (s->backoff == 0)
		log_warning("%s: %s; new clients wait until that is over", what,
		    strerror(error));
	s->backoff = s->backoff == 0 ? BACKOFF_MIN : 2 * s->backoff;
	if (s->backoff > BACKOFF_MAX)
		s->backoff = BACKOFF_MAX;
	s->backoff_until = clock_now() + s->backoff;
	s->metrics.backoffs++;
}

/* Going well for as long as the longest pause ends a spell of backing off. */
static void
end_backoff(struct server *s, int64_t at)
{
	if (s->backoff == 0 || at - s->backoff_until < BACKOFF_MAX)
		return;
	s->backoff = 0;
	log_info("accepting clients as before");
}

/* Fork the child of c, whose socket is fd.  False: it is kept for later. */
static bool
fork_session(struct server *s, struct client *c, int fd)
{
	char text[ADDRESS_TEXT_SIZE];
	_Atomic uint64_t *bytes = &s->board[c->slot].bytes;

	/* All that the child needs is made here, once, and not in the child. */
	atomic_store_explicit(bytes, 0, memory_order_relaxed);
	title_set("%s", address_format(&c->peer, text));
	s->stale_title = true;

	const struct session session = {
		.client = fd,
		.bytes = bytes,
		.waiting = s->waiting,
		.idle = s->opt->idle_timeout,
		.grace = s->opt->grace,
	};
	const pid_t pid = fork();

	if (pid == 0)
		session_run(&session);
	if (pid == -1) {
		back_off(s, "cannot fork", errno);
		s->unforked = c;
		s->unforked_fd = fd;
		return false;
	}
	close(fd);
	clients_seat(s->clients, c, pid);
	s->metrics.accepted++;
	return true;
}

static void
retry_unforked(struct server *s)
{
	struct client *c = s->unforked;

	if (c == NULL || clock_now() < s->backoff_until)
		return;
	s->unforked = NULL;
	fork_session(s, c, s->unforked_fd);
}

/* Errors of accept(2) that tell of one connection or of the network. */
static bool
is_passing(int error)
{
	switch (error) {
	case ECONNABORTED:
	case EPROTO:
	case ENOPROTOOPT:
	case ENETDOWN:
	case ENETUNREACH:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case ENONET:
	case EOPNOTSUPP:
	case ETIMEDOUT:
	case EPERM: /* a firewall's */
		return true;
	default: /* EMFILE, ENFILE, ENOBUFS, ENOMEM; or a defect of echod */
		return false;
	}
}

/* Whether peer's source may have one more; if so *source is what it holds. */
static bool
admit(struct server *s, const struct address *peer, int64_t at,
    struct source **source)
{
	const struct options *opt = s->opt;
	const struct in6_addr net = address_source(peer, opt->ipv6_prefix);
	const enum sources_verdict verdict =
	    sources_knock(s->sources, &net, at, source);
	char text[ADDRESS_TEXT_SIZE];

	if (verdict == SOURCES_ADMIT)
		return true;
	if (verdict == SOURCES_MANY)
		s->metrics.too_many++;
	else
		s->metrics.too_fast++;
	if (!event_refusal_due(&s->refusals, at))
		return false;
	address_format_source(&net, opt->ipv6_prefix, text);
	if (verdict == SOURCES_MANY)
		event_refused_many(peer, text, opt->max_per_source);
	else
		event_refused_fast(peer, text, opt->rate);
	return false;
}

/* A connection was accepted.  False: no more for now. */
static bool
receive(struct server *s, int fd, const struct address *peer)
{
	const int64_t at = clock_now();
	struct source *source = NULL;

	if (s->sources != NULL && !admit(s, peer, at, &source)) {
		close(fd);
		return true;
	}

	/* There is a record: nothing is accepted while the table is full. */
	struct client *c = clients_take(s->clients, peer, at);

	c->source = source;
	return fork_session(s, c, fd);
}

static void
accept_batch(struct server *s, int listener)
{
	int error = 0, good = 0;

	for (int i = 0; i < ACCEPT_BATCH && !clients_full(s->clients); i++) {
		struct address peer = { .len = sizeof(peer.in6) };
		const int fd =
		    accept4(listener, &peer.sa, &peer.len, SOCK_CLOEXEC);

		if (fd != -1) {
			good++;
			if (!receive(s, fd, &peer))
				return;
			continue;
		}
		error = errno;
		if (error == EAGAIN)
			return;
		if (error == EINTR)
			continue;
		if (!is_passing(error)) {
			good = 0;
			break;
		}
		s->metrics.lost++;
		log_debug("a connection was lost before it was accepted: %s",
		    strerror(error));
	}
	if (error != 0 && good == 0) /* nothing but errors: never spin */
		back_off(s, "cannot accept", error);
}

/* Whether new clients are wanted; else the listeners leave the poll set. */
static bool
accepting(const struct server *s, int64_t at)
{
	return !clients_full(s->clients) && s->unforked == NULL &&
	    at >= s->backoff_until;
}

/* When to wake up though nothing happens. */
static int64_t
next_deadline(const struct server *s, int64_t at)
{
	const struct client *c = clients_unannounced(s->clients);
	int64_t next = c != NULL ? c->since + ANNOUNCE_AFTER : CLOCK_NEVER;

	if (s->backoff != 0) {
		const int64_t over = at < s->backoff_until
		    ? s->backoff_until
		    : s->backoff_until + BACKOFF_MAX;

		next = over < next ? over : next;
	}
	if (s->refusals.held > 0 && s->refusals.next < next)
		next = s->refusals.next;
	return next;
}

/* ppoll(2) until a deadline, with the signals let in. */
static int
wait_for(struct server *s, nfds_t nfds, int64_t at, int64_t deadline)
{
	const int64_t left = deadline > at ? deadline - at : 0;
	const struct timespec ts = {
		.tv_sec = left / CLOCK_SECOND,
		.tv_nsec = left % CLOCK_SECOND,
	};

	return ppoll(
	    s->fds, nfds, deadline == CLOCK_NEVER ? NULL : &ts, s->waiting);
}

/* SIGUSR1. */
static void
tell_status(struct server *s, int64_t at)
{
	struct metrics m = s->metrics;
	char text[METRICS_STATUS_SIZE];
	struct client *c;

	signals_status = 0;
	m.active = clients_count(s->clients);
	for (c = clients_first(s->clients); c != NULL; c = clients_next(c))
		m.bytes += bytes_of(s, c);
	log_info("%s", metrics_status(&m, at, text));
}

static void
serve_once(struct server *s)
{
	if (signals_child)
		reap(s);

	const int64_t at = clock_now(); /* after all that reap() noted */

	if (signals_status)
		tell_status(s, at);
	announce_due(s, at);
	event_refusals_held(&s->refusals, at);
	end_backoff(s, at);
	retry_unforked(s);
	set_title(s);

	const nfds_t nfds = accepting(s, at) ? s->ls->n : 0;
	const int ready = wait_for(s, nfds, at, next_deadline(s, at));

	if (ready == -1 && errno != EINTR)
		back_off(s, "cannot poll", errno);
	if (ready <= 0)
		return;
	for (size_t i = 0; i < nfds; i++)
		if (s->fds[i].revents != 0 && accepting(s, clock_now()))
			accept_batch(s, s->fds[i].fd);
	signals_deliver(s->waiting);
}

static void
kill_children(struct server *s, int sig)
{
	struct client *c;

	for (c = clients_first(s->clients); c != NULL; c = clients_next(c))
		kill(c->pid, sig); /* not reaped yet, so it is still ours */
}

static void
drain(struct server *s)
{
	const int64_t deadline = clock_now() + s->opt->grace * CLOCK_SECOND;
	int64_t at;
	int status;

	listeners_close(s->ls);
	event_refusals_held(&s->refusals, s->refusals.next);
	if (s->unforked != NULL) {
		forget(s, s->unforked);
		close(s->unforked_fd);
	}
	title_set("stopping");
	if (clients_count(s->clients) > 0)
		log_info("stopping: clients have %d s to finish, %zu are left",
		    s->opt->grace, clients_count(s->clients));
	kill_children(s, SIGTERM);
	while ((at = clock_now()) < deadline && signals_stop < 2) {
		reap(s);
		if (signals_status)
			tell_status(s, at);
		if (clients_count(s->clients) == 0)
			break;
		wait_for(s, 0, at, deadline);
	}
	s->cutting_off = true;
	kill_children(s, SIGKILL);
	while (clients_count(s->clients) > 0) {
		const pid_t pid = waitpid(-1, &status, 0);

		if (pid > 0)
			part(s, pid, status, clock_now());
		else if (errno != EINTR)
			break;
	}
	log_info("stopped");
}

struct server *
server_new(const struct options *opt, struct listeners *ls)
{
	struct server *s = calloc(1, sizeof(*s));
	const size_t max = (size_t)opt->max_clients;

	if (s == NULL)
		goto fail;
	s->opt = opt;
	s->ls = ls;
	s->clients = clients_new(max);
	s->board = scoreboard_new(max);
	if (s->clients == NULL || s->board == NULL)
		goto fail;
	if (opt->max_per_source > 0 || opt->rate > 0) {
		s->sources = sources_new(max, opt->max_per_source, opt->rate);
		if (s->sources == NULL)
			goto fail;
	}
	s->metrics.started = clock_now();
	s->stale_title = true;
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
	if (s->board != NULL)
		scoreboard_free(s->board, (size_t)s->opt->max_clients);
	free(s);
}
