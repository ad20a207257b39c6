#include "echod/listener.h"

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <sysexits.h>
#include <unistd.h>

#include "echod/echo.h"
#include "echod/log.h"

/* An idle peer that vanished is noticed after 300 + 6 * 30 seconds. */
enum { KEEP_IDLE = 300, KEEP_INTERVAL = 30, KEEP_COUNT = 6 };

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
		log_error("cannot listen on %s: %s", host,
		    gai == EAI_SYSTEM ? strerror(errno) : gai_strerror(gai));
		return EX_UNAVAILABLE;
	}
	for (const struct addrinfo *ai = list; ai != NULL; ai = ai->ai_next) {
		struct address addr = { .len = ai->ai_addrlen };

		memcpy(&addr.sa, ai->ai_addr, ai->ai_addrlen);

		struct listener *same = find(ls, &addr);

		if (same != NULL) {
			same->specs |= UINT32_C(1) << spec;
			continue;
		}
		if (ls->n == LISTENERS_MAX) {
			log_error("cannot listen on %s: more than %d addresses",
			    host, LISTENERS_MAX);
			freeaddrinfo(list);
			return EX_UNAVAILABLE;
		}
		ls->at[ls->n++] = (struct listener){
			.fd = -1,
			.addr = addr,
			.specs = UINT32_C(1) << spec,
		};
	}
	freeaddrinfo(list);
	return 0;
}

int
listeners_resolve(struct listeners *ls, const struct listener_config *config)
{
	ls->n = 0;
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

/* What is wrong with a socket for us; NULL: nothing.  It is asked for addr. */
static const char *
reject(int fd, struct address *addr)
{
	int type, listens;
	socklen_t len = sizeof(type);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == -1)
		return strerror(errno);
	addr->len = sizeof(addr->in6);
	if (getsockname(fd, &addr->sa, &addr->len) == -1)
		return strerror(errno);
	if (addr->sa.sa_family != AF_INET && addr->sa.sa_family != AF_INET6)
		return "it is neither IPv4 nor IPv6";
	if (type == SOCK_DGRAM)
		return "it is a UDP socket, and echod serves TCP";
	if (type != SOCK_STREAM)
		return "it is not a TCP socket";
	len = sizeof(listens);
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == -1)
		return strerror(errno);
	if (!listens)
		return "it does not listen; does its unit have Accept=yes?";
	/* F_SETFL: of all flags, this is the only one that a socket may need */
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) == -1 ||
	    fcntl(fd, F_SETFL, O_NONBLOCK) == -1)
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
			.specs = UINT32_C(1) << i,
		};

		const char *why = reject(l->fd, &l->addr);

		if (why != NULL) {
			log_error("LISTEN_FDS: cannot serve descriptor %d: %s",
			    l->fd, why);
			listeners_close(ls);
			return EX_UNAVAILABLE;
		}
	}
	return 0;
}

/*
 * What accept(2) hands down on Linux (tcp(7), socket(7)): set here once, it
 * costs no system call per connection.  TCP_USER_TIMEOUT is left alone: Linux
 * also takes it as the time that a live client may keep its window shut, and
 * breaks off one that reads too slowly to open it wide.
 */
static int
set_inherited(int fd, int idle_timeout)
{
	const int64_t tick = idle_timeout * INT64_C(1000000) / ECHO_TICKS;
	const struct timeval idle = {
		.tv_sec = tick / 1000000,
		.tv_usec = tick % 1000000,
	};
	const struct {
		int level, name, value;
	} opts[] = {
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
		{ SOL_SOCKET, SO_OOBINLINE, 1 }, /* urgent bytes are bytes */
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, KEEP_IDLE },
		{ IPPROTO_TCP, TCP_KEEPINTVL, KEEP_INTERVAL },
		{ IPPROTO_TCP, TCP_KEEPCNT, KEEP_COUNT },
	};

	for (size_t i = 0; i < sizeof(opts) / sizeof(opts[0]); i++)
		if (setsockopt(fd, opts[i].level, opts[i].name, &opts[i].value,
			sizeof(opts[i].value)) == -1)
			return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &idle, sizeof(idle)) == -1)
		return -1;
	return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &idle, sizeof(idle));
}

/* Make a socket bound to addr.  Returns it, or -1 with errno set. */
static int
bind_socket(const struct address *addr)
{
	const int on = 1;
	const int fd = socket(
	    addr->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd == -1)
		return -1;
	/* Clients of an echod before this one may still be connected. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1)
		goto fail;
	if (addr->sa.sa_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == -1)
		goto fail;
	if (bind(fd, &addr->sa, addr->len) == -1)
		goto fail;
	return fd;
fail:;
	const int saved = errno;

	close(fd);
	errno = saved;
	return -1;
}

static int
open_one(struct listener *l, const struct listener_config *config)
{
	if (!l->inherited)
		l->fd = bind_socket(&l->addr);
	if (l->fd == -1)
		return -1;
	if (set_inherited(l->fd, config->idle_timeout) == -1)
		return -1;
	return l->inherited ? 0 : listen(l->fd, config->backlog);
}

static int
complain(const struct address *addr, int error)
{
	char text[ADDRESS_TEXT_SIZE];
	const char *advice = "";
	int status = EX_UNAVAILABLE;

	switch (error) {
	case EACCES:
	case EPERM:
		status = EX_NOPERM;
		advice =
		    "; ports below 1024 need root or CAP_NET_BIND_SERVICE, others are chosen with --port";
		break;
	case EADDRINUSE:
		advice = "; 'ss -ltnp' shows who listens there";
		break;
	case EADDRNOTAVAIL:
		advice = "; 'ip address' shows what this host has";
		break;
	case EINVAL:
		advice =
		    "; a link-local address needs its interface, as in fe80::1%eth0";
		break;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		status = EX_OSERR;
		break;
	}
	log_error("cannot listen on %s: %s%s", address_format(addr, text),
	    strerror(error), advice);
	return status;
}

/* That the port is in use is no error: perhaps it is by another echod. */
static int
check_one(struct listener *l, const struct listener_config *config)
{
	(void)config;
	if (l->inherited)
		return 0;

	const int fd = bind_socket(&l->addr);

	if (fd == -1)
		return errno == EADDRINUSE ? 0 : -1;
	return close(fd);
}

/* Whether each name that stands for the i-th address has another one, too. */
static bool
is_spare(const struct listeners *ls, size_t i)
{
	uint32_t others = 0;

	for (size_t j = 0; j < ls->n; j++)
		if (j != i)
			others |= ls->at[j].specs;
	return (ls->at[i].specs & ~others) == 0;
}

/* Open or check each, but leave out those that are absent and can be spared. */
static int
open_or_check(struct listeners *ls,
    int (*one)(struct listener *, const struct listener_config *),
    const struct listener_config *config)
{
	char text[ADDRESS_TEXT_SIZE];
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
			const int status = complain(&l->addr, error);

			listeners_close(ls);
			return status;
		}
		log_warning("not listening on %s: %s",
		    address_format(&l->addr, text), strerror(error));
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

char *
listeners_format(
    const struct listeners *ls, char text[static LISTENERS_TEXT_SIZE])
{
	char one[ADDRESS_TEXT_SIZE];

	text[0] = '\0';
	for (size_t i = 0; i < ls->n; i++) {
		if (i > 0)
			strlcat(text, i + 1 < ls->n ? ", " : " and ",
			    LISTENERS_TEXT_SIZE);
		strlcat(text, address_format(&ls->at[i].addr, one),
		    LISTENERS_TEXT_SIZE);
	}
	return text;
}

char *
listeners_title(
    const struct listeners *ls, char text[static LISTENERS_TEXT_SIZE])
{
	const uint16_t port = ls->n > 0 ? address_port(&ls->at[0].addr) : 0;

	for (size_t i = 0; i < ls->n; i++)
		if (!address_is_wildcard(&ls->at[i].addr) ||
		    address_port(&ls->at[i].addr) != port)
			return listeners_format(ls, text);
	snprintf(text, LISTENERS_TEXT_SIZE, ":%u", port);
	return text;
}
