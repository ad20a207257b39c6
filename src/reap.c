#include <errno.h>
#include <sys/wait.h>

#include "echod/clock.h"
#include "echod/ending.h"
#include "echod/log.h"
#include "echod/parent.h"
#include "echod/signals.h"

/*
 * A child may end without a goodbye, killed for one.  To find it, all have to
 * be looked at, which costs the more the more there are: not too often.
 */
#define LOOK_INTERVAL (100 * CLOCK_MILLISECOND)

/* Nor is a goodbye believed for ever: a broken child may say it for others. */
enum { GOODBYES_MAX = 8 };

void
reap_forget(struct server *s, struct client *c)
{
	if (c->source != NULL)
		sources_leave(s->sources, c->source);
	clients_give_back(s->clients, c);
}

/* The child of c has ended. */
static void
part(struct server *s, struct client *c, int status, int64_t at)
{
	intake_introduce(s, c); /* it may have said so just before */

	const uint64_t bytes = scoreboard_bytes(s->board, c->slot);
	struct ending e =
	    c->refused ? ending_refused() : ending_of(status, s->cutting_off);

	if (e.end >= SESSION_NO_HEADER && e.end <= SESSION_LONG_HEADER)
		s->metrics.refused[REFUSED_HEADER]++;
	ending_play_down(&e, bytes, !c->announced);
	if (!c->announced && !c->refused) /* that had its line */
		event_connected(
		    e.priority == LOG_DEBUG ? LOG_DEBUG : LOG_INFO, c);
	event_closed(&e, c, bytes, at - c->since);
	s->metrics.ends[e.end]++;
	s->metrics.bytes += bytes;
	reap_forget(s, c);
	backoff_try(&s->backoff, at); /* there may be room again */
}

/* A child of echod has ended; or one of whatever exec'ed it. */
static void
bury(struct server *s, pid_t pid, int status)
{
	struct client *c = clients_find(s->clients, pid);

	if (c != NULL)
		part(s, c, status, clock_now());
	else if (!worker_ended(s, pid, status) && !show_ended(s, pid, status))
		return;
	server_changed(s);
}

/* One said goodbye, or something else wrote to the scoreboard. */
static void
reap_leaver(struct server *s, struct client *c)
{
	int status;

	if (c == NULL || c->pid == 0)
		return;

	const pid_t pid = waitpid(c->pid, &status, WNOHANG);

	if (pid > 0)
		bury(s, pid, status);
	else if (++c->goodbyes < GOODBYES_MAX) /* it has not ended yet */
		scoreboard_still_leaving(s->board, c->slot);
}

static void
reap_leaving(struct server *s)
{
	size_t i = 0;

	while ((i = scoreboard_leaving(s->board, i)) != SIZE_MAX)
		reap_leaver(s, clients_at(s->clients, i++));
}

/* All who have ended. */
static void
reap_all(struct server *s)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0 ||
	    (pid == -1 && errno == EINTR))
		if (pid > 0)
			bury(s, pid, status);
}

void
reap_ended(struct server *s)
{
	const int64_t at = clock_now();

	if (signals_child) {
		signals_child = 0; /* before, or one that ends now is missed */
		intake_introductions(s);
		reap_leaving(s);
		if (s->look_next == CLOCK_NEVER)
			s->look_next = s->looked + LOOK_INTERVAL;
	}
	if (at >= s->look_next) {
		s->looked = at;
		s->look_next = CLOCK_NEVER;
		reap_all(s);
	}
}

void
reap_last(struct server *s)
{
	int status;

	while (server_has_children(s)) {
		const pid_t pid = waitpid(-1, &status, 0);

		if (pid > 0)
			bury(s, pid, status);
		else if (errno != EINTR)
			break;
	}
}
