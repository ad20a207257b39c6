/*
 * Descriptors: those within a range are closed, and no others, on an old Linux,
 * too.
 *
 * Linked with --wrap=close_range.  Each attempt has a child of its own.
 */
#include "echod/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/wait.h>
#include <unistd.h>

#include "echod/listener.h"
#include "support.h"

int __real_close_range(unsigned first, unsigned last, int flags);
int __wrap_close_range(unsigned first, unsigned last, int flags);

static bool is_old; /* a Linux before 5.9 */

int
__wrap_close_range(unsigned first, unsigned last, int flags)
{
	if (!is_old)
		return __real_close_range(first, last, flags);
	errno = ENOSYS;
	return -1;
}

static bool
is_open(unsigned fd)
{
	return fcntl((int)fd, F_GETFD) != -1;
}

/* Those that are open for a test: low ones, as echod has them. */
enum { FIRST = 10, AFTER = 90 };

static void
open_all(void)
{
	const int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = FIRST; fd < AFTER; fd++)
		if (fd != null && dup2(null, fd) != fd)
			_exit(1);
}

static void
check_range(unsigned first, unsigned last)
{
	open_all();
	descriptors_close(first, last);
	for (unsigned fd = FIRST; fd < AFTER; fd++)
		if (is_open(fd) != (fd < first || fd > last))
			_exit(2);
	_exit(0);
}

static void
expect_range(unsigned first, unsigned last)
{
	const pid_t pid = fork();
	int status;

	if (pid == 0)
		check_range(first, last);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status != 0)
		fail_msg("from %u to %u: status %#x", first, last, status);
}

static void
expect_ranges(void)
{
	static const unsigned ranges[][2] = {
		{ FIRST, FIRST },
		{ FIRST, AFTER - 1 },
		{ FIRST + 7, FIRST + 9 },
		{ FIRST + 7, UINT_MAX },
		{ AFTER - 1, UINT_MAX },
		{ AFTER, UINT_MAX }, /* none of them */
		{ AFTER + 5, AFTER + 6 },
		/* nothing at all: what is between two that are neighbours */
		{ FIRST + 1, FIRST },
		{ FIRST + 7, 0 },
		{ UINT_MAX, FIRST },
	};

	for (size_t i = 0; i < COUNT(ranges); i++)
		expect_range(ranges[i][0], ranges[i][1]);
}

static void
range_is_closed(void **state)
{
	(void)state;
	expect_ranges();
}

static void
range_is_closed_on_an_old_linux(void **state)
{
	(void)state;
	is_old = true;
	expect_ranges();
	is_old = false;
}

/* As many as all listeners and what else a parent has at its start. */
static void
check_that_low_is_enough(void)
{
	const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const int last = LISTENERS_MAX + 32;

	if (dup2(null, last) != last)
		_exit(1);
	descriptors_close(STDERR_FILENO + 1, UINT_MAX);
	_exit(is_open((unsigned)last) ? 2 : 0);
}

static void
low_is_more_than_the_parent_has(void **state)
{
	int status;

	(void)state;
	is_old = true;

	const pid_t pid = fork();

	if (pid == 0)
		check_that_low_is_enough();
	is_old = false;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(range_is_closed),
		cmocka_unit_test(range_is_closed_on_an_old_linux),
		cmocka_unit_test(low_is_more_than_the_parent_has),
	};

	return cmocka_run_group_tests_name("descriptors", tests, NULL, NULL);
}
