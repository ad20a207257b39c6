#include "echod/session.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "echod/clock.h"
#include "echod/descriptors.h"
#include "echod/echo.h"
#include "echod/proxy.h"
#include "echod/signals.h"
#include "echod/title.h"

/* Of the child: the parent touches no page of it. */
static char buffer[64 * 1024];

#define QUIET (100 * CLOCK_MILLISECOND) /* and two round trips */
#define NEWCOMER (1 * CLOCK_SECOND)
#define HEADER_TIME (5 * CLOCK_SECOND) /* for all of a PROXY header */
#define ADMISSION_TIME (5 * CLOCK_SECOND)
#define ADMISSION_PAUSE (100 * CLOCK_MICROSECOND)
#define PAUSE_DRAIN (10 * CLOCK_MILLISECOND)
#define PAUSE_MIN (1 * CLOCK_MILLISECOND)
#define PAUSE_MAX (250 * CLOCK_MILLISECOND)

static const enum session_end end_of[] = {
	[ECHO_EOF] = SESSION_EOF,
	[ECHO_SILENT] = SESSION_IDLE,
	[ECHO_STALLED] = SESSION_IDLE,
	[ECHO_RESET] = SESSION_RESET,
	[ECHO_VANISHED] = SESSION_VANISHED,
	[ECHO_FAILED] = SESSION_FAILED,
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
static enum session_end
linger(const struct session *s, enum session_end end, int64_t last)
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
			return SESSION_IDLE;
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
static enum session_end
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
		    sizeof(buffer), 0, &s->slot->bytes);

		if (end != ECHO_EOF)
			return end_of[end];
		at = clock_now();
		if (s->slot->bytes != before)
			enough = at + quiet;
		clock_pause(PAUSE_DRAIN);
	}
	return linger(s, SESSION_DRAINED, last);
}

/* Wait until read(2) does not, as TERM sees to.  False: the time is up. */
static bool
wait_for_input(const struct session *s, int64_t deadline)
{
	struct pollfd pfd = { .fd = s->client, .events = POLLIN };
	int64_t left;

	while ((left = deadline - clock_now()) > 0) {
		const struct timespec ts = clock_span(left);

		if (ppoll(&pfd, 1, &ts, NULL) > 0)
			return true;
	}
	return false;
}

/* Read more into the buffer, which has *held bytes.  False: *end says why. */
static bool
read_more(const struct session *s, size_t *held, enum session_end *end)
{
	const ssize_t n =
	    read(s->client, buffer + *held, sizeof(buffer) - *held);

	if (n > 0) {
		*held += (size_t)n;
		return true;
	}
	if (n == -1 && (errno == EINTR || errno == EAGAIN))
		return true;
	if (n == -1)
		*end = end_of[echo_why(errno)];
	else if (signals_stop && clock_now() < s->since + NEWCOMER) {
		clock_pause(PAUSE_DRAIN); /* it may be on its way: finish() */
		return true;
	} else if (signals_stop)
		*end = SESSION_DRAINED;
	else
		*end = *held == 0 ? SESSION_EOF : SESSION_WRONG_HEADER;
	return false;
}

/* Tell the parent, and whoever looks at processes, who the client is. */
static void
introduce(const struct session *s, const struct address *peer)
{
	char text[ADDRESS_TEXT_SIZE];

	scoreboard_introduce(s->slot, peer);
	kill(s->parent, SIGCHLD);
	if (peer != NULL)
		title_set("%s", address_format(peer, text));
}

/*
 * Wait for the parent's word whether a client may be served; whose may not is
 * killed.  False: there is no word, and so no parent.
 */
static bool
is_admitted(const struct session *s)
{
	const int64_t deadline = clock_now() + ADMISSION_TIME;
	int64_t pause = ADMISSION_PAUSE;

	while (!s->slot->admitted) {
		if (clock_now() >= deadline)
			return false;
		clock_pause(pause);
		if (pause < PAUSE_DRAIN)
			pause *= 2;
	}
	return true;
}

/*
 * Take the PROXY header; *held gets how much of what follows it is in the
 * buffer. False: the session is over, *end says why.
 */
static bool
take_header(const struct session *s, size_t *held, enum session_end *end)
{
	const int64_t deadline = clock_now() + HEADER_TIME;
	struct address peer;
	size_t used;

	for (;;) {
		if (!wait_for_input(s, deadline)) {
			*end = SESSION_NO_HEADER;
			return false;
		}
		if (!read_more(s, held, end))
			return false;

		const enum proxy_result result =
		    proxy_parse(buffer, *held, &peer, &used);

		switch (result) {
		case PROXY_MORE:
			continue;
		case PROXY_WRONG:
			*end = SESSION_WRONG_HEADER;
			return false;
		case PROXY_LONG:
			*end = SESSION_LONG_HEADER;
			return false;
		case PROXY_PEER:
		case PROXY_LOCAL:
			introduce(s, result == PROXY_PEER ? &peer : NULL);
			*held -= used;
			memmove(buffer, buffer + used, *held);
			*end = SESSION_UNADMITTED;
			return !s->limited || is_admitted(s);
		}
	}
}

static enum session_end
serve(const struct session *s)
{
	size_t held = 0;
	enum session_end over;

	if (s->proxied && !take_header(s, &held, &over))
		return over;

	const enum echo_end end = echo(s->client, s->client, buffer,
	    sizeof(buffer), held, &s->slot->bytes);

	if (end != ECHO_EOF)
		return end_of[end];
	if (signals_stop)
		return finish(s);
	if (unsent(s->client) == 0)
		return SESSION_EOF;
	/* It gets its end of file after the last byte, not after the wait. */
	shutdown(s->client, SHUT_WR);
	return linger(s, SESSION_EOF, CLOCK_NEVER);
}

void
session_run(const struct session *session)
{
	struct session s = *session;

	/* The client alone is kept: descriptor 0, and nothing to leak. */
	if (dup3(s.client, STDIN_FILENO, 0) == -1)
		_exit(SESSION_FAILED);
	s.client = STDIN_FILENO;
	descriptors_close(STDIN_FILENO + 1, UINT_MAX);
	signals_let_in(s.waiting);

	const enum session_end end = serve(&s);

	scoreboard_goodbye(s.slot);
	_exit((int)end);
}
