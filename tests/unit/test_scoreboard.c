/*
 * The scoreboard: what children write is what the parent reads, and each
 * goodbye is found once.
 */
#include "echod/scoreboard.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

enum { N = 1000 };

static struct scoreboard *board;

static int
setup(void **state)
{
	(void)state;
	board = scoreboard_new(N);
	return board != NULL ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	scoreboard_free(board);
	return 0;
}

/* Do it in a child, to its end. */
static void
in_child(void (*act)(struct slot *slot[]), struct slot *slot[])
{
	const pid_t pid = fork();
	int status;

	if (pid == 0) {
		act(slot);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void
count_all(struct slot *slot[])
{
	for (size_t i = 0; i < N; i++)
		slot[i]->bytes = UINT64_MAX - i;
}

static void
bytes_are_shared(void **state)
{
	struct slot *slot[N];

	(void)state;
	for (size_t i = 0; i < N; i++) {
		slot[i] = scoreboard_take(board, i);
		assert_int_equal((uintptr_t)slot[i] % 64, 0);
		assert_int_equal(scoreboard_bytes(board, i), 0);
	}
	in_child(count_all, slot);
	for (size_t i = 0; i < N; i++)
		assert_true(scoreboard_bytes(board, i) == UINT64_MAX - i);
	for (size_t i = 0; i < N; i++) {
		assert_ptr_equal(scoreboard_take(board, i), slot[i]);
		assert_int_equal(scoreboard_bytes(board, i), 0);
	}
}

static const size_t leavers[] = { 0, 1, 62, 63, 64, 125, 126, 500, 999 };

static void
say_goodbye(struct slot *slot[])
{
	for (size_t i = COUNT(leavers); i > 0; i--)
		scoreboard_goodbye(slot[leavers[i - 1]]);
}

static void
take_all(struct slot *slot[])
{
	for (size_t i = 0; i < N; i++)
		slot[i] = scoreboard_take(board, i);
}

static void
each_goodbye_is_found_once(void **state)
{
	struct slot *slot[N];
	size_t i = 0;

	(void)state;
	take_all(slot);
	assert_int_equal(scoreboard_leaving(board, 0), SIZE_MAX);
	in_child(say_goodbye, slot);
	for (size_t n = 0; n < COUNT(leavers); n++) {
		i = scoreboard_leaving(board, i);
		assert_int_equal(i, leavers[n]);
		i++;
	}
	assert_int_equal(scoreboard_leaving(board, i), SIZE_MAX);
	assert_int_equal(scoreboard_leaving(board, 0), SIZE_MAX);
}

static void
search_begins_where_it_is_told(void **state)
{
	struct slot *slot[N];

	(void)state;
	take_all(slot);
	say_goodbye(slot);
	assert_int_equal(scoreboard_leaving(board, 64), 64);
	assert_int_equal(scoreboard_leaving(board, 64), 125);
	assert_int_equal(scoreboard_leaving(board, 127), 500);
	assert_int_equal(scoreboard_leaving(board, N), SIZE_MAX);
	assert_int_equal(scoreboard_leaving(board, 0), 0);
}

static void
one_that_stays_says_it_again(void **state)
{
	struct slot *slot[N];

	(void)state;
	take_all(slot);
	scoreboard_goodbye(slot[70]);
	assert_int_equal(scoreboard_leaving(board, 0), 70);
	scoreboard_still_leaving(board, 70);
	assert_int_equal(scoreboard_leaving(board, 71), SIZE_MAX);
	assert_int_equal(scoreboard_leaving(board, 0), 70);
}

/* It was killed, and found, after its goodbye. */
static void
goodbye_of_the_one_before_is_forgotten(void **state)
{
	struct slot *slot[N];

	(void)state;
	take_all(slot);
	scoreboard_goodbye(slot[5]);
	scoreboard_goodbye(slot[6]);
	scoreboard_take(board, 5);
	assert_int_equal(scoreboard_leaving(board, 0), 6);
	assert_int_equal(scoreboard_leaving(board, 0), SIZE_MAX);
}

/* Only pages with slots that were taken exist. */
static void
unused_slots_are_not_looked_at(void **state)
{
	struct slot *slot;

	(void)state;
	assert_int_equal(scoreboard_leaving(board, 0), SIZE_MAX);
	slot = scoreboard_take(board, 3);
	scoreboard_goodbye(slot + 5 * 64); /* what a broken child may do */
	assert_int_equal(scoreboard_leaving(board, 0), SIZE_MAX);
}

/* A broken child may write what it likes. */
static void
stray_bits_are_nobody(void **state)
{
	struct slot *slot[N];
	uint64_t *word;
	size_t i = 0, n = 0;

	(void)state;
	take_all(slot);
	word = (uint64_t *)((uintptr_t)slot[0] & ~(uintptr_t)4095);
	*word = UINT64_MAX;
	while ((i = scoreboard_leaving(board, i)) != SIZE_MAX) {
		assert_int_equal(i, n);
		i++, n++;
	}
	assert_int_equal(n, 63);
	assert_int_equal(scoreboard_leaving(board, 0), SIZE_MAX);
}

static void
lack_of_memory_is_told(void **state)
{
	(void)state;
	errno = 0;
	assert_null(scoreboard_new(SIZE_MAX / 2 / sizeof(struct slot)));
	assert_int_not_equal(errno, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    bytes_are_shared, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    each_goodbye_is_found_once, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    search_begins_where_it_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    one_that_stays_says_it_again, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    goodbye_of_the_one_before_is_forgotten, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    unused_slots_are_not_looked_at, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    stray_bits_are_nobody, setup, teardown),
		cmocka_unit_test(lack_of_memory_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
