#include "echod/scoreboard.h"

#include <stdatomic.h>
#include <sys/mman.h>

#include "echod/memory.h"

/* A page, or a part of one where pages are larger. */
enum { GROUP_SIZE = 4096, SLOTS = GROUP_SIZE / sizeof(struct slot) - 1 };

#define ALL_SLOTS ((UINT64_C(1) << SLOTS) - 1)

/* The goodbyes are with the slots: a child touches one page. */
struct group {
	alignas(GROUP_SIZE) _Atomic uint64_t goodbyes; /* bit i: slot[i] */
	_Atomic uint64_t introductions;
	struct slot slot[SLOTS];
};

struct scoreboard {
	struct group *group;
	size_t ngroups;
	size_t used; /* so many had a slot taken: only their memory exists */
};

struct scoreboard *
scoreboard_new(size_t n)
{
	struct scoreboard *b = memory_new(sizeof(*b));

	if (b == NULL)
		return NULL;
	b->ngroups = n / SLOTS + 1;
	b->group = mmap(NULL, b->ngroups * sizeof(struct group),
	    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (b->group == MAP_FAILED) {
		memory_free(b, sizeof(*b));
		return NULL;
	}
	return b;
}

void
scoreboard_free(struct scoreboard *b)
{
	if (b == NULL)
		return;
	munmap(b->group, b->ngroups * sizeof(struct group));
	memory_free(b, sizeof(*b));
}

static uint64_t
bit_of(size_t i)
{
	return UINT64_C(1) << i % SLOTS;
}

struct slot *
scoreboard_take(struct scoreboard *b, size_t i)
{
	struct group *group = &b->group[i / SLOTS];
	struct slot *slot = &group->slot[i % SLOTS];

	if (b->used <= i / SLOTS)
		b->used = i / SLOTS + 1;
	atomic_fetch_and(&group->goodbyes, ~bit_of(i));
	atomic_fetch_and(&group->introductions, ~bit_of(i));
	atomic_store_explicit(&slot->bytes, 0, memory_order_relaxed);
	atomic_store_explicit(&slot->admitted, false, memory_order_relaxed);
	return slot;
}

uint64_t
scoreboard_bytes(const struct scoreboard *b, size_t i)
{
	return atomic_load_explicit(
	    &b->group[i / SLOTS].slot[i % SLOTS].bytes, memory_order_relaxed);
}

/* Groups are aligned to their size. */
static struct group *
group_of(struct slot *slot)
{
	return (void *)((uintptr_t)slot & ~(uintptr_t)(GROUP_SIZE - 1));
}

void
scoreboard_introduce(struct slot *slot, const struct address *peer)
{
	struct group *group = group_of(slot);

	slot->peer = peer != NULL ? *peer : (struct address){ 0 };
	atomic_fetch_or(
	    &group->introductions, bit_of((size_t)(slot - group->slot)));
}

void
scoreboard_admit(struct scoreboard *b, size_t i)
{
	atomic_store(&b->group[i / SLOTS].slot[i % SLOTS].admitted, true);
}

void
scoreboard_goodbye(struct slot *slot)
{
	struct group *group = group_of(slot);

	atomic_fetch_or(&group->goodbyes, bit_of((size_t)(slot - group->slot)));
}

/* The first slot from the from-th on that has a bit in the word at offset. */
static size_t
find(const struct scoreboard *b, size_t offset, size_t from)
{
	for (size_t i = from / SLOTS; i < b->used; i++) {
		const _Atomic uint64_t *word =
		    (const void *)((const char *)&b->group[i] + offset);
		uint64_t bits = atomic_load(word) & ALL_SLOTS;

		if (i == from / SLOTS)
			bits &= ~(bit_of(from) - 1);
		if (bits != 0)
			return i * SLOTS + (size_t)__builtin_ctzll(bits);
	}
	return SIZE_MAX;
}

size_t
scoreboard_introduced(const struct scoreboard *b, size_t from)
{
	return find(b, offsetof(struct group, introductions), from);
}

bool
scoreboard_hear(struct scoreboard *b, size_t i, struct address *peer)
{
	struct group *group = &b->group[i / SLOTS];

	if ((atomic_fetch_and(&group->introductions, ~bit_of(i)) & bit_of(i)) ==
	    0)
		return false;
	*peer = group->slot[i % SLOTS].peer;
	/* From here on the copy counts: a child may change what is there. */
	atomic_signal_fence(memory_order_seq_cst);
	switch (peer->sa.sa_family) {
	case AF_INET:
		peer->len = sizeof(peer->in);
		break;
	case AF_INET6:
		peer->len = sizeof(peer->in6);
		break;
	default:
		peer->len = 0;
	}
	return true;
}

size_t
scoreboard_leaving(struct scoreboard *b, size_t from)
{
	const size_t i = find(b, offsetof(struct group, goodbyes), from);

	if (i != SIZE_MAX)
		atomic_fetch_and(&b->group[i / SLOTS].goodbyes, ~bit_of(i));
	return i;
}

void
scoreboard_still_leaving(struct scoreboard *b, size_t i)
{
	atomic_fetch_or(&b->group[i / SLOTS].goodbyes, bit_of(i));
}
