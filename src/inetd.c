#include "echod/inetd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "echod/clock.h"
#include "echod/echo.h"
#include "echod/events.h"
#include "echod/log.h"
#include "echod/session.h"
#include "echod/signals.h"
#include "echod/socket.h"
#include "echod/title.h"

static char buffer[64 * 1024];

/* Whether a and b are the same socket. */
static bool
is_same_socket(int a, int b)
{
	struct stat sa, sb;

	return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 &&
	    S_ISSOCK(sa.st_mode) && sa.st_dev == sb.st_dev &&
	    sa.st_ino == sb.st_ino;
}

bool
inetd_has_stderr(void)
{
	return is_same_socket(STDIN_FILENO, STDERR_FILENO);
}

/* Who that is.  False: nobody on a network. */
static bool
get_peer(struct address *peer)
{
	peer->len = sizeof(peer->in6);
	return getpeername(STDIN_FILENO, &peer->sa, &peer->len) == 0 &&
	    (peer->sa.sa_family == AF_INET || peer->sa.sa_family == AF_INET6);
}

/* What is wrong with a socket for us; NULL: nothing. */
static const char *
reject(void)
{
	int type, listens;
	socklen_t len = sizeof(type);

	if (getsockopt(STDIN_FILENO, SOL_SOCKET, SO_TYPE, &type, &len) == -1)
		return strerror(errno);
	if (type != SOCK_STREAM)
		return "it is no stream, such as those of TCP";
	len = sizeof(listens);
	if (getsockopt(
		STDIN_FILENO, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == -1)
		return strerror(errno);
	return listens ? "it still listens; inetd's word is nowait" : NULL;
}

/* Of a socket.  Returns NULL, or the reason why it cannot be served. */
static const char *
prepare_session(struct inetd *inetd)
{
	const char *why = reject();

	if (why != NULL)
		return why;
	inetd->board = scoreboard_new(1);
	inetd->null = open("/dev/null", O_RDWR | O_CLOEXEC);
	inetd->client = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
	if (inetd->board == NULL || inetd->null == -1 || inetd->client == -1 ||
	    socket_set_client(STDIN_FILENO, inetd->idle) == -1)
		return strerror(errno);
	inetd->has_stderr = inetd_has_stderr();
	inetd->is_remote = get_peer(&inetd->peer);
	signals_init(&inetd->waiting);
	return NULL;
}

int
inetd_prepare(struct inetd *inetd)
{
	const char *why;

	inetd->is_session = is_same_socket(STDIN_FILENO, STDOUT_FILENO);
	if (!inetd->is_session) {
		if (inetd->idle > 0)
			log_warning(
			    "--idle-timeout (-t) has no effect: standard input and output are not one socket");
		return 0;
	}
	if ((why = prepare_session(inetd)) == NULL)
		return 0;
	log_error("cannot serve standard input: %s", why);
	return EX_UNAVAILABLE;
}

static int
complain(void)
{
	log_error("cannot echo: %s", strerror(errno));
	return EX_OSERR;
}

/* Signals do what they do to any filter. */
static int
copy(void)
{
	_Atomic uint64_t total = 0;

	return echo(STDIN_FILENO, STDOUT_FILENO, buffer, sizeof(buffer), 0,
		   &total) == ECHO_FAILED
	    ? complain()
	    : EX_OK;
}

/* The one line about a client: who accepted it knows when it came. */
static void
tell(const struct inetd *inetd, int64_t lasted, struct ending e)
{
	struct client c = { .peer = inetd->peer, .pid = getpid() };
	const uint64_t bytes = scoreboard_bytes(inetd->board, 0);
	struct address said;

	if (scoreboard_hear(inetd->board, 0, &said) && said.len != 0)
		c.peer = said;
	ending_play_down(&e, bytes, lasted < EVENT_ANNOUNCE_AFTER);
	if (inetd->is_remote)
		event_closed(&e, &c, bytes, lasted);
	else if (e.priority <= LOG_WARNING)
		log_line(e.priority, "cannot echo: %s", e.why);
}

/* The client is its child's alone, so that it sees the end of that. */
static void
let_go(const struct inetd *inetd)
{
	close(inetd->client);
	if (inetd->has_stderr)
		dup3(inetd->null, STDERR_FILENO, 0);
	dup3(inetd->null, STDOUT_FILENO, 0);
	dup3(inetd->null, STDIN_FILENO, 0);
	close(inetd->null);
}

/*
 * Wait for the child; a TERM is for it, too, and what the grace does not
 * suffice for is cut off.  Returns its status.
 */
static int
wait_for(pid_t pid, const struct inetd *inetd, bool *cut_off)
{
	int64_t deadline = CLOCK_NEVER;
	int status = 0;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		const int64_t at = clock_now();

		if (signals_stop && deadline == CLOCK_NEVER) {
			kill(pid, SIGTERM);
			deadline = at + inetd->grace * CLOCK_SECOND;
		}
		if (signals_stop > 1 || at >= deadline) {
			*cut_off = true;
			kill(pid, SIGKILL);
		}
		clock_wait(deadline, &inetd->waiting);
	}
	return status;
}

/* As the daemon does it: by a child, which cannot keep its parent from
 * anything. */
static int
serve_client(const struct inetd *inetd)
{
	struct session session = {
		.client = inetd->client,
		.slot = scoreboard_take(inetd->board, 0),
		.waiting = &inetd->waiting,
		.since = clock_now(),
		.idle = inetd->idle,
		.grace = inetd->grace,
		.parent = getpid(),
	};
	char text[ADDRESS_TEXT_SIZE];
	bool cut_off = false;

	if (inetd->is_remote) {
		title_set("%s", address_format(&inetd->peer, text));
		session.proxied = address_in_networks(
		    &inetd->peer, inetd->proxy, inetd->nproxy);
	}

	const pid_t pid = _Fork();

	if (pid == 0)
		session_run(&session);
	if (pid == -1)
		return complain();
	let_go(inetd);

	const int status = wait_for(pid, inetd, &cut_off);
	const struct ending e = ending_of(status, cut_off);

	tell(inetd, clock_now() - session.since, e);
	scoreboard_free(inetd->board);
	return e.end == SESSION_FAILED || e.end == SESSION_KILLED ? EX_OSERR
								  : EX_OK;
}

int
inetd_serve(const struct inetd *inetd)
{
	return inetd->is_session ? serve_client(inetd) : copy();
}
