/*
 * The sockets that clients come to: of TCP, which listen, and of UDP.
 */
#ifndef ECHOD_LISTENER_H
#define ECHOD_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "echod/address.h"

enum {
	LISTENERS_MAX = 64,
	LISTENERS_TEXT_SIZE = 2048,
};

struct listener {
	int fd; /* close-on-exec; non-blocking if it is of TCP; -1: not open */
	int type; /* SOCK_STREAM is TCP's, SOCK_DGRAM UDP's */
	bool inherited; /* from the service manager: bound and listening */
	struct address addr;
	uint64_t specs; /* which of config's want it: bit i for the i-th */
};

struct listeners {
	size_t n;
	struct listener at[LISTENERS_MAX];
};

struct listener_config {
	const struct address_spec *spec; /* none: every interface */
	size_t nspec; /* 64 at most */
	int family; /* AF_UNSPEC, AF_INET or AF_INET6 */
	uint16_t port; /* for those of spec without one; host order */
	int backlog; /* of listen(2) */
	int idle_timeout; /* seconds, 0: none */
	bool udp; /* each address for UDP, too */
};

/*
 * Resolve config's addresses into *ls, with no socket yet (each fd is -1).
 * Returns 0, or, having logged why, the status of sysexits(3) to exit with.
 */
int listeners_resolve(
    struct listeners *ls, const struct listener_config *config);

/*
 * Instead: take over n sockets of the service manager, from descriptor first
 * on.  Each must be a TCP socket that listens, or a UDP socket that is bound.
 * Returns as above.
 */
int listeners_inherit(struct listeners *ls, int first, size_t n);

/*
 * Open, bind and set up a socket for each of *ls.  An address that this host
 * does not have is left out with a warning if its name has another; any other
 * failure closes them all.  Returns as listeners_resolve().
 */
int listeners_open(struct listeners *ls, const struct listener_config *config);

/*
 * What listeners_open() would say of *ls, but for ports that are in use:
 * without a socket left, and with absent addresses left out of *ls.
 */
int listeners_check(struct listeners *ls);

/* Close them all; *ls is empty then. */
void listeners_close(struct listeners *ls);

/*
 * Write "A, B/udp and C/udp" for people.  Cut short if it is too long.  Returns
 * text.
 */
char *listeners_format(
    const struct listeners *ls, char text[static LISTENERS_TEXT_SIZE]);

/*
 * Write those of a type for titles: ":7", or the addresses where not all are
 * wildcards.  Nothing if there are none.
 */
char *listeners_title(const struct listeners *ls, int type,
    char text[static LISTENERS_TEXT_SIZE]);

#endif
