#include "echod/session.h"

#include <bsd/string.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "echod/clock.h"
#include "echod/echo.h"
#include "echod/listener.h"
#include "echod/signals.h"

/* Of the child: the parent touches no page of it. */
static char buffer[64 * 1024];

#define QUIET (100 * CLOCK_MILLISECOND) /* and two round trips */
#define NEWCOMER (1 * CLOCK_SECOND)
#define PAUSE_DRAIN (10 * CLOCK_MILLISECOND)
#define PAUSE_MIN (1 * CLOCK_MILLISECOND)
#define PAUSE_MAX (250 * CLOCK_MILLISECOND)

enum { DESCRIPTORS_MAX = 2 * LISTENERS_MAX };

/* How a session ends: the exit status of its child. */
enum end {
	END_EOF,
	END_IDLE,
	END_RESET,
	END_VANISHED,
	END_DRAINED,
	END_FAILED
};

static const struct {
	const char *reason;
	int priority;
} ends[] = {
	[END_EOF] = { "end of file", LOG_INFO },
	[END_IDLE] = { "idle", LOG_INFO },
	[END_RESET] = { "reset by the client", LOG_INFO },
	[END_VANISHED] = { "the client vanished", LOG_INFO },
	[END_DRAINED] = { "drained", LOG_INFO },
	[END_FAILED] = { "a system call failed", LOG_ERR },
};

static const enum end end_of[] = {
	[ECHO_EOF] = END_EOF,
	[ECHO_SILENT] = END_IDLE,
	[ECHO_STALLED] = END_IDLE,
	[ECHO_RESET] = END_RESET,
	[ECHO_VANISHED] = END_VANISHED,
	[ECHO_FAILED] = END_FAILED,
};

/* What the kernel knows of the connection; zero if it does not say. */
static struct tcp_info
ask(int client)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	(void)getsockopt(client, IPPROTO_TCP, TCP_INFO, &info, &len);
	return info;
}

/* How much the client has still to get: not sent, or not acknowledged. */
static int
unsent(int client)
{
	int bytes;

	if (ioctl(client, SIOCOUTQ, &bytes) == -1 || bytes == 0)
		return 0;
	/* Of a connection that is over, the number stays. */
	return ask(client).tcpi_state != TCP_CLOSE ? bytes : 0;
}

/*
 * Stay until the client has it all.  Left to itself, the kernel gives up soon
 * on a client that does not read for a while; and it would be no client any
 * more that counts.  The end is early by the idle timeout or, on a stop, by
 * last or the grace.
 */
static enum end
linger(const struct session *s, enum end end, int64_t last)
{
	int64_t pause = PAUSE_MIN, moved = clock_now();
	int held, before = -1;

	while ((held = unsent(s->client)) > 0) {
		const int64_t at = clock_now();

		if (held != before)
			moved = at;
		before = held;
		if (signals_stop && last == CLOCK_NEVER)
			last = at + s->grace * CLOCK_SECOND;
		if (at >= last)
			break;
		if (s->idle > 0 && at - moved >= s->idle * CLOCK_SECOND)
			return END_IDLE;
		clock_pause(pause);
		if (pause < PAUSE_MAX)
			pause *= 2;
	}
	return end;
}

/*
 * The client's receiving side is shut down: read(2) gives what has arrived and
 * then end of file, again and again.  Echo until nothing has come for so long
 * that nothing can be on its way, which a client that never pauses has half the
 * grace for.  One that has just come may not yet have got round to sending.
 */
static enum end
finish(const struct session *s)
{
	const int64_t start = clock_now();
	const int64_t last = start + s->grace * CLOCK_SECOND;
	const int64_t settled = start + (last - start) / 2;
	const int64_t quiet =
	    QUIET + 2 * (int64_t)ask(s->client).tcpi_rtt * CLOCK_MICROSECOND;
	int64_t at = start, enough = start + quiet;

	if (s->slot->bytes == 0 && enough < s->since + NEWCOMER)
		enough = s->since + NEWCOMER;
	while (at < settled && at < enough) {
		const uint64_t before = s->slot->bytes;
		const enum echo_end end = echo(s->client, s->client, buffer,
		    sizeof(buffer), &s->slot->bytes);

		if (end != ECHO_EOF)
			return end_of[end];
		at = clock_now();
		if (s->slot->bytes != before)
			enough = at + quiet;
		clock_pause(PAUSE_DRAIN);
	}
	return linger(s, END_DRAINED, last);
}

static enum end
serve(const struct session *s)
{
	const enum echo_end end =
	    echo(s->client, s->client, buffer, sizeof(buffer), &s->slot->bytes);

	if (end != ECHO_EOF)
		return end_of[end];
	if (signals_stop)
		return finish(s);
	if (unsent(s->client) == 0)
		return END_EOF;
	/* It gets its end of file after the last byte, not after the wait. */
	shutdown(s->client, SHUT_WR);
	return linger(s, END_EOF, CLOCK_NEVER);
}

/* Close all but descriptor 0. */
static void
close_others(void)
{
	if (close_range(STDIN_FILENO + 1, UINT_MAX, 0) == 0)
		return;
	/* Linux before 5.9.  The parent opened few, at the start: all are low.
	 */
	for (int fd = STDIN_FILENO + 1; fd < DESCRIPTORS_MAX; fd++)
		close(fd);
}

void
session_run(const struct session *session)
{
	struct session s = *session;

	/* The client alone is kept: descriptor 0, and nothing to leak. */
	if (dup3(s.client, STDIN_FILENO, 0) == -1)
		_exit(END_FAILED);
	s.client = STDIN_FILENO;
	close_others();
	signals_let_in(s.waiting);

	const enum end end = serve(&s);

	scoreboard_goodbye(s.slot);
	_exit(end);
}

int
session_reason(int status, bool cut_off, char why[static SESSION_REASON_SIZE])
{
	if (cut_off && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
		strlcpy(why, "cut off", SESSION_REASON_SIZE);
		return LOG_INFO;
	}
	if (WIFSIGNALED(status)) {
		snprintf(why, SESSION_REASON_SIZE, "killed by signal %d (%s)",
		    WTERMSIG(status), strsignal(WTERMSIG(status)));
		return WTERMSIG(status) == SIGKILL ? LOG_WARNING : LOG_ERR;
	}

	const size_t end = (size_t)WEXITSTATUS(status);

	if (end >= sizeof(ends) / sizeof(ends[0])) {
		snprintf(why, SESSION_REASON_SIZE, "exit status %zu", end);
		return LOG_ERR;
	}
	strlcpy(why, ends[end].reason, SESSION_REASON_SIZE);
	return ends[end].priority;
}
