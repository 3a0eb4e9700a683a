/* SPDX-License-Identifier: PostgreSQL */
/*
 * The local store, striped by bits of the key. Under a stripe's mutex there
 * are only pointer changes: entries are allocated before and freed after, and
 * the chains have a fixed number of heads. What is dropped is collected on a
 * list and released once the mutex is open.
 *
 * Room is made from the least recently used end. A newcomer that was asked
 * for less often than the entry it would displace is refused, so that a scan
 * over many keys can't empty the store.
 */
#include "cache/local.h"

#include <pthread.h>

#include "base/assert.h"
#include "base/mem.h"
#include "cache/admission.h"
#include "cache/cache.h"

enum {
	STRIPES = 16,
	STRIPE_BYTES_MIN = 16 * 1024,
	HEAD_PER_BYTES = 1024, /* one chain head per so many bytes of a stripe's bound */
	HEADS_MIN = 64,
	HEADS_MAX = 1 << 18,
	DISPLACED_MAX = 64, /* entries that one newcomer may push out */
	MALLOC_OVERHEAD = 32,
};

enum { ENTRY_MAGIC = 0x43656e74 };

struct cache_entry {
	unsigned magic;
	_Atomic uint32_t refcount;
	struct local_terms terms;
	size_t description_len;
	size_t rows_len;
	struct cache_entry *chain; /* the stripe's */
	struct list_node node;     /* in the stripe's list of use, newest first */
	char data[];               /* description, then rows */
};

struct stripe {
	pthread_mutex_t mutex;
	struct cache_entry **heads; /* owned; one reference per entry */
	size_t head_count;          /* a power of two */
	size_t max_bytes;
	size_t bytes;
	struct list used;
	uint64_t evictions;
	char pad[64]; /* two stripes' mutexes never share a cache line */
};

struct local {
	const struct admission *admission; /* borrowed; may be NULL */
	struct stripe stripes[STRIPES];
};

struct cache_entry *entry_create(const struct local_terms *terms, struct slice description,
                                 struct slice rows)
{
	struct cache_entry *e = mem_try_alloc(sizeof *e + description.len + rows.len);

	if (!e)
		return NULL;
	*e = (struct cache_entry){ .magic = ENTRY_MAGIC,
		                       .terms = *terms,
		                       .description_len = description.len,
		                       .rows_len = rows.len };
	atomic_init(&e->refcount, 1);
	if (description.len)
		memcpy(e->data, description.ptr, description.len);
	if (rows.len)
		memcpy(e->data + description.len, rows.ptr, rows.len);
	return e;
}

struct cache_entry *entry_get(struct cache_entry *e)
{
	WEIR_CHECK_MAGIC(e, ENTRY_MAGIC);
	atomic_fetch_add_explicit(&e->refcount, 1, memory_order_relaxed);
	return e;
}

void cache_entry_put(struct cache_entry **ref)
{
	struct cache_entry *e = *ref;

	*ref = NULL;
	if (!e)
		return;
	WEIR_CHECK_MAGIC(e, ENTRY_MAGIC);
	if (atomic_fetch_sub_explicit(&e->refcount, 1, memory_order_acq_rel) != 1)
		return;
	e->magic = 0;
	mem_free(e);
}

size_t entry_bytes(const struct cache_entry *e)
{
	return sizeof *e + MALLOC_OVERHEAD + e->description_len + e->rows_len;
}

struct slice cache_entry_description(const struct cache_entry *e)
{
	return slice_of(e->data, e->description_len);
}

struct slice cache_entry_rows(const struct cache_entry *e)
{
	return slice_of(e->data + e->description_len, e->rows_len);
}

uint64_t cache_entry_stored_us(const struct cache_entry *e)
{
	return e->terms.stored_us;
}

static void stripe_init(struct stripe *s, size_t max_bytes)
{
	size_t heads = HEADS_MIN;

	while (heads < HEADS_MAX && heads < max_bytes / HEAD_PER_BYTES)
		heads *= 2;
	pthread_mutex_init(&s->mutex, NULL);
	s->heads = mem_zalloc(heads * sizeof(struct cache_entry *));
	s->head_count = heads;
	s->max_bytes = max_bytes > STRIPE_BYTES_MIN ? max_bytes : STRIPE_BYTES_MIN;
	list_init(&s->used);
}

struct local *local_create(size_t max_bytes, const struct admission *admission)
{
	struct local *l = mem_zalloc(sizeof *l);

	l->admission = admission;
	for (unsigned i = 0; i < STRIPES; i++)
		stripe_init(&l->stripes[i], max_bytes / STRIPES);
	return l;
}

static struct stripe *stripe_of(struct local *l, const struct hash128 *key)
{
	return &l->stripes[key->hi % STRIPES];
}

static struct cache_entry **chain_of(const struct stripe *s, const struct hash128 *key)
{
	return &s->heads[key->lo & (s->head_count - 1)];
}

static bool key_equal(const struct hash128 *a, const struct hash128 *b)
{
	return a->hi == b->hi && a->lo == b->lo;
}

static struct cache_entry *find_locked(const struct stripe *s, const struct hash128 *key)
{
	struct cache_entry *e = *chain_of(s, key);

	while (e && !key_equal(&e->terms.key, key))
		e = e->chain;
	return e;
}

/* Out of the stripe, onto the list of those to be released outside the mutex. */
static void remove_locked(struct stripe *s, struct cache_entry *e, struct list *dropped)
{
	struct cache_entry **at = chain_of(s, &e->terms.key);

	while (*at != e)
		at = &(*at)->chain;
	*at = e->chain;
	e->chain = NULL;
	list_remove(&s->used, &e->node);
	WEIR_ASSERT(s->bytes >= entry_bytes(e));
	s->bytes -= entry_bytes(e);
	list_append(dropped, &e->node);
}

static void release(struct list *dropped)
{
	struct list_node *n;

	while ((n = list_pop(dropped))) {
		struct cache_entry *e = list_entry(n, struct cache_entry, node);

		cache_entry_put(&e);
	}
}

void local_destroy(struct local *l)
{
	for (unsigned i = 0; i < STRIPES; i++) {
		struct stripe *s = &l->stripes[i];
		struct list dropped;

		list_init(&dropped);
		while (s->used.count)
			remove_locked(s, list_entry(list_first(&s->used), struct cache_entry, node), &dropped);
		release(&dropped);
		mem_free(s->heads);
		pthread_mutex_destroy(&s->mutex);
	}
	mem_free(l);
}

/* Sums only grow and time only passes: a failed comparison stays failed. */
static bool is_valid(const struct cache_entry *e, const struct local_question *q)
{
	return e->terms.identity == q->identity && e->terms.generation_sum == q->generation_sum &&
	       q->now_us < e->terms.expires_us;
}

struct cache_entry *local_find(struct local *l, const struct local_question *q)
{
	struct stripe *s = stripe_of(l, &q->key);
	struct cache_entry *e, *found = NULL;
	struct list dropped;

	list_init(&dropped);
	pthread_mutex_lock(&s->mutex);
	e = find_locked(s, &q->key);
	if (e && !is_valid(e, q)) {
		remove_locked(s, e, &dropped);
	} else if (e && e->terms.computed_us >= q->not_before_us) {
		found = entry_get(e);
		list_remove(&s->used, &e->node);
		list_prepend(&s->used, &e->node);
	}
	pthread_mutex_unlock(&s->mutex);
	release(&dropped);
	return found;
}

static bool is_hotter(const struct local *l, const struct cache_entry *a,
                      const struct cache_entry *b)
{
	return l->admission && admission_estimate(l->admission, &a->terms.key) >
	                           admission_estimate(l->admission, &b->terms.key);
}

/* True if there is room now; drops from the old end, but nothing hotter than the newcomer. */
static bool make_room_locked(struct local *l, struct stripe *s, const struct cache_entry *newcomer,
                             struct list *dropped)
{
	size_t need = entry_bytes(newcomer);

	for (unsigned i = 0; i < DISPLACED_MAX && s->max_bytes - s->bytes < need; i++) {
		struct cache_entry *oldest = list_entry(list_last(&s->used), struct cache_entry, node);

		if (is_hotter(l, oldest, newcomer))
			return false;
		remove_locked(s, oldest, dropped);
		s->evictions++;
	}
	return s->max_bytes - s->bytes >= need;
}

bool local_insert(struct local *l, struct cache_entry *entry)
{
	struct stripe *s = stripe_of(l, &entry->terms.key);
	struct cache_entry *old;
	struct list dropped;
	bool is_stored = false;

	if (entry_bytes(entry) > s->max_bytes)
		return false;
	list_init(&dropped);
	pthread_mutex_lock(&s->mutex);
	old = find_locked(s, &entry->terms.key);
	if (old)
		remove_locked(s, old, &dropped);
	if (make_room_locked(l, s, entry, &dropped)) {
		struct cache_entry **head = chain_of(s, &entry->terms.key);

		entry->chain = *head;
		*head = entry_get(entry);
		list_prepend(&s->used, &entry->node);
		s->bytes += entry_bytes(entry);
		is_stored = true;
	}
	pthread_mutex_unlock(&s->mutex);
	release(&dropped);
	return is_stored;
}

void local_stats(struct local *l, struct local_stats *out)
{
	*out = (struct local_stats){ 0 };
	for (unsigned i = 0; i < STRIPES; i++) {
		struct stripe *s = &l->stripes[i];

		pthread_mutex_lock(&s->mutex);
		out->bytes += s->bytes;
		out->entries += s->used.count;
		out->evictions += s->evictions;
		pthread_mutex_unlock(&s->mutex);
	}
}
