/* SPDX-License-Identifier: PostgreSQL */
/*
 * The result cache: a local store shared by all workers (striped locks) and,
 * if configured, Redis behind it. The proxy asks with a key and the tables the
 * result depends on, serves a hit, or fills after a miss.
 *
 * Validity: every table has a generation, bumped when a write to it commits. A
 * fill takes the generations before the query runs; an entry is valid while
 * they are unchanged. Generations live in Redis too (one token per table),
 * so that another pgweir's writes void entries here. A result read from a
 * replica may be stored only if the replica was fresh as of the last change of
 * each table it depends on.
 *
 * Redis is one server, the master of a set under Sentinel, or a Redis Cluster.
 * It is asynchronous, one connection per worker and master, with a breaker:
 * slow or gone means a miss, never a wait past `redis_timeout`.
 */
#ifndef WEIR_CACHE_CACHE_H
#define WEIR_CACHE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/slice.h"
#include "cache/options.h"

struct cache;        /* process-wide */
struct cache_worker; /* one per worker: its Redis connection and pending look-ups */
struct loop;

enum { CACHE_TABLES_MAX = 32 };

/* Everything that can change a result, by value; hashed into the key by cache_key (cache/key.h). */
struct cache_key_parts {
	struct slice cluster;
	struct slice database;
	struct slice role;
	struct slice settings; /* canonical text of the result-changing settings */
	struct slice sql;
	struct slice types;   /* OIDs that Parse gave for parameters, raw; empty: none */
	struct slice params;  /* Bind's parameter formats and values, raw; empty for simple queries */
	struct slice formats; /* Bind's result formats, raw; empty: all text */
};
struct hash128 cache_key(const struct cache_key_parts *parts);

struct cache_deps {
	struct slice database; /* "cluster/dbname" scope of the table ids */
	uint32_t table_count;
	uint32_t tables[CACHE_TABLES_MAX]; /* oids, sorted */
	bool is_ddl; /* cache_invalidate only: everything of the cluster, and what tables there are */
};

/* A counted, immutable result: protocol messages as the server sent them. */
struct cache_entry;
struct slice cache_entry_description(
	const struct cache_entry *e);                           /* RowDescription or NoData, or empty */
struct slice cache_entry_rows(const struct cache_entry *e); /* DataRow* CommandComplete */
/* What it holds was committed no later than this (monotonic, this process's). */
uint64_t cache_entry_stored_us(const struct cache_entry *e);
void cache_entry_put(struct cache_entry **e);

/* Generations at the time of the miss; by value, held by the client while its query runs. */
struct cache_fill {
	struct hash128 key;
	uint64_t started_us;
	uint64_t generation_sum; /* combined local generations of the deps */
	uint64_t shared_sum;     /* combined Redis generations; 0: not known, local store only */
	struct cache_deps deps;
	uint32_t ttl_ms;
	bool is_admitted; /* hot enough: collect the result and store it */
};

enum cache_result { CACHE_MISS, CACHE_HIT, CACHE_PENDING };

struct cache_lookup { /* embedded in the client; zero-initialise */
	struct cache_worker *worker;
	void (*on_done)(struct cache_lookup *self, enum cache_result result, struct cache_entry *entry);
	void *pending; /* private: NULL when none */
	uint32_t
		ttl_ms; /* life this request allows an entry, also one found in Redis; 0: the default */
};

struct cache *cache_create(const struct cache_options *options);
void cache_destroy(struct cache *cache); /* after all workers */
struct cache_worker *cache_worker_create(struct cache *cache, struct loop *loop);
void cache_worker_destroy(struct cache_worker *worker);

/*
 * HIT: *entry is a reference for the caller. MISS: *fill is filled. PENDING: Redis is
 * asked; on_done follows on this loop with HIT or MISS (fill then filled too), unless
 * cache_lookup_cancel is called first. fill must stay until then.
 * not_before_us: entries computed earlier (monotonic) are not served to this session.
 */
enum cache_result cache_lookup_start(struct cache_worker *worker, struct cache_lookup *lookup,
                                     const struct hash128 *key, const struct cache_deps *deps,
                                     uint64_t not_before_us, struct cache_fill *fill,
                                     struct cache_entry **entry);
void cache_lookup_cancel(struct cache_lookup *lookup);

/*
 * Stores a result if the generations still hold. fresh_as_of_us: of the replica it
 * was read from at the time the query started; UINT64_MAX for the primary.
 */
void cache_store(struct cache_worker *worker, const struct cache_fill *fill,
                 uint64_t fresh_as_of_us, struct slice description, struct slice rows);

/* A write to these tables committed (none: any of the database). Here at once, Redis soon after. */
void cache_invalidate(struct cache_worker *worker, const struct cache_deps *deps);
/* A failover: everything of that cluster is void. Any thread. */
void cache_void_cluster(struct cache *cache, struct slice cluster);

#include "cache/stats.h"

#endif
