/* SPDX-License-Identifier: PostgreSQL */
/*
 * The two statement caches of a worker: by text and by shape, in two maps over
 * one kind of entry, with one byte bound and one eviction order. The order is
 * second chance: a hit sets a bit (no list is touched on the hot path), the
 * evictor gives entries with the bit another round. In front of both is a small
 * table of texts that differ in plain literals only (template.h).
 *
 * A text whose shape is known gets an entry of its own only when it comes again
 * in a later period while its mark is still in the small `seen` table; so programs
 * that write literals into their texts don't wash the cache, and neither kind
 * of hit allocates. Not within the same period, since one request is looked up
 * more than once: by Parse and Execute, and again after it waited for a server
 * (without that rule every fifth text got in at 32 clients over a pool of 20,
 * and a quarter of our CPU went into cold chains). The worker's thread only.
 */
#include <string.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "sql/analyse.h"
#include "sql/shape.h"
#include "sql/statement.h"
#include "sql/template.h"

enum { ARENA_BLOCK_BYTES = 64 * 1024, SEEN_SLOTS = 4096, SEEN_PERIOD = 4096 /* look-ups */ };

struct entry {
	struct map_node node;
	struct list_node order;
	struct map *map;             /* borrowed: by_text or by_shape of the cache */
	struct statement *statement; /* counted */
	size_t len;
	bool is_used; /* hit since the evictor came by */
	char key[];   /* the text, or the normalised text of the shape */
};

struct seen {
	uint32_t mark;   /* upper half of the text's hash */
	uint32_t period; /* when it was first seen since another text had the slot */
};

struct statement_cache {
	struct map by_text;
	struct map by_shape;
	struct list order; /* newest first */
	size_t max_bytes;
	size_t max_text_bytes;
	struct statement *last; /* counted: what the last look-up returned */
	struct arena arena;
	char *scratch; /* owned: normalised text */
	size_t scratch_bytes;
	struct statement_cache_stats stats;
	struct seen seen[SEEN_SLOTS];
	struct template_table templates;
};

static bool entry_equal(const struct map_node *node, const void *key)
{
	const struct entry *e = map_entry(node, struct entry, node);
	const struct slice *s = key;

	return e->len == s->len && memcmp(e->key, s->ptr, s->len) == 0;
}

struct statement_cache *statement_cache_create(size_t max_bytes, size_t max_text_bytes)
{
	struct statement_cache *c = mem_zalloc(sizeof(*c));

	map_init(&c->by_text, entry_equal);
	map_init(&c->by_shape, entry_equal);
	list_init(&c->order);
	arena_init(&c->arena, ARENA_BLOCK_BYTES);
	c->max_bytes = max_bytes;
	c->max_text_bytes = max_text_bytes;
	return c;
}

/* A statement's bytes count with each entry that holds it: the bound errs on the safe side. */
static void account(struct statement_cache *c, const struct entry *e, bool is_added)
{
	size_t bytes = sizeof(*e) + e->len + e->statement->cost_bytes;

	if (is_added) {
		c->stats.bytes += bytes;
		c->stats.count++;
	} else {
		WEIR_ASSERT(c->stats.count > 0);
		c->stats.bytes -= bytes;
		c->stats.count--;
	}
}

static void entry_drop(struct statement_cache *c, struct entry *e)
{
	account(c, e, false);
	map_remove(e->map, &e->node);
	list_remove(&c->order, &e->order);
	statement_put(&e->statement);
	mem_free(e);
}

void statement_cache_destroy(struct statement_cache *c)
{
	if (!c)
		return;
	while (c->order.count > 0)
		entry_drop(c, list_entry(list_last(&c->order), struct entry, order));
	template_table_fini(&c->templates);
	WEIR_ASSERT(c->stats.bytes == 0 && c->stats.count == 0);
	statement_put(&c->last);
	map_fini(&c->by_text);
	map_fini(&c->by_shape);
	arena_fini(&c->arena);
	mem_free(c->scratch);
	mem_free(c);
}

const struct statement_cache_stats *statement_cache_stats(const struct statement_cache *c)
{
	return &c->stats;
}

static void make_room(struct statement_cache *c, size_t bytes)
{
	while (c->order.count > 0 && c->stats.bytes + bytes > c->max_bytes) {
		struct entry *e = list_entry(list_last(&c->order), struct entry, order);

		if (e->is_used) {
			e->is_used = false;
			list_remove(&c->order, &e->order);
			list_prepend(&c->order, &e->order);
			continue;
		}
		entry_drop(c, e);
		c->stats.evictions++;
	}
}

/* Keeps key and statement if they fit; takes a reference of its own. */
static void insert(struct statement_cache *c, struct map *map, struct slice key, uint64_t hash,
                   struct statement *s)
{
	size_t bytes = sizeof(struct entry) + key.len + s->cost_bytes;
	struct entry *e;

	if (bytes > c->max_bytes / 4)
		return;
	statement_get(s);
	make_room(c, bytes);
	e = mem_try_alloc(sizeof(*e) + key.len);
	if (!e) {
		statement_put(&s);
		return;
	}
	*e = (struct entry){ .map = map, .statement = s, .len = key.len };
	memcpy(e->key, key.ptr, key.len);
	map_insert(map, &e->node, hash);
	list_prepend(&c->order, &e->order);
	account(c, e, true);
}

static struct statement *find(struct map *map, struct slice key, uint64_t hash)
{
	struct map_node *node = map_find(map, hash, &key);
	struct entry *e;

	if (!node)
		return NULL;
	e = map_entry(node, struct entry, node);
	e->is_used = true;
	return e->statement;
}

/* True if the text was here in an earlier period, as far as the table remembers. */
static bool note_seen(struct statement_cache *c, uint64_t hash)
{
	struct seen *slot = &c->seen[hash % SEEN_SLOTS];
	struct seen now = { .mark = (uint32_t)(hash >> 32),
		                .period = (uint32_t)(c->stats.shape_hits / SEEN_PERIOD) };

	if (slot->mark == now.mark)
		return slot->period != now.period;
	*slot = now;
	return false;
}

static bool reserve_scratch(struct statement_cache *c, size_t bytes)
{
	if (bytes <= c->scratch_bytes)
		return true;
	mem_free(c->scratch);
	c->scratch = mem_try_alloc(bytes);
	c->scratch_bytes = c->scratch ? bytes : 0;
	return c->scratch != NULL;
}

/* The look-up returned it and may hold the only reference. */
static struct statement *keep_last(struct statement_cache *c, struct statement *own)
{
	statement_put(&c->last);
	c->last = own;
	return own;
}

static struct statement *analyse_new(struct statement_cache *c, struct slice text, uint64_t hash,
                                     const struct shape *shape, size_t shape_len)
{
	struct analysed result = analyse_text(&c->arena, text, shape);

	arena_reset(&c->arena);
	c->stats.parses++;
	c->stats.parse_failures += !result.is_parsed;
	keep_last(c, result.statement);
	if (result.is_shared)
		insert(c, &c->by_shape, slice_of(c->scratch, shape_len), shape->hash, result.statement);
	else
		insert(c, &c->by_text, text, hash, result.statement);
	return result.statement;
}

static struct statement *lookup_large(struct statement_cache *c, struct slice text)
{
	struct statement *s = analyse_large(&c->arena, text);

	arena_reset(&c->arena);
	return keep_last(c, s);
}

struct statement *statement_cache_lookup(struct statement_cache *c, struct slice text)
{
	struct shape_literals literals;
	struct statement *s;
	struct shape shape;
	size_t shape_len;
	uint64_t hash;

	if (text.len > c->max_text_bytes)
		return lookup_large(c, text);
	s = template_find(&c->templates, text);
	if (s) {
		c->stats.template_hits++;
		return s;
	}
	hash = hash_bytes(text.ptr, text.len);
	s = find(&c->by_text, text, hash);
	if (s) {
		c->stats.text_hits++;
		return s;
	}
	if (!reserve_scratch(c, shape_bound(text.len)))
		return lookup_large(c, text);
	shape_len = shape_make_noting(&shape, text, c->scratch, &literals);
	s = find(&c->by_shape, slice_of(c->scratch, shape_len), shape.hash);
	if (!s)
		return analyse_new(c, text, hash, &shape, shape_len);
	c->stats.shape_hits++;
	keep_last(c, statement_get(s)); /* making room for the text may evict the shape */
	if (!shape.is_text_only)
		template_add(&c->templates, text, &literals, s);
	if (note_seen(c, hash))
		insert(c, &c->by_text, text, hash, s);
	return s;
}
