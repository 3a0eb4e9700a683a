/* SPDX-License-Identifier: PostgreSQL */
/*
 * Look-ups in a catalog snapshot, and its life. Immutable after it is built,
 * so any thread reads it without locks.
 */
#include "tier/catalog.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "tier/catalog_priv.h"

enum { CATALOG_BLOCK_BYTES = 64 * 1024 };

struct builtin {
	const char *name;
	enum catalog_volatility volatility;
};

#define I(function) { #function, CATALOG_IMMUTABLE },
#define S(function) { #function, CATALOG_STABLE },
#define H(function) { #function, CATALOG_VOLATILE_HARMLESS },
static const struct builtin builtins[] = {
#include "tier/builtin.def"
};
#undef I
#undef S
#undef H

static int compare_builtin(const void *name, const void *builtin)
{
	return strcmp(name, ((const struct builtin *)builtin)->name);
}

enum catalog_volatility catalog_builtin_function(const char *name)
{
	const struct builtin *found = bsearch(name, builtins, WEIR_COUNTOF(builtins),
					      sizeof builtins[0], compare_builtin);

	return found ? found->volatility : CATALOG_FUNCTION_UNKNOWN;
}

uint64_t catalog_name_hash(const char *schema, const char *name)
{
	uint64_t hash = hash_bytes(name, strlen(name));

	return schema ? hash_combine(hash_bytes(schema, strlen(schema)), hash) : hash;
}

static bool equal_names(const struct catalog_name *a, const struct catalog_name *b)
{
	if (strcmp(a->name, b->name) != 0 || (a->schema == NULL) != (b->schema == NULL))
		return false;
	return a->schema == NULL || strcmp(a->schema, b->schema) == 0;
}

static bool equal_function(const struct map_node *node, const void *key)
{
	return equal_names(&map_entry(node, struct catalog_function_entry, node)->key, key);
}

static bool equal_relation(const struct map_node *node, const void *key)
{
	return equal_names(&map_entry(node, struct catalog_relation_entry, node)->key, key);
}

struct catalog *catalog_create(void)
{
	static _Atomic uint64_t generations; /* process-wide by contract */
	struct catalog *c = mem_zalloc(sizeof *c);

	atomic_init(&c->refcount, 1);
	c->generation = atomic_fetch_add_explicit(&generations, 1, memory_order_relaxed) + 1;
	arena_init(&c->arena, CATALOG_BLOCK_BYTES);
	map_init(&c->functions, equal_function);
	map_init(&c->relations, equal_relation);
	return c;
}

struct catalog *catalog_get(struct catalog *c)
{
	uint32_t before = atomic_fetch_add_explicit(&c->refcount, 1, memory_order_relaxed);

	WEIR_ASSERT(before > 0);
	return c;
}

void catalog_put(struct catalog **c)
{
	struct catalog *old = *c;

	*c = NULL;
	if (old == NULL || atomic_fetch_sub_explicit(&old->refcount, 1, memory_order_acq_rel) != 1)
		return;
	map_fini(&old->functions);
	map_fini(&old->relations);
	arena_fini(&old->arena);
	mem_free(old);
}

uint64_t catalog_generation(const struct catalog *c)
{
	return c->generation;
}

struct catalog_function_entry *catalog_find_function(const struct catalog *c, const char *schema,
						     const char *name)
{
	const struct catalog_name key = { schema, name };
	struct map_node *node = map_find(&c->functions, catalog_name_hash(schema, name), &key);

	return node ? map_entry(node, struct catalog_function_entry, node) : NULL;
}

struct catalog_relation_entry *catalog_find_relation(const struct catalog *c, const char *schema,
						     const char *name)
{
	const struct catalog_name key = { schema, name };
	struct map_node *node = map_find(&c->relations, catalog_name_hash(schema, name), &key);

	return node ? map_entry(node, struct catalog_relation_entry, node) : NULL;
}

enum catalog_volatility catalog_function(const struct catalog *c, const char *schema,
					 const char *name)
{
	const struct catalog_function_entry *f = catalog_find_function(c, schema, name);

	return f ? f->volatility : CATALOG_FUNCTION_UNKNOWN;
}

uint32_t catalog_function_session(const struct catalog *c, const char *schema, const char *name)
{
	const struct catalog_function_entry *f = catalog_find_function(c, schema, name);

	return f ? f->session : 0;
}

const struct catalog_relation *catalog_relation(const struct catalog *c, const char *schema,
						const char *name, bool *several)
{
	const struct catalog_relation_entry *r = catalog_find_relation(c, schema, name);

	*several = r != NULL && schema == NULL && r->count > 1;
	if (r == NULL)
		return NULL;
	return schema == NULL && r->count == 1 ? &r->next->relation : &r->relation;
}

const struct catalog_relation *catalog_relation_nth(const struct catalog *c, const char *name,
						    size_t n)
{
	const struct catalog_relation_entry *r = catalog_find_relation(c, NULL, name);

	for (r = r ? r->next : NULL; r && n > 0; n--)
		r = r->next;
	return r ? &r->relation : NULL;
}
