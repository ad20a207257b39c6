/*
 * The parent: accept clients, fork a child for each, reap them, and drain.
 */
#ifndef ECHOD_SERVER_H
#define ECHOD_SERVER_H

#include <signal.h>

#include "echod/listener.h"
#include "echod/options.h"
#include "echod/systemd.h"

struct server;

/*
 * Set up a server for the sockets of ls, which it closes when it stops, and
 * which tells sd what it does.  opt, ls and sd must outlive it.  Returns NULL,
 * having logged why, without memory.
 */
struct server *server_new(
    const struct options *opt, struct listeners *ls, struct systemd *sd);

/*
 * Begin to keep the metrics file, if there is to be one: see writer.h for when
 * and with which rights.  Returns 0, or, having logged why, the status of
 * sysexits(3) to exit with.
 */
int server_start_metrics(struct server *s);

/* Let ps(1) show what it serves; server_run() keeps that up to date. */
void server_title(struct server *s);

/*
 * Serve until TERM or INT, then drain: the listeners close and the children
 * have the grace to finish.  waiting is signals_init()'s mask.  Nothing that
 * clients do and no lack of resources makes it return.
 */
void server_run(struct server *s, const sigset_t *waiting);

void server_free(struct server *s);

#endif
