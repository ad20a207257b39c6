#include "echod/listener.h"

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "echod/clock.h"
#include "echod/log.h"
#include "echod/socket.h"

#define PAUSE (10 * CLOCK_MILLISECOND)
enum { TRIES = 50 };

enum { NAME_SIZE = ADDRESS_TEXT_SIZE + sizeof("/udp") };

static struct listener *
find(struct listeners *ls, const struct address *addr)
{
	for (size_t i = 0; i < ls->n; i++)
		if (address_equal(&ls->at[i].addr, addr))
			return &ls->at[i];
	return NULL;
}

/* Append what host resolves to.  Returns as listeners_resolve(). */
static int
resolve(struct listeners *ls, size_t spec, const char *host, uint16_t port,
    int family)
{
	const struct addrinfo hints = {
		.ai_family = family,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE,
	};
	char service[sizeof("65535")];
	struct addrinfo *list;

	snprintf(service, sizeof(service), "%u", port);

	const int gai =
	    getaddrinfo(host[0] != '\0' ? host : NULL, service, &hints, &list);

	if (gai != 0) {
		const char *by = family == AF_INET ? " by --ipv4 (-4)"
		    : family == AF_INET6	   ? " by --ipv6 (-6)"
						   : "";

		log_error("cannot listen on %s%s: %s", host, by,
		    gai == EAI_SYSTEM ? strerror(errno) : gai_strerror(gai));
		return EX_UNAVAILABLE;
	}
	for (const struct addrinfo *ai = list; ai != NULL; ai = ai->ai_next) {
		struct address addr = { .len = ai->ai_addrlen };

		memcpy(&addr.sa, ai->ai_addr, ai->ai_addrlen);

		struct listener *same = find(ls, &addr);

		if (same != NULL) {
			same->specs |= UINT64_C(1) << spec;
			continue;
		}
		if (ls->n == LISTENERS_MAX / 2) { /* half are for UDP */
			log_error("cannot listen on %s: more than %d addresses",
			    host, LISTENERS_MAX / 2);
			freeaddrinfo(list);
			return EX_UNAVAILABLE;
		}
		ls->at[ls->n++] = (struct listener){
			.fd = -1,
			.type = SOCK_STREAM,
			.addr = addr,
			.specs = UINT64_C(1) << spec,
		};
	}
	freeaddrinfo(list);
	return 0;
}

static int
resolve_all(struct listeners *ls, const struct listener_config *config)
{
	if (config->nspec == 0)
		return resolve(ls, 0, "", config->port, config->family);
	for (size_t i = 0; i < config->nspec; i++) {
		const struct address_spec *spec = &config->spec[i];
		const int status = resolve(ls, i, spec->host,
		    spec->port != 0 ? spec->port : config->port,
		    config->family);

		if (status != 0)
			return status;
	}
	return 0;
}

int
listeners_resolve(struct listeners *ls, const struct listener_config *config)
{
	ls->n = 0;

	const int status = resolve_all(ls, config);
	const size_t n = ls->n;

	for (size_t i = 0; i < n && config->udp; i++) {
		ls->at[ls->n] = ls->at[i];
		ls->at[ls->n++].type = SOCK_DGRAM;
	}
	return status;
}

/* What is wrong with a bound TCP socket for us; NULL: nothing. */
static const char *
reject_stream(int fd)
{
	int listens;
	socklen_t len = sizeof(listens);

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == -1)
		return strerror(errno);
	return listens
	    ? NULL
	    : "it does not listen; for a unit with Accept=yes there is --inetd";
}

/* The same of any socket, which is asked for its type and address. */
static const char *
reject(struct listener *l)
{
	socklen_t len = sizeof(l->type);
	const char *why = NULL;

	if (getsockopt(l->fd, SOL_SOCKET, SO_TYPE, &l->type, &len) == -1)
		return strerror(errno);
	l->addr.len = sizeof(l->addr.in6);
	if (getsockname(l->fd, &l->addr.sa, &l->addr.len) == -1)
		return strerror(errno);
	if (l->addr.sa.sa_family != AF_INET && l->addr.sa.sa_family != AF_INET6)
		return "it is neither IPv4 nor IPv6";
	if (l->type == SOCK_STREAM)
		why = reject_stream(l->fd);
	else if (l->type != SOCK_DGRAM)
		why = "it is neither TCP nor UDP";
	else if (address_port(&l->addr) == 0)
		why = "it is not bound to a port";
	if (why != NULL)
		return why;
	/* F_SETFL: of all flags, this is the only one that a socket may need */
	if (fcntl(l->fd, F_SETFD, FD_CLOEXEC) == -1 ||
	    fcntl(l->fd, F_SETFL, l->type == SOCK_STREAM ? O_NONBLOCK : 0) ==
		-1)
		return strerror(errno);
	return NULL;
}

int
listeners_inherit(struct listeners *ls, int first, size_t n)
{
	ls->n = 0;
	if (n > LISTENERS_MAX) {
		log_error("LISTEN_FDS: %zu sockets are more than %d", n,
		    LISTENERS_MAX);
		return EX_UNAVAILABLE;
	}
	for (size_t i = 0; i < n; i++) {
		struct listener *l = &ls->at[ls->n++];

		*l = (struct listener){
			.fd = first + (int)i,
			.inherited = true,
			.specs = UINT64_C(1) << i,
		};

		const char *why = reject(l);

		if (why != NULL) {
			log_error("LISTEN_FDS: cannot serve descriptor %d: %s",
			    l->fd, why);
			listeners_close(ls);
			return EX_UNAVAILABLE;
		}
	}
	return 0;
}

/* Set on a new socket what has to be set before bind(2). */
static int
set_early(int fd, const struct listener *l)
{
	const int on = 1;

	/* Clients of an echod before this one may still be connected; but UDP
	 * would let two of them have the port, and the last one the datagrams.
	 */
	if (l->type == SOCK_STREAM &&
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1)
		return -1;
	return l->addr.sa.sa_family == AF_INET6
	    ? setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on))
	    : 0;
}

/* Make a socket bound to the address of l.  Returns it, or -1 with errno set.
 */
static int
bind_socket(const struct listener *l)
{
	const int flags = l->type == SOCK_STREAM ? SOCK_NONBLOCK : 0;
	const int fd =
	    socket(l->addr.sa.sa_family, l->type | flags | SOCK_CLOEXEC, 0);

	if (fd == -1)
		return -1;
	if (set_early(fd, l) == 0 && bind(fd, &l->addr.sa, l->addr.len) == 0)
		return fd;

	const int saved = errno;

	close(fd);
	errno = saved;
	return -1;
}

/*
 * The same of l.  The UDP worker of an echod that was killed needs a moment to
 * notice; only then its port is free.
 */
static int
bind_soon(const struct listener *l)
{
	int fd = bind_socket(l);

	for (int i = 0; fd == -1 && errno == EADDRINUSE &&
	     l->type == SOCK_DGRAM && i < TRIES;
	     i++) {
		clock_pause(PAUSE);
		fd = bind_socket(l);
	}
	return fd;
}

static int
open_one(struct listener *l, const struct listener_config *config)
{
	if (!l->inherited)
		l->fd = bind_soon(l);
	if (l->fd == -1)
		return -1;
	if (l->type == SOCK_DGRAM)
		return socket_set_datagram(l->fd, l->addr.sa.sa_family);
	if (socket_set_stream(l->fd, config->idle_timeout) == -1)
		return -1;
	return l->inherited ? 0 : listen(l->fd, config->backlog);
}

/* As in services(5): "[::]:7/udp". */
static char *
format(const struct listener *l, char text[static NAME_SIZE])
{
	address_format(&l->addr, text);
	if (l->type == SOCK_DGRAM)
		strlcat(text, "/udp", NAME_SIZE);
	return text;
}

static int
complain(const struct listener *l, int error)
{
	static const char rights[] =
	    "; ports below 1024 need root or CAP_NET_BIND_SERVICE, others are chosen with --port";
	static const struct {
		int error, type; /* 0: of any */
		const char *advice;
		int status;
	} rows[] = {
		{ EACCES, 0, rights, EX_NOPERM },
		{ EPERM, 0, rights, EX_NOPERM },
		{ EADDRINUSE, SOCK_STREAM, "; 'ss -tanp' shows who has it",
		    EX_UNAVAILABLE },
		{ EADDRINUSE, SOCK_DGRAM, "; 'ss -uanp' shows who has it",
		    EX_UNAVAILABLE },
		{ EADDRNOTAVAIL, 0, "; 'ip address' shows what this host has",
		    EX_UNAVAILABLE },
		{ EINVAL, 0,
		    "; a link-local address needs its interface, as in fe80::1%eth0",
		    EX_UNAVAILABLE },
		{ EMFILE, 0, "", EX_OSERR },
		{ ENFILE, 0, "", EX_OSERR },
		{ ENOBUFS, 0, "", EX_OSERR },
		{ ENOMEM, 0, "", EX_OSERR },
	};
	char text[NAME_SIZE];
	const char *advice = "";
	int status = EX_UNAVAILABLE;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].error == error &&
		    (rows[i].type == 0 || rows[i].type == l->type)) {
			advice = rows[i].advice;
			status = rows[i].status;
		}
	log_error("cannot listen on %s: %s%s", format(l, text), strerror(error),
	    advice);
	return status;
}

/* That the port is in use is no error: perhaps it is by another echod. */
static int
check_one(struct listener *l, const struct listener_config *config)
{
	(void)config;
	if (l->inherited)
		return 0;

	const int fd = bind_socket(l);

	if (fd == -1)
		return errno == EADDRINUSE ? 0 : -1;
	return close(fd);
}

/* Whether each name that stands for the i-th address has another one, too. */
static bool
is_spare(const struct listeners *ls, size_t i)
{
	uint64_t others = 0;

	for (size_t j = 0; j < ls->n; j++)
		if (j != i && ls->at[j].type == ls->at[i].type)
			others |= ls->at[j].specs;
	return (ls->at[i].specs & ~others) == 0;
}

/* Open or check each, but leave out those that are absent and can be spared. */
static int
open_or_check(struct listeners *ls,
    int (*one)(struct listener *, const struct listener_config *),
    const struct listener_config *config)
{
	char text[NAME_SIZE];
	size_t i = 0;

	while (i < ls->n) {
		struct listener *l = &ls->at[i];

		if (one(l, config) == 0) {
			i++;
			continue;
		}

		const int error = errno;

		if ((error != EAFNOSUPPORT && error != EADDRNOTAVAIL) ||
		    !is_spare(ls, i)) {
			const int status = complain(l, error);

			listeners_close(ls);
			return status;
		}
		log_warning("not listening on %s: %s", format(l, text),
		    strerror(error));
		ls->n--;
		memmove(l, l + 1, (ls->n - i) * sizeof(*l));
	}
	return 0;
}

int
listeners_open(struct listeners *ls, const struct listener_config *config)
{
	return open_or_check(ls, open_one, config);
}

int
listeners_check(struct listeners *ls)
{
	return open_or_check(ls, check_one, NULL);
}

void
listeners_close(struct listeners *ls)
{
	for (size_t i = 0; i < ls->n; i++)
		if (ls->at[i].fd != -1)
			close(ls->at[i].fd);
	ls->n = 0;
}

/* Append the i-th of n to "A, B and C". */
static void
append(
    char text[static LISTENERS_TEXT_SIZE], size_t i, size_t n, const char *one)
{
	if (i > 0)
		strlcat(text, i + 1 < n ? ", " : " and ", LISTENERS_TEXT_SIZE);
	strlcat(text, one, LISTENERS_TEXT_SIZE);
}

char *
listeners_format(
    const struct listeners *ls, char text[static LISTENERS_TEXT_SIZE])
{
	char one[NAME_SIZE];

	text[0] = '\0';
	for (size_t i = 0; i < ls->n; i++)
		append(text, i, ls->n, format(&ls->at[i], one));
	return text;
}

char *
listeners_title(
    const struct listeners *ls, int type, char text[static LISTENERS_TEXT_SIZE])
{
	struct listeners some = { 0 };
	bool same = true; /* wildcards on one port */

	for (size_t i = 0; i < ls->n; i++)
		if (ls->at[i].type == type)
			some.at[some.n++] = ls->at[i];
	for (size_t i = 0; i < some.n; i++) {
		same &= address_is_wildcard(&some.at[i].addr) &&
		    address_port(&some.at[i].addr) ==
			address_port(&some.at[0].addr);
	}
	if (!same || some.n == 0)
		return listeners_format(&some, text);
	snprintf(text, LISTENERS_TEXT_SIZE, ":%u%s",
	    address_port(&some.at[0].addr), type == SOCK_DGRAM ? "/udp" : "");
	return text;
}
