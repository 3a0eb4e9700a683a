/* SPDX-License-Identifier: PostgreSQL */
/*
 * Intrusive chained hash map: the caller's object embeds a map_node, keeps its
 * own key, and gives the hash. Grows by doubling up to a bound on the buckets,
 * never allocates per entry. One thread.
 */
#ifndef WEIR_BASE_MAP_H
#define WEIR_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_node {
	struct map_node *next; /* borrowed */
	uint64_t hash;
};

typedef bool map_equal_fn(const struct map_node *node, const void *key);

struct map {
	struct map_node **buckets; /* owned; NULL while empty */
	size_t bucket_count;       /* power of two or 0 */
	size_t count;
	map_equal_fn *equal;
};

/* clang-format off */
#define map_entry(node, type, member) ((type *)(void *)((char *)(node) - offsetof(type, member)))
/* clang-format on */

void map_init(struct map *m, map_equal_fn *equal);
void map_fini(struct map *m); /* frees buckets only; entries are the caller's */
struct map_node *map_find(const struct map *m, uint64_t hash, const void *key);
void map_insert(struct map *m, struct map_node *node, uint64_t hash); /* key not present yet */
void map_remove(struct map *m, struct map_node *node);

/* Iteration in no order; map_next(m, NULL) gives the first. No change meanwhile. */
struct map_node *map_next(const struct map *m, const struct map_node *node);
#define map_foreach(m, n) \
	for (struct map_node *n = map_next(m, NULL); n; n = map_next(m, n))

#endif
