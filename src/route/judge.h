/* SPDX-License-Identifier: PostgreSQL */
/*
 * Judges a statement against a catalog snapshot: may a replica run it, may its
 * result be cached, which tables does it read and which may it change. Pure;
 * the memo lives in the statement, so the statement's thread only.
 *
 * Without a snapshot (no credentials) built-in functions are known by name,
 * every other function counts as one that writes, and nothing is cacheable.
 */
#ifndef WEIR_ROUTE_JUDGE_H
#define WEIR_ROUTE_JUDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "sql/statement.h"
#include "tier/catalog.h"

enum { /* verdict bits; 0 for a plain write whose tables aren't known */
	VERDICT_REPLICA_OK = 1u << 0,   /* a replica gives the answer that the primary would */
	VERDICT_CACHEABLE = 1u << 1,    /* by text and catalog; the session is the caller's */
	VERDICT_WRITES_KNOWN = 1u << 2, /* judge_writes is complete (also when nothing is written) */
	VERDICT_MAY_WRITE = 1u << 3,    /* it may change data: the session's next reads must see it */
	VERDICT_UNKNOWN_NAME = 1u << 4, /* it names what the catalog lacks: time to read that again */
	VERDICT_RUNS_CODE = 1u << 5,    /* the user's: it may do anything to the session */
	VERDICT_SESSION_SHIFT = 8,      /* from here: CATALOG_SESSION_ bits of the code that it runs */
};

/* As CACHE_TABLES_MAX: more tables than that are `unknown`. */
enum { JUDGE_TABLES_MAX = 32 };

struct judge_tables {
	uint32_t count;
	uint32_t oids[JUDGE_TABLES_MAX]; /* sorted, unique */
	bool is_unknown;                 /* more than those listed: treat as all tables */
};

uint32_t judge_statement(const struct statement *s, const struct catalog *catalog);

/* Base tables that running it reads, through views and partitions. catalog NULL: unknown. */
void judge_reads(const struct statement *s, const struct catalog *catalog,
		 struct judge_tables *out);
/* Tables that it may change: partitions and foreign key actions included; triggers: unknown. */
void judge_writes(const struct statement *s, const struct catalog *catalog,
		  struct judge_tables *out);
/* Unites `more` into `into`. */
void judge_tables_add(struct judge_tables *into, const struct judge_tables *more);

/* The verdict, from the memo in the statement when that is of this catalog generation. */
static inline uint32_t judge_cached(struct statement *s, const struct catalog *catalog)
{
	uint64_t generation = catalog ? catalog_generation(catalog) : UINT64_MAX;

	if (__builtin_expect(s->verdict_generation != generation, 0)) {
		s->verdict = judge_statement(s, catalog);
		s->verdict_generation = generation;
	}
	return s->verdict;
}

#endif
