/*
 * The order in which a server, or a session on standard input, is started.
 *
 * Both functions return, at the end, the status of sysexits(3) to exit with;
 * what went wrong is logged.  With --check they only print what they would do.
 * They may execute echod anew, with argv: see privilege.h.
 */
#ifndef ECHOD_START_H
#define ECHOD_START_H

#include "echod/options.h"

/*
 * Find the sockets, of which so many were handed over (see systemd.h), go to
 * the background, open them, give up all rights, and serve.
 */
int start_server(
    const struct options *opt, int handed_over, char *const argv[]);

/* --inetd: give up all rights, and serve the client that is there already. */
int start_inetd(const struct options *opt, char *const argv[]);

#endif
