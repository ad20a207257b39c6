/*
 * One client, from the fork to the end of its child.
 */
#ifndef ECHOD_SESSION_H
#define ECHOD_SESSION_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "echod/scoreboard.h"

enum { SESSION_REASON_SIZE = 64 };

struct session {
	int client; /* its socket */
	struct slot *slot; /* of the scoreboard: what it tells the parent */
	const sigset_t *waiting; /* signals_init()'s mask */
	int64_t since; /* when it was accepted; see clock.h */
	int idle; /* seconds, 0: no idle timeout */
	int grace; /* seconds, on a stop */
};

/*
 * The life of a client's child, right after fork(2): the client becomes its
 * only open descriptor, and each byte is echoed until the end of file and until
 * the client has it all.  TERM makes it finish: what was sent until then is
 * echoed, for at most the grace.  Leaves by _exit(2), with a status for
 * session_reason().
 */
_Noreturn void session_run(const struct session *session);

/*
 * Why the child ended whose status from waitpid(2) this is; cut_off, if it may
 * have been killed because it did not finish.  Writes it into why and returns
 * the priority of syslog(3) it deserves.
 */
int session_reason(
    int status, bool cut_off, char why[static SESSION_REASON_SIZE]);

#endif
