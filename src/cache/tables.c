/* SPDX-License-Identifier: PostgreSQL */
/*
 * The table of generations: open addressing over a fixed array, a slot is
 * claimed once by compare-and-swap of its tag and never given back. A name is
 * looked for in a short window of slots; when all of them are others' it uses
 * the first one together with its owner: both are then voided by each other's
 * changes, never the reverse.
 *
 * Order of a change: the time first, then the counter (release). Who reads the
 * new counter (acquire) therefore also sees a last change at least as new.
 *
 * Any thread, no locks.
 */
#include "cache/tables.h"

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"

enum { PROBE_MAX = 8 };

struct tables_slot {
	_Atomic uint64_t tag; /* 0: free */
	_Atomic uint64_t generation;
	_Atomic uint64_t last_change_us;
	_Atomic uint64_t token; /* the newest known; 0: none */
	_Atomic uint64_t shown; /* as Redis had it last; 0: never seen there */
	_Atomic uint64_t told_us;
	_Atomic uint32_t pending;
};

struct tables {
	_Atomic uint64_t epoch;    /* generation of everything */
	_Atomic uint64_t floor_us; /* no last change is earlier */
	size_t mask;
	struct tables_slot *slots; /* owned; zeroed by the kernel page by page */
};

struct tables *tables_create(size_t slot_count, uint64_t now_us)
{
	struct tables *t = mem_zalloc(sizeof *t);

	WEIR_ASSERT(slot_count >= PROBE_MAX && (slot_count & (slot_count - 1)) == 0);
	t->mask = slot_count - 1;
	t->slots = mem_zalloc(slot_count * sizeof *t->slots);
	atomic_init(&t->floor_us, now_us);
	return t;
}

void tables_destroy(struct tables *t)
{
	mem_free(t->slots);
	mem_free(t);
}

struct slice tables_cluster_of(struct slice scope)
{
	const char *slash = scope.len ? memchr(scope.ptr, '/', scope.len) : NULL;

	return slash ? slice_of(scope.ptr, (size_t)(slash - scope.ptr)) : scope;
}

static uint64_t name_tag(enum generation_kind kind, uint64_t scope_hash, uint32_t oid)
{
	uint64_t tag = hash_combine(scope_hash, ((uint64_t)kind << 32) | oid);

	return tag ? tag : 1;
}

static struct tables_slot *find(struct tables *t, uint64_t tag)
{
	for (size_t i = 0; i < PROBE_MAX; i++) {
		struct tables_slot *slot = &t->slots[(tag + i) & t->mask];
		uint64_t seen = atomic_load_explicit(&slot->tag, memory_order_relaxed);

		if (seen == 0 && atomic_compare_exchange_strong(&slot->tag, &seen, tag))
			return slot;
		if (seen == tag)
			return slot;
	}
	return &t->slots[tag & t->mask];
}

struct tables_slot *tables_slot(struct tables *t, enum generation_kind kind, struct slice scope,
                                uint32_t oid)
{
	return find(t, name_tag(kind, hash_bytes(scope.ptr, scope.len), oid));
}

void tables_resolve(struct tables *t, const struct cache_deps *deps, struct tables_view *view)
{
	struct slice cluster = tables_cluster_of(deps->database);
	uint64_t cluster_hash = hash_bytes(cluster.ptr, cluster.len);
	uint64_t scope_hash = hash_bytes(deps->database.ptr, deps->database.len);
	uint64_t tag = name_tag(GENERATION_CLUSTER, cluster_hash, 0);
	uint64_t identity = scope_hash;

	WEIR_ASSERT(deps->table_count <= CACHE_TABLES_MAX);
	view->count = 0;
	view->slots[view->count++] = find(t, tag);
	view->slots[view->count++] = find(t, name_tag(GENERATION_DATABASE, scope_hash, 0));
	for (uint32_t i = 0; i < deps->table_count; i++) {
		tag = name_tag(GENERATION_TABLE, scope_hash, deps->tables[i]);
		identity = hash_combine(identity, tag);
		view->slots[view->count++] = find(t, tag);
	}
	view->identity = identity;
}

uint64_t tables_sum(const struct tables *t, const struct tables_view *view)
{
	uint64_t sum = atomic_load_explicit(&t->epoch, memory_order_acquire);

	for (uint32_t i = 0; i < view->count; i++)
		sum += atomic_load_explicit(&view->slots[i]->generation, memory_order_acquire);
	return sum;
}

uint64_t tables_last_change_us(const struct tables *t, const struct tables_view *view)
{
	uint64_t last = atomic_load_explicit(&t->floor_us, memory_order_acquire);

	for (uint32_t i = 0; i < view->count; i++) {
		uint64_t at = atomic_load_explicit(&view->slots[i]->last_change_us, memory_order_acquire);

		if (at > last)
			last = at;
	}
	return last;
}

static void raise_to(_Atomic uint64_t *value, uint64_t to)
{
	uint64_t seen = atomic_load_explicit(value, memory_order_relaxed);

	while (seen < to && !atomic_compare_exchange_weak(value, &seen, to))
		;
}

void tables_change(struct tables_slot *slot, uint64_t now_us)
{
	raise_to(&slot->last_change_us, now_us);
	atomic_fetch_add(&slot->generation, 1);
}

void tables_change_all(struct tables *t, uint64_t now_us)
{
	raise_to(&t->floor_us, now_us);
	atomic_fetch_add(&t->epoch, 1);
}

enum tables_token tables_token_shown(struct tables_slot *slot, uint64_t token, uint64_t now_us)
{
	uint64_t newest = atomic_load_explicit(&slot->token, memory_order_acquire);
	uint64_t shown = atomic_load_explicit(&slot->shown, memory_order_acquire);

	if (newest == token) {
		if (shown != token) /* the usual hit writes nothing */
			atomic_store_explicit(&slot->shown, token, memory_order_release);
		return TOKEN_KNOWN;
	}
	if (shown == token)
		return TOKEN_BEHIND;
	tables_change(slot, now_us);
	atomic_store_explicit(&slot->token, token, memory_order_release);
	atomic_store_explicit(&slot->shown, token, memory_order_release);
	return newest == 0 ? TOKEN_FIRST : TOKEN_NEWS;
}

bool tables_token_told(struct tables_slot *slot, uint64_t token, uint64_t now_us)
{
	if (atomic_load_explicit(&slot->token, memory_order_acquire) == token)
		return false;
	tables_change(slot, now_us);
	tables_token_set(slot, token, now_us);
	return true;
}

void tables_token_set(struct tables_slot *slot, uint64_t token, uint64_t now_us)
{
	atomic_store_explicit(&slot->told_us, now_us, memory_order_release);
	atomic_store_explicit(&slot->token, token, memory_order_release);
}

uint64_t tables_told_us(const struct tables_slot *slot)
{
	return atomic_load_explicit(&slot->told_us, memory_order_acquire);
}

void tables_pending_add(struct tables_slot *slot)
{
	atomic_fetch_add(&slot->pending, 1);
}

void tables_pending_remove(struct tables_slot *slot)
{
	uint32_t before = atomic_fetch_sub(&slot->pending, 1);

	WEIR_ASSERT(before > 0);
}

bool tables_is_pending(const struct tables_view *view)
{
	for (uint32_t i = 0; i < view->count; i++)
		if (atomic_load_explicit(&view->slots[i]->pending, memory_order_acquire) > 0)
			return true;
	return false;
}
