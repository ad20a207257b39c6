/*
 * The scoreboard: what children write is what the parent reads, and each
 * goodbye and each introduction is found once.
 */
#include "echod/scoreboard.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
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

/*
 * Introductions.
 */

static struct address
peer_of(size_t i)
{
	return i % 2 == 0 ? make_v4("192.0.2.7", (uint16_t)i)
			  : make_v6("2001:db8::7", 0, (uint16_t)i);
}

static void
introduce_some(struct slot *slot[])
{
	for (size_t i = COUNT(leavers); i > 0; i--) {
		const struct address peer = peer_of(leavers[i - 1]);

		scoreboard_introduce(slot[leavers[i - 1]], &peer);
	}
}

static void
each_introduction_is_heard_once(void **state)
{
	struct slot *slot[N];
	struct address heard;
	size_t i = 0;

	(void)state;
	take_all(slot);
	assert_int_equal(scoreboard_introduced(board, 0), SIZE_MAX);
	in_child(introduce_some, slot);
	for (size_t n = 0; n < COUNT(leavers); n++) {
		const struct address want = peer_of(leavers[n]);

		i = scoreboard_introduced(board, i);
		assert_int_equal(i, leavers[n]);
		/* To find is not to hear. */
		assert_int_equal(scoreboard_introduced(board, i), i);
		memset(&heard, 0xff, sizeof(heard));
		assert_true(scoreboard_hear(board, i, &heard));
		assert_true(address_equal(&heard, &want));
		assert_int_equal(heard.len, want.len);
		assert_false(scoreboard_hear(board, i, &heard));
		i++;
	}
	assert_int_equal(scoreboard_introduced(board, i), SIZE_MAX);
	assert_int_equal(scoreboard_introduced(board, 0), SIZE_MAX);
	/* Nobody said goodbye, and no byte was counted. */
	assert_int_equal(scoreboard_leaving(board, 0), SIZE_MAX);
	for (i = 0; i < N; i++)
		assert_int_equal(scoreboard_bytes(board, i), 0);
}

static void
nothing_new_leaves_the_address_alone(void **state)
{
	const struct address before = make_v4("192.0.2.7", 7);
	struct address heard = before;

	(void)state;
	scoreboard_take(board, 0);
	assert_false(scoreboard_hear(board, 0, &heard));
	assert_memory_equal(&heard, &before, sizeof(heard));
}

static void
one_may_be_who_it_seemed_to_be(void **state)
{
	const struct address first = make_v6("2001:db8::7", 7, 50312);
	struct slot *slot = scoreboard_take(board, 70);
	struct address heard;

	(void)state;
	scoreboard_introduce(slot, NULL);
	assert_true(scoreboard_hear(board, 70, &heard));
	assert_int_equal(heard.len, 0);
	/* What was there before does not show. */
	scoreboard_introduce(slot, &first);
	assert_true(scoreboard_hear(board, 70, &heard));
	assert_int_equal(heard.len, first.len);
	scoreboard_introduce(slot, NULL);
	assert_true(scoreboard_hear(board, 70, &heard));
	assert_int_equal(heard.len, 0);
}

static void
introduction_of_the_one_before_is_forgotten(void **state)
{
	const struct address peer = make_v4("192.0.2.7", 7);
	struct slot *slot[N];
	struct address heard;

	(void)state;
	take_all(slot);
	scoreboard_introduce(slot[5], &peer);
	scoreboard_introduce(slot[6], &peer);
	scoreboard_introduce(slot[64], &peer);
	scoreboard_take(board, 5);
	assert_false(scoreboard_hear(board, 5, &heard));
	assert_int_equal(scoreboard_introduced(board, 0), 6);
	assert_int_equal(scoreboard_introduced(board, 7), 64);
	assert_int_equal(scoreboard_introduced(board, 65), SIZE_MAX);
	/* Goodbyes are others'. */
	scoreboard_goodbye(slot[6]);
	assert_int_equal(scoreboard_leaving(board, 0), 6);
	assert_true(scoreboard_hear(board, 6, &heard));
}

/* The parent's word, to the child. */
static void
wait_to_be_admitted(struct slot *slot[])
{
	while (!slot[70]->admitted)
		sched_yield();
}

static void
admission_is_of_one_client(void **state)
{
	struct slot *slot[N];

	(void)state;
	take_all(slot);
	for (size_t i = 0; i < N; i++)
		assert_false(slot[i]->admitted);
	scoreboard_admit(board, 70);
	for (size_t i = 0; i < N; i++)
		assert_int_equal(slot[i]->admitted, i == 70);
	in_child(wait_to_be_admitted, slot);
	/* And not of the next one there. */
	scoreboard_take(board, 70);
	assert_false(slot[70]->admitted);
}

/* A child says what it likes; what is heard is an address all the same. */
static void
word_of_a_child_is_an_address(void **state)
{
	static const struct {
		sa_family_t family;
		socklen_t said, heard;
	} rows[] = {
		{ AF_INET, 0, sizeof(struct sockaddr_in) },
		{ AF_INET, 0xffffffff, sizeof(struct sockaddr_in) },
		{ AF_INET6, 4, sizeof(struct sockaddr_in6) },
		{ AF_INET6, 0xffffffff, sizeof(struct sockaddr_in6) },
		{ AF_UNSPEC, 0xffffffff, 0 },
		{ AF_UNIX, sizeof(struct sockaddr_in), 0 },
		{ 0xffff, 0xffffffff, 0 },
	};
	struct slot *slot = scoreboard_take(board, 3);

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct address said, heard;

		memset(&said, 0xa5, sizeof(said));
		said.sa.sa_family = rows[i].family;
		said.len = rows[i].said;
		scoreboard_introduce(slot, &said);
		assert_true(scoreboard_hear(board, 3, &heard));
		assert_int_equal(heard.len, rows[i].heard);
	}
}

static void
stray_introductions_are_nobody(void **state)
{
	struct slot *slot[N];
	struct address heard;
	uint64_t *word;
	size_t i = 0, n = 0;

	(void)state;
	take_all(slot);
	word = (uint64_t *)((uintptr_t)slot[0] & ~(uintptr_t)4095);
	word[1] = UINT64_MAX;
	while ((i = scoreboard_introduced(board, i)) != SIZE_MAX) {
		assert_int_equal(i, n);
		assert_true(scoreboard_hear(board, i, &heard));
		assert_int_equal(heard.len, 0);
		i++, n++;
	}
	assert_int_equal(n, 63);
	assert_int_equal(scoreboard_introduced(board, 0), SIZE_MAX);
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
		TEST(bytes_are_shared),
		TEST(each_goodbye_is_found_once),
		TEST(search_begins_where_it_is_told),
		TEST(one_that_stays_says_it_again),
		TEST(goodbye_of_the_one_before_is_forgotten),
		TEST(unused_slots_are_not_looked_at),
		TEST(stray_bits_are_nobody),
		TEST(each_introduction_is_heard_once),
		TEST(nothing_new_leaves_the_address_alone),
		TEST(one_may_be_who_it_seemed_to_be),
		TEST(introduction_of_the_one_before_is_forgotten),
		TEST(word_of_a_child_is_an_address),
		TEST(stray_introductions_are_nobody),
		TEST(admission_is_of_one_client),
		cmocka_unit_test(lack_of_memory_is_told),
	};

	return cmocka_run_group_tests_name("scoreboard", tests, NULL, NULL);
}
