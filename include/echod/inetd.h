/*
 * One client on standard input and output, accepted by somebody else: inetd(8),
 * tcpserver(1), systemd with Accept=yes, or a person with a terminal.
 */
#ifndef ECHOD_INETD_H
#define ECHOD_INETD_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "echod/address.h"
#include "echod/scoreboard.h"

struct inetd {
	int idle; /* seconds, 0: no idle timeout */
	int grace; /* seconds, on a TERM */
	const struct network *proxy; /* who sends PROXY headers */
	size_t nproxy;

	/* What inetd_prepare() finds out, and makes. */
	bool is_session; /* it is one socket, not a terminal or pipes */
	bool has_stderr; /* it is the client's, too */
	bool is_remote; /* of peer */
	struct address peer;
	sigset_t waiting; /* signals_init()'s mask */
	struct scoreboard *board;
	int client, null; /* descriptors of it, and of /dev/null */
};

/* Whether standard error is the client's, too: nothing may be logged there. */
bool inetd_has_stderr(void);

/*
 * Get ready to serve, with the rights that echod was started with: what is no
 * client is refused.  Returns 0, or, having logged why, the status of
 * sysexits(3) to exit with.
 */
int inetd_prepare(struct inetd *inetd);

/*
 * Serve, with the rights that echod keeps, as a client's child does; what is no
 * socket is copied as cat(1) does it.  Returns as inetd_prepare(); a client of
 * another host has its line in the log.
 */
int inetd_serve(const struct inetd *inetd);

#endif
