/*
 * Metrics: the status line, and the brief one.
 */
#include "echod/metrics.h"

#include <ctype.h>
#include <string.h>

#include "echod/clock.h"
#include "support.h"

static void
expect_status(const struct metrics *m, int64_t now, const char *want)
{
	char text[METRICS_STATUS_SIZE];

	memset(text, '#', sizeof(text));
	assert_ptr_equal(metrics_status(m, now, text), text);
	assert_string_equal(text, want);
}

static void
fresh_one_has_nothing(void **state)
{
	const struct metrics m = { .started = 862 * CLOCK_SECOND };

	(void)state;
	expect_status(&m, m.started,
	    "status: up 0 s, 0 active, 0 accepted, 0 refused "
	    "(0 over --max-per-source, 0 over --rate), 0 lost, 0 bytes, "
	    "0 backoffs");
}

static void
each_counter_has_its_place(void **state)
{
	const struct metrics m = {
		.started = 5 * CLOCK_SECOND,
		.active = 1,
		.accepted = 20,
		.too_many = 300,
		.too_fast = 4000,
		.bytes = 50000,
		.backoffs = 600000,
		.lost = 7000000,
	};

	(void)state;
	expect_status(&m, 93 * CLOCK_SECOND,
	    "status: up 88 s, 1 active, 20 accepted, 4300 refused "
	    "(300 over --max-per-source, 4000 over --rate), 7000000 lost, "
	    "50000 bytes, 600000 backoffs");
}

static void
seconds_are_whole(void **state)
{
	static const struct {
		int64_t now;
		const char *want;
	} rows[] = {
		{ 1, "up 0 s," },
		{ CLOCK_SECOND - 1, "up 0 s," },
		{ CLOCK_SECOND, "up 1 s," },
		{ 2 * CLOCK_SECOND - 1, "up 1 s," },
		{ 86400 * CLOCK_SECOND, "up 86400 s," },
		{ INT64_MAX - CLOCK_SECOND, "up 9223372035 s," },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		/* Since when does not matter, but for how long. */
		const struct metrics m = { .started = CLOCK_SECOND / 2 };
		char text[METRICS_STATUS_SIZE];

		metrics_status(&m, m.started + rows[i].now, text);
		if (strstr(text, rows[i].want) == NULL)
			fail_msg("no '%s' in: %s", rows[i].want, text);
	}
}

/* A million clients a second for a century, and a hundred thousand million
 * bytes with each of the active. */
static void
years_fit(void **state)
{
	const struct metrics m = {
		.active = 1000000,
		.accepted = UINT64_C(3155760000000000),
		.too_many = UINT64_C(3155760000000000),
		.too_fast = UINT64_C(3155760000000000),
		.bytes = UINT64_C(100000000000000000),
		.backoffs = UINT64_C(3155760000000000),
		.lost = UINT64_C(3155760000000000),
	};

	(void)state;
	expect_status(&m, INT64_C(3155760000) * CLOCK_SECOND,
	    "status: up 3155760000 s, 1000000 active, "
	    "3155760000000000 accepted, 6311520000000000 refused "
	    "(3155760000000000 over --max-per-source, "
	    "3155760000000000 over --rate), 3155760000000000 lost, "
	    "100000000000000000 bytes, 3155760000000000 backoffs");
}

/* Whatever the counters are, it is a line and ends where it has to. */
static void
most_of_all_is_a_line(void **state)
{
	const struct metrics m = {
		.active = SIZE_MAX,
		.accepted = UINT64_MAX,
		.too_many = UINT64_MAX,
		.too_fast = UINT64_MAX,
		.bytes = UINT64_MAX,
		.backoffs = UINT64_MAX,
		.lost = UINT64_MAX,
	};
	struct {
		char text[METRICS_STATUS_SIZE], after;
	} line;

	(void)state;
	memset(&line, '#', sizeof(line));
	metrics_status(&m, INT64_MAX, line.text);
	assert_int_equal(line.after, '#');
	assert_non_null(memchr(line.text, '\0', sizeof(line.text)));
	for (const char *p = line.text; *p != '\0'; p++)
		assert_true(isprint((unsigned char)*p));
}

static void
brief_is_for_people(void **state)
{
	static const struct {
		struct metrics m;
		const char *want;
	} rows[] = {
		{ { 0 }, "0 clients, 0 accepted, 0 refused" },
		{ { .active = 1, .accepted = 1, .too_many = 1 },
		    "1 client, 1 accepted, 1 refused" },
		{ { .active = 20, .accepted = 300, .too_fast = 5 },
		    "20 clients, 300 accepted, 5 refused" },
		{ { .active = 2, .accepted = 3, .too_many = 40, .too_fast = 5 },
		    "2 clients, 3 accepted, 45 refused" },
		/* What else is counted is for SIGUSR1. */
		{ { .started = 5, .bytes = 6, .backoffs = 7, .lost = 8 },
		    "0 clients, 0 accepted, 0 refused" },
		{ { .active = SIZE_MAX,
		      .accepted = UINT64_MAX,
		      .too_many = UINT64_MAX },
		    "18446744073709551615 clients, "
		    "18446744073709551615 accepted, "
		    "18446744073709551615 refused" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char text[METRICS_BRIEF_SIZE];

		memset(text, '#', sizeof(text));
		assert_ptr_equal(metrics_brief(&rows[i].m, text), text);
		assert_string_equal(text, rows[i].want);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fresh_one_has_nothing),
		cmocka_unit_test(each_counter_has_its_place),
		cmocka_unit_test(seconds_are_whole),
		cmocka_unit_test(years_fit),
		cmocka_unit_test(most_of_all_is_a_line),
		cmocka_unit_test(brief_is_for_people),
	};

	return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
