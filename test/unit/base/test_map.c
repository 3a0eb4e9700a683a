/* SPDX-License-Identifier: PostgreSQL */
/* Map: finds what was inserted, through growth, removal and equal hashes. */
#include "base/map.h"

#include "base/hash.h"
#include "base/mem.h"

#include <criterion/criterion.h>

enum { ENTRIES = 5000 };

struct entry {
	struct map_node node;
	unsigned key;
	unsigned seen;
};

static struct entry entries[ENTRIES];

static bool is_equal(const struct map_node *node, const void *key)
{
	return map_entry(node, const struct entry, node)->key == *(const unsigned *)key;
}

static uint64_t hash_of(unsigned key)
{
	return hash_bytes(&key, sizeof(key));
}

static struct entry *find(const struct map *m, unsigned key)
{
	struct map_node *n = map_find(m, hash_of(key), &key);

	return n ? map_entry(n, struct entry, node) : NULL;
}

static void fill(struct map *m)
{
	map_init(m, is_equal);
	for (unsigned i = 0; i < ENTRIES; i++) {
		entries[i] = (struct entry){ .key = i };
		map_insert(m, &entries[i].node, hash_of(i));
	}
}

Test(map, an_empty_map_finds_nothing)
{
	struct map m;

	map_init(&m, is_equal);
	cr_assert_null(find(&m, 1));
	cr_assert_null(map_next(&m, NULL));
	map_fini(&m);
}

Test(map, finds_all_after_growing)
{
	struct map m;

	fill(&m);
	cr_assert_eq(m.count, ENTRIES);
	cr_assert_geq(m.bucket_count, ENTRIES / 2);
	for (unsigned i = 0; i < ENTRIES; i++)
		cr_assert_eq(find(&m, i), &entries[i]);
	cr_assert_null(find(&m, ENTRIES));
	map_fini(&m);
}

Test(map, removal_takes_just_that_one)
{
	struct map m;

	fill(&m);
	for (unsigned i = 0; i < ENTRIES; i += 2)
		map_remove(&m, &entries[i].node);
	cr_assert_eq(m.count, ENTRIES / 2);
	for (unsigned i = 0; i < ENTRIES; i++)
		cr_assert_eq(find(&m, i), i % 2 ? &entries[i] : NULL);
	map_fini(&m);
}

Test(map, iteration_visits_each_once)
{
	unsigned visits = 0;
	struct map m;

	fill(&m);
	map_foreach(&m, n) {
		map_entry(n, struct entry, node)->seen++;
		visits++;
	}
	cr_assert_eq(visits, ENTRIES);
	for (unsigned i = 0; i < ENTRIES; i++)
		cr_assert_eq(entries[i].seen, 1);
	map_fini(&m);
}

Test(map, equal_hashes_are_told_apart_by_the_key)
{
	struct entry a = { .key = 1 }, b = { .key = 2 };
	unsigned one = 1, two = 2, three = 3;
	struct map m;

	map_init(&m, is_equal);
	map_insert(&m, &a.node, 7);
	map_insert(&m, &b.node, 7);
	cr_assert_eq(map_find(&m, 7, &one), &a.node);
	cr_assert_eq(map_find(&m, 7, &two), &b.node);
	cr_assert_null(map_find(&m, 7, &three));
	map_remove(&m, &b.node);
	cr_assert_eq(map_find(&m, 7, &one), &a.node);
	map_fini(&m);
}

Test(map, refused_memory_makes_chains_longer_and_loses_nothing)
{
	struct map m;

	map_init(&m, is_equal);
	for (unsigned i = 0; i < 100; i++) {
		mem_fail_after(1);
		entries[i] = (struct entry){ .key = i };
		map_insert(&m, &entries[i].node, hash_of(i));
	}
	mem_fail_after(0);
	cr_assert_eq(m.bucket_count, 16);
	for (unsigned i = 0; i < 100; i++)
		cr_assert_eq(find(&m, i), &entries[i]);
	map_fini(&m);
}
