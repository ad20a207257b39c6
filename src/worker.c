#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "echod/clock.h"
#include "echod/ending.h"
#include "echod/log.h"
#include "echod/parent.h"
#include "echod/session.h"
#include "echod/signals.h"
#include "echod/title.h"
#include "echod/udp.h"

/* In a row: nothing else is to wait for a worker that is out of its mind. */
enum { REPORTS_MAX = 16 };

/* The worker is given its rate, or the usual one: it is never without. */
static int
rate_of(const struct options *opt)
{
	return opt->rate > 0 ? opt->rate : UDP_RATE;
}

int
worker_init(struct server *s)
{
	struct worker *w = &s->worker;

	w->report[0] = w->report[1] = -1;
	for (size_t i = 0; i < UDP_REFUSED; i++)
		w->refusals[i].what = " datagrams";
	for (size_t i = 0; i < s->ls->n; i++)
		w->sockets += s->ls->at[i].type == SOCK_DGRAM;
	if (w->sockets == 0)
		return 0;
	/* One for all workers to come: the sandbox knows no pipe(2). */
	return pipe2(w->report, O_CLOEXEC | O_NONBLOCK | O_DIRECT);
}

static void
start(struct server *s)
{
	struct worker *w = &s->worker;
	const int64_t at = clock_now();
	char text[LISTENERS_TEXT_SIZE];

	title_set("datagrams on %s", listeners_title(s->ls, SOCK_DGRAM, text));
	server_changed(s);

	const struct udp udp = {
		.ls = s->ls,
		.report = w->report[1],
		.rate = rate_of(s->opt),
		.ipv6_prefix = s->opt->ipv6_prefix,
		.waiting = s->waiting,
	};
	const pid_t pid = _Fork();

	if (pid == 0)
		udp_run(&udp);
	if (pid != -1) {
		w->pid = pid;
		return;
	}
	s->metrics.backoffs++;
	if (backoff_begin(&w->backoff, at))
		log_warning("cannot fork the UDP worker: %s; it is tried again",
		    strerror(errno));
}

void
worker_keep(struct server *s, int64_t at)
{
	struct worker *w = &s->worker;

	for (size_t i = 0; i < UDP_REFUSED; i++)
		event_refusals_held(&w->refusals[i], at);
	if (w->sockets == 0)
		return;
	if (w->pid == 0 && at >= w->backoff.until)
		start(s);
	else if (w->pid != 0)
		backoff_end(&w->backoff, at);
}

int64_t
worker_next(const struct server *s, int64_t at)
{
	const struct worker *w = &s->worker;

	int64_t next = backoff_next(&w->backoff, at);

	for (size_t i = 0; i < UDP_REFUSED; i++)
		if (w->refusals[i].held > 0)
			next = clock_earlier(next, w->refusals[i].next);
	return next;
}

void
worker_say_the_last(struct server *s)
{
	worker_hear(s, clock_now());
	for (size_t i = 0; i < UDP_REFUSED; i++)
		event_refusals_held(
		    &s->worker.refusals[i], s->worker.refusals[i].next);
}

bool
worker_ended(struct server *s, pid_t pid, int status)
{
	struct worker *w = &s->worker;
	if (pid != w->pid || pid == 0)
		return false;
	w->pid = 0;

	const struct ending e = ending_of(status, s->cutting_off);

	s->metrics.ends[e.end]++;
	if (signals_stop) {
		log_debug("the UDP worker ended: %s", e.why);
		return true;
	}
	log_warning("the UDP worker ended: %s; starting another", e.why);
	backoff_begin(&w->backoff, clock_now());
	return true;
}

/* The first that was refused for a reason gets a line, if that may be. */
static void
tell(struct server *s, enum udp_refused why, const struct address *from,
    int64_t at)
{
	const int prefix = s->opt->ipv6_prefix;
	char text[ADDRESS_TEXT_SIZE];

	if (!event_refusal_due(&s->worker.refusals[why], at))
		return;
	if (why == UDP_SOURCE) {
		event_refused_datagram_source(from);
		return;
	}

	const struct in6_addr net = address_source(from, prefix);

	event_refused_datagram_fast(
	    from, address_format_source(&net, prefix, text), rate_of(s->opt));
}

static void
tell_refusals(struct server *s, const struct udp_report *r, int64_t at)
{
	for (size_t i = 0; i < UDP_REFUSED; i++) {
		const sa_family_t family = r->from[i].sa.sa_family;

		/* It is a worker's word, but an address. */
		if (r->refused[i] == 0 ||
		    (family != AF_INET && family != AF_INET6))
			continue;
		tell(s, (enum udp_refused)i, &r->from[i], at);
		event_refusals_hold(&s->worker.refusals[i], r->refused[i] - 1);
	}
}

void
worker_hear(struct server *s, int64_t at)
{
	struct metrics *m = &s->metrics;
	struct udp_report r;

	if (s->worker.sockets == 0)
		return;
	for (int i = 0; i < REPORTS_MAX &&
	     read(s->worker.report[0], &r, sizeof(r)) == sizeof(r);
	     i++) {
		m->datagrams += r.sent.datagrams;
		m->datagram_bytes += r.sent.bytes;
		m->datagrams_lost += r.sent.lost;
		m->refused[REFUSED_DATAGRAM_FAST] += r.refused[UDP_FAST];
		m->refused[REFUSED_DATAGRAM_SOURCE] += r.refused[UDP_SOURCE];
		tell_refusals(s, &r, at);
		server_changed(s);
	}
}
