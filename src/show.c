#include <bsd/string.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "echod/clock.h"
#include "echod/ending.h"
#include "echod/log.h"
#include "echod/parent.h"
#include "echod/server.h"
#include "echod/signals.h"
#include "echod/title.h"

/* The service manager, and the metrics file, are told so often at most. */
#define INTERVAL (1 * CLOCK_SECOND)

void
server_title(struct server *s)
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
show_answer(struct server *s, int64_t at)
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
	s->status_next = at + INTERVAL;

	struct metrics m = s->metrics; /* without bytes: nobody asks */

	m.active = clients_count(s->clients);
	metrics_brief(&m, text);
	if (s->backoff.pause != 0)
		snprintf(status, sizeof(status), "%s; new ones wait: %s", text,
		    s->why);
	else if (clients_full(s->clients))
		snprintf(status, sizeof(status),
		    "%s; new ones wait: --max-clients is reached", text);
	else
		strlcpy(status, text, sizeof(status));
	systemd_status(s->sd, status);
}

/* Whether the metrics file may be another than was written last. */
static bool
is_stale(const struct server *s)
{
	/* Clients that are there send without telling the parent. */
	return s->shown.writer.pid != 0 &&
	    (s->shown.stale || clients_count(s->clients) > 0);
}

void
show_metrics(struct server *s, int64_t at)
{
	struct shown *shown = &s->shown;
	char text[METRICS_TEXT_SIZE];

	if (!is_stale(s) || at < shown->next)
		return;
	shown->next = at + INTERVAL;

	const struct metrics m = measure(s);
	const size_t len = metrics_text(&m, text);

	shown->stale = false;
	if (len == shown->len && memcmp(text, shown->text, len) == 0)
		return;
	if (writer_send(&shown->writer, text, len) == -1) {
		/* It is slow, or has ended, which will be heard of. */
		shown->stale = true;
		return;
	}
	memcpy(shown->text, text, len);
	shown->len = len;
}

int
server_start_metrics(struct server *s)
{
	struct shown *shown = &s->shown;
	char text[METRICS_TEXT_SIZE]; /* a copy that the writer inherits */

	if (s->opt->metrics == NULL)
		return 0;

	metrics_name(&s->metrics, s->opt->metrics);

	const struct metrics m = measure(s);

	shown->len = metrics_text(&m, text);
	memcpy(shown->text, text, shown->len);
	shown->next = clock_now() + INTERVAL;
	return writer_start(
	    &shown->writer, s->opt->metrics, text, shown->len, s->opt->log);
}

void
show(struct server *s, int64_t at)
{
	server_title(s);
	tell_status(s, at);
	show_metrics(s, at);
}

int64_t
show_next(const struct server *s)
{
	return clock_earlier(s->stale_status ? s->status_next : CLOCK_NEVER,
	    show_metrics_next(s));
}

int64_t
show_metrics_next(const struct server *s)
{
	return is_stale(s) ? s->shown.next : CLOCK_NEVER;
}

bool
show_ended(struct server *s, pid_t pid, int status)
{
	if (pid != s->shown.writer.pid || pid == 0)
		return false;
	s->shown.writer.pid = 0; /* for good: the sandbox makes no other */
	log_error(
	    "the writer of %s ended: %s; the file is out of date until echod is started again",
	    s->opt->metrics, ending_of(status, false).why);
	writer_end(&s->shown.writer);
	return true;
}
