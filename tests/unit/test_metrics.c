/*
 * Metrics: the status line, the brief one, and what Prometheus reads.
 */
#include "echod/metrics.h"

#include <ctype.h>
#include <string.h>

#include "config.h"
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
	    "(0 over --max-per-source, 0 over --rate, "
	    "0 for their PROXY header), 0 lost, 0 bytes, 0 backoffs, "
	    "0 datagrams, 0 datagrams refused");
}

static void
each_counter_has_its_place(void **state)
{
	const struct metrics m = {
		.started = 5 * CLOCK_SECOND,
		.active = 1,
		.accepted = 20,
		.refused = {
			[REFUSED_MANY] = 300,
			[REFUSED_FAST] = 4000,
			[REFUSED_HEADER] = 90000,
			[REFUSED_DATAGRAM_FAST] = 8000,
			[REFUSED_DATAGRAM_SOURCE] = 600,
		},
		.bytes = 50000,
		.backoffs = 600000,
		.lost = 7000000,
		.datagrams = 11,
		/* These are not in the line. */
		.birth = 12,
		.ends = { 13, 13, 13, 13, 13, 13, 13, 13, 13, 13, 13, 13 },
		.datagram_bytes = 14,
		.datagrams_lost = 15,
	};

	(void)state;
	expect_status(&m, 93 * CLOCK_SECOND,
	    "status: up 88 s, 1 active, 20 accepted, 94300 refused "
	    "(300 over --max-per-source, 4000 over --rate, "
	    "90000 for their PROXY header), 7000000 lost, "
	    "50000 bytes, 600000 backoffs, 11 datagrams, "
	    "8600 datagrams refused");
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
		.refused = {
			UINT64_C(3155760000000000),
			UINT64_C(3155760000000000),
			UINT64_C(3155760000000000),
			UINT64_C(3155760000000000),
			UINT64_C(3155760000000000),
		},
		.bytes = UINT64_C(100000000000000000),
		.backoffs = UINT64_C(3155760000000000),
		.lost = UINT64_C(3155760000000000),
		.datagrams = UINT64_C(3155760000000000),
	};

	(void)state;
	expect_status(&m, INT64_C(3155760000) * CLOCK_SECOND,
	    "status: up 3155760000 s, 1000000 active, "
	    "3155760000000000 accepted, 9467280000000000 refused "
	    "(3155760000000000 over --max-per-source, "
	    "3155760000000000 over --rate, "
	    "3155760000000000 for their PROXY header), "
	    "3155760000000000 lost, 100000000000000000 bytes, "
	    "3155760000000000 backoffs, 3155760000000000 datagrams, "
	    "6311520000000000 datagrams refused");
}

/* Whatever the counters are, it is a line and ends where it has to. */
static void
most_of_all_is_a_line(void **state)
{
	const struct metrics m = {
		.active = SIZE_MAX,
		.accepted = UINT64_MAX,
		.refused = { UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX,
		    UINT64_MAX },
		.bytes = UINT64_MAX,
		.backoffs = UINT64_MAX,
		.lost = UINT64_MAX,
		.datagrams = UINT64_MAX,
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
	assert_non_null(strstr(line.text, " datagrams refused"));
}

static void
brief_is_for_people(void **state)
{
	static const struct {
		struct metrics m;
		const char *want;
	} rows[] = {
		{ { 0 }, "0 clients, 0 accepted, 0 refused" },
		{ { .active = 1,
		      .accepted = 1,
		      .refused = { [REFUSED_MANY] = 1 } },
		    "1 client, 1 accepted, 1 refused" },
		{ { .active = 20,
		      .accepted = 300,
		      .refused = { [REFUSED_FAST] = 5 } },
		    "20 clients, 300 accepted, 5 refused" },
		{ { .active = 2,
		      .accepted = 3,
		      .refused = { [REFUSED_MANY] = 40,
			  [REFUSED_FAST] = 5,
			  [REFUSED_HEADER] = 600 } },
		    "2 clients, 3 accepted, 645 refused" },
		/* What else is counted is for SIGUSR1. */
		{ { .started = 5, .bytes = 6, .backoffs = 7, .lost = 8 },
		    "0 clients, 0 accepted, 0 refused" },
		{ { .datagrams = 5,
		      .datagrams_lost = 6,
		      .refused = { [REFUSED_DATAGRAM_FAST] = 7,
			  [REFUSED_DATAGRAM_SOURCE] = 8 } },
		    "0 clients, 0 accepted, 0 refused" },
		{ { .active = SIZE_MAX,
		      .accepted = UINT64_MAX,
		      .refused = { UINT64_MAX } },
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

/*
 * What Prometheus reads.
 */

/* Each counter has a value of its own. */
static const struct metrics all = {
	.started = 100,
	.birth = 1700000000,
	.active = 101,
	.accepted = 102,
	.refused = {
		[REFUSED_MANY] = 201,
		[REFUSED_FAST] = 202,
		[REFUSED_HEADER] = 203,
		[REFUSED_DATAGRAM_FAST] = 204,
		[REFUSED_DATAGRAM_SOURCE] = 205,
	},
	.bytes = 103,
	.backoffs = 104,
	.lost = 105,
	.ends = {
		[SESSION_EOF] = 301,
		[SESSION_IDLE] = 302,
		[SESSION_RESET] = 303,
		[SESSION_VANISHED] = 304,
		[SESSION_DRAINED] = 305,
		[SESSION_FAILED] = 306,
		[SESSION_NO_HEADER] = 307,
		[SESSION_WRONG_HEADER] = 308,
		[SESSION_LONG_HEADER] = 309,
		[SESSION_UNADMITTED] = 310,
		[SESSION_CUT_OFF] = 311,
		[SESSION_REFUSED] = 312,
		[SESSION_KILLED] = 313,
	},
	.datagrams = 106,
	.datagram_bytes = 107,
	.datagrams_lost = 108,
};

static const char all_text[] =
    "# HELP echod_connections_total Connections that got a process.\n"
    "# TYPE echod_connections_total counter\n"
    "echod_connections_total 102\n"
    "# HELP echod_clients Clients that are connected.\n"
    "# TYPE echod_clients gauge\n"
    "echod_clients 101\n"
    "# HELP echod_refused_total "
    "Connections and datagrams that were refused.\n"
    "# TYPE echod_refused_total counter\n"
    "echod_refused_total{reason=\"max_per_source\"} 201\n"
    "echod_refused_total{reason=\"rate\"} 202\n"
    "echod_refused_total{reason=\"proxy_header\"} 203\n"
    "echod_refused_total{reason=\"udp_rate\"} 204\n"
    "echod_refused_total{reason=\"udp_source\"} 205\n"
    "# HELP echod_bytes_total Bytes that were sent back.\n"
    "# TYPE echod_bytes_total counter\n"
    "echod_bytes_total{proto=\"tcp\"} 103\n"
    "echod_bytes_total{proto=\"udp\"} 107\n"
    "# HELP echod_datagrams_total Datagrams that were sent back.\n"
    "# TYPE echod_datagrams_total counter\n"
    "echod_datagrams_total 106\n"
    "# HELP echod_lost_total Connections gone before they were accepted, "
    "and datagrams that could not be sent back.\n"
    "# TYPE echod_lost_total counter\n"
    "echod_lost_total{proto=\"tcp\"} 105\n"
    "echod_lost_total{proto=\"udp\"} 108\n"
    "# HELP echod_backoffs_total "
    "Times that a lack of resources put new clients off.\n"
    "# TYPE echod_backoffs_total counter\n"
    "echod_backoffs_total 104\n"
    "# HELP echod_child_exits_total Processes that ended, by the reason.\n"
    "# TYPE echod_child_exits_total counter\n"
    "echod_child_exits_total{reason=\"eof\"} 301\n"
    "echod_child_exits_total{reason=\"idle\"} 302\n"
    "echod_child_exits_total{reason=\"reset\"} 303\n"
    "echod_child_exits_total{reason=\"vanished\"} 304\n"
    "echod_child_exits_total{reason=\"drained\"} 305\n"
    "echod_child_exits_total{reason=\"failed\"} 306\n"
    "echod_child_exits_total{reason=\"no_proxy_header\"} 307\n"
    "echod_child_exits_total{reason=\"wrong_proxy_header\"} 308\n"
    "echod_child_exits_total{reason=\"long_proxy_header\"} 309\n"
    "echod_child_exits_total{reason=\"unadmitted\"} 310\n"
    "echod_child_exits_total{reason=\"cut_off\"} 311\n"
    "echod_child_exits_total{reason=\"refused\"} 312\n"
    "echod_child_exits_total{reason=\"killed\"} 313\n"
    "# HELP echod_start_time_seconds "
    "When echod started, in seconds since 1970.\n"
    "# TYPE echod_start_time_seconds gauge\n"
    "echod_start_time_seconds 1700000000\n"
    "# HELP echod_build_info The version, as a label.\n"
    "# TYPE echod_build_info gauge\n"
    "echod_build_info{version=\"" ECHOD_VERSION "\"} 1\n"
    "# EOF\n";

static void
each_counter_has_a_sample(void **state)
{
	char text[METRICS_TEXT_SIZE];

	(void)state;
	memset(text, '#', sizeof(text));
	assert_int_equal(metrics_text(&all, text), sizeof(all_text) - 1);
	assert_string_equal(text, all_text);
}

/* What an exporter sees is there from the start, and not only once it counts.
 */
static void
nothing_yet_is_zero(void **state)
{
	const struct metrics m = { 0 };
	char text[METRICS_TEXT_SIZE];
	size_t samples = 0;

	(void)state;
	metrics_text(&m, text);
	for (char *rest = text, *line; (line = strsep(&rest, "\n")) != NULL;) {
		const char *value = strrchr(line, ' ');

		if (line[0] == '#' || line[0] == '\0')
			continue;
		assert_non_null(value);
		assert_string_equal(
		    value, strstr(line, "build_info") != NULL ? " 1" : " 0");
		samples++;
	}
	assert_int_equal(
	    samples, 4 + REFUSED_REASONS + 2 + 2 + SESSION_ENDS + 2);
}

static void
longest_numbers_fit(void **state)
{
	struct {
		char text[METRICS_TEXT_SIZE], after;
	} out;
	struct metrics m = {
		.birth = UINT64_MAX,
		.active = SIZE_MAX,
		.accepted = UINT64_MAX,
		.bytes = UINT64_MAX,
		.backoffs = UINT64_MAX,
		.lost = UINT64_MAX,
		.datagrams = UINT64_MAX,
		.datagram_bytes = UINT64_MAX,
		.datagrams_lost = UINT64_MAX,
	};

	(void)state;
	memset(m.name, 'n', sizeof(m.name) - 1);
	for (size_t i = 0; i < REFUSED_REASONS; i++)
		m.refused[i] = UINT64_MAX;
	for (size_t i = 0; i < SESSION_ENDS; i++)
		m.ends[i] = UINT64_MAX;
	memset(&out, '#', sizeof(out));

	const size_t len = metrics_text(&m, out.text);

	assert_int_equal(out.after, '#');
	assert_true(len < sizeof(out.text));
	assert_int_equal(strlen(out.text), len);
	assert_string_equal(out.text + len - strlen("# EOF\n"), "# EOF\n");
	assert_non_null(strstr(out.text, "n\"} 18446744073709551615\n"));
}

static void
a_name_is_that_of_the_file(void **state)
{
	static const struct {
		const char *path, *name;
	} rows[] = {
		{ "/run/echod/echod.prom", "" },
		{ "/run/echod-east/echod-east.prom", "east" },
		{ "/run/echod-east/echod.prom", "" },
		{ "/echod-east", "east" },
		{ "/echod-.prom", "" },
		{ "/echod-a.prom.prom", "a.prom" },
		{ "/echod-.promise", ".promise" },
		{ "/echod-a b\"c\\d\n\xff~", "a_b_c_d__~" },
		{ "/east.prom", "" },
		{ "/my-echod-east.prom", "" },
		{ "/.prom", "" },
		{ "/", "" },
		{ "/echod-1234567890123456789012345678901234567890123456789012"
		  "345678901234567890.prom",
		    "1234567890123456789012345678901234567890123456789012345678"
		    "90123" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct metrics m = { 0 };

		metrics_name(&m, rows[i].path);
		assert_string_equal(m.name, rows[i].name);
	}
}

/* So that several on a host can be told apart. */
static void
each_sample_has_the_name(void **state)
{
	struct metrics m = { .name = "east" };
	char text[METRICS_TEXT_SIZE];

	(void)state;
	metrics_text(&m, text);
	for (char *rest = text, *line; (line = strsep(&rest, "\n")) != NULL;)
		if (line[0] != '#' && line[0] != '\0')
			assert_non_null(strstr(line, "name=\"east\"} "));
	metrics_text(&m, text);
	assert_non_null(strstr(text, "\nechod_clients{name=\"east\"} 0\n"));
	assert_non_null(strstr(
	    text, "\nechod_bytes_total{proto=\"tcp\",name=\"east\"} 0\n"));
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
		cmocka_unit_test(each_counter_has_a_sample),
		cmocka_unit_test(nothing_yet_is_zero),
		cmocka_unit_test(longest_numbers_fit),
		cmocka_unit_test(a_name_is_that_of_the_file),
		cmocka_unit_test(each_sample_has_the_name),
	};

	return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
