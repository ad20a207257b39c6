/*
 * Signals: handlers that set flags, blocked but while somebody waits for them.
 *
 * CHLD, TERM, INT and USR1 are blocked from signals_init() on and come only in
 * a ppoll(2) with the mask that signals_init() gives, so none is lost between
 * a test of its flag and the wait.  HUP, PIPE and XFSZ are ignored.
 */
#ifndef ECHOD_SIGNALS_H
#define ECHOD_SIGNALS_H

#include <signal.h>

/* Set by the handlers; the server tests and clears them. */
extern volatile sig_atomic_t signals_child; /* CHLD came */
extern volatile sig_atomic_t signals_stop; /* how often TERM or INT came */
extern volatile sig_atomic_t signals_status; /* USR1 came */

/* Install the handlers and block.  *waiting gets the mask for ppoll(2). */
void signals_init(sigset_t *waiting);

/*
 * Let pending signals' handlers run now.  ppoll(2) does not, as long as it
 * finds a descriptor ready: under a flood of connections no signal would come.
 */
void signals_deliver(const sigset_t *waiting);

/*
 * For a client's child, whose descriptor 0 is its client: from now on TERM and
 * INT are no longer blocked, and call shutdown(2) with SHUT_RD on descriptor 0.
 * What has arrived is still read, then comes end of file.
 */
void signals_let_in(const sigset_t *waiting);

#endif
