#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "echod/clock.h"
#include "echod/echo.h"
#include "echod/log.h"
#include "echod/parent.h"
#include "echod/session.h"
#include "echod/title.h"

/* Accepted in a row before children are reaped and signals looked at. */
enum { ACCEPT_BATCH = 16 };

/* Fork the child of c, whose socket is fd.  False: it is kept for later. */
static bool
fork_session(struct server *s, struct client *c, int fd)
{
	char text[ADDRESS_TEXT_SIZE];

	/* All that the child needs is made here, once, and not in the child. */
	title_set("%s", address_format(&c->peer, text));
	server_changed(s);

	const struct session session = {
		.client = fd,
		.slot = scoreboard_take(s->board, c->slot),
		.waiting = s->waiting,
		.since = c->since,
		.idle = s->opt->idle_timeout,
		.grace = s->opt->grace,
		.proxied = c->proxied,
		.limited = s->sources != NULL,
		.parent = s->pid,
	};
	/* Without fork(3)'s care for what a child may not use anyway. */
	const pid_t pid = _Fork();

	if (pid == 0)
		session_run(&session);
	if (pid == -1) {
		server_back_off(s, "cannot fork", errno);
		s->unforked = c;
		s->unforked_fd = fd;
		return false;
	}
	close(fd);
	clients_seat(s->clients, c, pid);
	s->metrics.accepted++;
	return true;
}

void
intake_retry(struct server *s, int64_t at)
{
	struct client *c = s->unforked;

	if (c == NULL || at < s->backoff.until)
		return;
	s->unforked = NULL;
	fork_session(s, c, s->unforked_fd);
}

void
intake_close(struct server *s)
{
	const int64_t at = clock_now();

	listeners_close(s->ls);
	event_refusals_held(&s->refusals, s->refusals.next);
	backoff_try(&s->backoff, at);
	intake_retry(s, at);
	if (s->unforked == NULL)
		return;
	log_info("dropped a client that no process could be made for");
	reap_forget(s, s->unforked);
	close(s->unforked_fd);
	s->unforked = NULL;
}

/* Whether peer's source may have one more; if so *source is what it holds. */
static bool
admit(struct server *s, const struct address *peer, int64_t at,
    struct source **source)
{
	const struct options *opt = s->opt;
	char text[ADDRESS_TEXT_SIZE];

	*source = NULL;
	if (s->sources == NULL)
		return true;

	const struct in6_addr net = address_source(peer, opt->ipv6_prefix);
	const enum sources_verdict verdict =
	    sources_knock(s->sources, &net, at, source);

	if (verdict == SOURCES_ADMIT)
		return true;
	server_changed(s);
	s->metrics
	    .refused[verdict == SOURCES_MANY ? REFUSED_MANY : REFUSED_FAST]++;
	if (!event_refusal_due(&s->refusals, at))
		return false;
	address_format_source(&net, opt->ipv6_prefix, text);
	if (verdict == SOURCES_MANY)
		event_refused_many(peer, text, opt->max_per_source);
	else
		event_refused_fast(peer, text, opt->rate);
	return false;
}

void
intake_introduce(struct server *s, struct client *c)
{
	struct address peer;

	if (!scoreboard_hear(s->board, c->slot, &peer) || !c->proxied)
		return;
	c->proxied = false;
	if (peer.len == 0) /* the proxy itself */
		return;
	c->peer = peer;
	c->refused = !admit(s, &peer, clock_now(), &c->source);
}

void
intake_introductions(struct server *s)
{
	size_t i = 0;

	if (s->opt->nproxy == 0)
		return;
	while ((i = scoreboard_introduced(s->board, i)) != SIZE_MAX) {
		struct client *c = clients_at(s->clients, i++);

		if (c == NULL || c->pid == 0)
			continue;
		intake_introduce(s, c);
		if (c->refused)
			kill(c->pid, SIGKILL); /* not reaped, so still ours */
		else
			scoreboard_admit(s->board, i - 1);
	}
}

/* A connection was accepted.  False: no more for now. */
static bool
receive(struct server *s, int fd, const struct address *peer)
{
	const int64_t at = clock_now();
	const bool proxied =
	    address_in_networks(peer, s->opt->proxy, s->opt->nproxy);
	struct source *source = NULL;

	if (!proxied && !admit(s, peer, at, &source)) {
		close(fd);
		return true;
	}

	/* There is a record: nothing is accepted while the table is full. */
	struct client *c = clients_take(s->clients, peer, at);

	c->source = source;
	c->proxied = proxied;
	return fork_session(s, c, fd);
}

void
intake_batch(struct server *s, int listener)
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
		if (error != ECONNABORTED && echo_why(error) == ECHO_FAILED) {
			/* EMFILE, ENFILE, ENOBUFS, ENOMEM; or our defect */
			good = 0;
			break;
		}
		s->metrics.lost++;
		log_debug("a connection was lost before it was accepted: %s",
		    strerror(error));
	}
	if (error != 0 && good == 0) /* nothing but errors: never spin */
		server_back_off(s, "cannot accept", error);
}

bool
intake_open(const struct server *s, int64_t at)
{
	return !clients_full(s->clients) && s->unforked == NULL &&
	    at >= s->backoff.until;
}
