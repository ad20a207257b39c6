/*
 * What the unit tests share: cmocka, and a few things to observe with.
 */
#ifndef UNIT_SUPPORT_H
#define UNIT_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

#include "echod/address.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A test between setup() and teardown() of its file. */
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* A number from 0 to n - 1; *state (not 0) makes the series repeatable. */
uint32_t random_below(uint64_t *state, uint32_t n);

/* Make fd standard error until stderr_back(), which may come twice. */
void stderr_to(int fd);
void stderr_back(void);

/* The same with a file; capture_text() is what has come since the last call. */
int capture_setup(void **state);
int capture_teardown(void **state);
const char *capture_text(void);

/* And have all that is logged go there: a test that needs no more than that. */
int capture_log_setup(void **state);
#define LOG_TEST(f)                                                            \
	cmocka_unit_test_setup_teardown(f, capture_log_setup, capture_teardown)

/* Whether what has come since has what in it; NULL: whether nothing has come.
 */
void expect_log(const char *what);

/* fail_msg(), which would go to the file, too. */
#define fail_aloud(...)                                                        \
	do {                                                                   \
		stderr_back();                                                 \
		fail_msg(__VA_ARGS__);                                         \
	} while (0)

/* How many names a directory has, but for hidden ones. */
size_t count_names(const char *directory);

/* How many descriptors this process has, and how many a child has. */
size_t count_descriptors(void);
size_t count_descriptors_of(pid_t pid);

/*
 * Whether a line of /proc/PID/file begins with start, and has want and nothing
 * else behind it, but for blanks.  Makes no assertion: a child may ask.
 */
bool proc_says(
    pid_t pid, const char *file, const char *start, const char *want);

/* Wait until a child waits. */
void wait_until_asleep(pid_t pid);

/* Whether this machine has IPv6 at all. */
bool has_ipv6(void);

/* A bound socket; of IPv6 it takes IPv4, too, if it is to. */
int make_socket(int type, const struct address *addr, bool dual);
struct address name_of(int fd);

/*
 * Two ends of a TCP connection over loopback, pair[0] the accepted one; with
 * segments of so many bytes at most, 0: of the usual size.
 */
void tcp_pair(int pair[2], int segment);
void close_pair(const int pair[2]);

/* Close it, and have TCP reset the connection. */
void close_with_reset(int fd);

/* Options of sockets; the times of SOL_SOCKET are in milliseconds. */
int get_int(int fd, int level, int name);
int get_milliseconds(int fd, int name);
void set_int(int fd, int level, int name, int value);

/* Whether fd has the options of a client whose idle timeout is so many s. */
void expect_stream(int fd, int idle);
void expect_idle_timeout(int fd, int idle);

/* Addresses of text, which is right, and a port in host order. */
struct address make_v4(const char *ip, uint16_t port);
struct address make_v6(const char *ip, uint32_t scope, uint16_t port);

#endif
