/*
 * Backing off: how long, and when it is over.
 */
#include "echod/backoff.h"

#include "echod/clock.h"
#include "support.h"

#define START (862 * CLOCK_SECOND)
#define LONGEST CLOCK_SECOND

static void
only_the_first_failure_begins_a_spell(void **state)
{
	struct backoff b = { 0 };

	(void)state;
	assert_true(backoff_begin(&b, START));
	assert_false(backoff_begin(&b, START));
	assert_false(backoff_begin(&b, b.until + LONGEST - 1));
	/* After its end, there is a new one. */
	assert_true(backoff_end(&b, b.until + LONGEST));
	assert_true(backoff_begin(&b, b.until + LONGEST));
	assert_int_equal(b.pause, 10 * CLOCK_MILLISECOND);
}

static void
pauses_double_to_a_second(void **state)
{
	static const int milliseconds[] = { 10, 20, 40, 80, 160, 320, 640, 1000,
		1000, 1000 };
	struct backoff b = { 0 };
	int64_t at = START;

	(void)state;
	for (size_t i = 0; i < COUNT(milliseconds); i++) {
		const int64_t pause = milliseconds[i] * CLOCK_MILLISECOND;

		backoff_begin(&b, at);
		assert_int_equal(b.pause, pause);
		assert_int_equal(b.until, at + pause);
		at = b.until + 5; /* the next failure is a little late */
	}
}

static void
trying_at_once_does_not_forget(void **state)
{
	struct backoff b = { 0 };

	(void)state;
	backoff_try(&b, START); /* no spell: nothing to do */
	assert_int_equal(backoff_next(&b, START), CLOCK_NEVER);
	assert_false(backoff_end(&b, START + LONGEST));

	backoff_begin(&b, START);
	backoff_try(&b, START + 1);
	assert_int_equal(b.until, START + 1);
	/* Who may try already is not put off. */
	backoff_try(&b, START + 2);
	assert_int_equal(b.until, START + 1);
	assert_false(backoff_begin(&b, START + 3));
	assert_int_equal(b.pause, 20 * CLOCK_MILLISECOND);
}

static void
a_spell_ends_once_after_a_second(void **state)
{
	struct backoff b = { 0 };

	(void)state;
	assert_false(backoff_end(&b, START));
	backoff_begin(&b, START);
	assert_false(backoff_end(&b, START)); /* until has not come */
	assert_false(backoff_end(&b, b.until));
	assert_false(backoff_end(&b, b.until + LONGEST - 1));
	assert_int_not_equal(b.pause, 0);
	assert_true(backoff_end(&b, b.until + LONGEST));
	assert_int_equal(b.pause, 0);
	assert_false(backoff_end(&b, b.until + 2 * LONGEST));
}

static void
a_failure_puts_the_end_off(void **state)
{
	struct backoff b = { 0 };

	(void)state;
	backoff_begin(&b, START);

	const int64_t end = b.until + LONGEST;

	backoff_begin(&b, end - 1);
	assert_false(backoff_end(&b, end));
	assert_true(
	    backoff_end(&b, end - 1 + 20 * CLOCK_MILLISECOND + LONGEST));
}

static void
next_is_when_something_changes(void **state)
{
	struct backoff b = { 0 };

	(void)state;
	assert_int_equal(backoff_next(&b, START), CLOCK_NEVER);
	backoff_begin(&b, START);
	assert_int_equal(backoff_next(&b, START), b.until);
	assert_int_equal(backoff_next(&b, b.until - 1), b.until);
	assert_int_equal(backoff_next(&b, b.until), b.until + LONGEST);
	assert_int_equal(
	    backoff_next(&b, b.until + LONGEST - 1), b.until + LONGEST);
	/* What it says is late enough for backoff_end(). */
	assert_true(backoff_end(&b, backoff_next(&b, b.until)));
	assert_int_equal(backoff_next(&b, b.until + LONGEST), CLOCK_NEVER);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_first_failure_begins_a_spell),
		cmocka_unit_test(pauses_double_to_a_second),
		cmocka_unit_test(trying_at_once_does_not_forget),
		cmocka_unit_test(a_spell_ends_once_after_a_second),
		cmocka_unit_test(a_failure_puts_the_end_off),
		cmocka_unit_test(next_is_when_something_changes),
	};

	return cmocka_run_group_tests_name("backoff", tests, NULL, NULL);
}
