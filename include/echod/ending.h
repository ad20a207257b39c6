/*
 * What a child's status tells about its end.  Pure.
 */
#ifndef ECHOD_ENDING_H
#define ECHOD_ENDING_H

#include <stdbool.h>
#include <stdint.h>

#include "echod/session.h"

struct ending {
	enum session_end end;
	int priority; /* of syslog(3), that it deserves */
	char why[64]; /* for people */
};

/*
 * How a child ended whose status from waitpid(2) this is; cut_off, if it may
 * have been killed because it did not finish.
 */
struct ending ending_of(int status, bool cut_off);

/* That of a child that was killed once it was known whose client it was. */
struct ending ending_refused(void);

/*
 * Who comes briefly, and sends nothing, is a load balancer's probe: that is
 * worth LOG_DEBUG only.
 */
void ending_play_down(struct ending *e, uint64_t bytes, bool brief);

/* A word for it, as metrics have it. */
const char *ending_label(enum session_end end);

#endif
