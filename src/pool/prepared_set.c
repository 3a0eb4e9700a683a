/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a server has parsed: ids in the order of their last use, each with what is
 * known of its result. A set moves between threads with its idle server.
 */
#include "pool/prepared.h"

#include "base/hash.h"
#include "base/mem.h"

struct set_entry {
	struct map_node map;
	struct list_node lru;
	uint64_t id;
	struct description description;
	bool is_doubtful;
};

static bool set_equal(const struct map_node *node, const void *key)
{
	return map_entry(node, struct set_entry, map)->id == *(const uint64_t *)key;
}

void prepared_set_init(struct prepared_set *set)
{
	map_init(&set->ids, set_equal);
	list_init(&set->lru);
}

static void set_drop(struct prepared_set *set, struct set_entry *e)
{
	map_remove(&set->ids, &e->map);
	list_remove(&set->lru, &e->lru);
	mem_free(e);
}

void prepared_set_clear(struct prepared_set *set)
{
	struct list_node *n;

	while ((n = list_first(&set->lru)) != NULL)
		set_drop(set, list_entry(n, struct set_entry, lru));
}

void prepared_set_fini(struct prepared_set *set)
{
	prepared_set_clear(set);
	map_fini(&set->ids);
}

static struct set_entry *set_find(const struct prepared_set *set, uint64_t id)
{
	struct map_node *node = map_find(&set->ids, hash_combine(id, 0), &id);

	return node ? map_entry(node, struct set_entry, map) : NULL;
}

static void set_touch(struct prepared_set *set, struct set_entry *e)
{
	if (list_last(&set->lru) == &e->lru)
		return;
	list_remove(&set->lru, &e->lru);
	list_append(&set->lru, &e->lru);
}

const struct description *prepared_set_use(struct prepared_set *set, uint64_t id)
{
	struct set_entry *e = set_find(set, id);

	if (!e || e->is_doubtful)
		return NULL;
	set_touch(set, e);
	return &e->description;
}

void prepared_set_describe(struct prepared_set *set, uint64_t id, const struct description *d)
{
	struct set_entry *e = set_find(set, id);

	if (e && !e->is_doubtful)
		description_learn(&e->description, d);
}

bool prepared_set_may_have(const struct prepared_set *set, uint64_t id)
{
	return set_find(set, id) != NULL;
}

static struct set_entry *set_put(struct prepared_set *set, uint64_t id)
{
	struct set_entry *e = set_find(set, id);

	if (e) {
		set_touch(set, e);
		return e;
	}
	e = mem_zalloc(sizeof *e);
	e->id = id;
	map_insert(&set->ids, &e->map, hash_combine(id, 0));
	list_append(&set->lru, &e->lru);
	return e;
}

void prepared_set_add(struct prepared_set *set, uint64_t id)
{
	struct set_entry *e = set_put(set, id);

	e->is_doubtful = false;
	e->description = (struct description){ 0 };
}

void prepared_set_doubt(struct prepared_set *set, uint64_t id)
{
	set_put(set, id)->is_doubtful = true;
}

void prepared_set_doubt_all(struct prepared_set *set)
{
	list_foreach(&set->lru, n)
		list_entry(n, struct set_entry, lru)->is_doubtful = true;
}

uint64_t prepared_set_evict(struct prepared_set *set, size_t max)
{
	struct set_entry *oldest;
	uint64_t id;

	if (!set->lru.count || set->lru.count < max)
		return 0;
	oldest = list_entry(list_first(&set->lru), struct set_entry, lru);
	id = oldest->id;
	set_drop(set, oldest);
	return id;
}

size_t prepared_set_count(const struct prepared_set *set)
{
	return set->lru.count;
}
