/*
 * Clients: the table against a simple model of it, in thousands of random
 * steps, and what the model does not say.
 */
#include "echod/clients.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { SEED = 862, STEPS = 20000, PIDS = 400, MAX_MAX = 300 };

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

/* What is known of each record that is taken, in the order of seating. */
struct model {
	size_t max, n, seated;
	struct known {
		struct client *c;
		pid_t pid; /* 0: not seated */
		bool announced;
		size_t nth;
		int64_t since, due;
		uint16_t port; /* of the peer */
	} at[MAX_MAX];
};

static struct known *
model_find(struct model *m, pid_t pid)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->at[i].pid == pid)
			return &m->at[i];
	return NULL;
}

static struct known *
model_unannounced(struct model *m)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->at[i].pid != 0 && !m->at[i].announced)
			return &m->at[i];
	return NULL;
}

/* Take the record at i out, keeping the others' order. */
static struct known
model_remove(struct model *m, size_t i)
{
	const struct known k = m->at[i];

	m->n--;
	memmove(&m->at[i], &m->at[i + 1], (m->n - i) * sizeof(k));
	m->seated -= k.pid != 0;
	return k;
}

static void
take(struct clients *cs, struct model *m, int64_t now)
{
	const uint16_t port = (uint16_t)(now % 65536);
	const struct address peer = make_v4("192.0.2.7", port);
	struct client *c = clients_take(cs, &peer, now);

	if (m->n == m->max) {
		assert_null(c);
		return;
	}
	assert_non_null(c);
	assert_int_equal(c->pid, 0);
	assert_false(c->proxied || c->refused);
	m->at[m->n++] = (struct known){
		.c = c,
		.since = now,
		.due = now,
		.port = port,
	};
}

static void
seat(struct clients *cs, struct model *m, size_t i, pid_t pid)
{
	if (m->at[i].pid != 0 || model_find(m, pid) != NULL)
		return;

	struct known k = model_remove(m, i);

	clients_seat(cs, k.c, pid);
	k.pid = pid;
	k.nth = ++m->seated;
	m->at[m->n++] = k; /* the last to be announced */
}

static void
give_back(struct clients *cs, struct model *m, size_t i)
{
	clients_give_back(cs, model_remove(m, i).c);
}

static void
announce(struct clients *cs, struct model *m, size_t i)
{
	if (m->at[i].pid == 0)
		return;
	clients_announce(cs, m->at[i].c); /* the second time, too */
	m->at[i].announced = true;
}

/* Behind all others that are seated: so is the model's order of them. */
static void
put_off(struct clients *cs, struct model *m, size_t i, int64_t now)
{
	if (m->at[i].pid == 0 || m->at[i].announced)
		return;

	struct known k = m->at[i];

	clients_put_off(cs, k.c, now);
	k.due = now;
	m->n--;
	memmove(&m->at[i], &m->at[i + 1], (m->n - i) * sizeof(k));
	m->at[m->n++] = k;
}

/* What can be asked after each step. */
static void
check_state(struct clients *cs, struct model *m, uint64_t *random)
{
	const pid_t pid = 1 + (pid_t)random_below(random, PIDS);
	const struct known *k = model_find(m, pid);
	const struct known *next = model_unannounced(m);

	assert_int_equal(clients_count(cs), m->seated);
	assert_int_equal(clients_full(cs), m->n == m->max);
	assert_ptr_equal(clients_find(cs, pid), k != NULL ? k->c : NULL);
	assert_ptr_equal(
	    clients_unannounced(cs), next != NULL ? next->c : NULL);
	assert_null(clients_find(cs, 0));
	assert_null(clients_find(cs, -1));
}

/* Every record, every pid, every slot. */
static void
check_all(struct clients *cs, struct model *m)
{
	bool used[MAX_MAX] = { false };
	size_t n = 0;
	pid_t last = 0;

	for (size_t i = 0; i < m->n; i++) {
		const struct known *k = &m->at[i];

		assert_in_range(k->c->slot, 0, m->max - 1);
		assert_false(used[k->c->slot]);
		used[k->c->slot] = true;
		assert_int_equal(k->c->pid, k->pid);
		assert_int_equal(k->c->since, k->since);
		assert_int_equal(k->c->due, k->due);
		assert_int_equal(address_port(&k->c->peer), k->port);
		if (k->pid != 0) {
			assert_ptr_equal(clients_find(cs, k->pid), k->c);
			assert_int_equal(k->c->nth, k->nth);
			assert_int_equal(k->c->announced, k->announced);
		}
	}
	for (struct client *c = clients_first(cs); c != NULL;
	     c = clients_next(c)) {
		assert_true(c->pid > last);
		assert_non_null(model_find(m, c->pid));
		last = c->pid;
		n++;
	}
	assert_int_equal(n, m->seated);
}

static void
walk_randomly(size_t max, uint64_t seed)
{
	struct clients *cs = clients_new(max);
	struct model m = { .max = max };
	uint64_t random = seed;

	assert_non_null(cs);
	print_message("max %zu, seed %llu\n", max, (unsigned long long)seed);
	for (int step = 0; step < STEPS; step++) {
		/* Now there are more who come, now more who go. */
		const bool filling = step / (STEPS / 8) % 2 == 0;
		const size_t i =
		    m.n > 0 ? random_below(&random, (uint32_t)m.n) : 0;
		const pid_t pid = 1 + (pid_t)random_below(&random, PIDS);

		switch (random_below(&random, 9)) {
		case 0:
		case 1:
			take(cs, &m, step);
			break;
		case 2:
		case 3:
			if (m.n > 0)
				seat(cs, &m, i, pid);
			break;
		case 4:
			if (m.n > 0)
				announce(cs, &m, i);
			break;
		case 5:
			if (filling)
				take(cs, &m, step);
			else if (m.n > 0)
				give_back(cs, &m, i);
			break;
		case 6:
			if (!filling && m.n > 0)
				give_back(cs, &m, i);
			break;
		case 7:
			if (m.n > 0)
				put_off(cs, &m, i, step);
			break;
		case 8: /* as the server does */
			if (clients_unannounced(cs) != NULL) {
				model_unannounced(&m)->announced = true;
				clients_announce(cs, clients_unannounced(cs));
			}
			break;
		}
		check_state(cs, &m, &random);
		if (step % 64 == 0)
			check_all(cs, &m);
	}
	while (m.n > 0)
		give_back(cs, &m, m.n / 2);
	check_state(cs, &m, &random);
	check_all(cs, &m);
	clients_free(cs);
}

static void
table_does_as_the_model(void **state)
{
	static const size_t max[] = { 1, 2, 3, 7, 64, MAX_MAX };

	(void)state;
	for (size_t i = 0; i < COUNT(max); i++)
		walk_randomly(max[i], SEED + i);
}

static void
new_table_is_empty(void **state)
{
	struct clients *cs = clients_new(2);

	(void)state;
	assert_non_null(cs);
	assert_int_equal(clients_count(cs), 0);
	assert_false(clients_full(cs));
	assert_null(clients_first(cs));
	assert_null(clients_unannounced(cs));
	assert_null(clients_find(cs, 1));
	clients_free(cs);
	clients_free(NULL);
}

static void
lack_of_memory_is_told(void **state)
{
	(void)state;
	memory = 1024 * 1024;
	errno = 0;

	struct clients *cs = clients_new(1000000);
	const int error = errno;

	memory = SIZE_MAX;
	assert_null(cs);
	assert_int_equal(error, ENOMEM);
}

static void
taken_is_full_but_does_not_count(void **state)
{
	const struct address peer = make_v6("2001:db8::7", 0, 50312);
	struct clients *cs = clients_new(1);
	struct client *c = clients_take(cs, &peer, 862);

	(void)state;
	assert_non_null(c);
	assert_int_equal(c->since, 862);
	assert_true(address_equal(&c->peer, &peer));
	assert_int_equal(c->peer.len, peer.len);
	assert_true(clients_full(cs));
	assert_int_equal(clients_count(cs), 0);
	assert_null(clients_first(cs));
	assert_null(clients_unannounced(cs));
	assert_null(clients_find(cs, 0));
	assert_null(clients_take(cs, &peer, 863));
	assert_int_equal(c->since, 862);

	/* Its fork failed: it goes as it came. */
	clients_give_back(cs, c);
	assert_false(clients_full(cs));
	assert_int_equal(clients_count(cs), 0);
	assert_ptr_equal(clients_take(cs, &peer, 864), c);
	clients_free(cs);
}

static void
announcements_are_in_order_of_seating(void **state)
{
	const struct address peer = make_v4("192.0.2.7", 7);
	struct clients *cs = clients_new(5);
	struct client *c[5];

	(void)state;
	for (size_t i = 0; i < COUNT(c); i++)
		c[i] = clients_take(cs, &peer, 0);
	/* Neither the order of taking nor that of pids. */
	clients_seat(cs, c[3], 10);
	clients_seat(cs, c[0], 50);
	clients_seat(cs, c[4], 30);
	clients_seat(cs, c[1], 20);
	clients_seat(cs, c[2], 40);
	assert_ptr_equal(clients_unannounced(cs), c[3]);
	assert_int_equal(c[3]->nth, 1);
	assert_int_equal(c[2]->nth, 5);

	clients_announce(cs, c[4]); /* amid the line */
	clients_give_back(cs, c[0]); /* unannounced */
	assert_ptr_equal(clients_unannounced(cs), c[3]);
	clients_announce(cs, c[3]);
	assert_true(c[3]->announced);
	assert_ptr_equal(clients_unannounced(cs), c[1]);

	/* One who comes again is a new client, the last of all. */
	assert_ptr_equal(clients_take(cs, &peer, 0), c[0]);
	clients_seat(cs, c[0], 5);
	assert_false(c[0]->announced);
	assert_int_equal(c[0]->nth, 5);
	clients_give_back(cs, c[4]);
	assert_ptr_equal(clients_take(cs, &peer, 0), c[4]);
	clients_seat(cs, c[4], 30);
	assert_false(c[4]->announced);

	const struct client *const line[] = { c[1], c[2], c[0], c[4] };

	for (size_t i = 0; i < COUNT(line); i++) {
		struct client *next = clients_unannounced(cs);

		assert_ptr_equal(next, line[i]);
		clients_announce(cs, next);
	}
	assert_null(clients_unannounced(cs));
	assert_int_equal(clients_count(cs), 5);
	clients_free(cs);
}

static void
one_put_off_is_the_last(void **state)
{
	const struct address peer = make_v4("192.0.2.7", 7);
	struct clients *cs = clients_new(3);
	struct client *c[3];

	(void)state;
	for (size_t i = 0; i < COUNT(c); i++) {
		c[i] = clients_take(cs, &peer, (int64_t)i);
		assert_int_equal(c[i]->due, i);
		clients_seat(cs, c[i], 10 + (pid_t)i);
	}
	clients_put_off(cs, c[0], 100);
	assert_ptr_equal(clients_unannounced(cs), c[1]);
	assert_int_equal(c[0]->due, 100);
	assert_int_equal(c[0]->since, 0); /* it did not come later */
	clients_put_off(cs, c[2], 101); /* amid the line */
	clients_announce(cs, c[1]);
	assert_ptr_equal(clients_unannounced(cs), c[0]);
	/* Alone it is the first of all, for ever. */
	clients_announce(cs, c[2]);
	clients_put_off(cs, c[0], 102);
	assert_ptr_equal(clients_unannounced(cs), c[0]);
	assert_int_equal(c[0]->due, 102);
	assert_int_equal(clients_count(cs), 3);
	clients_give_back(cs, c[0]);
	assert_null(clients_unannounced(cs));
	clients_free(cs);
}

/* What was known of the one before is not known of the next. */
static void
record_begins_anew(void **state)
{
	const struct address peer = make_v4("192.0.2.7", 7);
	struct clients *cs = clients_new(1);
	struct client *c = clients_take(cs, &peer, 5);

	(void)state;
	clients_seat(cs, c, 10);
	clients_put_off(cs, c, 50);
	c->proxied = c->refused = true;
	c->goodbyes = 3;
	clients_give_back(cs, c);
	assert_ptr_equal(clients_take(cs, &peer, 60), c);
	assert_false(c->proxied);
	assert_false(c->refused);
	assert_int_equal(c->goodbyes, 0);
	assert_int_equal(c->since, 60);
	assert_int_equal(c->due, 60);
	assert_null(c->source);
	clients_free(cs);
}

static void
pids_are_in_order(void **state)
{
	static const pid_t pids[] = { 4194304, 1, 300, 2, 2147483647, 299, 3 };
	static const pid_t sorted[] = { 1, 2, 3, 299, 300, 4194304,
		2147483647 };
	const struct address peer = make_v4("192.0.2.7", 7);
	struct clients *cs = clients_new(COUNT(pids));
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(pids); i++)
		clients_seat(cs, clients_take(cs, &peer, 0), pids[i]);
	for (struct client *c = clients_first(cs); c != NULL;
	     c = clients_next(c))
		assert_int_equal(c->pid, sorted[n++]);
	assert_int_equal(n, COUNT(sorted));
	clients_free(cs);
}

/* Pages of records that nobody ever needed are not touched: see clients.c. */
static void
one_at_a_time_uses_one_slot(void **state)
{
	const struct address peer = make_v4("192.0.2.7", 7);
	struct clients *cs = clients_new(1000);

	(void)state;
	for (pid_t pid = 1; pid < 5000; pid++) {
		struct client *c = clients_take(cs, &peer, pid);

		assert_int_equal(c->slot, 0);
		clients_seat(cs, c, pid);
		clients_give_back(cs, clients_find(cs, pid));
	}
	clients_free(cs);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(new_table_is_empty),
		cmocka_unit_test(lack_of_memory_is_told),
		cmocka_unit_test(taken_is_full_but_does_not_count),
		cmocka_unit_test(announcements_are_in_order_of_seating),
		cmocka_unit_test(one_put_off_is_the_last),
		cmocka_unit_test(record_begins_anew),
		cmocka_unit_test(pids_are_in_order),
		cmocka_unit_test(one_at_a_time_uses_one_slot),
		cmocka_unit_test(table_does_as_the_model),
	};

	return cmocka_run_group_tests_name("clients", tests, NULL, NULL);
}
