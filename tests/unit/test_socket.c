/*
 * Sockets: what is set on them, and that nothing is left out in silence.
 *
 * Linked with --wrap=setsockopt.  What accepted sockets inherit, listener's
 * tests look at.
 */
#include "echod/socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support.h"

int __real_setsockopt(
    int fd, int level, int name, const void *value, socklen_t len);
int __wrap_setsockopt(
    int fd, int level, int name, const void *value, socklen_t len);

enum { NEVER = -1 };

static int failing = NEVER; /* which call fails, counted from 0 */
static int calls;

int
__wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	if (calls++ != failing)
		return __real_setsockopt(fd, level, name, value, len);
	errno = ENOMEM;
	return -1;
}

static void
streams_are_set_up(void **state)
{
	static const int idle[] = { 600, 1, 31536000 / 1000, 0 };
	int pair[2];

	(void)state;
	tcp_pair(pair, 0);
	for (size_t i = 0; i < COUNT(idle); i++) {
		assert_int_equal(socket_set_stream(pair[0], idle[i]), 0);
		expect_stream(pair[0], idle[i]);
	}
	close_pair(pair);
}

/* One that an inetd accepted gets what echod's own inherit. */
static void
clients_of_others_are_set_up(void **state)
{
	int pair[2];

	(void)state;
	tcp_pair(pair, 0);
	assert_int_equal(socket_set_client(pair[0], 600), 0);
	expect_stream(pair[0], 600);
	assert_int_equal(socket_set_client(pair[0], 0), 0);
	expect_stream(pair[0], 0);
	close_pair(pair);
}

static void
clients_without_tcp_have_timeouts(void **state)
{
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(socket_set_client(pair[0], 600), 0);
	expect_idle_timeout(pair[0], 600);
	assert_int_equal(get_int(pair[0], SOL_SOCKET, SO_KEEPALIVE), 0);
	assert_int_equal(socket_set_client(pair[0], 0), 0);
	expect_idle_timeout(pair[0], 0);
	close_pair(pair);
}

static void
what_is_no_socket_is_told(void **state)
{
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	errno = 0;
	assert_int_equal(socket_set_client(ends[0], 600), -1);
	assert_int_equal(errno, ENOTSOCK);
	errno = 0;
	assert_int_equal(socket_set_stream(ends[0], 600), -1);
	assert_int_equal(errno, ENOTSOCK);
	errno = 0;
	assert_int_equal(socket_set_datagram(ends[0], AF_INET), -1);
	assert_int_equal(errno, ENOTSOCK);
	close_pair(ends);
}

/* Returns -1 of IPv6 where the kernel has none. */
static int
make_datagram(int family)
{
	const int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd != -1 || family == AF_INET6);
	return fd;
}

static void
expect_datagram(int family)
{
	const int fd = make_datagram(family);
	const int other = make_datagram(family);

	if (fd == -1)
		return;
	assert_int_equal(socket_set_datagram(fd, family), 0);
	assert_int_equal(get_int(fd, IPPROTO_IP, IP_PKTINFO), 1);
	if (family == AF_INET6)
		assert_int_equal(
		    get_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO), 1);
	/* 4 MiB, or what the kernel makes of that. */
	set_int(other, SOL_SOCKET, SO_RCVBUF, 4 << 20);
	assert_int_equal(get_int(fd, SOL_SOCKET, SO_RCVBUF),
	    get_int(other, SOL_SOCKET, SO_RCVBUF));
	set_int(other, SOL_SOCKET, SO_SNDBUF, 4 << 20);
	assert_int_equal(get_int(fd, SOL_SOCKET, SO_SNDBUF),
	    get_int(other, SOL_SOCKET, SO_SNDBUF));
	assert_in_range(get_milliseconds(fd, SO_SNDTIMEO), 1, 20);
	assert_int_equal(get_milliseconds(fd, SO_RCVTIMEO), 0);
	close(fd);
	close(other);
}

static void
set_on(int fd, int level, int name)
{
	set_int(fd, level, name, 1);
	assert_int_equal(get_int(fd, level, name), 1);
}

/* What somebody else set that echod has no use for, and that does harm. */
static void
expect_off(int family, int stamp)
{
	const int fd = make_datagram(family);

	if (fd == -1)
		return;
	set_on(fd, SOL_SOCKET, stamp);
	set_on(fd, IPPROTO_IP, IP_RECVERR);
	if (family == AF_INET6)
		set_on(fd, IPPROTO_IPV6, IPV6_RECVERR);
	assert_int_equal(socket_set_datagram(fd, family), 0);
	assert_int_equal(get_int(fd, SOL_SOCKET, SO_TIMESTAMP), 0);
	assert_int_equal(get_int(fd, SOL_SOCKET, SO_TIMESTAMPNS), 0);
	assert_int_equal(get_int(fd, IPPROTO_IP, IP_RECVERR), 0);
	assert_int_equal(get_int(fd, IPPROTO_IP, IP_PKTINFO), 1);
	if (family == AF_INET6) {
		assert_int_equal(get_int(fd, IPPROTO_IPV6, IPV6_RECVERR), 0);
		assert_int_equal(
		    get_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO), 1);
	}
	close(fd);
}

static void
datagrams_tell_nothing_else(void **state)
{
	static const int stamps[] = { SO_TIMESTAMP, SO_TIMESTAMPNS };

	(void)state;
	for (size_t i = 0; i < COUNT(stamps); i++) {
		expect_off(AF_INET, stamps[i]);
		expect_off(AF_INET6, stamps[i]);
	}
}

static void
datagrams_are_set_up(void **state)
{
	(void)state;
	expect_datagram(AF_INET);
	expect_datagram(AF_INET6);
}

static int
set_ipv4_datagram(int fd, int idle_timeout)
{
	(void)idle_timeout;
	return socket_set_datagram(fd, AF_INET);
}

static int
set_ipv6_datagram(int fd, int idle_timeout)
{
	(void)idle_timeout;
	return socket_set_datagram(fd, AF_INET6);
}

static void
each_failure_is_told(void **state)
{
	static const struct {
		int domain, type;
		int (*set)(int fd, int idle_timeout);
		int least; /* calls */
	} rows[] = {
		{ AF_INET, SOCK_STREAM, socket_set_stream, 8 },
		{ AF_INET, SOCK_STREAM, socket_set_client, 8 },
		{ AF_UNIX, SOCK_STREAM, socket_set_client, 2 },
		{ AF_INET, SOCK_DGRAM, set_ipv4_datagram, 5 },
		{ AF_INET6, SOCK_DGRAM, set_ipv6_datagram, 7 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const int fd =
		    socket(rows[i].domain, rows[i].type | SOCK_CLOEXEC, 0);

		if (fd == -1 && rows[i].domain == AF_INET6)
			continue; /* a kernel without IPv6 */
		calls = 0;
		assert_int_equal(rows[i].set(fd, 1), 0);

		const int n = calls;

		assert_true(n >= rows[i].least);
		for (int j = 0; j < n; j++) {
			failing = j;
			calls = 0;
			errno = 0;

			const int result = rows[i].set(fd, 1);
			const int error = errno;

			failing = NEVER;
			assert_int_equal(result, -1);
			assert_int_equal(error, ENOMEM);
		}
		close(fd);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(streams_are_set_up),
		cmocka_unit_test(clients_of_others_are_set_up),
		cmocka_unit_test(clients_without_tcp_have_timeouts),
		cmocka_unit_test(what_is_no_socket_is_told),
		cmocka_unit_test(datagrams_are_set_up),
		cmocka_unit_test(datagrams_tell_nothing_else),
		cmocka_unit_test(each_failure_is_told),
	};

	return cmocka_run_group_tests_name("socket", tests, NULL, NULL);
}
