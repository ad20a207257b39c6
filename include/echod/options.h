/*
 * The command line: argv in, a struct options out.
 *
 * Nothing is printed and nothing is changed; names of hosts and users are
 * looked up by those who use them.
 */
#ifndef ECHOD_OPTIONS_H
#define ECHOD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "echod/address.h"
#include "echod/log.h"

enum {
	OPTIONS_LISTEN_MAX = 16, /* how often --listen may be given */
	OPTIONS_PROXY_MAX = 16, /* and --proxy-protocol */
	OPTIONS_WHY_SIZE = 256, /* for options_parse()'s reason */
};

struct options {
	int family; /* AF_UNSPEC, AF_INET or AF_INET6 */
	size_t nlisten;
	struct address_spec listen[OPTIONS_LISTEN_MAX];
	uint16_t port; /* for those of listen without one; host order */
	int backlog;
	bool listen_given; /* any of the above was */
	bool udp;
	bool inetd;
	bool daemon;
	const char *pidfile; /* NULL: none */
	const char *user; /* USER or USER:GROUP; NULL: the built-in one */
	int max_clients;
	int max_per_source; /* 0: no limit */
	int rate; /* per second and source, 0: no limit */
	int ipv6_prefix; /* bits of an IPv6 source */
	int idle_timeout; /* seconds, 0: none */
	int grace; /* seconds */
	size_t nproxy;
	struct network proxy[OPTIONS_PROXY_MAX]; /* who sends PROXY headers */
	const char *metrics; /* NULL: no such file */
	enum log_target log;
	int priority; /* log what is at least as urgent, LOG_ERR to LOG_DEBUG */
	bool check;
};

/* What the command line asks for. */
enum options_action {
	OPTIONS_SERVE,
	OPTIONS_HELP,
	OPTIONS_VERSION,
	OPTIONS_WRONG, /* exit with EX_USAGE of sysexits(3) */
};

/*
 * Read argv[1] and on.  Where it returns OPTIONS_SERVE, *opt is complete and
 * its strings point into argv; where OPTIONS_WRONG, why has the reason, which
 * may quote a word of argv as it is; else neither is of use.  argv is not
 * changed. Uses getopt_long(3)'s variables: not for two threads at once.
 */
enum options_action options_parse(struct options *opt, int argc,
    char *const argv[], char why[static OPTIONS_WHY_SIZE]);

/* Print what --help says.  Errors stay in ferror(out). */
void options_help(FILE *out);

#endif
