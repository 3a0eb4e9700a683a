/* SPDX-License-Identifier: PostgreSQL */
/*
 * Layout of a catalog snapshot, for catalog.c and catalog_build.c only.
 * Everything lies in one arena; names are found by two maps each: with schema,
 * and without, where the entry holds the worst or the union over all schemas.
 */
#ifndef WEIR_TIER_CATALOG_PRIV_H
#define WEIR_TIER_CATALOG_PRIV_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/map.h"
#include "tier/catalog.h"

struct catalog_name { /* key of all four maps */
	const char *schema; /* NULL: any */
	const char *name;
};

struct catalog_function_entry {
	struct map_node node;
	struct catalog_name key;
	enum catalog_volatility volatility;
	uint32_t session; /* CATALOG_SESSION_ bits */
};

struct catalog_relation_entry {
	struct map_node node;
	struct catalog_name key;
	struct catalog_relation relation;
	struct catalog_relation_entry *next; /* of the same name; in the entry of a name: the first */
	uint32_t count;                      /* in the entry of a name: how many there are */
};

struct catalog {
	_Atomic uint32_t refcount;
	uint64_t generation;
	struct arena arena;
	struct map functions;
	struct map relations;
};

uint64_t catalog_name_hash(const char *schema, const char *name);
/* Maps set up, reference 1, a new generation. */
struct catalog *catalog_create(void);
struct catalog_function_entry *catalog_find_function(const struct catalog *c, const char *schema,
						     const char *name);
struct catalog_relation_entry *catalog_find_relation(const struct catalog *c, const char *schema,
						     const char *name);

#endif
