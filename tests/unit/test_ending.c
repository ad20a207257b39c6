/*
 * What the parent makes of a child's status.
 */
#include "echod/ending.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <syslog.h>

#include "support.h"

static void
ends_have_labels(void **state)
{
	static const char *const labels[SESSION_ENDS] = {
		[SESSION_EOF] = "eof",
		[SESSION_IDLE] = "idle",
		[SESSION_RESET] = "reset",
		[SESSION_VANISHED] = "vanished",
		[SESSION_DRAINED] = "drained",
		[SESSION_FAILED] = "failed",
		[SESSION_NO_HEADER] = "no_proxy_header",
		[SESSION_WRONG_HEADER] = "wrong_proxy_header",
		[SESSION_LONG_HEADER] = "long_proxy_header",
		[SESSION_UNADMITTED] = "unadmitted",
		[SESSION_CUT_OFF] = "cut_off",
		[SESSION_REFUSED] = "refused",
		[SESSION_KILLED] = "killed",
	};

	(void)state;
	for (int end = 0; end < SESSION_ENDS; end++)
		assert_string_equal(
		    ending_label((enum session_end)end), labels[end]);
}

static void
every_status_is_an_end(void **state)
{
	(void)state;
	for (int exit = 0; exit < 256; exit++)
		for (int cut = 0; cut < 2; cut++)
			/* What no child says by its status is a failure. */
			assert_int_equal(
			    ending_of(W_EXITCODE(exit, 0), cut).end,
			    exit <= SESSION_UNADMITTED ? exit : SESSION_FAILED);
	for (int sig = 1; sig <= SIGRTMAX; sig++) {
		assert_int_equal(
		    ending_of(W_EXITCODE(0, sig), false).end, SESSION_KILLED);
		assert_int_equal(
		    ending_of(W_EXITCODE(0, sig) | WCOREFLAG, false).end,
		    SESSION_KILLED);
		assert_int_equal(ending_of(W_EXITCODE(0, sig), true).end,
		    sig == SIGKILL ? SESSION_CUT_OFF : SESSION_KILLED);
	}
}

static void
reasons_are_for_people(void **state)
{
	static const struct {
		int status;
		bool cut;
		int priority;
		const char *reason;
	} rows[] = {
		{ W_EXITCODE(SESSION_EOF, 0), false, LOG_INFO, "end of file" },
		{ W_EXITCODE(SESSION_IDLE, 0), false, LOG_INFO, "idle" },
		{ W_EXITCODE(SESSION_RESET, 0), false, LOG_INFO,
		    "reset by the client" },
		{ W_EXITCODE(SESSION_VANISHED, 0), false, LOG_INFO,
		    "the client vanished" },
		{ W_EXITCODE(SESSION_DRAINED, 0), true, LOG_INFO, "drained" },
		{ W_EXITCODE(SESSION_FAILED, 0), false, LOG_ERR,
		    "a system call failed" },
		{ W_EXITCODE(SESSION_NO_HEADER, 0), false, LOG_WARNING,
		    "no PROXY header within 5 s" },
		{ W_EXITCODE(SESSION_WRONG_HEADER, 0), false, LOG_WARNING,
		    "a wrong PROXY header" },
		{ W_EXITCODE(SESSION_LONG_HEADER, 0), true, LOG_WARNING,
		    "a PROXY header that is too long" },
		{ W_EXITCODE(SESSION_UNADMITTED, 0), false, LOG_WARNING,
		    "nobody had time to admit it" },
		{ W_EXITCODE(SESSION_UNADMITTED + 1, 0), false, LOG_ERR,
		    "exit status 10" },
		{ W_EXITCODE(255, 0), false, LOG_ERR, "exit status 255" },
		{ W_EXITCODE(0, SIGKILL), true, LOG_INFO, "cut off" },
		{ W_EXITCODE(0, SIGKILL), false, LOG_WARNING,
		    "killed by signal 9 (Killed)" },
		{ W_EXITCODE(0, SIGSEGV), true, LOG_ERR,
		    "killed by signal 11 (Segmentation fault)" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct ending e = ending_of(rows[i].status, rows[i].cut);

		assert_int_equal(e.priority, rows[i].priority);
		assert_string_equal(e.why, rows[i].reason);
	}
}

static void
every_status_has_a_reason(void **state)
{
	(void)state;
	for (int exit = 0; exit < 256; exit++) {
		const struct ending e = ending_of(W_EXITCODE(exit, 0), false);
		char number[16];

		assert_in_range(
		    strnlen(e.why, sizeof(e.why)), 1, sizeof(e.why) - 1);
		if (exit < 64) /* it may be one of session_run()'s */
			continue;
		assert_int_equal(e.priority, LOG_ERR);
		snprintf(number, sizeof(number), " %d", exit);
		assert_non_null(strstr(e.why, number));
	}
	for (int sig = 1; sig <= SIGRTMAX; sig++)
		for (int core = 0; core < 2; core++) {
			const struct ending e = ending_of(
			    W_EXITCODE(0, sig) | (core ? WCOREFLAG : 0), false);
			char start_of[32];

			assert_int_equal(
			    e.priority, sig == SIGKILL ? LOG_WARNING : LOG_ERR);
			snprintf(start_of, sizeof(start_of),
			    "killed by signal %d (", sig);
			assert_ptr_equal(strstr(e.why, start_of), e.why);
			assert_int_equal(e.why[strlen(e.why) - 1], ')');
		}
}

static void
one_that_was_refused_had_its_line(void **state)
{
	const struct ending e = ending_refused();

	(void)state;
	assert_int_equal(e.end, SESSION_REFUSED);
	assert_int_equal(e.priority, LOG_DEBUG);
	assert_string_equal(e.why, "refused");
}

static void
only_a_probe_is_played_down(void **state)
{
	static const struct {
		int priority;
		uint64_t bytes;
		bool brief;
		int want;
	} rows[] = {
		{ LOG_INFO, 0, true, LOG_DEBUG },
		{ LOG_INFO, 0, false, LOG_INFO },
		{ LOG_INFO, 1, true, LOG_INFO },
		{ LOG_WARNING, 0, true, LOG_WARNING },
		{ LOG_ERR, 0, true, LOG_ERR },
		{ LOG_DEBUG, 0, true, LOG_DEBUG },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct ending e = { .priority = rows[i].priority };

		ending_play_down(&e, rows[i].bytes, rows[i].brief);
		assert_int_equal(e.priority, rows[i].want);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ends_have_labels),
		cmocka_unit_test(every_status_is_an_end),
		cmocka_unit_test(reasons_are_for_people),
		cmocka_unit_test(every_status_has_a_reason),
		cmocka_unit_test(one_that_was_refused_had_its_line),
		cmocka_unit_test(only_a_probe_is_played_down),
	};

	return cmocka_run_group_tests_name("ending", tests, NULL, NULL);
}
