#include <errno.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "echod/clock.h"
#include "echod/log.h"
#include "echod/parent.h"
#include "echod/session.h"
#include "echod/signals.h"

uint64_t
reap_bytes(const struct server *s, const struct client *c)
{
	return atomic_load_explicit(
	    &s->board[c->slot].bytes, memory_order_relaxed);
}

void
reap_forget(struct server *s, struct client *c)
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

	const uint64_t bytes = reap_bytes(s, c);
	int priority = session_reason(status, s->cutting_off, why);

	if (!c->announced) {
		if (bytes == 0 && priority == LOG_INFO)
			priority = LOG_DEBUG; /* a probe */
		event_connected(
		    priority == LOG_DEBUG ? LOG_DEBUG : LOG_INFO, c);
	}
	event_closed(priority, c, bytes, at - c->since, why);
	s->metrics.bytes += bytes;
	reap_forget(s, c);
	server_changed(s);
	backoff_try(&s->backoff, at); /* there may be room again */
}

void
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

void
reap_last(struct server *s)
{
	int status;

	while (clients_count(s->clients) > 0) {
		const pid_t pid = waitpid(-1, &status, 0);

		if (pid > 0)
			part(s, pid, status, clock_now());
		else if (errno != EINTR)
			break;
	}
}
