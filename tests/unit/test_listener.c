/*
 * Listeners: from specs to sockets, what accepted sockets inherit, and what is
 * said when it does not work.
 *
 * Linked with --wrap for the names below, so that names can be resolved and
 * system calls can fail as nothing on a test machine does.
 */
#include "echod/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "echod/clock.h"
#include "echod/log.h"
#include "support.h"

int __real_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol);
int __real_bind(int fd, const struct sockaddr *addr, socklen_t len);
int __wrap_bind(int fd, const struct sockaddr *addr, socklen_t len);
void __wrap_clock_pause(int64_t ns);
int __real_listen(int fd, int backlog);
int __wrap_listen(int fd, int backlog);
int __real_setsockopt(
    int fd, int level, int name, const void *value, socklen_t len);
int __wrap_setsockopt(
    int fd, int level, int name, const void *value, socklen_t len);
int __real_getaddrinfo(const char *host, const char *service,
    const struct addrinfo *hints, struct addrinfo **list);
int __wrap_getaddrinfo(const char *host, const char *service,
    const struct addrinfo *hints, struct addrinfo **list);

enum call { NONE, SOCKET, BIND, LISTEN, SETSOCKOPT };

/* One call fails. */
static struct fault {
	enum call call;
	int domain; /* for this family; AF_UNSPEC: for any */
	unsigned nth; /* from the nth on, from 0 */
	int error;
	bool once;
} fault;
static unsigned fault_seen;

static int
domain_of(int fd)
{
	int domain = AF_UNSPEC;
	socklen_t len = sizeof(domain);

	getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len);
	return domain;
}

static bool
fails(enum call call, int domain)
{
	if (fault.call != call ||
	    (fault.domain != AF_UNSPEC && fault.domain != domain))
		return false;

	const unsigned nth = fault_seen++;

	if (nth < fault.nth || (fault.once && nth > fault.nth))
		return false;
	errno = fault.error;
	return true;
}

static void
set_fault(struct fault f)
{
	fault = f;
	fault_seen = 0;
}

int
__wrap_socket(int domain, int type, int protocol)
{
	return fails(SOCKET, domain) ? -1
				     : __real_socket(domain, type, protocol);
}

int
__wrap_bind(int fd, const struct sockaddr *addr, socklen_t len)
{
	return fails(BIND, domain_of(fd)) ? -1 : __real_bind(fd, addr, len);
}

int
__wrap_listen(int fd, int backlog)
{
	return fails(LISTEN, domain_of(fd)) ? -1 : __real_listen(fd, backlog);
}

int
__wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	return fails(SETSOCKOPT, domain_of(fd))
	    ? -1
	    : __real_setsockopt(fd, level, name, value, len);
}

/* They take no time; in one of them, a port may become free. */
static struct {
	unsigned n;
	int64_t passed;
	unsigned last; /* the one in which fd is closed, from 1; 0: none */
	int fd;
} pauses;

void
__wrap_clock_pause(int64_t ns)
{
	pauses.passed += ns;
	if (++pauses.n == pauses.last)
		close(pauses.fd);
}

/* TEST-NET-3 and the documentation prefix: no host has these. */
#define ALIEN4 "203.0.113.77"
#define ALIEN6 "2001:db8::77"

/* Names that are known everywhere, and what they resolve to. */
static const struct {
	const char *name;
	int gai, error; /* how it fails */
	const char *at[3];
} names[] = {
	{ "half.test", 0, 0, { "127.0.0.1", ALIEN4 } },
	{ "flah.test", 0, 0, { ALIEN4, "127.0.0.1" } },
	{ "both.test", 0, 0, { "::1", "127.0.0.1" } },
	{ "six.test", 0, 0, { "::1", ALIEN6 } },
	{ "three.test", 0, 0, { "127.0.0.1", "127.0.0.2", "127.0.0.3" } },
	{ "alien.test", 0, 0, { ALIEN4, ALIEN6 } },
	{ "none.test", EAI_NONAME, 0, { NULL } },
	{ "again.test", EAI_AGAIN, 0, { NULL } },
	{ "broken.test", EAI_SYSTEM, EMFILE, { NULL } },
};

int
__wrap_getaddrinfo(const char *host, const char *service,
    const struct addrinfo *hints, struct addrinfo **list)
{
	struct addrinfo **end = list;

	for (size_t i = 0; host != NULL && i < COUNT(names); i++) {
		if (strcmp(host, names[i].name) != 0)
			continue;
		errno = names[i].error;
		for (size_t j = 0; j < 3 && names[i].at[j] != NULL; j++) {
			assert_int_equal(__real_getaddrinfo(names[i].at[j],
					     service, hints, end),
			    0);
			/* freeaddrinfo(3) takes what was joined. */
			while (*end != NULL)
				end = &(*end)->ai_next;
		}
		return names[i].gai;
	}
	return __real_getaddrinfo(host, service, hints, list);
}

static struct listeners ls;

static int
setup(void **state)
{
	ls.n = 0;
	memset(&pauses, 0, sizeof(pauses));
	return capture_log_setup(state);
}

static int
teardown(void **state)
{
	set_fault((struct fault){ 0 });
	return capture_teardown(state);
}

enum { SPECS_MAX = 16 };

/* A config of specs, which are separated by blanks. */
static struct listener_config
make_config(const char *specs, uint16_t port, int family)
{
	static struct address_spec spec[SPECS_MAX];
	char copy[2048], *rest = copy, *word;
	struct listener_config config = {
		.spec = spec,
		.family = family,
		.port = port,
		.backlog = 16,
	};

	assert_true(strlen(specs) < sizeof(copy));
	strcpy(copy, specs);
	while (specs[0] != '\0' && (word = strsep(&rest, " ")) != NULL) {
		assert_true(config.nspec < SPECS_MAX);
		assert_null(address_parse(word, &spec[config.nspec++]));
	}
	return config;
}

static int
resolve(const char *specs, uint16_t port, int family)
{
	const struct listener_config config = make_config(specs, port, family);

	return listeners_resolve(&ls, &config);
}

static int
open_config(const struct listener_config *config)
{
	const int status = listeners_resolve(&ls, config);

	return status != 0 ? status : listeners_open(&ls, config);
}

static int
resolve_and_open(const char *specs, uint16_t port, int family)
{
	const struct listener_config config = make_config(specs, port, family);

	return open_config(&config);
}

/* The same with UDP. */
static struct listener_config
make_udp_config(const char *specs, uint16_t port, int family)
{
	struct listener_config config = make_config(specs, port, family);

	config.udp = true;
	return config;
}

/*
 * Resolving.
 */

static void
specs_become_addresses(void **state)
{
	static const struct {
		const char *specs;
		uint16_t port;
		int family;
		const char *want;
	} rows[] = {
		/* every interface */
		{ "", 7, AF_UNSPEC, "0.0.0.0:7 and [::]:7" },
		{ "", 65535, AF_INET, "0.0.0.0:65535" },
		{ "", 1, AF_INET6, "[::]:1" },
		{ ":8", 7, AF_UNSPEC, "0.0.0.0:8 and [::]:8" },
		{ ":8", 7, AF_INET, "0.0.0.0:8" },
		{ ":8", 7, AF_INET6, "[::]:8" },
		/* one address */
		{ "127.0.0.1", 7, AF_UNSPEC, "127.0.0.1:7" },
		{ "127.0.0.1:8", 7, AF_UNSPEC, "127.0.0.1:8" },
		{ "::1", 7, AF_UNSPEC, "[::1]:7" },
		{ "[::1]:8", 7, AF_INET6, "[::1]:8" },
		{ "0.0.0.0", 7, AF_UNSPEC, "0.0.0.0:7" },
		{ "::", 7, AF_UNSPEC, "[::]:7" },
		{ "fe80::7%1", 7, AF_UNSPEC, "[fe80::7%1]:7" },
		{ "[fe80::7%lo]:8", 7, AF_UNSPEC, "[fe80::7%1]:8" },
		/* a name */
		{ "both.test", 7, AF_UNSPEC, "[::1]:7 and 127.0.0.1:7" },
		/* several, in their order */
		{ "127.0.0.1 127.0.0.2:8 [::1]:9", 7, AF_UNSPEC,
		    "127.0.0.1:7, 127.0.0.2:8 and [::1]:9" },
		{ "127.0.0.1:1 127.0.0.1:2 127.0.0.1", 7, AF_UNSPEC,
		    "127.0.0.1:1, 127.0.0.1:2 and 127.0.0.1:7" },
		{ ":1 :2", 7, AF_INET, "0.0.0.0:1 and 0.0.0.0:2" },
		/* duplicates */
		{ "127.0.0.1 127.0.0.1", 7, AF_UNSPEC, "127.0.0.1:7" },
		{ "127.0.0.1:7 127.0.0.1", 7, AF_UNSPEC, "127.0.0.1:7" },
		{ "127.0.0.1:echo 127.0.0.1:7", 9, AF_UNSPEC, "127.0.0.1:7" },
		{ "::1 [0:0:0:0:0:0:0:1]:7", 7, AF_UNSPEC, "[::1]:7" },
		{ "0.0.0.0 :: :7", 7, AF_UNSPEC, "0.0.0.0:7 and [::]:7" },
		{ "127.0.0.1 both.test", 7, AF_UNSPEC,
		    "127.0.0.1:7 and [::1]:7" },
		{ "both.test both.test 127.0.0.1 ::1", 7, AF_UNSPEC,
		    "[::1]:7 and 127.0.0.1:7" },
		{ "fe80::7%1 fe80::7%2", 7, AF_UNSPEC,
		    "[fe80::7%1]:7 and [fe80::7%2]:7" },
		/* no duplicates */
		{ "127.0.0.1 0.0.0.0", 7, AF_UNSPEC,
		    "127.0.0.1:7 and 0.0.0.0:7" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char text[LISTENERS_TEXT_SIZE];

		assert_int_equal(
		    resolve(rows[i].specs, rows[i].port, rows[i].family), 0);
		assert_string_equal(listeners_format(&ls, text), rows[i].want);
		for (size_t j = 0; j < ls.n; j++) {
			const struct address *addr = &ls.at[j].addr;

			assert_int_equal(ls.at[j].fd, -1);
			assert_int_equal(ls.at[j].type, SOCK_STREAM);
			assert_false(ls.at[j].inherited);
			assert_int_equal(addr->len,
			    addr->sa.sa_family == AF_INET ? sizeof(addr->in)
							  : sizeof(addr->in6));
		}
	}
	expect_log(NULL);
}

/* Each address once more, those of TCP first. */
static void
specs_become_addresses_of_udp_too(void **state)
{
	static const struct {
		const char *specs;
		int family;
		const char *want;
	} rows[] = {
		{ "", AF_UNSPEC,
		    "0.0.0.0:7, [::]:7, 0.0.0.0:7/udp and [::]:7/udp" },
		{ "", AF_INET6, "[::]:7 and [::]:7/udp" },
		{ "127.0.0.1 [::1]:8", AF_UNSPEC,
		    "127.0.0.1:7, [::1]:8, 127.0.0.1:7/udp and [::1]:8/udp" },
		{ "127.0.0.1 127.0.0.1:7", AF_INET,
		    "127.0.0.1:7 and 127.0.0.1:7/udp" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct listener_config config =
		    make_udp_config(rows[i].specs, 7, rows[i].family);
		char text[LISTENERS_TEXT_SIZE];

		assert_int_equal(listeners_resolve(&ls, &config), 0);
		assert_string_equal(listeners_format(&ls, text), rows[i].want);
		for (size_t j = 0; j < ls.n; j++) {
			assert_int_equal(ls.at[j].fd, -1);
			assert_int_equal(ls.at[j].type,
			    j < ls.n / 2 ? SOCK_STREAM : SOCK_DGRAM);
			/* The same one wants both. */
			assert_int_equal(
			    ls.at[j].specs, ls.at[(j + ls.n / 2) % ls.n].specs);
		}
	}
	expect_log(NULL);
}

static void
what_cannot_be_resolved_is_named(void **state)
{
	static const struct {
		const char *specs;
		int family;
		const char *log;
	} rows[] = {
		{ "none.test", AF_UNSPEC, "none.test: Name or service" },
		{ "127.0.0.1 again.test:8", AF_UNSPEC,
		    "again.test: Temporary failure" },
		{ "broken.test", AF_UNSPEC, "broken.test: Too many open" },
		{ "127.0.0.1", AF_INET6,
		    "127.0.0.1 by --ipv6 (-6): Address family" },
		{ "::1", AF_INET, "::1 by --ipv4 (-4): Address family" },
		{ "fe80::7%none", AF_UNSPEC, "fe80::7%none: " },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(
		    resolve(rows[i].specs, 7, rows[i].family), EX_UNAVAILABLE);
		expect_log(rows[i].log);
	}
}

static void
there_is_room_for_32(void **state)
{
	struct listener_config config;
	static const struct {
		const char *specs; /* after 14 with two addresses each */
		size_t n; /* 0: too many */
	} rows[] = {
		{ "", 28 },
		{ " three.test", 31 },
		{ " three.test 127.0.0.9", 32 },
		{ " both.test half.test", 31 },
		{ " three.test flah.test", 32 }, /* the second is known */
		{ " three.test six.test", 0 },
		{ " six.test three.test", 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char specs[256] = ":1";

		for (int port = 2; port <= 14; port++)
			sprintf(specs + strlen(specs), " :%d", port);
		strcat(specs, rows[i].specs);

		const int status = resolve(specs, 7, AF_UNSPEC);

		assert_int_equal(status, rows[i].n ? 0 : EX_UNAVAILABLE);
		if (rows[i].n != 0)
			assert_int_equal(ls.n, rows[i].n);
		expect_log(rows[i].n ? NULL : ".test: more than 32");

		/* And for as many of UDP. */
		config = make_udp_config(specs, 7, AF_UNSPEC);
		assert_int_equal(listeners_resolve(&ls, &config),
		    rows[i].n ? 0 : EX_UNAVAILABLE);
		if (rows[i].n != 0)
			assert_int_equal(ls.n, 2 * rows[i].n);
		expect_log(rows[i].n ? NULL : ".test: more than 32");
	}
}

/*
 * Opening.  Port 0, which no command line can have, is one that is free.
 */

static uint16_t
bound_port(int fd)
{
	const struct address addr = name_of(fd);

	return address_port(&addr);
}

static void
sockets_are_set_up(void **state)
{
	struct listener_config config = make_config("", 0, AF_UNSPEC);

	(void)state;
	if (!has_ipv6())
		skip();
	config.backlog = 5;
	assert_int_equal(open_config(&config), 0);
	assert_int_equal(ls.n, 2);
	for (size_t i = 0; i < ls.n; i++) {
		const int fd = ls.at[i].fd;
		struct tcp_info info;
		socklen_t len = sizeof(info);

		assert_int_equal(get_int(fd, SOL_SOCKET, SO_ACCEPTCONN), 1);
		assert_int_equal(get_int(fd, SOL_SOCKET, SO_REUSEADDR), 1);
		assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
		assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
		assert_int_equal(domain_of(fd), ls.at[i].addr.sa.sa_family);
		if (domain_of(fd) == AF_INET6)
			assert_int_equal(
			    get_int(fd, IPPROTO_IPV6, IPV6_V6ONLY), 1);
		/* Of a listener this is the backlog. */
		assert_int_equal(
		    getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
		assert_int_equal(info.tcpi_sacked, 5);
		assert_int_equal(accept(fd, NULL, NULL), -1);
		assert_int_equal(errno, EAGAIN);
	}
	listeners_close(&ls);
	expect_log(NULL);
}

/* What the worker of UDP needs. */
static void
expect_datagram_socket(int fd)
{
	assert_int_equal(get_int(fd, SOL_SOCKET, SO_TYPE), SOCK_DGRAM);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	/* A reply may have to wait, but for a moment. */
	assert_false(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_in_range(get_milliseconds(fd, SO_SNDTIMEO), 1, 20);
	assert_int_equal(get_int(fd, IPPROTO_IP, IP_PKTINFO), 1);
	if (domain_of(fd) == AF_INET6)
		assert_int_equal(
		    get_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO), 1);
}

static void
datagram_sockets_are_set_up(void **state)
{
	struct listener_config config = make_udp_config("", 0, AF_UNSPEC);

	(void)state;
	if (!has_ipv6())
		skip();
	config.idle_timeout = 600; /* it is of clients */
	assert_int_equal(open_config(&config), 0);
	assert_int_equal(ls.n, 4);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(
		    get_int(ls.at[i].fd, SOL_SOCKET, SO_ACCEPTCONN), 1);
	for (size_t i = 2; i < 4; i++) {
		const int fd = ls.at[i].fd;

		expect_datagram_socket(fd);
		assert_int_equal(domain_of(fd), ls.at[i].addr.sa.sa_family);
		assert_int_not_equal(bound_port(fd), 0);
		/* Another echod could take datagrams away with it. */
		assert_int_equal(get_int(fd, SOL_SOCKET, SO_REUSEADDR), 0);
		assert_int_equal(get_int(fd, SOL_SOCKET, SO_REUSEPORT), 0);
		assert_int_equal(get_milliseconds(fd, SO_RCVTIMEO), 0);
		if (domain_of(fd) == AF_INET6)
			assert_int_equal(
			    get_int(fd, IPPROTO_IPV6, IPV6_V6ONLY), 1);
	}
	listeners_close(&ls);
	expect_log(NULL);
}

/* Connect to l, and accept that, as tcp_pair() does. */
static void
connect_to(const struct listener *l, int pair[2])
{
	struct address addr = l->addr;
	const int fd = l->fd;
	const uint16_t port = htons(bound_port(fd));

	if (addr.sa.sa_family == AF_INET)
		addr.in.sin_port = port;
	else
		addr.in6.sin6_port = port;
	pair[1] =
	    __real_socket(addr.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_not_equal(pair[1], -1);
	assert_int_equal(connect(pair[1], &addr.sa, addr.len), 0);
	pair[0] = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	assert_int_not_equal(pair[0], -1);
}

static void
accepted_sockets_inherit(void **state)
{
	static const int idle[] = { 0, 1, 600, 2147483 };

	(void)state;
	for (size_t i = 0; i < COUNT(idle); i++) {
		struct listener_config config = make_config(
		    has_ipv6() ? "127.0.0.1 ::1" : "127.0.0.1", 0, AF_UNSPEC);

		config.idle_timeout = idle[i];
		assert_int_equal(open_config(&config), 0);
		for (size_t j = 0; j < ls.n; j++) {
			int pair[2];

			connect_to(&ls.at[j], pair);
			expect_stream(pair[0], idle[i]);
			/* A child waits in read(2). */
			assert_false(fcntl(pair[0], F_GETFL) & O_NONBLOCK);
			close_pair(pair);
		}
		listeners_close(&ls);
	}
}

/* Nothing is left of what failed, or was closed. */
static void
expect_nothing_open(size_t before)
{
	assert_int_equal(ls.n, 0);
	assert_int_equal(count_descriptors(), before);
}

/* An echod before this one may have left clients behind. */
static void
port_is_free_while_a_client_stays(void **state)
{
	int pair[2];

	(void)state;
	assert_int_equal(resolve_and_open("127.0.0.1", 0, AF_INET), 0);

	const uint16_t port = bound_port(ls.at[0].fd);

	connect_to(&ls.at[0], pair);
	listeners_close(&ls);
	assert_int_equal(resolve_and_open("127.0.0.1", port, AF_INET), 0);
	assert_int_equal(bound_port(ls.at[0].fd), port);
	listeners_close(&ls);
	close_pair(pair);
	expect_log(NULL);
}

static void
port_in_use_is_told(void **state)
{
	struct listeners other;
	char want[64];

	(void)state;
	assert_int_equal(resolve_and_open("127.0.0.1", 0, AF_INET), 0);
	other = ls;

	const uint16_t port = bound_port(other.at[0].fd);
	const size_t before = count_descriptors();

	snprintf(
	    want, sizeof(want), "127.0.0.1:%u: Address already in use", port);
	/* The first of them is opened, and closed again. */
	assert_int_equal(resolve_and_open("127.0.0.3 127.0.0.1", port, AF_INET),
	    EX_UNAVAILABLE);
	expect_log(want);
	expect_nothing_open(before);
	/* Of TCP nothing is waited for: SO_REUSEADDR sees to what is old. */
	assert_int_equal(pauses.n, 0);

	listeners_close(&other);
	expect_log(NULL);
}

/*
 * Of UDP, not even by somebody who would share it.  At that address no TCP is
 * in the way, as connections of other tests are at 127.0.0.1.
 */
static int
make_other(void)
{
	const struct address any = make_v4("127.0.0.77", 0);
	const int other = __real_socket(AF_INET, SOCK_DGRAM, 0);

	assert_int_not_equal(other, -1);
	set_int(other, SOL_SOCKET, SO_REUSEADDR, 1);
	assert_int_equal(__real_bind(other, &any.sa, any.len), 0);
	return other;
}

static void
port_of_udp_in_use_is_told(void **state)
{
	struct listener_config config =
	    make_udp_config("127.0.0.77", 0, AF_INET);
	const int other = make_other();
	char want[128];

	(void)state;

	const size_t before = count_descriptors();

	config.port = bound_port(other);
	snprintf(want, sizeof(want),
	    "cannot listen on 127.0.0.77:%u/udp: Address already in use; "
	    "'ss -uanp' shows who has it\n",
	    config.port);
	assert_int_equal(open_config(&config), EX_UNAVAILABLE);
	expect_log(want);
	expect_nothing_open(before);
	/* Not before half a second of trying. */
	assert_int_equal(pauses.n, 50);
	assert_int_equal(pauses.passed, CLOCK_SECOND / 2);

	/* To check is to ask what a start would find without it. */
	assert_int_equal(listeners_resolve(&ls, &config), 0);
	assert_int_equal(listeners_check(&ls), 0);
	listeners_close(&ls);
	assert_int_equal(count_descriptors(), before);
	assert_int_equal(pauses.n, 50); /* which takes no time */
	close(other);
	expect_log(NULL);
}

/* The worker of an echod that was killed goes a moment after it. */
static void
port_of_udp_may_become_free(void **state)
{
	static const unsigned last[] = { 1, 3, 50 };

	(void)state;
	for (size_t i = 0; i < COUNT(last); i++) {
		struct listener_config config =
		    make_udp_config("127.0.0.77", 0, AF_INET);
		const size_t before = count_descriptors();

		memset(&pauses, 0, sizeof(pauses));
		pauses.fd = make_other();
		pauses.last = last[i];
		config.port = bound_port(pauses.fd);
		assert_int_equal(open_config(&config), 0);
		assert_int_equal(pauses.n, last[i]);
		assert_int_equal(ls.n, 2);
		assert_int_equal(ls.at[1].type, SOCK_DGRAM);
		assert_int_equal(bound_port(ls.at[1].fd), config.port);
		/* It and TCP's: none is left of those that were tried. */
		assert_int_equal(count_descriptors(), before + 2);
		listeners_close(&ls);
	}
	expect_log(NULL);
}

/* Nor is any other failure tried again, or one that comes meanwhile. */
static void
other_failures_of_udp_are_not_waited_for(void **state)
{
	static const int errors[] = { EACCES, EADDRNOTAVAIL, EINVAL, ENOBUFS };
	struct listener_config config =
	    make_udp_config("127.0.0.77", 0, AF_INET);
	const size_t before = count_descriptors();

	(void)state;
	for (size_t i = 0; i < COUNT(errors); i++) {
		set_fault(
		    (struct fault){ BIND, AF_UNSPEC, 1, errors[i], false });
		assert_int_not_equal(open_config(&config), 0);
		assert_int_equal(fault_seen, 2);
		assert_int_equal(pauses.n, 0);
		expect_log("127.0.0.77:0/udp: ");
	}

	const int other = make_other();

	config.port = bound_port(other);
	set_fault((struct fault){ SOCKET, AF_UNSPEC, 3, EMFILE, true });
	assert_int_equal(open_config(&config), EX_OSERR);
	assert_int_equal(pauses.n, 2);
	expect_log("/udp: Too many open files");
	close(other);
	assert_int_equal(count_descriptors(), before);
}

static void
check_does_not_mind_a_port_in_use(void **state)
{
	static const char *const rows[] = { "127.0.0.1", "::1" };

	(void)state;
	for (size_t i = 0; i < (has_ipv6() ? 2 : 1); i++) {
		struct listeners other;

		assert_int_equal(resolve_and_open(rows[i], 0, AF_UNSPEC), 0);
		other = ls;
		assert_int_equal(
		    resolve(rows[i], bound_port(other.at[0].fd), AF_UNSPEC), 0);
		assert_int_equal(listeners_check(&ls), 0);
		listeners_close(&other);
	}
	expect_log(NULL);
}

struct failure {
	struct fault fault;
	int status;
	const char *log;
};

static void
expect_failures(
    const struct listener_config *config, const struct failure rows[], size_t n)
{
	const size_t before = count_descriptors();

	for (size_t i = 0; i < n; i++) {
		set_fault(rows[i].fault);
		assert_int_equal(open_config(config), rows[i].status);
		expect_log(rows[i].log);
		expect_nothing_open(before);
	}
}

static void
failures_are_told_and_leave_nothing(void **state)
{
	static const struct failure rows[] = {
		{ { SOCKET, AF_UNSPEC, 0, EMFILE, false }, EX_OSERR,
		    "Too many open files" },
		{ { SOCKET, AF_UNSPEC, 1, ENOBUFS, false }, EX_OSERR,
		    "127.0.0.2:0: No buffer space" },
		{ { BIND, AF_UNSPEC, 0, EACCES, false }, EX_NOPERM,
		    "127.0.0.1:0: Permission denied; ports below 1024" },
		{ { BIND, AF_UNSPEC, 1, EPERM, false }, EX_NOPERM, "--port" },
		{ { BIND, AF_UNSPEC, 1, EADDRINUSE, false }, EX_UNAVAILABLE,
		    "127.0.0.2:0: Address already in use; 'ss -tanp'" },
		{ { BIND, AF_UNSPEC, 1, EADDRNOTAVAIL, false }, EX_UNAVAILABLE,
		    "'ip address'" },
		{ { BIND, AF_UNSPEC, 1, EINVAL, false }, EX_UNAVAILABLE,
		    "Invalid argument; a link-local" },
		{ { LISTEN, AF_UNSPEC, 0, EADDRINUSE, false }, EX_UNAVAILABLE,
		    "127.0.0.1:0: Address already in use" },
		{ { LISTEN, AF_UNSPEC, 1, EOPNOTSUPP, false }, EX_UNAVAILABLE,
		    "127.0.0.2:0: Operation not supported" },
	};
	const struct listener_config config =
	    make_config("127.0.0.1 127.0.0.2", 0, AF_INET);

	(void)state;
	expect_failures(&config, rows, COUNT(rows));
}

static void
failures_of_udp_are_told_and_leave_nothing(void **state)
{
	static const struct failure rows[] = {
		{ { SOCKET, AF_UNSPEC, 2, EMFILE, true }, EX_OSERR,
		    "127.0.0.1:0/udp: Too many open files" },
		{ { BIND, AF_UNSPEC, 3, EACCES, true }, EX_NOPERM,
		    "127.0.0.2:0/udp: Permission denied; ports below 1024" },
		{ { BIND, AF_UNSPEC, 2, EADDRINUSE, false }, EX_UNAVAILABLE,
		    "127.0.0.1:0/udp: Address already in use; 'ss -uanp'" },
		/* That it has TCP's does not make it spare. */
		{ { BIND, AF_UNSPEC, 2, EADDRNOTAVAIL, true }, EX_UNAVAILABLE,
		    "cannot listen on 127.0.0.1:0/udp: " },
		{ { BIND, AF_UNSPEC, 0, EADDRNOTAVAIL, true }, EX_UNAVAILABLE,
		    "cannot listen on 127.0.0.1:0: " },
	};
	const struct listener_config config =
	    make_udp_config("127.0.0.1 127.0.0.2", 0, AF_INET);

	(void)state;
	expect_failures(&config, rows, COUNT(rows));
	/* UDP does not listen(2), so two are all that do. */
	set_fault((struct fault){ LISTEN, AF_UNSPEC, UINT32_MAX, 0, true });
	assert_int_equal(open_config(&config), 0);
	assert_int_equal(fault_seen, 2);
	listeners_close(&ls);
}

/* Of a name that has another address, both sockets of one may be absent. */
static void
absent_addresses_of_udp_are_left_out(void **state)
{
	const struct listener_config config =
	    make_udp_config("half.test 127.0.0.2", 0, AF_UNSPEC);
	char text[LISTENERS_TEXT_SIZE];

	(void)state;
	assert_int_equal(open_config(&config), 0);
	assert_string_equal(listeners_format(&ls, text),
	    "127.0.0.1:0, 127.0.0.2:0, 127.0.0.1:0/udp and 127.0.0.2:0/udp");
	for (size_t i = 0; i < ls.n; i++)
		assert_int_equal(
		    get_int(ls.at[i].fd, SOL_SOCKET, SO_TYPE), ls.at[i].type);
	listeners_close(&ls);
	assert_string_equal(capture_text(),
	    "echod: not listening on " ALIEN4
	    ":0: Cannot assign requested address\n"
	    "echod: not listening on " ALIEN4
	    ":0/udp: Cannot assign requested address\n");
}

/* Of those of IPv6, from the nth on.  Returns how many there are. */
static unsigned
expect_options_checked(
    const struct listener_config *config, unsigned n, const char *log)
{
	const size_t before = count_descriptors();

	set_fault((struct fault){ SETSOCKOPT, AF_INET6, UINT32_MAX, 0, true });
	assert_int_equal(open_config(config), 0);

	const unsigned all = fault_seen;

	listeners_close(&ls);
	for (; n < all; n++) {
		set_fault(
		    (struct fault){ SETSOCKOPT, AF_INET6, n, ENOMEM, true });
		assert_int_equal(open_config(config), EX_OSERR);
		expect_log(log);
		expect_nothing_open(before);
	}
	return all;
}

static void
every_socket_option_is_checked(void **state)
{
	struct listener_config config =
	    make_config("127.0.0.1 ::1", 0, AF_UNSPEC);

	(void)state;
	if (!has_ipv6())
		skip();

	const unsigned n = expect_options_checked(
	    &config, 0, "[::1]:0: Cannot allocate memory");

	assert_true(n >= 9);
	/* UDP has its own behind them. */
	config.udp = true;
	assert_true(expect_options_checked(&config, n,
			"[::1]:0/udp: Cannot allocate memory") >= n + 5);
}

/* A name may have addresses that this host has not; all of them is too much. */
static const struct {
	const char *specs;
	struct fault fault;
	int status;
	const char *opened; /* NULL: none */
	const char *log;
} partial[] = {
	{ "half.test", { 0 }, 0, "127.0.0.1:0", "not listening on " ALIEN4 },
	{ "flah.test", { 0 }, 0, "127.0.0.1:0", "not listening on " ALIEN4 },
	{ "127.0.0.2 half.test 127.0.0.3", { 0 }, 0,
	    "127.0.0.2:0, 127.0.0.1:0 and 127.0.0.3:0", ALIEN4 },
	{ "alien.test", { 0 }, EX_UNAVAILABLE, NULL,
	    "cannot listen on [" ALIEN6 },
	{ ALIEN4, { 0 }, EX_UNAVAILABLE, NULL, "cannot listen on " ALIEN4 },
	{ "127.0.0.1 " ALIEN4, { 0 }, EX_UNAVAILABLE, NULL, ALIEN4 },
	{ "127.0.0.2 alien.test", { 0 }, EX_UNAVAILABLE, NULL, ALIEN6 },
	/* The name's other address counts, whoever asked for it first. */
	{ "127.0.0.1 half.test", { 0 }, 0, "127.0.0.1:0", ALIEN4 },
	{ "127.0.0.1 flah.test", { 0 }, 0, "127.0.0.1:0", ALIEN4 },
	/* a kernel without IPv6 */
	{ "", { SOCKET, AF_INET6, 0, EAFNOSUPPORT, false }, 0, "0.0.0.0:0",
	    "not listening on [::]:0" },
	{ "both.test", { SOCKET, AF_INET6, 0, EAFNOSUPPORT, false }, 0,
	    "127.0.0.1:0", "not listening on [::1]:0" },
	{ "::1", { SOCKET, AF_INET6, 0, EAFNOSUPPORT, false }, EX_UNAVAILABLE,
	    NULL, "cannot listen on [::1]:0" },
	{ "six.test", { SOCKET, AF_INET6, 0, EAFNOSUPPORT, false },
	    EX_UNAVAILABLE, NULL, "cannot listen on " },
	/* and an interface without */
	{ "both.test", { BIND, AF_INET6, 0, EADDRNOTAVAIL, false }, 0,
	    "127.0.0.1:0", "not listening on [::1]:0" },
};

static void
absent_addresses_are_left_out(void **state)
{
	const size_t before = count_descriptors();
	size_t bad = 0;

	(void)state;
	if (!has_ipv6())
		skip();
	for (size_t i = 0; i < COUNT(partial); i++) {
		char text[LISTENERS_TEXT_SIZE];

		set_fault(partial[i].fault);

		const int status =
		    resolve_and_open(partial[i].specs, 0, AF_UNSPEC);

		listeners_format(&ls, text);
		for (size_t j = 0; j < ls.n; j++)
			assert_int_equal(
			    get_int(ls.at[j].fd, SOL_SOCKET, SO_ACCEPTCONN), 1);
		listeners_close(&ls);
		assert_int_equal(count_descriptors(), before);

		const char *log = capture_text();

		if (status == partial[i].status &&
		    strcmp(text, partial[i].opened ? partial[i].opened : "") ==
			0 &&
		    strstr(log, partial[i].log) != NULL)
			continue;
		print_message("row %zu, '%s': status %d, '%s', logged: %s\n", i,
		    partial[i].specs, status, text, log);
		bad++;
	}
	assert_int_equal(bad, 0);
}

/* --check says what a start would. */
static void
check_foretells_open(void **state)
{
	const size_t before = count_descriptors();
	size_t bad = 0;

	(void)state;
	if (!has_ipv6())
		skip();
	for (size_t i = 0; i < COUNT(partial); i++) {
		assert_int_equal(resolve(partial[i].specs, 7, AF_UNSPEC), 0);
		set_fault(partial[i].fault);

		const int status = listeners_check(&ls);

		assert_int_equal(count_descriptors(), before);
		listeners_close(&ls);

		const char *log = capture_text();

		if (status == partial[i].status &&
		    (status == 0 || strstr(log, "cannot listen on") != NULL))
			continue;
		print_message("row %zu, '%s': status %d, logged: %s\n", i,
		    partial[i].specs, status, log);
		bad++;
	}
	assert_int_equal(bad, 0);
}

static void
check_opens_nothing(void **state)
{
	const size_t before = count_descriptors();

	(void)state;
	/* Port 7 needs no right to be asked about. */
	assert_int_equal(resolve("127.0.0.1 127.0.0.2:8", 7, AF_INET), 0);
	assert_int_equal(listeners_check(&ls), 0);
	assert_int_equal(ls.n, 2);
	assert_int_equal(ls.at[0].fd, -1);
	assert_int_equal(address_port(&ls.at[0].addr), 7);
	assert_int_equal(address_port(&ls.at[1].addr), 8);
	assert_int_equal(count_descriptors(), before);
	expect_log(NULL);
}

/*
 * Sockets of a service manager.
 */

enum { FIRST = 100 }; /* where they are, for no other descriptor is there */

/* Let fd be the nth. */
static void
hand_over(int n, int fd)
{
	assert_int_not_equal(fd, -1);
	assert_int_equal(dup2(fd, FIRST + n), FIRST + n);
	close(fd);
}

static int
inherit_teardown(void **state)
{
	for (int i = 0; i <= LISTENERS_MAX; i++)
		close(FIRST + i);
	return teardown(state);
}

/* A listening socket that blocks, as a manager may make it. */
static int
make_listening(struct address addr, bool dual)
{
	const int fd = make_socket(SOCK_STREAM, &addr, dual);

	assert_int_equal(__real_listen(fd, 3), 0);
	return fd;
}

static int
make_v4_listening(void)
{
	return make_listening(make_v4("127.0.0.1", 0), false);
}

static int
make_v6_listening(void)
{
	return make_listening(make_v6("::1", 0, 0), false);
}

static int
make_dual(void)
{
	return make_listening(make_v6("::", 0, 0), true);
}

static int
make_udp(void)
{
	return __real_socket(AF_INET, SOCK_DGRAM, 0);
}

static int
make_udp6(void)
{
	return __real_socket(AF_INET6, SOCK_DGRAM, 0);
}

/* Bound, as a manager makes it; non-blocking, as it may be. */
static int
make_udp_bound(void)
{
	const struct address addr = make_v4("127.0.0.1", 0);

	return make_socket(SOCK_DGRAM | SOCK_NONBLOCK, &addr, false);
}

static int
make_udp_dual(void)
{
	const struct address addr = make_v6("::", 0, 0);

	return make_socket(SOCK_DGRAM, &addr, true);
}

/* Takes root, or CAP_NET_RAW. */
static int
make_raw(void)
{
	return __real_socket(AF_INET, SOCK_RAW, IPPROTO_UDP);
}

static int
make_unix(void)
{
	const struct sockaddr_un name = { .sun_family = AF_UNIX };
	const int fd = __real_socket(AF_UNIX, SOCK_STREAM, 0);

	/* An empty name lets the kernel choose one. */
	assert_int_equal(__real_bind(fd, (const struct sockaddr *)&name,
			     sizeof(name.sun_family)),
	    0);
	assert_int_equal(__real_listen(fd, 3), 0);
	return fd;
}

static int
make_unix_datagram(void)
{
	return __real_socket(AF_UNIX, SOCK_DGRAM, 0);
}

static int
make_fresh(void)
{
	return __real_socket(AF_INET, SOCK_STREAM, 0);
}

static int
make_bound(void)
{
	const struct address addr = make_v4("127.0.0.1", 0);

	return make_socket(SOCK_STREAM, &addr, false);
}

/* What an inetd, and a unit with Accept=yes, hands over. */
static int
make_accepted(void)
{
	struct listener l = {
		.fd = make_v4_listening(),
		.addr = make_v4("127.0.0.1", 0),
	};
	int pair[2];

	connect_to(&l, pair);
	close(pair[1]);
	close(l.fd);
	return pair[0];
}

static int
make_pipe(void)
{
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	close(ends[1]);
	return ends[0];
}

static void
sockets_are_taken_over(void **state)
{
	static int (*const make[])(
	    void) = { make_v4_listening, make_v6_listening, make_dual };
	static const char *const where[] = { "127.0.0.1", "[::1]", "[::]" };
	char one[ADDRESS_TEXT_SIZE], want[ADDRESS_TEXT_SIZE];

	(void)state;
	if (!has_ipv6())
		skip();
	for (size_t i = 0; i < COUNT(make); i++)
		hand_over((int)i, make[i]());
	ls.n = 7; /* whatever it was before */
	assert_int_equal(listeners_inherit(&ls, FIRST, COUNT(make)), 0);
	assert_int_equal(ls.n, COUNT(make));
	for (size_t i = 0; i < ls.n; i++) {
		const struct listener *l = &ls.at[i];

		assert_int_equal(l->fd, FIRST + (int)i);
		assert_true(l->inherited);
		assert_int_equal(fcntl(l->fd, F_GETFD), FD_CLOEXEC);
		assert_true(fcntl(l->fd, F_GETFL) & O_NONBLOCK);
		assert_int_not_equal(address_port(&l->addr), 0);
		snprintf(
		    want, sizeof(want), "%s:%u", where[i], bound_port(l->fd));
		assert_string_equal(address_format(&l->addr, one), want);
	}
	listeners_close(&ls);
	expect_log(NULL);
}

static void
open_sets_up_what_was_handed_over(void **state)
{
	struct listener_config config = make_config(":9", 9, AF_UNSPEC);
	int pair[2];
	struct tcp_info info;
	socklen_t len = sizeof(info);

	(void)state;
	config.idle_timeout = 600;
	hand_over(0, make_v4_listening());

	const uint16_t port = bound_port(FIRST);

	assert_int_equal(listeners_inherit(&ls, FIRST, 1), 0);
	assert_int_equal(listeners_open(&ls, &config), 0);
	/* Where it listens, and who may wait there, is as it was. */
	assert_int_equal(ls.n, 1);
	assert_int_equal(ls.at[0].fd, FIRST);
	assert_int_equal(bound_port(FIRST), port);
	assert_int_equal(
	    getsockopt(FIRST, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	assert_int_equal(info.tcpi_sacked, 3);
	connect_to(&ls.at[0], pair);
	expect_stream(pair[0], 600);
	assert_false(fcntl(pair[0], F_GETFL) & O_NONBLOCK);
	close_pair(pair);
	listeners_close(&ls);
	expect_log(NULL);
}

static void
sockets_of_udp_are_taken_over_and_set_up(void **state)
{
	const struct listener_config config = make_config(":9", 9, AF_UNSPEC);
	char text[LISTENERS_TEXT_SIZE], want[LISTENERS_TEXT_SIZE];

	(void)state;
	if (!has_ipv6())
		skip();
	hand_over(0, make_udp_bound());
	hand_over(1, make_v4_listening());
	hand_over(2, make_udp_dual());
	snprintf(want, sizeof(want),
	    "127.0.0.1:%u/udp, 127.0.0.1:%u and [::]:%u/udp", bound_port(FIRST),
	    bound_port(FIRST + 1), bound_port(FIRST + 2));
	assert_int_equal(listeners_inherit(&ls, FIRST, 3), 0);
	assert_int_equal(ls.n, 3);
	assert_string_equal(listeners_format(&ls, text), want);
	for (size_t i = 0; i < ls.n; i++) {
		const struct listener *l = &ls.at[i];

		assert_true(l->inherited);
		assert_int_equal(l->fd, FIRST + (int)i);
		assert_int_equal(l->type, i == 1 ? SOCK_STREAM : SOCK_DGRAM);
		assert_int_equal(fcntl(l->fd, F_GETFD), FD_CLOEXEC);
		assert_int_equal(
		    (fcntl(l->fd, F_GETFL) & O_NONBLOCK) != 0, i == 1);
	}
	assert_int_equal(listeners_check(&ls), 0);
	assert_int_equal(get_int(FIRST, IPPROTO_IP, IP_PKTINFO), 0);
	assert_int_equal(listeners_open(&ls, &config), 0);
	assert_string_equal(listeners_format(&ls, text), want);
	expect_datagram_socket(FIRST);
	expect_datagram_socket(FIRST + 2);
	/* It takes IPv4 as it did, and tells of both. */
	assert_int_equal(get_int(FIRST + 2, IPPROTO_IPV6, IPV6_V6ONLY), 0);
	listeners_close(&ls);
	expect_log(NULL);
}

static void
check_leaves_what_was_handed_over_alone(void **state)
{
	struct listener_config config = make_config("", 0, AF_UNSPEC);
	int pair[2];

	(void)state;
	hand_over(0, make_v4_listening());
	assert_int_equal(listeners_inherit(&ls, FIRST, 1), 0);

	const size_t before = count_descriptors();

	/* No socket is made to try, nor is this one set up. */
	set_fault((struct fault){ SOCKET, AF_UNSPEC, 0, ENOMEM, false });
	assert_int_equal(listeners_check(&ls), 0);
	assert_int_equal(fault_seen, 0);
	set_fault((struct fault){ SETSOCKOPT, AF_UNSPEC, 0, ENOMEM, false });
	assert_int_equal(listeners_check(&ls), 0);
	assert_int_equal(fault_seen, 0);
	set_fault((struct fault){ 0 });
	assert_int_equal(count_descriptors(), before);
	assert_int_equal(ls.n, 1);
	assert_int_equal(get_int(FIRST, IPPROTO_TCP, TCP_NODELAY), 0);
	/* It can still be served. */
	assert_int_equal(listeners_open(&ls, &config), 0);
	connect_to(&ls.at[0], pair);
	close_pair(pair);
	listeners_close(&ls);
	expect_log(NULL);
}

static void
what_cannot_be_served_is_named(void **state)
{
	static const struct {
		int (*make)(void); /* NULL: nothing is there */
		const char *why;
	} rows[] = {
		{ make_udp, "it is not bound to a port" },
		{ make_udp6, "it is not bound to a port" },
		{ make_raw, "it is neither TCP nor UDP" },
		{ make_unix, "it is neither IPv4 nor IPv6" },
		{ make_unix_datagram, "it is neither IPv4 nor IPv6" },
		{ make_fresh, "it does not listen; " },
		{ make_bound, "it does not listen; " },
		{ make_accepted, "it does not listen; for a unit with " },
		{ make_pipe, "Socket operation on non-socket" },
		{ NULL, "Bad file descriptor" },
	};
	const size_t before = count_descriptors();

	(void)state;
	if (!has_ipv6())
		skip();
	for (size_t i = 0; i < COUNT(rows); i++) {
		for (int good = 0; good < 2; good++) { /* before it */
			char log[128];

			if (rows[i].make == make_raw && geteuid() != 0)
				continue;
			if (good > 0)
				hand_over(0, make_v4_listening());
			if (rows[i].make != NULL)
				hand_over(good, rows[i].make());
			assert_int_equal(
			    listeners_inherit(&ls, FIRST, (size_t)good + 1),
			    EX_UNAVAILABLE);
			snprintf(log, sizeof(log),
			    "LISTEN_FDS: cannot serve descriptor %d: %s",
			    FIRST + good, rows[i].why);
			expect_log(log);
			/* Not one is left. */
			expect_nothing_open(before);
		}
	}
}

static void
there_is_room_for_64_handed_over(void **state)
{
	(void)state;
	for (int i = 0; i <= LISTENERS_MAX; i++)
		hand_over(i, make_v4_listening());
	assert_int_equal(
	    listeners_inherit(&ls, FIRST, LISTENERS_MAX + 1), EX_UNAVAILABLE);
	assert_int_equal(ls.n, 0);
	expect_log("LISTEN_FDS: 65 sockets are more than 64");
	assert_int_equal(
	    listeners_inherit(&ls, FIRST, INT32_MAX - 3), EX_UNAVAILABLE);
	expect_log("LISTEN_FDS: 2147483644 sockets are more than 64");
	assert_int_equal(listeners_inherit(&ls, FIRST, LISTENERS_MAX), 0);
	assert_int_equal(ls.n, LISTENERS_MAX);
	expect_log(NULL);
	listeners_close(&ls);
}

static void
failing_to_set_up_closes_what_was_handed_over(void **state)
{
	const struct listener_config config = make_config("", 0, AF_UNSPEC);
	const size_t before = count_descriptors();

	(void)state;
	hand_over(0, make_v4_listening());
	hand_over(1, make_v4_listening());
	assert_int_equal(listeners_inherit(&ls, FIRST, 2), 0);
	set_fault((struct fault){ SETSOCKOPT, AF_UNSPEC, 10, ENOMEM, false });
	assert_int_equal(listeners_open(&ls, &config), EX_OSERR);
	expect_log("cannot listen on 127.0.0.1:");
	expect_nothing_open(before);
}

/*
 * Writing.
 */

static void
add_udp(struct address addr)
{
	assert_true(ls.n < LISTENERS_MAX);
	ls.at[ls.n++] =
	    (struct listener){ .fd = -1, .type = SOCK_DGRAM, .addr = addr };
}

static void
add(struct address addr)
{
	add_udp(addr);
	ls.at[ls.n - 1].type = SOCK_STREAM;
}

static void
lists_are_for_people(void **state)
{
	char text[LISTENERS_TEXT_SIZE];

	(void)state;
	assert_ptr_equal(listeners_format(&ls, text), text);
	assert_string_equal(text, "");
	add(make_v4("0.0.0.0", 7));
	assert_string_equal(listeners_format(&ls, text), "0.0.0.0:7");
	add(make_v6("::", 0, 7));
	assert_string_equal(
	    listeners_format(&ls, text), "0.0.0.0:7 and [::]:7");
	add(make_v6("fe80::1", 2, 65535));
	assert_string_equal(listeners_format(&ls, text),
	    "0.0.0.0:7, [::]:7 and [fe80::1%2]:65535");
	add(make_v4("192.0.2.7", 8));
	assert_string_equal(listeners_format(&ls, text),
	    "0.0.0.0:7, [::]:7, [fe80::1%2]:65535 and 192.0.2.7:8");
	add_udp(make_v4("192.0.2.7", 8));
	assert_string_equal(listeners_format(&ls, text),
	    "0.0.0.0:7, [::]:7, [fe80::1%2]:65535, 192.0.2.7:8 and "
	    "192.0.2.7:8/udp");
}

static void
long_lists_are_cut(void **state)
{
	struct {
		char text[LISTENERS_TEXT_SIZE], guard[8];
	} out = { "", "guarded" };

	(void)state;
	for (int i = 0; i < LISTENERS_MAX; i++)
		add(make_v6("fe80:1111:2222:3333:4444:5555:6666:7777",
		    UINT32_MAX, 65535));
	listeners_format(&ls, out.text);
	assert_int_equal(strlen(out.text), LISTENERS_TEXT_SIZE - 1);
	assert_int_equal(strncmp(out.text, "[fe80:1111:", 11), 0);
	assert_ptr_equal(listeners_title(&ls, SOCK_STREAM, out.text), out.text);
	assert_int_equal(strlen(out.text), LISTENERS_TEXT_SIZE - 1);
	assert_string_equal(out.guard, "guarded");
	for (size_t i = 0; i < ls.n; i++)
		ls.at[i].type = SOCK_DGRAM;
	listeners_format(&ls, out.text);
	assert_int_equal(strlen(out.text), LISTENERS_TEXT_SIZE - 1);
	listeners_title(&ls, SOCK_DGRAM, out.text);
	assert_int_equal(strlen(out.text), LISTENERS_TEXT_SIZE - 1);
	assert_string_equal(out.guard, "guarded");
}

static void
titles_are_short_where_they_can(void **state)
{
	static const struct {
		const char *specs, *want;
	} rows[] = {
		{ "", ":7" },
		{ "0.0.0.0", ":7" },
		{ "::", ":7" },
		{ ":65535", ":65535" },
		{ ":: 0.0.0.0", ":7" },
		{ "127.0.0.1", "127.0.0.1:7" },
		{ "::1", "[::1]:7" },
		{ "0.0.0.0 127.0.0.1", "0.0.0.0:7 and 127.0.0.1:7" },
		{ "127.0.0.1 ::", "127.0.0.1:7 and [::]:7" },
		{ "0.0.0.0 [::]:8", "0.0.0.0:7 and [::]:8" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char text[LISTENERS_TEXT_SIZE];

		assert_int_equal(resolve(rows[i].specs, 7, AF_UNSPEC), 0);
		assert_ptr_equal(listeners_title(&ls, SOCK_STREAM, text), text);
		assert_string_equal(text, rows[i].want);
	}
}

/* Each type for itself. */
static void
titles_are_of_a_type(void **state)
{
	static const struct {
		const char *specs, *tcp, *udp;
	} rows[] = {
		{ "", ":7", ":7/udp" },
		{ "127.0.0.1", "127.0.0.1:7", "127.0.0.1:7/udp" },
		{ "127.0.0.1 ::", "127.0.0.1:7 and [::]:7",
		    "127.0.0.1:7/udp and [::]:7/udp" },
	};
	char text[LISTENERS_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct listener_config config =
		    make_udp_config(rows[i].specs, 7, AF_UNSPEC);

		assert_int_equal(listeners_resolve(&ls, &config), 0);
		assert_string_equal(
		    listeners_title(&ls, SOCK_STREAM, text), rows[i].tcp);
		assert_string_equal(
		    listeners_title(&ls, SOCK_DGRAM, text), rows[i].udp);
		config.udp = false;
		assert_int_equal(listeners_resolve(&ls, &config), 0);
		assert_string_equal(
		    listeners_title(&ls, SOCK_STREAM, text), rows[i].tcp);
		assert_string_equal(listeners_title(&ls, SOCK_DGRAM, text), "");
	}
	/* What a manager hands over may be of UDP only, and mixed. */
	ls.n = 0;
	add_udp(make_v4("0.0.0.0", 9));
	add(make_v4("127.0.0.1", 7));
	add_udp(make_v6("::", 0, 9));
	assert_string_equal(listeners_title(&ls, SOCK_DGRAM, text), ":9/udp");
	assert_string_equal(
	    listeners_title(&ls, SOCK_STREAM, text), "127.0.0.1:7");
	ls.n = 0;
	assert_string_equal(listeners_title(&ls, SOCK_STREAM, text), "");
}

static void
closing_empties(void **state)
{
	const size_t before = count_descriptors();

	(void)state;
	assert_int_equal(
	    resolve_and_open("127.0.0.1 127.0.0.2", 0, AF_INET), 0);
	assert_int_equal(count_descriptors(), before + 2);
	listeners_close(&ls);
	expect_nothing_open(before);
	listeners_close(&ls);
	/* What was never opened, too. */
	assert_int_equal(resolve("127.0.0.1", 7, AF_INET), 0);
	listeners_close(&ls);
	expect_nothing_open(before);
}

#define INHERIT_TEST(f)                                                        \
	cmocka_unit_test_setup_teardown(f, setup, inherit_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(specs_become_addresses),
		TEST(specs_become_addresses_of_udp_too),
		TEST(what_cannot_be_resolved_is_named),
		TEST(there_is_room_for_32),
		TEST(sockets_are_set_up),
		TEST(datagram_sockets_are_set_up),
		TEST(accepted_sockets_inherit),
		TEST(port_is_free_while_a_client_stays),
		TEST(port_in_use_is_told),
		TEST(port_of_udp_in_use_is_told),
		TEST(port_of_udp_may_become_free),
		TEST(other_failures_of_udp_are_not_waited_for),
		TEST(check_does_not_mind_a_port_in_use),
		TEST(failures_are_told_and_leave_nothing),
		TEST(failures_of_udp_are_told_and_leave_nothing),
		TEST(every_socket_option_is_checked),
		TEST(absent_addresses_are_left_out),
		TEST(absent_addresses_of_udp_are_left_out),
		TEST(check_foretells_open),
		TEST(check_opens_nothing),
		INHERIT_TEST(sockets_are_taken_over),
		INHERIT_TEST(open_sets_up_what_was_handed_over),
		INHERIT_TEST(sockets_of_udp_are_taken_over_and_set_up),
		INHERIT_TEST(check_leaves_what_was_handed_over_alone),
		INHERIT_TEST(what_cannot_be_served_is_named),
		INHERIT_TEST(there_is_room_for_64_handed_over),
		INHERIT_TEST(failing_to_set_up_closes_what_was_handed_over),
		TEST(lists_are_for_people),
		TEST(long_lists_are_cut),
		TEST(titles_are_short_where_they_can),
		TEST(titles_are_of_a_type),
		TEST(closing_empties),
	};

	return cmocka_run_group_tests_name("listener", tests, NULL, NULL);
}
