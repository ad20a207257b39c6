#include <signal.h>
#include <stdio.h>

#include "echod/clock.h"
#include "echod/log.h"
#include "echod/parent.h"
#include "echod/signals.h"
#include "echod/title.h"

/* For all that is to be done after the grace. */
enum { SPARE_SECONDS = 5 };

static void
kill_children(struct server *s, int sig)
{
	struct client *c;

	for (c = clients_first(s->clients); c != NULL; c = clients_next(c))
		kill(c->pid, sig); /* not reaped yet, so it is still ours */
	if (s->worker.pid != 0)
		kill(s->worker.pid, sig);
}

static void
wait_for_all(struct server *s, int64_t deadline)
{
	int64_t at;

	while ((at = clock_now()) < deadline && signals_stop < 2) {
		reap_ended(s);
		worker_hear(s, at);
		show_answer(s, at);
		show_metrics(s, at);
		systemd_alive(s->sd, at);
		if (!server_has_children(s))
			return;
		server_wait(s, 0, at,
		    clock_earlier(clock_earlier(deadline, show_metrics_next(s)),
			clock_earlier(s->look_next, s->sd->alive_next)));
	}
}

void
drain(struct server *s)
{
	const int grace = s->opt->grace;
	const int64_t deadline = clock_now() + grace * CLOCK_SECOND;
	char status[SYSTEMD_STATUS_SIZE];

	systemd_stopping(s->sd, grace + SPARE_SECONDS);
	intake_close(s);
	snprintf(status, sizeof(status),
	    "stopping: clients have %d s to finish", grace);
	systemd_status(s->sd, status);
	if (clients_count(s->clients) > 0)
		log_info("%s: %zu", status, clients_count(s->clients));
	title_set("stopping");
	kill_children(s, SIGTERM);
	wait_for_all(s, deadline);
	s->cutting_off = true;
	kill_children(s, SIGKILL);
	reap_last(s);
	worker_say_the_last(s);
	log_info("stopped");
}
