/* SPDX-License-Identifier: PostgreSQL */
/*
 * Intrusive chained hash map. Buckets double when there are as many entries as
 * buckets; when memory for that is refused the chains just get longer, so an
 * insertion never fails. The whole hash is kept in the node: a look-up compares
 * keys only where all 64 bits agree, and growing calls nobody. One thread.
 */
#include "base/map.h"

#include "base/assert.h"
#include "base/mem.h"

#include <string.h>

enum { MAP_BUCKETS_MIN = 16, MAP_BUCKETS_MAX = 1 << 24 };

void map_init(struct map *m, map_equal_fn *equal)
{
	*m = (struct map){ .equal = equal };
}

void map_fini(struct map *m)
{
	mem_free(m->buckets);
	map_init(m, m->equal);
}

static struct map_node **bucket_of(const struct map *m, uint64_t hash)
{
	return &m->buckets[hash & (m->bucket_count - 1)];
}

static void push(struct map *m, struct map_node *node)
{
	struct map_node **bucket = bucket_of(m, node->hash);

	node->next = *bucket;
	*bucket = node;
}

static void first_buckets(struct map *m)
{
	m->buckets = mem_zalloc(MAP_BUCKETS_MIN * sizeof(struct map_node *));
	m->bucket_count = MAP_BUCKETS_MIN;
}

static void double_buckets(struct map *m)
{
	struct map_node **old = m->buckets;
	size_t old_count = m->bucket_count;
	size_t bytes = old_count * 2 * sizeof(struct map_node *);
	struct map_node **grown = mem_try_alloc(bytes);

	if (!grown)
		return;
	memset(grown, 0, bytes);
	m->buckets = grown;
	m->bucket_count = old_count * 2;
	for (size_t i = 0; i < old_count; i++) {
		for (struct map_node *n = old[i], *next; n; n = next) {
			next = n->next;
			push(m, n);
		}
	}
	mem_free(old);
}

struct map_node *map_find(const struct map *m, uint64_t hash, const void *key)
{
	if (m->bucket_count == 0)
		return NULL;
	for (struct map_node *n = *bucket_of(m, hash); n; n = n->next) {
		if (n->hash == hash && m->equal(n, key))
			return n;
	}
	return NULL;
}

void map_insert(struct map *m, struct map_node *node, uint64_t hash)
{
	if (m->bucket_count == 0)
		first_buckets(m);
	else if (m->count >= m->bucket_count && m->bucket_count < MAP_BUCKETS_MAX)
		double_buckets(m);
	node->hash = hash;
	push(m, node);
	m->count++;
}

void map_remove(struct map *m, struct map_node *node)
{
	struct map_node **link;

	WEIR_ASSERT(m->count > 0);
	link = bucket_of(m, node->hash);
	while (*link != node) {
		WEIR_ASSERT(*link != NULL);
		link = &(*link)->next;
	}
	*link = node->next;
	node->next = NULL;
	m->count--;
}

struct map_node *map_next(const struct map *m, const struct map_node *node)
{
	size_t i = 0;

	if (node && node->next)
		return node->next;
	if (node)
		i = (node->hash & (m->bucket_count - 1)) + 1;
	for (; i < m->bucket_count; i++) {
		if (m->buckets[i])
			return m->buckets[i];
	}
	return NULL;
}
