/*
 * One client, from the fork to the end of its child.
 */
#ifndef ECHOD_SESSION_H
#define ECHOD_SESSION_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "echod/scoreboard.h"

/* How a session ends; up to SESSION_UNADMITTED its child's exit status. */
enum session_end {
	SESSION_EOF,
	SESSION_IDLE,
	SESSION_RESET,
	SESSION_VANISHED,
	SESSION_DRAINED,
	SESSION_FAILED,
	SESSION_NO_HEADER, /* of the PROXY protocol */
	SESSION_WRONG_HEADER,
	SESSION_LONG_HEADER,
	SESSION_UNADMITTED, /* the parent had no time for it */
	SESSION_CUT_OFF, /* killed, as it did not finish in time */
	SESSION_REFUSED, /* killed, once it was known whose client it was */
	SESSION_KILLED, /* by anybody else, or it crashed */
	SESSION_ENDS
};

struct session {
	int client; /* its socket */
	struct slot *slot; /* of the scoreboard: what it tells the parent */
	const sigset_t *waiting; /* signals_init()'s mask */
	int64_t since; /* when it was accepted; see clock.h */
	int idle; /* seconds, 0: no idle timeout */
	int grace; /* seconds, on a stop */
	bool proxied; /* it begins with a PROXY header */
	bool limited; /* whose client it is, has to be admitted by the parent */
	pid_t parent; /* gets a SIGCHLD when the header is in */
};

/*
 * The life of a client's child, right after fork(2): the client becomes its
 * only open descriptor, and each byte is echoed until the end of file and until
 * the client has it all.  TERM makes it finish: what was sent until then is
 * echoed, for at most the grace.  Leaves by _exit(2), with an enum session_end.
 */
_Noreturn void session_run(const struct session *session);

#endif
