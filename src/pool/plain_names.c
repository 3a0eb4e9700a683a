/* SPDX-License-Identifier: PostgreSQL */
/*
 * A map by name and a list by use, one entry in both.
 */
#include "pool/plain_names.h"

#include "base/hash.h"
#include "base/mem.h"

struct entry {
	struct map_node map;
	struct list_node lru;
	uint64_t id;
	size_t len;
	char name[];
};

static bool entry_equal(const struct map_node *node, const void *key)
{
	const struct entry *e = map_entry(node, struct entry, map);

	return slice_equal(slice_of(e->name, e->len), *(const struct slice *)key);
}

void plain_names_init(struct plain_names *p)
{
	map_init(&p->names, entry_equal);
	list_init(&p->lru);
}

static void drop(struct plain_names *p, struct entry *e)
{
	map_remove(&p->names, &e->map);
	list_remove(&p->lru, &e->lru);
	mem_free(e);
}

void plain_names_clear(struct plain_names *p)
{
	struct list_node *n;

	while ((n = list_first(&p->lru)) != NULL)
		drop(p, list_entry(n, struct entry, lru));
}

void plain_names_fini(struct plain_names *p)
{
	plain_names_clear(p);
	map_fini(&p->names);
}

static struct entry *find(const struct plain_names *p, struct slice name)
{
	struct map_node *n = map_find(&p->names, hash_bytes(name.ptr, name.len), &name);

	return n ? map_entry(n, struct entry, map) : NULL;
}

uint64_t plain_names_id(struct plain_names *p, struct slice name)
{
	struct entry *e = find(p, name);

	if (!e)
		return PLAIN_NONE;
	list_remove(&p->lru, &e->lru);
	list_append(&p->lru, &e->lru);
	return e->id;
}

void plain_names_set(struct plain_names *p, struct slice name, uint64_t id)
{
	struct entry *e = find(p, name);

	if (e && id == PLAIN_NONE) {
		drop(p, e);
		return;
	}
	if (!e && id != PLAIN_NONE) {
		e = mem_zalloc(sizeof *e + name.len);
		e->len = name.len;
		if (name.len)
			memcpy(e->name, name.ptr, name.len);
		map_insert(&p->names, &e->map, hash_bytes(name.ptr, name.len));
		list_append(&p->lru, &e->lru);
	}
	if (e)
		e->id = id;
}

void plain_names_doubt_all(struct plain_names *p)
{
	list_foreach(&p->lru, n)
		list_entry(n, struct entry, lru)->id = PLAIN_UNKNOWN;
}

struct slice plain_names_excess(const struct plain_names *p, size_t max)
{
	const struct entry *e;

	if (p->lru.count <= max)
		return slice_of(NULL, 0);
	e = list_entry(list_first(&p->lru), struct entry, lru);
	return slice_of(e->name, e->len);
}

size_t plain_names_count(const struct plain_names *p)
{
	return p->lru.count;
}
