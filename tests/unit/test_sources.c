/*
 * Sources: the cap, the token bucket, what is remembered and what is not, and
 * the whole of it against a simple model in thousands of random steps.
 */
#include "echod/sources.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "echod/clock.h"
#include "support.h"

enum { SEED = 862, KNOCKERS = 100000 };

#define HOUR (3600 * CLOCK_SECOND)
#define CENTURY (INT64_C(876600) * HOUR)

/* Linked with --wrap=memory_new: there is no more memory than this. */
void *__real_memory_new(size_t size);
void *__wrap_memory_new(size_t size);
static size_t memory = SIZE_MAX;

void *
__wrap_memory_new(size_t size)
{
	if (size <= memory)
		return __real_memory_new(size);
	errno = ENOMEM;
	return NULL;
}

/* The n-th source: an IPv4 one, or an IPv6 one. */
static struct in6_addr
net_of(uint32_t n)
{
	struct in6_addr net = { 0 };
	const uint32_t bytes = htonl(n);

	if (n % 2 == 0) {
		memset(&net.s6_addr[10], 0xff, 2);
		memcpy(&net.s6_addr[12], &bytes, sizeof(bytes));
	} else {
		net.s6_addr[0] = 0x20;
		memcpy(&net.s6_addr[4], &bytes, sizeof(bytes));
	}
	return net;
}

static enum sources_verdict
knock(struct sources *ss, uint32_t n, int64_t at, struct source **s)
{
	const struct in6_addr net = net_of(n);

	return sources_knock(ss, &net, at, s);
}

/* Source n comes, and if it may, goes at once. */
static enum sources_verdict
visit(struct sources *ss, uint32_t n, int64_t at)
{
	struct source *s = NULL;
	const enum sources_verdict verdict = knock(ss, n, at, &s);

	if (verdict == SOURCES_ADMIT)
		sources_leave(ss, s);
	return verdict;
}

/* How many of up to n visits in a row are admitted. */
static int
admitted(struct sources *ss, int64_t at, int n)
{
	for (int i = 0; i < n; i++)
		if (visit(ss, 1, at) != SOURCES_ADMIT)
			return i;
	return n;
}

static struct sources *
make_sources(size_t max_clients, int max_active, int rate)
{
	struct sources *ss = sources_new(max_clients, max_active, rate);

	assert_non_null(ss);
	assert_int_equal(sources_count(ss), 0);
	return ss;
}

static void
lack_of_memory_is_told(void **state)
{
	(void)state;
	memory = 1024 * 1024;
	errno = 0;

	struct sources *ss = sources_new(1000000, 1, 1);
	const int error = errno;

	memory = SIZE_MAX;
	assert_null(ss);
	assert_int_equal(error, ENOMEM);
	sources_free(NULL);
}

/* As datagrams are: gone before the next one comes. */
static void
visitors_need_no_room(void **state)
{
	struct sources *ss = make_sources(0, 0, 3);

	(void)state;
	for (uint32_t n = 0; n < 3 * SOURCES_SPARE; n++)
		for (int i = 0; i < 5; i++)
			assert_int_equal(visit(ss, n, HOUR),
			    i < 3 ? SOURCES_ADMIT : SOURCES_FAST);
	assert_int_equal(sources_count(ss), SOURCES_SPARE);
	/* The last are remembered, and so they have to wait. */
	for (uint32_t n = 2 * SOURCES_SPARE; n < 3 * SOURCES_SPARE; n++)
		assert_int_equal(visit(ss, n, HOUR), SOURCES_FAST);
	sources_free(ss);
}

static void
zero_is_no_limit(void **state)
{
	enum { N = 5000 };
	struct sources *ss = make_sources(N, 0, 0);
	struct source *held[N];

	(void)state;
	for (size_t i = 0; i < N; i++)
		assert_int_equal(knock(ss, 1, 0, &held[i]), SOURCES_ADMIT);
	assert_int_equal(sources_count(ss), 1);
	for (size_t i = 0; i < N; i++)
		sources_leave(ss, held[i]);
	sources_free(ss);
}

static void
cap_is_for_each_source(void **state)
{
	enum { CAP = 3 };
	struct sources *ss = make_sources(100, CAP, 0);
	struct source *one[CAP], *other[CAP], *none = NULL;

	(void)state;
	for (size_t i = 0; i < CAP; i++)
		assert_int_equal(knock(ss, 1, 0, &one[i]), SOURCES_ADMIT);
	assert_int_equal(knock(ss, 1, 0, &none), SOURCES_MANY);
	assert_int_equal(knock(ss, 1, CENTURY, &none), SOURCES_MANY);
	assert_null(none);
	/* Its neighbours do not notice. */
	for (size_t i = 0; i < CAP; i++)
		assert_int_equal(knock(ss, 3, 0, &other[i]), SOURCES_ADMIT);
	assert_int_equal(visit(ss, 3, 0), SOURCES_MANY);
	assert_int_equal(visit(ss, 2, 0), SOURCES_ADMIT);

	/* One goes, one may come. */
	for (size_t i = 0; i < 2 * CAP; i++) {
		sources_leave(ss, one[i % CAP]);
		assert_int_equal(knock(ss, 1, 0, &one[i % CAP]), SOURCES_ADMIT);
		assert_int_equal(visit(ss, 1, 0), SOURCES_MANY);
		assert_int_equal(visit(ss, 3, 0), SOURCES_MANY);
	}
	/* All go, as many may come. */
	for (size_t i = 0; i < CAP; i++)
		sources_leave(ss, one[i]);
	for (size_t i = 0; i < CAP; i++)
		assert_int_equal(knock(ss, 1, 0, &one[i]), SOURCES_ADMIT);
	assert_int_equal(visit(ss, 1, 0), SOURCES_MANY);
	sources_free(ss);
}

static const int rates[] = { 1, 2, 3, 7, 10, 64, 999, 1000, 65536, 999999,
	1000000 };

static void
burst_is_the_rate(void **state)
{
	static const int64_t times[] = { 0, 1, HOUR, CENTURY };

	(void)state;
	for (size_t i = 0; i < COUNT(rates); i++)
		for (size_t j = 0; j < COUNT(times); j++) {
			struct sources *ss = make_sources(1, 0, rates[i]);

			assert_int_equal(
			    admitted(ss, times[j], rates[i] + 1), rates[i]);
			assert_int_equal(visit(ss, 1, times[j]), SOURCES_FAST);
			/* It is the source's own bucket. */
			assert_int_equal(visit(ss, 2, times[j]), SOURCES_ADMIT);
			sources_free(ss);
		}
}

static void
token_comes_back_in_its_time(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rates); i++) {
		struct sources *ss = make_sources(1, 0, rates[i]);
		const int64_t refill = CLOCK_SECOND / rates[i];
		int64_t at = HOUR;

		admitted(ss, at, rates[i]);
		/* A knock too early puts nothing off. */
		for (int j = 0; j < 10; j++)
			assert_int_equal(
			    visit(ss, 1, at + refill - 1), SOURCES_FAST);
		assert_int_equal(visit(ss, 1, at + refill + 1), SOURCES_ADMIT);
		assert_int_equal(visit(ss, 1, at + refill + 1), SOURCES_FAST);
		sources_free(ss);
	}
}

/* So many are saved up while nobody knocks, and never more than the rate. */
static void
bucket_refills_up_to_the_rate(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rates); i++) {
		struct sources *ss = make_sources(1, 0, rates[i]);
		const int n = rates[i], more = n > 1000 ? 1000 : n;
		int64_t at = HOUR;

		assert_int_equal(admitted(ss, at, n + 1), n);
		for (int tokens = 1; tokens < more; tokens += more / 3 + 1) {
			at += (CLOCK_SECOND * tokens + n - 1) / n;
			assert_int_equal(admitted(ss, at, n + 1), tokens);
		}
		at += CLOCK_SECOND;
		assert_int_equal(admitted(ss, at, n + 1), n);
		at += CENTURY;
		assert_int_equal(admitted(ss, at, n + 1), n);
		sources_free(ss);
	}
}

/* One who knocks all the time gets the burst, and then the rate. */
static void
flood_gets_the_rate(void **state)
{
	static const int flooded[] = { 1, 2, 3, 7, 64, 1000 };
	enum { SECONDS = 10, TIMES = 100 /* as fast as is allowed */ };

	(void)state;
	for (size_t i = 0; i < COUNT(flooded); i++) {
		struct sources *ss = make_sources(1, 0, flooded[i]);
		const int64_t step = CLOCK_SECOND / (TIMES * flooded[i]);
		int n = 0;

		for (int64_t at = 0; at < SECONDS * CLOCK_SECOND; at += step)
			n += visit(ss, 1, at) == SOURCES_ADMIT;
		assert_in_range(
		    n, SECONDS * flooded[i], (SECONDS + 1) * flooded[i]);
		sources_free(ss);
	}
}

static void
refusal_costs_nothing(void **state)
{
	struct sources *ss = make_sources(10, 2, 3);
	struct source *a, *b, *none = NULL;

	(void)state;
	/* One refused for the cap takes no token: the third is still there. */
	assert_int_equal(knock(ss, 1, 0, &a), SOURCES_ADMIT);
	assert_int_equal(knock(ss, 1, 0, &b), SOURCES_ADMIT);
	for (int i = 0; i < 100; i++)
		assert_int_equal(knock(ss, 1, 0, &none), SOURCES_MANY);
	sources_leave(ss, a);
	assert_int_equal(knock(ss, 1, 0, &a), SOURCES_ADMIT);
	/* Both limits are reached: the cap is what is told. */
	assert_int_equal(knock(ss, 1, 0, &none), SOURCES_MANY);
	sources_leave(ss, a);

	/* One refused for the rate takes no place, nor a token. */
	for (int i = 0; i < 100; i++)
		assert_int_equal(knock(ss, 1, 0, &none), SOURCES_FAST);
	assert_null(none);
	assert_int_equal(knock(ss, 1, CLOCK_SECOND, &a), SOURCES_ADMIT);
	sources_leave(ss, a);
	assert_int_equal(knock(ss, 1, CLOCK_SECOND, &a), SOURCES_ADMIT);
	sources_leave(ss, a);
	assert_int_equal(knock(ss, 1, CLOCK_SECOND, &a), SOURCES_ADMIT);
	sources_leave(ss, a);
	assert_int_equal(knock(ss, 1, CLOCK_SECOND, &none), SOURCES_FAST);
	sources_leave(ss, b);
	sources_free(ss);
}

/*
 * More sources than can be remembered.
 */

static void
memory_is_bounded(void **state)
{
	enum { MAX = 64, FULL = 16, HALF = 16, KNOWN = FULL + HALF };
	const size_t bound = MAX + SOURCES_SPARE;
	struct sources *ss = make_sources(MAX, 2, 1000000);
	struct source *held[2 * KNOWN];
	size_t n = 0;

	(void)state;
	/* Some have as many clients as may be, some have one of two. */
	for (uint32_t i = 0; i < KNOWN; i++)
		assert_int_equal(knock(ss, i, 0, &held[n++]), SOURCES_ADMIT);
	for (uint32_t i = 0; i < FULL; i++)
		assert_int_equal(knock(ss, i, 0, &held[n++]), SOURCES_ADMIT);
	memory = 0;
	for (uint32_t i = 0; i < KNOCKERS; i++) {
		assert_int_equal(visit(ss, KNOWN + i, i), SOURCES_ADMIT);
		assert_true(sources_count(ss) <= bound);
	}
	memory = SIZE_MAX;
	assert_int_equal(sources_count(ss), bound);

	/* Who is connected is counted as before. */
	for (uint32_t i = 0; i < KNOWN; i++)
		assert_int_equal(visit(ss, i, KNOCKERS),
		    i < FULL ? SOURCES_MANY : SOURCES_ADMIT);
	while (n > 0)
		sources_leave(ss, held[--n]);
	for (uint32_t i = 0; i < KNOWN; i++) {
		assert_int_equal(
		    knock(ss, i, KNOCKERS, &held[n++]), SOURCES_ADMIT);
		assert_int_equal(
		    knock(ss, i, KNOCKERS, &held[n++]), SOURCES_ADMIT);
		assert_int_equal(visit(ss, i, KNOCKERS), SOURCES_MANY);
	}
	assert_int_equal(sources_count(ss), bound);
	sources_free(ss);
}

/* All clients that there may be are connected, and of as many sources. */
static void
full_house_is_remembered(void **state)
{
	enum { MAX = 64 };
	struct sources *ss = make_sources(MAX, 1, 1);
	struct source *held[MAX], *none = NULL;

	(void)state;
	for (uint32_t n = MAX; n < MAX + 2 * SOURCES_SPARE; n++)
		assert_int_equal(visit(ss, n, 0), SOURCES_ADMIT);
	for (uint32_t n = 0; n < MAX; n++)
		assert_int_equal(knock(ss, n, 0, &held[n]), SOURCES_ADMIT);
	for (uint32_t n = 0; n < MAX; n++)
		assert_int_equal(knock(ss, n, 0, &none), SOURCES_MANY);
	/* There are still as many of those who are not. */
	for (uint32_t n = MAX + SOURCES_SPARE; n < MAX + 2 * SOURCES_SPARE; n++)
		assert_int_equal(knock(ss, n, 0, &none), SOURCES_FAST);
	assert_null(none);
	assert_int_equal(sources_count(ss), MAX + SOURCES_SPARE);
	for (uint32_t n = 0; n < MAX; n++)
		sources_leave(ss, held[n]);
	for (uint32_t n = 0; n < MAX; n++)
		assert_int_equal(visit(ss, n, 0), SOURCES_FAST);
	sources_free(ss);
}

static void
last_to_knock_is_remembered_longest(void **state)
{
	enum { MAX = 8, ROOM = MAX + SOURCES_SPARE };
	struct sources *ss = make_sources(MAX, 0, 1);

	(void)state;
	for (uint32_t n = 0; n < KNOCKERS; n++) {
		assert_int_equal(visit(ss, n, 0), SOURCES_ADMIT);
		/* A knock that is refused is a knock, too. */
		if (n >= 1000 && n % 1000 == 0)
			assert_int_equal(visit(ss, 862, 0), SOURCES_FAST);
	}
	/* From the last one back: the bucket of each is empty. */
	for (uint32_t n = 1; n < ROOM; n++)
		assert_int_equal(visit(ss, KNOCKERS - n, 0), SOURCES_FAST);
	assert_int_equal(visit(ss, 862, 0), SOURCES_FAST);
	/* There was no room for the one before them. */
	assert_int_equal(visit(ss, KNOCKERS - ROOM, 0), SOURCES_ADMIT);
	sources_free(ss);
}

/*
 * The model: each source in an array, its tokens counted as a level of water,
 * the one to forget looked for among all.
 */

enum { NETS_MAX = 6000, CLIENTS_MAX = 300, STEPS = 30000 };

struct known {
	bool known;
	int active;
	int64_t level, at; /* ns that can be spent, as it was at that time */
	uint64_t touched;
};

struct model {
	size_t max, n; /* to remember, remembered */
	int cap, rate;
	uint64_t touches;
	struct known at[NETS_MAX];
};

static struct known *
model_find(struct model *m, uint32_t net, int64_t at)
{
	struct known *k = &m->at[net], *oldest = NULL;

	if (k->known)
		return k;
	for (size_t i = 0; m->n == m->max && i < NETS_MAX; i++) {
		struct known *other = &m->at[i];

		if (other->known && other->active == 0 &&
		    (oldest == NULL || other->touched < oldest->touched))
			oldest = other;
	}
	if (oldest != NULL)
		oldest->known = false;
	else
		m->n++;
	*k = (struct known){ .known = true, .level = CLOCK_SECOND, .at = at };
	return k;
}

static enum sources_verdict
model_knock(struct model *m, uint32_t net, int64_t at)
{
	struct known *k = model_find(m, net, at);
	const int64_t price = m->rate > 0 ? CLOCK_SECOND / m->rate : 0;

	if (k->active == 0)
		k->touched = ++m->touches;
	if (m->cap > 0 && k->active == m->cap)
		return SOURCES_MANY;
	k->level = at - k->at < CLOCK_SECOND - k->level ? k->level + at - k->at
							: CLOCK_SECOND;
	k->at = at;
	if (k->level < price)
		return SOURCES_FAST;
	k->level -= price;
	k->active++;
	return SOURCES_ADMIT;
}

static void
model_leave(struct model *m, uint32_t net)
{
	if (--m->at[net].active == 0)
		m->at[net].touched = ++m->touches;
}

struct walk {
	size_t max;
	int cap, rate; /* a divisor of CLOCK_SECOND: the model does not round */
	uint32_t nets;
	uint32_t hurry; /* that many steps take a second, on average */
};

static void
walk_randomly(const struct walk *w, uint64_t seed)
{
	static struct model m;
	struct {
		struct source *source;
		uint32_t net;
	} in[CLIENTS_MAX];
	struct sources *ss = make_sources(w->max, w->cap, w->rate);
	size_t n = 0, told[3] = { 0 };
	const uint32_t pause = (uint32_t)(4 * CLOCK_SECOND / w->hurry);
	uint64_t random = seed;
	int64_t at = HOUR;

	memset(&m, 0, sizeof(m));
	m.max = w->max + SOURCES_SPARE;
	m.cap = w->cap;
	m.rate = w->rate;
	for (int step = 0; step < STEPS; step++) {
		/* Now there are more who come, now more who go. */
		const bool filling = step / (STEPS / 8) % 2 == 0;

		const uint32_t stay = filling ? 4 : 2; /* one of so many goes */

		if (n == w->max ||
		    (n > 0 && random_below(&random, stay) == 0)) {
			const size_t i = random_below(&random, (uint32_t)n);

			sources_leave(ss, in[i].source);
			model_leave(&m, in[i].net);
			in[i] = in[--n];
			continue;
		}

		const uint32_t net = random_below(&random, w->nets);
		struct source *s = NULL;
		const enum sources_verdict want = model_knock(&m, net, at);
		const enum sources_verdict got = knock(ss, net, at, &s);

		if (got != want)
			fail_msg("step %d: %d is wanted, %d came", step,
			    (int)want, (int)got);
		told[got]++;
		assert_int_equal(s != NULL, got == SOURCES_ADMIT);
		if (got == SOURCES_ADMIT) {
			in[n].source = s;
			in[n++].net = net;
		}
		assert_int_equal(sources_count(ss), m.n);
		/* Half of the time it stands still. */
		if (random_below(&random, 2) == 0)
			at += random_below(&random, pause);
		if (random_below(&random, 5000) == 0)
			at += HOUR;
	}
	print_message("seed %llu: %zu admitted, %zu too many, %zu too fast, "
		      "%zu remembered\n",
	    (unsigned long long)seed, told[SOURCES_ADMIT], told[SOURCES_MANY],
	    told[SOURCES_FAST], sources_count(ss));
	assert_true(told[SOURCES_ADMIT] > 0);
	assert_int_equal(told[SOURCES_MANY] > 0, w->cap > 0);
	assert_int_equal(told[SOURCES_FAST] > 0, w->rate > 0);
	sources_free(ss);
}

static void
table_does_as_the_model(void **state)
{
	static const struct walk walks[] = {
		{ 2, 1, 1, 3, 4 },
		{ 5, 2, 0, 3, 10 },
		{ 5, 0, 2, 3, 10 },
		{ 100, 3, 10, 40, 500 },
		{ CLIENTS_MAX, 8, 100, 30, 20000 },
		/* More sources than are remembered. */
		{ 8, 1, 1, NETS_MAX, 8000 },
		{ CLIENTS_MAX, 1, 1, NETS_MAX, 8000 },
		{ CLIENTS_MAX, 1, 2, 4500, 8000 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(walks); i++)
		walk_randomly(&walks[i], SEED + i);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lack_of_memory_is_told),
		cmocka_unit_test(visitors_need_no_room),
		cmocka_unit_test(zero_is_no_limit),
		cmocka_unit_test(cap_is_for_each_source),
		cmocka_unit_test(burst_is_the_rate),
		cmocka_unit_test(token_comes_back_in_its_time),
		cmocka_unit_test(bucket_refills_up_to_the_rate),
		cmocka_unit_test(flood_gets_the_rate),
		cmocka_unit_test(refusal_costs_nothing),
		cmocka_unit_test(memory_is_bounded),
		cmocka_unit_test(full_house_is_remembered),
		cmocka_unit_test(last_to_knock_is_remembered_longest),
		cmocka_unit_test(table_does_as_the_model),
	};

	return cmocka_run_group_tests_name("sources", tests, NULL, NULL);
}
