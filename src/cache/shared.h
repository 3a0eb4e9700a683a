/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the files of this folder share: the process-wide cache, its workers,
 * and the pieces of the level in Redis. Private to cache/.
 *
 * In Redis lie entries ("prefix:e:<key>") and generations ("prefix:g:<name>",
 * in a cluster "prefix:g:{<database>}<name>" where a database's are together in
 * one slot). A generation there is a token: 16 bytes that no process makes
 * twice, set anew by every change. So nothing is ever valid again after an
 * eviction or a flush, which a counter that starts again from nothing can't
 * promise.
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
#include "cache/discover.h"
#include "cache/key.h"
#include "cache/listen.h"
#include "cache/node.h"
#include "cache/publish.h"
#include "cache/slots.h"
#include "cache/tables.h"
#include "net/mailbox.h"

enum {
	SHARED_TOKEN_BYTES = CHANGE_TOKEN_BYTES,
	SHARED_TOKEN_LIFE_MS = 24 * 60 * 60 * 1000, /* its loss only costs misses */
	SHARED_NAMES_MAX = TABLES_VIEW_MAX + 1,     /* everything, cluster, database, tables */
	SHARED_PREFIX_MAX = 64,
	HEARD_MAX = 1024,
	SHARED_KEY_MAX = SHARED_PREFIX_MAX + 5 + 2 * HASH128_HEX_LEN,
};

struct admission;
struct discovery;
struct local;

struct cache {
	struct cache_options options; /* strings owned */
	struct admission *admission;
	struct tables *tables;
	struct local *local;
	struct link_options link; /* what all links have in common; no host */
	char channel[SHARED_PREFIX_MAX + 2];
	struct tables_slot *all; /* the token that stands for everything under the prefix */
	bool has_redis, is_cluster;
	uint64_t nonce; /* of this process */
	_Atomic uint64_t tokens_made;
	/* Changes that Redis couldn't be told: while owed > paid nothing is read from it or stored. */
	_Atomic uint64_t owed, paid;
	_Atomic uint64_t ddl_us; /* last DDL here or heard of: catalogs may be outdated for a while */
	_Atomic bool is_hearing; /* subscribed: changes by others arrive */
	pthread_mutex_t workers_mutex;
	struct list workers;
	struct cache_worker *listener; /* the worker that hears and discovers; under the mutex */
	struct slots *slots;           /* counted; the newest; NULL: not known yet; under the mutex */
	_Atomic uint64_t map_changes, refreshes;
	_Atomic bool is_want_posted; /* a mail that asks the listener to discover is on its way */
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
	                  COUNT_REDIRECTIONS,
	                  COUNTERS,
};

struct payment { /* of what is owed: the token over everything */
	struct link_request request;
	uint64_t debt; /* what the one under way settles */
	bool has_failed;
	uint64_t announced_us; /* last told to others without having paid */
};

struct cache_worker {
	struct cache *cache; /* borrowed: outlives its workers */
	struct loop *loop;
	struct mailbox *mailbox; /* owned; NULL without Redis */
	struct list_node node;   /* in cache.workers */
	struct slots *slots;     /* counted; NULL: not known yet */
	struct list nodes;
	struct node *by_index[SLOTS_NODES_MAX]; /* of the map; NULL: not opened yet */
	struct list ears;                       /* of the listener only: subscriptions (listen.c) */
	uint64_t heard[HEARD_MAX];              /* the same: tokens of messages, to tell copies */
	struct discovery *discovery;            /* the same; owned; NULL: a single server */
	bool is_listener, is_closing;
	_Atomic bool is_up;       /* every node in use is ready, for cache_stats */
	struct list idle_lookups; /* kept for reuse */
	unsigned lookups;         /* waiting for Redis */
	uint64_t repaired_us;
	struct payment payment;
	_Atomic uint64_t counters[COUNTERS]; /* written by the own thread only */
};

void worker_count(struct cache_worker *w, enum worker_counter which);

/* Redis may be asked: it knows of every change of this process. */
bool shared_is_usable(const struct cache_worker *w);

/* shared.c: names and tokens. */
struct slice shared_entry_key(const struct cache *c, struct hash128 key, char *out);
/* database: whose generation it is or whose table's; NULL: above databases. */
struct slice shared_token_key(const struct cache *c, const struct hash128 *database,
                              struct hash128 name, char *out);
struct slice shared_token_new(struct cache *c, uint8_t out[SHARED_TOKEN_BYTES]);
uint64_t shared_token_hash(struct slice token); /* never 0 */
/* The names that deps stand on, in the order of tables_view with "everything" in front. */
enum { NAME_ALL, NAME_CLUSTER, NAME_DATABASE };
unsigned shared_names(const struct cache_deps *deps, struct hash128 out[SHARED_NAMES_MAX]);
/* Replies that nobody waits for; errors are counted. */
void shared_send_and_forget(struct node *n);
void shared_set_token(struct node *n, struct slice key, struct slice token, bool if_absent);
/* What a cluster replies about the map: a redirection is counted and has the map looked at. */
bool shared_take_redirect(struct cache_worker *w, const struct redis_value *v,
                          struct redirect *out);

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

#endif
