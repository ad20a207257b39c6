/*
 * The writer: a process of its own that keeps a small file up to date.
 *
 * It is made before the sandbox is entered, which knows no open(2) and no
 * rename(2); it has a sandbox of its own, and never sees a byte of clients.
 */
#ifndef ECHOD_WRITER_H
#define ECHOD_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "echod/log.h"

struct writer {
	pid_t pid; /* 0: there is none */
	int fd; /* to send it texts by */
};

/*
 * Start a writer of the file at path, an absolute one, which begins with text.
 * It writes path.tmp, and renames it; when w->fd is closed, or this process
 * ends, it removes the file.  It logs to target what it cannot do.  To be
 * called with the rights that echod keeps, by the only process that gets w.
 * Returns 0, or, having logged why, the status of sysexits(3) to exit with.
 */
int writer_start(struct writer *w, const char *path, const char *text,
    size_t len, enum log_target target);

/* Send it a new text.  Never waits.  Returns 0, or -1 with errno set. */
int writer_send(const struct writer *w, const char *text, size_t len);

/* Let it remove the file, and wait until it has ended. */
void writer_end(struct writer *w);

#endif
