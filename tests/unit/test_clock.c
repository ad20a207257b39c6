/*
 * The clock: it goes on, in nanoseconds; the date is people's.
 */
#include "echod/clock.h"

#include <signal.h>
#include <time.h>

#include "support.h"

static void
now_never_goes_back(void **state)
{
	int64_t last = clock_now();

	(void)state;
	assert_true(last > 0);
	for (int i = 0; i < 1000; i++) {
		const int64_t now = clock_now();

		assert_true(now >= last);
		last = now;
	}
}

static void
pause_is_of_nanoseconds(void **state)
{
	const int64_t start = clock_now();

	(void)state;
	clock_pause(2 * CLOCK_MILLISECOND);
	assert_true(clock_now() - start >= 2 * CLOCK_MILLISECOND);
}

static volatile sig_atomic_t signals;

static void
on_signal(int sig)
{
	(void)sig;
	signals = signals + 1;
}

static void
wait_is_until_a_time(void **state)
{
	const int64_t start = clock_now();

	(void)state;
	clock_wait(start + 2 * CLOCK_MILLISECOND, NULL);
	assert_true(clock_now() >= start + 2 * CLOCK_MILLISECOND);
	/* What is over is not waited for. */
	clock_wait(start, NULL);
	clock_wait(0, NULL);
}

static void
wait_is_ended_by_a_signal(void **state)
{
	struct sigaction sa = { .sa_handler = on_signal };
	sigset_t usr1, before;

	(void)state;
	sigemptyset(&sa.sa_mask);
	assert_int_equal(sigaction(SIGUSR1, &sa, NULL), 0);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	assert_int_equal(sigprocmask(SIG_BLOCK, &usr1, &before), 0);
	raise(SIGUSR1); /* it waits to be let in */
	clock_wait(clock_now() + CLOCK_MILLISECOND, NULL);
	assert_int_equal(signals, 0);
	clock_wait(CLOCK_NEVER, &before);
	assert_int_equal(signals, 1);
	raise(SIGUSR1);
	clock_wait(clock_now() + 3600 * CLOCK_SECOND, &before);
	assert_int_equal(signals, 2);
	assert_int_equal(sigprocmask(SIG_SETMASK, &before, NULL), 0);
}

static void
date_is_of_people(void **state)
{
	const time_t before = time(NULL);
	const int64_t date = clock_date();

	(void)state;
	/* time(2) may be a tick behind. */
	assert_true(date >= before);
	assert_true(date <= time(NULL) + 1);
}

static void
earlier_is_the_less(void **state)
{
	(void)state;
	assert_int_equal(clock_earlier(1, 2), 1);
	assert_int_equal(clock_earlier(2, 1), 1);
	assert_int_equal(clock_earlier(7, 7), 7);
	assert_int_equal(clock_earlier(CLOCK_NEVER, 7), 7);
	assert_true(clock_earlier(CLOCK_NEVER, CLOCK_NEVER) == CLOCK_NEVER);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(now_never_goes_back),
		cmocka_unit_test(pause_is_of_nanoseconds),
		cmocka_unit_test(wait_is_until_a_time),
		cmocka_unit_test(wait_is_ended_by_a_signal),
		cmocka_unit_test(date_is_of_people),
		cmocka_unit_test(earlier_is_the_less),
	};

	return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
