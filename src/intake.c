#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "echod/clock.h"
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
	server_changed(s);
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
		if (!is_passing(error)) {
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
