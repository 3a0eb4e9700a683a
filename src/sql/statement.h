/* SPDX-License-Identifier: PostgreSQL */
/*
 * What pgweir knows about one SQL text: immutable after analysis, independent
 * of catalog and session, shared by every request with that text (or shape).
 * Judging functions and relations against the catalog is route/'s work.
 */
#ifndef WEIR_SQL_STATEMENT_H
#define WEIR_SQL_STATEMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "sql/session_effect.h"

/* What a whole query string does, the strongest of its statements. */
enum statement_class {
	STATEMENT_EMPTY,   /* no statement: runs anywhere */
	STATEMENT_READ,    /* may run on a replica if its functions and relations allow */
	STATEMENT_SESSION, /* only session effects (SET, SHOW, DISCARD ...): the server at hand */
	STATEMENT_TXN,     /* only transaction control */
	STATEMENT_WRITE,   /* the primary */
};

/* struct statement.flags */
/* Bytes of a setting's value that is followed, quoted as SET has it; a longer one pins. */
enum { STATEMENT_VALUE_MAX = 16384 };

enum {
	STATEMENT_MULTI = 1u << 0,            /* more than one statement in the string */
	STATEMENT_UNPARSED = 1u << 1,         /* the parser refused it: class is WRITE */
	STATEMENT_BEGIN = 1u << 2,            /* exactly one BEGIN / START TRANSACTION */
	STATEMENT_BEGIN_READ_ONLY = 1u << 3,  /* with READ ONLY */
	STATEMENT_BEGIN_READ_WRITE = 1u << 4, /* with READ WRITE */
	STATEMENT_BEGIN_ISOLATED = 1u << 5,   /* REPEATABLE READ or SERIALIZABLE */
	STATEMENT_COMMIT = 1u << 6,           /* a single COMMIT / END (not AND CHAIN) */
	STATEMENT_ROLLBACK = 1u << 7,         /* a single ROLLBACK / ABORT (not AND CHAIN, not TO) */
	STATEMENT_SAVEPOINT = 1u << 8,        /* SAVEPOINT, RELEASE */
	STATEMENT_ROLLBACK_TO = 1u << 9,
	STATEMENT_CHAIN = 1u << 10,     /* AND CHAIN */
	STATEMENT_TWO_PHASE = 1u << 11, /* PREPARE TRANSACTION, COMMIT/ROLLBACK PREPARED */
	STATEMENT_DDL = 1u << 12,       /* may change the catalog */
	STATEMENT_COPY_IN = 1u << 13,
	STATEMENT_COPY_OUT = 1u << 14,
	STATEMENT_ROW_LOCK = 1u << 15,         /* FOR UPDATE / SHARE ... */
	STATEMENT_CURSOR = 1u << 16,           /* DECLARE / FETCH / MOVE / CLOSE */
	STATEMENT_NO_CACHE = 1u << 17,         /* never cacheable, see analyse.c */
	STATEMENT_TXN_INSIDE_MULTI = 1u << 18, /* MULTI with transaction control among them */
	STATEMENT_SHOW = 1u << 19,
	STATEMENT_EXPLAIN = 1u << 20,
	STATEMENT_LARGE = 1u << 21,              /* too long to analyse: WRITE */
	STATEMENT_WRITES_UNKNOWN = 1u << 22,     /* CALL, DO, unparsed: tables written aren't known */
	STATEMENT_LOCAL_SET = 1u << 23,          /* SET LOCAL / SET TRANSACTION among the effects */
	STATEMENT_MAY_UNPIN = 1u << 25,          /* DROP, CLOSE, unlocking: a pin may be over */
	/* TXN_INSIDE_MULTI: where its last transaction statement leaves the session. */
	STATEMENT_MULTI_OPENS = 1u << 26,
	STATEMENT_MULTI_COMMITS = 1u << 27,
	STATEMENT_MULTI_ROLLS_BACK = 1u << 28,
	STATEMENT_NAMES_DEFAULT = 1u << 29,      /* UPDATE ... SET column = DEFAULT */
	STATEMENT_COMMITS_INSIDE = 1u << 30,     /* ... CONCURRENTLY, VACUUM: see inside.h */
	STATEMENT_BEGIN_SERIALIZABLE = 1u << 24, /* no replica allows it; BEGIN_ISOLATED too */
};

struct statement_name {
	const char *schema, *name; /* schema NULL: unqualified */
};

enum hint_route { HINT_ROUTE_NONE, HINT_ROUTE_PRIMARY, HINT_ROUTE_REPLICA };
enum hint_cache { HINT_CACHE_NONE, HINT_CACHE_ON, HINT_CACHE_OFF };

struct statement_hints {
	enum hint_route route; /* pgweir: route=primary|replica in a comment */
	enum hint_cache cache; /* pgweir: cache=on|off, or cache=<seconds> */
	uint32_t cache_ttl_ms; /* 0: the database's default */
};

struct statement {
	enum statement_class class;
	uint32_t flags;
	uint32_t pins; /* enum pin_reason that it sets when it succeeds */
	struct statement_hints hints;
	uint16_t read_count; /* relations read, written, functions called, session effects */
	uint16_t written_count;
	uint16_t function_count;
	uint16_t effect_count;
	uint16_t param_count;               /* highest $n */
	uint16_t statement_count;           /* in the text; 0: not known, if it didn't parse */
	const struct statement_name *reads; /* owned, in one block with the statement */
	const struct statement_name *writes;
	const struct statement_name *functions; /* and operators given as OPERATOR(schema.op) */
	const struct statement_effect *effects;
	const char *tag; /* first key word, upper case, static: "SELECT", "CREATE" ... */
	uint64_t shape;  /* hash of the text with literals out */
	/* Verdict memo of route/, valid for one catalog generation; the statement's thread only. */
	uint64_t verdict_generation;
	uint32_t verdict;
	uint32_t cost_bytes; /* what it takes in the statement cache */
	uint32_t refcount;   /* one thread: prepared statements and the cache share it */
};

/* The caches by text and by shape. One per worker, no lock; max_bytes bounds both together. */
struct statement_cache_stats {
	uint64_t template_hits, text_hits, shape_hits, parses, parse_failures, evictions;
	size_t bytes, count;
};
struct statement_cache *statement_cache_create(size_t max_bytes, size_t max_text_bytes);
void statement_cache_destroy(struct statement_cache *cache);
/* Never NULL. Valid until the next call on this cache unless statement_get is called. */
struct statement *statement_cache_lookup(struct statement_cache *cache, struct slice text);
const struct statement_cache_stats *statement_cache_stats(const struct statement_cache *cache);

struct statement *statement_get(struct statement *s); /* counted */
void statement_put(struct statement **s);
/* Uncached, for tests and EXPLAIN ROUTE. Counted: one reference is the caller's. */
struct statement *statement_analyse(struct slice text);

#endif
