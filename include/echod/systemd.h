/*
 * The service manager's side: what systemd hands over, and what it is told.
 *
 * LISTEN_FDS is sd_listen_fds(3), NOTIFY_SOCKET and WATCHDOG_USEC are
 * sd_notify(3) and sd_watchdog_enabled(3).  The protocols are written out, as
 * those pages allow: libsystemd and its libraries would be in every fork.
 * Without systemd nothing is told, and every function may be called.
 */
#ifndef ECHOD_SYSTEMD_H
#define ECHOD_SYSTEMD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

enum {
	SYSTEMD_FDS_START = 3, /* the first descriptor that is handed over */
	SYSTEMD_STATUS_SIZE = 256,
};

struct systemd {
	int fd; /* a socket of our own, -1: nobody wants to be told */
	struct sockaddr_un to;
	socklen_t len; /* of to */
	int64_t interval; /* between signs of life; 0: none are wanted */
	int64_t alive_next; /* when the next one is due; see clock.h */
};

/*
 * How many descriptors, from SYSTEMD_FDS_START on, were handed over to this
 * very process: 0 where none, -1 where LISTEN_FDS is not a number of them, or
 * more than are open.
 * Logs nothing; the variables stay.
 */
int systemd_listen_fds(void);

/*
 * Do as a service manager does: n descriptors become those from
 * SYSTEMD_FDS_START on, whatever these were, and the variables say so, for this
 * very process to find when it executes echod anew.  fd[] is of no use
 * afterwards.  Returns 0, or -1 with errno set.
 */
int systemd_hand_over(int fd[], int n);

/* Whether what was handed over is by systemd_hand_over(). */
bool systemd_is_own(void);

/*
 * Open a socket to notify by, if that is wanted, and unset all variables of the
 * protocols: they are not for those that echod forks.  To be called once
 * descriptors_tidy() has closed what is not ours, and before
 * daemon_background(): WATCHDOG_PID names the process that systemd started.
 * What it cannot use it logs as a warning, and does without.
 */
void systemd_init(struct systemd *sd);

/*
 * echod serves: READY=1, waiting up to 5 seconds for systemd to take it; and
 * MAINPID=, if the process is another than systemd started.
 */
void systemd_ready(const struct systemd *sd, bool moved);

/* Show status, a line for people, in systemctl(1)'s status.  Never waits. */
void systemd_status(const struct systemd *sd, const char *status);

/* Give a sign of life, if at has come to sd->alive_next.  Never waits. */
void systemd_alive(struct systemd *sd, int64_t at);

/*
 * echod stops, which may take so many seconds, whatever TimeoutStopSec= says.
 * Never waits: clients do.
 */
void systemd_stopping(const struct systemd *sd, int seconds);

void systemd_close(struct systemd *sd);

#endif
