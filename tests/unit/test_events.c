/*
 * Events: the lines, and that of many refusals none is lost in the counting.
 */
#include "echod/events.h"

#include <bsd/string.h>
#include <stdio.h>
#include <string.h>

#include "echod/clock.h"
#include "echod/log.h"
#include "support.h"

enum { SEED = 862 };

#define START (862 * CLOCK_SECOND)

/*
 * The lines.
 */

static void
connected_says_who(void **state)
{
	struct client c = {
		.peer = make_v4("192.0.2.7", 50312),
		.pid = 4711,
		.nth = 3,
	};

	(void)state;
	event_connected(LOG_INFO, &c);
	assert_string_equal(capture_text(),
	    "connected with 192.0.2.7:50312 (pid 4711, 3 active)\n");
	c.peer = make_v6("2001:db8::7", 0, 1);
	c.pid = 4194304;
	c.nth = 1000000;
	event_connected(LOG_INFO, &c);
	assert_string_equal(capture_text(),
	    "connected with [2001:db8::7]:1 (pid 4194304, 1000000 active)\n");
	c.peer = make_v6("::ffff:192.0.2.7", 0, 65535);
	c.nth = 1;
	event_connected(LOG_DEBUG, &c);
	assert_string_equal(capture_text(),
	    "connected with 192.0.2.7:65535 (pid 4194304, 1 active)\n");
}

static void
closed_says_why(void **state)
{
	static const struct {
		uint64_t bytes;
		int64_t lasted;
		const char *why, *want;
	} rows[] = {
		{ 1312, 5 * CLOCK_SECOND / 2, "end of file",
		    "1312 bytes in 2.5 s, end of file" },
		{ 0, 0, "idle", "0 bytes in 0.0 s, idle" },
		{ 1, 100 * CLOCK_MILLISECOND, "%s", "1 bytes in 0.1 s, %s" },
		{ UINT64_MAX, 86400 * CLOCK_SECOND,
		    "killed by signal 11 (Segmentation fault)",
		    "18446744073709551615 bytes in 86400.0 s, "
		    "killed by signal 11 (Segmentation fault)" },
	};
	const struct client c = {
		.peer = make_v4("192.0.2.7", 50312),
		.pid = 4711,
		.nth = 3,
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char want[256];

		snprintf(want, sizeof(want),
		    "closed 192.0.2.7:50312 (pid 4711): %s\n", rows[i].want);
		struct ending e = { .priority = LOG_INFO };

		strlcpy(e.why, rows[i].why, sizeof(e.why));
		event_closed(&e, &c, rows[i].bytes, rows[i].lasted);
		assert_string_equal(capture_text(), want);
	}
}

static void
refused_says_the_limit(void **state)
{
	const struct address v4 = make_v4("192.0.2.7", 50313);
	const struct address v6 = make_v6("2001:db8::7", 0, 50313);

	(void)state;
	event_refused_many(&v4, "192.0.2.7", 64);
	assert_string_equal(capture_text(),
	    "refused 192.0.2.7:50313: 64 clients from 192.0.2.7 already\n");
	event_refused_many(&v6, "2001:db8::/64", 1);
	assert_string_equal(capture_text(),
	    "refused [2001:db8::7]:50313: 1 client from 2001:db8::/64 "
	    "already\n");
	event_refused_fast(&v4, "192.0.2.7", 10);
	assert_string_equal(capture_text(),
	    "refused 192.0.2.7:50313: more than 10 a second from "
	    "192.0.2.7\n");
	event_refused_fast(&v6, "2001:db8::/64", 1000000);
	assert_string_equal(capture_text(),
	    "refused [2001:db8::7]:50313: more than 1000000 a second from "
	    "2001:db8::/64\n");
}

static void
refused_datagrams_are_told_apart(void **state)
{
	const struct address v4 = make_v4("192.0.2.7", 19);
	const struct address v6 = make_v6("2001:db8::7", 0, 50313);
	const struct address link = make_v6("fe80::7", 2, 7);

	(void)state;
	event_refused_datagram_fast(&v4, "192.0.2.7", 100);
	assert_string_equal(capture_text(),
	    "refused datagram from 192.0.2.7:19: more than 100 a second from "
	    "192.0.2.7\n");
	event_refused_datagram_fast(&v6, "2001:db8::/64", 1000000);
	assert_string_equal(capture_text(),
	    "refused datagram from [2001:db8::7]:50313: more than 1000000 a "
	    "second from 2001:db8::/64\n");
	event_refused_datagram_source(&v4);
	assert_string_equal(capture_text(),
	    "refused datagram from 192.0.2.7:19: echoes might go round for "
	    "ever\n");
	event_refused_datagram_source(&link);
	assert_string_equal(capture_text(),
	    "refused datagram from [fe80::7%2]:7: echoes might go round for "
	    "ever\n");
}

static void
priority_is_the_callers(void **state)
{
	const struct client c = {
		.peer = make_v4("192.0.2.7", 50312),
		.pid = 4711,
		.nth = 3,
	};

	(void)state;
	log_open(LOG_TO_STDERR, LOG_INFO);
	event_connected(LOG_DEBUG, &c);
	event_closed(&(struct ending){ .priority = LOG_DEBUG }, &c, 0, 0);
	assert_string_equal(capture_text(), "");
	event_closed(
	    &(struct ending){ .priority = LOG_ERR, .why = "killed" }, &c, 7, 0);
	assert_string_equal(capture_text(),
	    "echod: closed 192.0.2.7:50312 (pid 4711): 7 bytes in 0.0 s, "
	    "killed\n");

	/* A refusal is no more than information. */
	struct refusals r = { .next = START, .held = 7 };

	log_open(LOG_TO_STDERR, LOG_WARNING);
	event_refused_many(&c.peer, "192.0.2.7", 1);
	event_refused_fast(&c.peer, "192.0.2.7", 1);
	event_refused_datagram_fast(&c.peer, "192.0.2.7", 1);
	event_refused_datagram_source(&c.peer);
	event_refusals_held(&r, START);
	assert_string_equal(capture_text(), "");
}

/*
 * The limiter.
 */

static void
first_is_told_at_once(void **state)
{
	static const int64_t times[] = { 0, 1, START, INT64_MAX / 2 };

	(void)state;
	for (size_t i = 0; i < COUNT(times); i++) {
		struct refusals r = { 0 };

		event_refusals_held(&r, times[i]);
		assert_true(event_refusal_due(&r, times[i]));
		assert_false(event_refusal_due(&r, times[i]));
	}
	/* The line itself is the caller's, which knows the peer. */
	assert_string_equal(capture_text(), "");
}

static void
rest_is_a_line_a_second(void **state)
{
	struct refusals r = { 0 };

	(void)state;
	assert_true(event_refusal_due(&r, START));
	for (int i = 1; i < 1000; i++)
		assert_false(
		    event_refusal_due(&r, START + i * CLOCK_MILLISECOND));
	event_refusals_held(&r, START + CLOCK_SECOND - 1);
	assert_string_equal(capture_text(), "");
	event_refusals_held(&r, START + CLOCK_SECOND);
	assert_string_equal(
	    capture_text(), "refused 999 more in the meantime\n");
	/* Once. */
	event_refusals_held(&r, START + CLOCK_SECOND);
	event_refusals_held(&r, START + 2 * CLOCK_SECOND);
	event_refusals_held(&r, START + 3600 * CLOCK_SECOND);
	assert_string_equal(capture_text(), "");
}

/* Of datagrams, by what they are called. */
static void
count_says_of_what(void **state)
{
	struct refusals r = { .what = " datagrams" };

	(void)state;
	assert_true(event_refusal_due(&r, START));
	assert_false(event_refusal_due(&r, START));
	event_refusals_held(&r, START + CLOCK_SECOND);
	assert_string_equal(
	    capture_text(), "refused 1 more datagrams in the meantime\n");
	assert_string_equal(r.what, " datagrams");
}

/* Somebody else counted them: they wait as the others do. */
static void
many_can_be_held_at_once(void **state)
{
	struct refusals r = { 0 };

	(void)state;
	event_refusals_hold(&r, 0);
	event_refusals_held(&r, START);
	assert_string_equal(capture_text(), "");

	assert_true(event_refusal_due(&r, START));
	event_refusals_hold(&r, 0);
	event_refusals_hold(&r, UINT64_C(5000000000));
	assert_false(event_refusal_due(&r, START + 1));
	event_refusals_hold(&r, 99);
	event_refusals_held(&r, START + CLOCK_SECOND - 1);
	assert_string_equal(capture_text(), "");
	event_refusals_held(&r, START + CLOCK_SECOND);
	assert_string_equal(
	    capture_text(), "refused 5000000100 more in the meantime\n");
	event_refusals_held(&r, START + 2 * CLOCK_SECOND);
	assert_string_equal(capture_text(), "");

	/* Without one that got a line they need not wait. */
	r = (struct refusals){ 0 };
	event_refusals_hold(&r, UINT64_MAX);
	event_refusals_held(&r, START);
	assert_string_equal(capture_text(),
	    "refused 18446744073709551615 more in the meantime\n");
	assert_false(event_refusal_due(&r, START));
}

/* Its own line would be the second within a second. */
static void
one_right_after_the_count_waits(void **state)
{
	struct refusals r = { 0 };

	(void)state;
	assert_true(event_refusal_due(&r, START));
	assert_false(event_refusal_due(&r, START + 1));
	event_refusals_held(&r, START + CLOCK_SECOND);
	assert_string_equal(capture_text(), "refused 1 more in the meantime\n");
	assert_false(event_refusal_due(&r, START + CLOCK_SECOND));
	assert_false(event_refusal_due(&r, START + 2 * CLOCK_SECOND - 1));
	event_refusals_held(&r, START + 2 * CLOCK_SECOND - 1);
	assert_string_equal(capture_text(), "");
	event_refusals_held(&r, START + 2 * CLOCK_SECOND);
	assert_string_equal(capture_text(), "refused 2 more in the meantime\n");
}

/* The server was busy and did not ask in time: the next refusal does. */
static void
count_comes_with_the_next_if_not_before(void **state)
{
	struct refusals r = { 0 };

	(void)state;
	assert_true(event_refusal_due(&r, START));
	assert_false(event_refusal_due(&r, START + 1));
	assert_false(event_refusal_due(&r, START + 2));
	assert_false(event_refusal_due(&r, START + CLOCK_SECOND));
	assert_string_equal(capture_text(), "refused 2 more in the meantime\n");
	event_refusals_held(&r, START + 2 * CLOCK_SECOND);
	assert_string_equal(capture_text(), "refused 1 more in the meantime\n");
}

static void
quiet_second_makes_it_the_first_again(void **state)
{
	struct refusals r = { 0 };
	int64_t at = START;

	(void)state;
	for (int i = 0; i < 5; i++) {
		assert_true(event_refusal_due(&r, at));
		event_refusals_held(&r, at + CLOCK_SECOND / 2);
		assert_false(event_refusal_due(&r, at + CLOCK_SECOND - 1));
		event_refusals_held(&r, at + CLOCK_SECOND);
		assert_string_equal(
		    capture_text(), "refused 1 more in the meantime\n");
		at += 2 * CLOCK_SECOND;
	}
	assert_true(event_refusal_due(&r, at));
	assert_true(event_refusal_due(&r, at + CLOCK_SECOND));
	assert_true(event_refusal_due(&r, at + 2 * CLOCK_SECOND));
	assert_string_equal(capture_text(), "");
}

/* What the lines since the last call say in sum. */
static unsigned long
sum_of_lines(size_t *lines)
{
	const char *line = capture_text();
	unsigned long sum = 0, n;
	int end;

	for (*lines = 0; *line != '\0'; line += end, (*lines)++) {
		n = 0;
		end = 0;
		sscanf(line, "refused %lu more in the meantime\n%n", &n, &end);
		assert_true(end > 0 && n > 0);
		sum += n;
	}
	return sum;
}

static void
none_is_lost_in_the_counting(void **state)
{
	enum { REFUSALS = 20000 };
	struct refusals r = { 0 };
	unsigned long told = 0;
	int64_t at = START, last = 0;
	uint64_t random = SEED;

	(void)state;
	print_message("seed %d\n", SEED);
	for (int i = 0; i < REFUSALS; i++) {
		size_t lines;

		/* Now they come in a flood, now one in a while. */
		at += random_below(&random,
		    i / 1000 % 2 == 0 ? 10 * CLOCK_MILLISECOND
				      : 2 * CLOCK_SECOND);
		if (random_below(&random, 3) == 0)
			event_refusals_held(&r, at);

		const bool due = event_refusal_due(&r, at);

		told += due + sum_of_lines(&lines);
		lines += due;
		assert_true(lines <= 1);
		if (lines == 1) {
			assert_true(at - last >= CLOCK_SECOND);
			last = at;
		}
		assert_int_equal(told + r.held, i + 1);
		/* It is known when to ask again. */
		if (r.held > 0)
			assert_in_range(r.next, at + 1, at + CLOCK_SECOND);
	}
	event_refusals_held(&r, at + CLOCK_SECOND);

	size_t lines;

	told += sum_of_lines(&lines);
	assert_int_equal(told, REFUSALS);
	assert_int_equal(r.held, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		LOG_TEST(connected_says_who),
		LOG_TEST(closed_says_why),
		LOG_TEST(refused_says_the_limit),
		LOG_TEST(refused_datagrams_are_told_apart),
		LOG_TEST(priority_is_the_callers),
		LOG_TEST(first_is_told_at_once),
		LOG_TEST(rest_is_a_line_a_second),
		LOG_TEST(count_says_of_what),
		LOG_TEST(many_can_be_held_at_once),
		LOG_TEST(one_right_after_the_count_waits),
		LOG_TEST(count_comes_with_the_next_if_not_before),
		LOG_TEST(quiet_second_makes_it_the_first_again),
		LOG_TEST(none_is_lost_in_the_counting),
	};

	return cmocka_run_group_tests_name("events", tests, NULL, NULL);
}
