/* SPDX-License-Identifier: PostgreSQL */
/*
 * A catalog snapshot of one database: volatility of functions, what relations
 * are and depend on. Immutable, counted, swapped whole. Names without schema
 * are judged over all schemas, worst case wins, because the search_path is the
 * session's.
 */
#ifndef WEIR_TIER_CATALOG_H
#define WEIR_TIER_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum catalog_volatility { /* ordered: worse is larger */
	CATALOG_IMMUTABLE,
	CATALOG_STABLE,
	CATALOG_VOLATILE_HARMLESS, /* writes nothing: random(), clock_timestamp(), pg_sleep() */
	CATALOG_VOLATILE,          /* may write, or takes session state: the primary */
	CATALOG_FUNCTION_UNKNOWN,  /* no such function in the snapshot */
};

enum { /* struct catalog_relation.flags */
	CATALOG_REL_VIEW = 1u << 0,
	CATALOG_REL_FOREIGN = 1u << 1,
	CATALOG_REL_ROW_SECURITY = 1u << 2,
	CATALOG_REL_VOLATILE_VIEW = 1u << 3,  /* a view that reaches a CATALOG_VOLATILE function */
	CATALOG_REL_UNCACHEABLE = 1u << 4,    /* by stable functions, system catalogs, foreign tables */
	CATALOG_REL_TRIGGERS = 1u << 5,       /* or rules: a write may reach unknown tables */
	CATALOG_REL_SYSTEM = 1u << 6,         /* pg_catalog, information_schema */
	CATALOG_REL_UNLOGGED = 1u << 7,       /* not on replicas */
	CATALOG_REL_TEMPORARY = 1u << 8,
	CATALOG_REL_SEQUENCE = 1u << 9,
	CATALOG_REL_PARTITIONED = 1u << 10,
	CATALOG_REL_SESSION_SHIFT = 16,       /* from here: what a write to it does to the session */
};

/*
 * What code does to the session that runs it and leaves there, by the text of its source: a
 * function's, for a relation that of its column defaults and trigger functions. What that code
 * calls in turn isn't seen.
 */
enum {
	CATALOG_SESSION_SEQUENCE = 1u << 0,  /* currval, lastval */
	CATALOG_SESSION_LOCK = 1u << 1,      /* session advisory locks */
	CATALOG_SESSION_TEMPORARY = 1u << 2, /* temporary tables that outlive the transaction */
	CATALOG_SESSION_SETTING = 1u << 3,   /* SET, set_config that isn't local */
	CATALOG_SESSION_MOVES = 1u << 4,     /* nextval, setval, identity: what currval gives */
	CATALOG_SESSION_ALL = 0x1f,
};

struct catalog_relation {
	const char *schema;
	const char *name;
	uint32_t oid;
	uint32_t flags;             /* over all relations of that name when looked up without schema */
	/*
	 * Oids, sorted. bases: the tables that a read reaches, itself or through views; not
	 * partitions and inheritance children, whose writes affect their parents. affected: the
	 * tables that a write may change, itself, partitions, ON DELETE/UPDATE actions, and the
	 * parents of all of these.
	 */
	uint32_t base_count;
	const uint32_t *bases;
	uint32_t affected_count;
	const uint32_t *affected;
};

struct catalog;

struct catalog *catalog_get(struct catalog *c);
void catalog_put(struct catalog **c);
uint64_t catalog_generation(const struct catalog *c); /* process-wide, never repeats */
enum catalog_volatility catalog_function(const struct catalog *c, const char *schema,
					 const char *name);
/* CATALOG_SESSION_ bits, without schema of all of that name; 0 if it isn't known. */
uint32_t catalog_function_session(const struct catalog *c, const char *schema, const char *name);
/*
 * NULL: unknown. schema NULL: sets *several when more than one schema has the name; the
 * flags are then the union, the tables only in catalog_relation_nth.
 */
const struct catalog_relation *catalog_relation(const struct catalog *c, const char *schema,
						const char *name, bool *several);
/* The n-th relation of an unqualified name; NULL past the last. */
const struct catalog_relation *catalog_relation_nth(const struct catalog *c, const char *name,
						    size_t n);
/* Without a snapshot: built-in functions of PostgreSQL 15 that write nothing; else UNKNOWN. */
enum catalog_volatility catalog_builtin_function(const char *name);

#endif
