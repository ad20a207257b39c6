#include "echod/udp.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "echod/clock.h"
#include "echod/descriptors.h"
#include "echod/echo.h"
#include "echod/memory.h"
#include "echod/replies.h"
#include "echod/session.h"
#include "echod/signals.h"
#include "echod/socket.h"
#include "echod/sources.h"
#include "echod/target.h"

enum {
	BATCH = REPLIES_MAX,
	DATAGRAM_SIZE = 64 * 1024, /* none is longer: its length has 16 bits */
	/* Apart by a power of two, all would share a few lines of the cache. */
	STRIDE = DATAGRAM_SIZE + 1536,
	PORT_RESERVED = 1024, /* below it are services, which may answer */
	ROUNDS = 16, /* of batches, until signals are looked at */
	/* All that a queue holds: twice its size, 512 bytes and more each. */
	LAST_BATCHES = 2 * SOCKET_QUEUE_SIZE / 512 / BATCH,
};

#define REPORT_INTERVAL (1 * CLOCK_SECOND)

/* A batch: each datagram has its place in all of these. */
struct batch {
	struct mmsghdr msg[BATCH];
	struct iovec iov[BATCH];
	struct address from[BATCH];
	union target_control control[BATCH];
	char data[BATCH][STRIDE];
};

struct work {
	const struct udp *given;
	nfds_t nfds;
	struct pollfd fds[LISTENERS_MAX + 1]; /* the report's comes last */
	struct batch *batch;
	struct sources *sources;
	struct udp_report report; /* the next */
	bool reportable;
	int64_t report_next;
};

/* Whether a reply could come to somebody who answers it. */
static bool
may_loop(const struct work *w, const struct address *from)
{
	const uint16_t port = address_port(from);
	const struct listeners *ls = w->given->ls;

	if (port < PORT_RESERVED || address_is_group(from) ||
	    address_is_wildcard(from))
		return true;
	for (size_t i = 0; i < ls->n; i++)
		if (ls->at[i].type == SOCK_DGRAM &&
		    address_port(&ls->at[i].addr) == port)
			return true;
	return false;
}

static bool
is_too_fast(struct work *w, const struct address *from, int64_t at)
{
	const struct in6_addr net = address_source(from, w->given->ipv6_prefix);
	struct source *source;

	if (sources_knock(w->sources, &net, at, &source) != SOURCES_ADMIT)
		return true;
	sources_leave(w->sources, source);
	return false;
}

static void
refuse(struct work *w, enum udp_refused why, const struct address *from)
{
	if (w->report.refused[why]++ == 0)
		w->report.from[why] = *from;
	w->reportable = true;
}

/* Whether the i-th datagram of the batch may be answered; if so, see to it. */
static bool
answer(struct work *w, size_t i, int64_t at)
{
	struct batch *b = w->batch;
	struct msghdr *msg = &b->msg[i].msg_hdr;
	struct address *from = &b->from[i];
	const struct target target = target_of(msg);

	from->len = msg->msg_namelen;
	if (!target.alone || may_loop(w, from)) {
		refuse(w, UDP_SOURCE, from);
		return false;
	}
	if (is_too_fast(w, from, at)) {
		refuse(w, UDP_FAST, from);
		return false;
	}
	b->iov[i].iov_len = b->msg[i].msg_len;
	target_reply_from(msg, &target);
	return true;
}

/* Receive up to a batch.  Returns how many, or -1 with errno set. */
static int
receive(struct batch *b, int fd)
{
	for (size_t i = 0; i < BATCH; i++) {
		b->iov[i] = (struct iovec){ b->data[i], DATAGRAM_SIZE };
		b->msg[i].msg_hdr = (struct msghdr){
			.msg_name = &b->from[i].sa,
			.msg_namelen = sizeof(b->from[i].in6),
			.msg_iov = &b->iov[i],
			.msg_iovlen = 1,
			.msg_control = &b->control[i],
			.msg_controllen = sizeof(b->control[i]),
		};
	}

	const int n = recvmmsg(fd, b->msg, BATCH, MSG_DONTWAIT, NULL);

	/* A connected socket, handed over by somebody, tells of its peer, too.
	 */
	if (n == -1 &&
	    (errno == EAGAIN || errno == EINTR ||
		echo_why(errno) != ECHO_FAILED))
		return 0;
	return n;
}

/* Answer up to a batch of datagrams.  Returns whether it was a whole one. */
static bool
serve(struct work *w, int fd)
{
	struct batch *b = w->batch;
	const int n = receive(b, fd);
	size_t good = 0;

	if (n == -1)
		_exit(SESSION_FAILED);
	if (n == 0)
		return false;

	const int64_t at = clock_now();

	for (int i = 0; i < n; i++)
		if (answer(w, (size_t)i, at))
			b->msg[good++] = b->msg[i];
	replies_send(fd, b->msg, good, &w->report.sent);
	w->reportable = true;
	return n == BATCH;
}

static void
report(struct work *w, int64_t at)
{
	if (!w->reportable || at < w->report_next)
		return;
	/* It is whole or nothing, pipe(7); where there is no room it grows. */
	if (write(w->given->report, &w->report, sizeof(w->report)) ==
	    sizeof(w->report)) {
		w->report = (struct udp_report){ 0 };
		w->reportable = false;
	}
	w->report_next = at + REPORT_INTERVAL;
}

/* Wait for datagrams, for TERM, or until a report is due. */
static void
wait_for_some(struct work *w)
{
	const struct timespec ts = clock_span(w->report_next - clock_now());

	for (nfds_t i = 0; i < w->nfds; i++)
		w->fds[i].revents = 0; /* as they stay if a signal comes */
	if (ppoll(w->fds, w->nfds, w->reportable ? &ts : NULL,
		w->given->waiting) == -1 &&
	    errno != EINTR)
		_exit(SESSION_FAILED);
}

static void
serve_until_told(struct work *w)
{
	const nfds_t parent = w->nfds - 1;

	for (unsigned round = 1; !signals_stop; round++) {
		wait_for_some(w);
		if (w->fds[parent].revents != 0) /* nobody reads it any more */
			_exit(SESSION_FAILED);
		for (nfds_t i = 0; i < parent; i++)
			if (w->fds[i].revents != 0)
				serve(w, w->fds[i].fd);
		report(w, clock_now());
		if (round % ROUNDS == 0) /* in a flood, ppoll(2) lets none in */
			signals_deliver(w->given->waiting);
	}
}

/* What has arrived until now. */
static void
serve_the_last(struct work *w)
{
	for (nfds_t i = 0; i + 1 < w->nfds; i++)
		for (int n = 0; n < LAST_BATCHES; n++)
			if (!serve(w, w->fds[i].fd))
				break;
	report(w, w->report_next);
}

/* Keep descriptor 0, the sockets and the report. */
static void
close_others(const struct work *w)
{
	unsigned from = STDIN_FILENO + 1;

	for (;;) { /* the lowest of those to keep, again and again */
		unsigned next = UINT_MAX;

		for (nfds_t i = 0; i < w->nfds; i++) {
			const unsigned fd = (unsigned)w->fds[i].fd;

			if (fd >= from && fd < next)
				next = fd;
		}
		if (next == UINT_MAX)
			break;
		descriptors_close(from, next - 1);
		from = next + 1;
	}
	descriptors_close(from, UINT_MAX);
}

void
udp_run(const struct udp *udp)
{
	struct work w = { .given = udp };

	for (size_t i = 0; i < udp->ls->n; i++)
		if (udp->ls->at[i].type == SOCK_DGRAM)
			w.fds[w.nfds++] = (struct pollfd){
				.fd = udp->ls->at[i].fd,
				.events = POLLIN,
			};
	w.fds[w.nfds++] = (struct pollfd){ .fd = udp->report };
	close_others(&w);
	w.batch = memory_new(sizeof(*w.batch));
	w.sources = sources_new(0, 0, udp->rate);
	if (w.batch == NULL || w.sources == NULL)
		_exit(SESSION_FAILED);
	serve_until_told(&w);
	serve_the_last(&w);
	_exit(SESSION_DRAINED);
}
