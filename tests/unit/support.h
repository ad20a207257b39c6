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

#include <cmocka.h>

#include "echod/address.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A number from 0 to n - 1; *state (not 0) makes the series repeatable. */
uint32_t random_below(uint64_t *state, uint32_t n);

/* Make fd standard error until stderr_back(), which may come twice. */
void stderr_to(int fd);
void stderr_back(void);

/* The same with a file; capture_text() is what has come since the last call. */
int capture_setup(void **state);
int capture_teardown(void **state);
const char *capture_text(void);

/* Whether what has come since has what in it; NULL: whether nothing has come.
 */
void expect_log(const char *what);

/* fail_msg(), which would go to the file, too. */
#define fail_aloud(...)                                                        \
	do {                                                                   \
		stderr_back();                                                 \
		fail_msg(__VA_ARGS__);                                         \
	} while (0)

/* How many descriptors this process has. */
size_t count_descriptors(void);

/*
 * Two ends of a TCP connection over loopback, pair[0] the accepted one; with
 * segments of so many bytes at most, 0: of the usual size.
 */
void tcp_pair(int pair[2], int segment);

/* Addresses of text, which is right, and a port in host order. */
struct address make_v4(const char *ip, uint16_t port);
struct address make_v6(const char *ip, uint32_t scope, uint16_t port);

#endif
