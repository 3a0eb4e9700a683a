/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the files of this folder share: the process-wide cache, its workers,
 * and the pieces of the level in Redis. Private to cache/.
 *
 * In Redis lie entries ("prefix:e:<key>") and generations ("prefix:g:<name>").
 * A generation there is a token: 16 bytes that no process makes twice, set
 * anew by every change. So nothing is ever valid again after an eviction or a
 * flush, which a counter that starts again from nothing can't promise.
 */
#ifndef WEIR_CACHE_SHARED_H
#define WEIR_CACHE_SHARED_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"
#include "cache/cache.h"
#include "cache/change.h"
#include "cache/key.h"
#include "cache/link.h"
#include "cache/tables.h"

enum {
	SHARED_TOKEN_BYTES = CHANGE_TOKEN_BYTES,
	SHARED_TOKEN_LIFE_MS = 24 * 60 * 60 * 1000, /* its loss only costs misses */
	SHARED_NAMES_MAX = TABLES_VIEW_MAX + 1,     /* everything, cluster, database, tables */
	SHARED_PREFIX_MAX = 64,
	SHARED_KEY_MAX = SHARED_PREFIX_MAX + 3 + HASH128_HEX_LEN,
};

struct admission;
struct local;
struct mailbox;

struct cache {
	struct cache_options options; /* strings owned */
	struct admission *admission;
	struct tables *tables;
	struct local *local;
	struct link_options commands, subscription;
	char channel[SHARED_PREFIX_MAX + 2];
	struct tables_slot *all; /* the token that stands for everything under the prefix */
	bool has_redis;
	uint64_t nonce; /* of this process */
	_Atomic uint64_t tokens_made;
	/* Changes that Redis couldn't be told: while owed > paid nothing is read from it or stored. */
	_Atomic uint64_t owed, paid;
	_Atomic uint64_t ddl_us; /* last DDL here or heard of: catalogs may be outdated for a while */
	_Atomic bool is_hearing; /* subscribed: changes by others arrive */
	pthread_mutex_t workers_mutex;
	struct list workers;
	struct cache_worker *listener; /* the worker with the subscription; under the mutex */
};

enum worker_counter { /* long names are in cache_stats */
	                  COUNT_HITS_LOCAL,
	                  COUNT_HITS_REDIS,
	                  COUNT_MISSES,
	                  COUNT_STORES,
	                  COUNT_REFUSED,
	                  COUNT_INVALIDATIONS,
	                  COUNT_REDIS_ERRORS,
	                  COUNT_REDIS_TIMEOUTS,
	                  COUNT_BREAKER_OPENS,
	                  COUNTERS,
};

struct publisher {
	struct map dirty; /* the waiting ones by name */
	struct list waiting;
	struct list flying; /* sent, not yet acknowledged */
	struct link_request request;
	bool has_failed; /* one of the replies was an error */
	struct link_request payment;
	uint64_t payment_debt; /* what the payment under way settles */
	bool payment_failed;
};

struct cache_worker {
	struct cache *cache; /* borrowed: outlives its workers */
	struct loop *loop;
	struct mailbox *mailbox; /* owned; NULL without Redis */
	struct list_node node;   /* in cache.workers */
	struct link commands;
	struct link subscription; /* of the listener only */
	bool is_listener;
	_Atomic bool is_up;       /* commands ready, for cache_stats */
	struct list idle_lookups; /* kept for reuse */
	unsigned lookups;         /* waiting for Redis */
	struct publisher publisher;
	_Atomic uint64_t counters[COUNTERS]; /* written by the own thread only */
};

void worker_count(struct cache_worker *w, enum worker_counter which);

/* Redis may be asked: the link is up and knows of every change of this process. */
bool shared_is_usable(const struct cache_worker *w);

/* shared.c: names and tokens. */
struct slice shared_key(const struct cache *c, char kind, struct hash128 name, char *out);
struct slice shared_token_new(struct cache *c, uint8_t out[SHARED_TOKEN_BYTES]);
uint64_t shared_token_hash(struct slice token); /* never 0 */
/* The names that deps stand on, in the order of tables_view with "everything" in front. */
unsigned shared_names(const struct cache_deps *deps, struct hash128 out[SHARED_NAMES_MAX]);
/* A reply that nobody waits for; errors are counted. */
void shared_send_and_forget(struct cache_worker *w);
void shared_set_token(struct cache_worker *w, struct hash128 name, struct slice token,
                      bool if_absent);

/* lookup.c */
bool lookup_start(struct cache_worker *w, struct cache_lookup *lookup, struct cache_fill *fill,
                  uint64_t not_before_us);
void lookup_store(struct cache_worker *w, const struct cache_fill *fill, struct slice description,
                  struct slice rows);
void lookup_free_idle(struct cache_worker *w);
/* Generations as of now: for a query that starts now or later. */
void fill_begin(struct cache_worker *w, const struct tables_view *view, struct cache_fill *fill);
/* While other processes can't be heard nothing lives longer than a second. */
uint64_t shared_expiry_us(const struct cache *c, uint64_t from_us, uint32_t ttl_ms);

/* publish.c */
void publish_init(struct cache_worker *w);
void publish_fini(struct cache_worker *w); /* after its link was closed */
/* Marks it pending (or owed): before the local generation is bumped; publish_flush after. */
void publish_change(struct cache_worker *w, enum generation_kind kind, struct slice scope,
                    uint32_t oid);
void publish_flush(struct cache_worker *w);
void publish_ready(struct cache_worker *w); /* the link is up: settle what is owed */
void publish_owe(struct cache *c);

/* listen.c */
extern const struct link_ops listen_ops;

#endif
