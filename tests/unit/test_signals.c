/*
 * Signals: none is seen before it is let in, and none is lost.
 */
#include "echod/signals.h"

#include <errno.h>
#include <poll.h>

#include "support.h"

static void
flags_are_set_when_let_in(void **state)
{
	static const struct {
		int sig;
		volatile sig_atomic_t *flag;
	} rows[] = {
		{ SIGCHLD, &signals_child },
		{ SIGTERM, &signals_stop },
		{ SIGINT, &signals_stop },
		{ SIGUSR1, &signals_status },
	};
	sigset_t waiting;

	(void)state;
	signals_init(&waiting);
	for (size_t i = 0; i < COUNT(rows); i++) {
		signals_child = signals_stop = signals_status = 0;
		raise(rows[i].sig);
		assert_int_equal(*rows[i].flag, 0);
		signals_deliver(&waiting);
		assert_int_equal(*rows[i].flag, 1);
		assert_int_equal(
		    signals_child + signals_stop + signals_status, 1);
	}
}

static void
wait_is_interrupted(void **state)
{
	sigset_t waiting;

	(void)state;
	signals_init(&waiting);
	signals_child = 0;
	raise(SIGCHLD); /* before the wait */
	assert_int_equal(ppoll(NULL, 0, NULL, &waiting), -1);
	assert_int_equal(errno, EINTR);
	assert_int_equal(signals_child, 1);
}

static void
second_stop_is_told_from_the_first(void **state)
{
	sigset_t waiting;

	(void)state;
	signals_init(&waiting);
	signals_stop = 0;
	for (int i = 1; i <= 5; i++) {
		raise(i % 2 ? SIGTERM : SIGINT);
		signals_deliver(&waiting);
		assert_int_equal(signals_stop, i < 2 ? i : 2);
	}
}

static void
hup_and_pipe_are_ignored(void **state)
{
	sigset_t waiting;

	(void)state;
	signals_init(&waiting);
	signals_child = signals_stop = signals_status = 0;
	raise(SIGHUP); /* it would be the end */
	raise(SIGPIPE);
	signals_deliver(&waiting);
	assert_int_equal(signals_child + signals_stop + signals_status, 0);
}

/* Whoever started echod may have blocked what it waits for, or more. */
static void
mask_of_the_caller_does_not_matter(void **state)
{
	sigset_t all, before, waiting;

	(void)state;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	signals_init(&waiting);
	sigprocmask(SIG_SETMASK, &before, NULL);
	assert_int_equal(sigismember(&waiting, SIGCHLD), 0);
	assert_int_equal(sigismember(&waiting, SIGTERM), 0);
	assert_int_equal(sigismember(&waiting, SIGINT), 0);
	assert_int_equal(sigismember(&waiting, SIGUSR1), 0);
	assert_int_equal(sigismember(&waiting, SIGUSR2), 1);

	/* And what was not blocked is not in the mask. */
	sigemptyset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	signals_init(&waiting);
	assert_int_equal(sigisemptyset(&waiting), 1);
}

static void
errno_stays(void **state)
{
	sigset_t waiting;

	(void)state;
	signals_init(&waiting);
	sigprocmask(SIG_SETMASK, &waiting, NULL);
	errno = EXDEV;
	raise(SIGTERM);
	raise(SIGCHLD);
	raise(SIGUSR1);
	assert_int_equal(errno, EXDEV);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flags_are_set_when_let_in),
		cmocka_unit_test(wait_is_interrupted),
		cmocka_unit_test(second_stop_is_told_from_the_first),
		cmocka_unit_test(hup_and_pipe_are_ignored),
		cmocka_unit_test(mask_of_the_caller_does_not_matter),
		cmocka_unit_test(errno_stays),
	};

	return cmocka_run_group_tests_name("signals", tests, NULL, NULL);
}
