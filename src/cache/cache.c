/* SPDX-License-Identifier: PostgreSQL */
/*
 * Ties the levels together: the local store first, then Redis if it may be
 * asked, else a miss; a store that the rules allow goes to both; a change is
 * made pending for Redis, then bumps the local generations, then travels.
 *
 * That order carries the promises. Whoever takes generations before the bump
 * is refused or void after it; whoever takes them after sees the change
 * pending and leaves Redis alone until Redis knows.
 *
 * cache_create, cache_destroy: the main thread. cache_void_cluster and
 * cache_stats: any. All else: the worker's thread.
 */
#include "cache/cache.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "cache/admission.h"
#include "cache/entry.h"
#include "cache/local.h"
#include "cache/rules.h"
#include "cache/shared.h"
#include "net/tls.h"

#include <stdio.h>
#include <sys/random.h>

enum {
	TABLE_SLOTS = 65536,
	GREETING_US = 1000 * 1000,
	DDL_DOUBT_US = 2 * 1000 * 1000, /* in which a catalog is read again */
	PATIENCE_TIMEOUTS = 5, /* the breaker opens after so many redis_timeouts without a reply */
};

static char *copy(const char *text)
{
	return text ? mem_strdup(text) : NULL;
}

static void copy_options(struct cache *c, const struct cache_options *options)
{
	const struct cache_redis *from = &options->redis;
	struct cache_redis *r = &c->options.redis;
	struct slice prefix = slice_str(from->prefix ? from->prefix : "pgweir");

	c->options = *options;
	if (prefix.len > SHARED_PREFIX_MAX)
		prefix.len = SHARED_PREFIX_MAX;
	r->prefix = mem_slicedup(prefix);
	r->user = copy(from->user);
	r->password = copy(from->password);
	r->master = copy(from->master);
	r->sentinel_user = copy(from->sentinel_user);
	r->sentinel_password = copy(from->sentinel_password);
	for (unsigned i = 0; i < from->seed_count; i++)
		r->seeds[i].host = mem_strdup(from->seeds[i].host);
	if (from->tls)
		r->tls = tls_context_get(from->tls);
}

static void redis_init(struct cache *c)
{
	struct cache_options *o = &c->options;
	const struct cache_redis *r = &o->redis;

	c->has_redis = true;
	c->is_cluster = r->mode == CACHE_REDIS_CLUSTER;
	snprintf(c->channel, sizeof c->channel, "%s:i", r->prefix);
	c->link = (struct link_options){
		.resolver = o->resolver,
		.tls = r->tls,
		.greet = { .user = r->user, .password = r->password },
		.reply_max_bytes = o->entry_bytes + SHARED_ENTRY_OVERHEAD + 64 * 1024,
		.greeting_us = GREETING_US,
		.patience_us = (uint64_t)r->timeout_ms * 1000 * PATIENCE_TIMEOUTS,
	};
	if (r->mode == CACHE_REDIS_SINGLE)
		c->slots = slots_single(slice_str(r->seeds[0].host), r->seeds[0].port);
	if (getrandom(&c->nonce, sizeof c->nonce, 0) != (ssize_t)sizeof c->nonce)
		c->nonce = hash_combine((uint64_t)clock_wall_us(), clock_monotonic_us());
}

struct cache *cache_create(const struct cache_options *options)
{
	struct cache *c = mem_zalloc(sizeof *c);
	uint64_t now_us = clock_monotonic_us();

	copy_options(c, options);
	c->admission = admission_create(options->admission_window_ms, now_us);
	c->tables = tables_create(TABLE_SLOTS, now_us);
	c->local = local_create(options->local_bytes, c->admission);
	c->all = tables_slot(c->tables, GENERATION_ALL, slice_of("", 0), 0);
	pthread_mutex_init(&c->workers_mutex, NULL);
	list_init(&c->workers);
	if (options->redis.seed_count > 0)
		redis_init(c);
	return c;
}

static void free_secret(const char *text)
{
	char *secret = (char *)(uintptr_t)text;

	if (secret)
		mem_wipe(secret, strlen(secret));
	mem_free(secret);
}

static void free_options(struct cache_redis *r)
{
	mem_free((char *)(uintptr_t)r->prefix);
	mem_free((char *)(uintptr_t)r->user);
	mem_free((char *)(uintptr_t)r->master);
	mem_free((char *)(uintptr_t)r->sentinel_user);
	free_secret(r->password);
	free_secret(r->sentinel_password);
	for (unsigned i = 0; i < r->seed_count; i++)
		mem_free((char *)(uintptr_t)r->seeds[i].host);
	tls_context_put(&r->tls);
}

void cache_destroy(struct cache *c)
{
	WEIR_ASSERT(c->workers.count == 0);
	local_destroy(c->local);
	tables_destroy(c->tables);
	admission_destroy(c->admission);
	pthread_mutex_destroy(&c->workers_mutex);
	slots_put(&c->slots);
	free_options(&c->options.redis);
	mem_free(c);
}

/* With the map that there is, or with the one that its mail will bring. */
static void open_redis(struct cache_worker *w, struct slots *slots)
{
	struct slots *known = slots;

	if (slots)
		nodes_adopt(w, &slots);
	if (!w->is_listener)
		return;
	if (known)
		listen_adopt(w, known);
	discover_open(w);
}

struct cache_worker *cache_worker_create(struct cache *c, struct loop *loop)
{
	struct cache_worker *w = mem_zalloc(sizeof *w);
	struct slots *slots;

	w->cache = c;
	w->loop = loop;
	list_init(&w->idle_lookups);
	list_init(&w->nodes);
	list_init(&w->ears);
	pthread_mutex_lock(&c->workers_mutex);
	list_append(&c->workers, &w->node);
	w->is_listener = c->has_redis && !c->listener;
	if (w->is_listener)
		c->listener = w;
	if (c->has_redis)
		w->mailbox = mailbox_create(loop, w);
	slots = c->slots ? slots_get(c->slots) : NULL;
	pthread_mutex_unlock(&c->workers_mutex);
	if (c->has_redis)
		open_redis(w, slots);
	return w;
}

static void close_listener(struct cache_worker *w)
{
	atomic_store(&w->cache->is_hearing, false);
	tables_change_all(w->cache->tables, clock_monotonic_us());
	discover_close(w);
	listen_close(w);
}

/* What this worker can't deliver any more is owed by the others. */
void cache_worker_destroy(struct cache_worker *w)
{
	struct cache *c = w->cache;

	pthread_mutex_lock(&c->workers_mutex);
	list_remove(&c->workers, &w->node);
	if (w->is_listener)
		c->listener = NULL;
	pthread_mutex_unlock(&c->workers_mutex);
	w->is_closing = true;
	if (w->is_listener)
		close_listener(w);
	nodes_close(w);
	if (c->has_redis)
		mailbox_destroy(w->mailbox); /* what was posted meanwhile finds no node: owed */
	lookup_free_idle(w);
	mem_free(w);
}

enum cache_result cache_lookup_start(struct cache_worker *w, struct cache_lookup *lookup,
                                     const struct hash128 *key, const struct cache_deps *deps,
                                     uint64_t not_before_us, struct cache_fill *fill,
                                     struct cache_entry **entry)
{
	struct cache *c = w->cache;
	uint64_t now_us = loop_now_us(w->loop);
	uint32_t asked = admission_count(c->admission, key, now_us);
	struct tables_view view;

	tables_resolve(c->tables, deps, &view);
	lookup->worker = w;
	lookup->pending = NULL;
	fill->key = *key;
	fill->deps = *deps;
	fill->ttl_ms = lookup->ttl_ms ? lookup->ttl_ms : c->options.ttl_ms;
	fill->is_admitted = asked >= c->options.min_hits;
	fill_begin(w, &view, fill); /* before it is asked whether a change is pending */
	*entry = local_find(c->local, &(struct local_question){
									  .key = *key,
									  .identity = view.identity,
									  .generation_sum = fill->generation_sum,
									  .now_us = now_us,
									  .not_before_us = not_before_us,
								  });
	if (*entry) {
		worker_count(w, COUNT_HITS_LOCAL);
		return CACHE_HIT;
	}
	if (shared_is_usable(w) && !tables_is_pending(&view) &&
	    lookup_start(w, lookup, fill, not_before_us))
		return CACHE_PENDING;
	worker_count(w, COUNT_MISSES);
	return CACHE_MISS;
}

static void store_local(struct cache_worker *w, const struct cache_fill *fill, uint64_t identity,
                        struct slice description, struct slice rows)
{
	struct cache *c = w->cache;
	struct local_terms terms = {
		.key = fill->key,
		.identity = identity,
		.generation_sum = fill->generation_sum,
		.computed_us = fill->started_us,
		.stored_us = clock_monotonic_us(),
		.expires_us = shared_expiry_us(c, fill->started_us, fill->ttl_ms),
	};
	struct cache_entry *entry = entry_create(&terms, description, rows);

	worker_count(w, entry && local_insert(c->local, entry) ? COUNT_STORES : COUNT_REFUSED);
	cache_entry_put(&entry);
}

void cache_store(struct cache_worker *w, const struct cache_fill *fill, uint64_t fresh_as_of_us,
                 struct slice description, struct slice rows)
{
	struct cache *c = w->cache;
	struct tables_view view;
	enum store_verdict verdict;

	tables_resolve(c->tables, &fill->deps, &view);
	verdict = rules_store(&(struct store_facts){
		.is_admitted = fill->is_admitted,
		.result_bytes = description.len + rows.len,
		.entry_max_bytes = c->options.entry_bytes,
		.sum_at_start = fill->generation_sum,
		.sum_now = tables_sum(c->tables, &view),
		.fresh_as_of_us = fresh_as_of_us,
		.last_change_us = tables_last_change_us(c->tables, &view),
		.now_us = loop_now_us(w->loop),
		.expires_us = fill->started_us + (uint64_t)fill->ttl_ms * 1000,
	});
	if (verdict != STORE_YES || !result_is_well_formed(description, rows)) {
		worker_count(w, COUNT_REFUSED);
		return;
	}
	store_local(w, fill, view.identity, description, rows);
	if (fill->shared_sum != 0 && shared_is_usable(w))
		lookup_store(w, fill, description, rows);
}

/* DDL may be about roles and what they are granted, which all databases of a cluster share. */
static void invalidate_database(struct cache_worker *w, const struct cache_deps *deps)
{
	struct cache *c = w->cache;
	struct slice cluster = tables_cluster_of(deps->database);
	uint64_t now_us;

	if (c->has_redis)
		publish_change(w, GENERATION_DATABASE, deps->database, deps->is_ddl ? CHANGE_DDL : 0);
	if (c->has_redis && deps->is_ddl)
		publish_change(w, GENERATION_CLUSTER, cluster, 0);
	now_us = clock_monotonic_us();
	tables_change(tables_slot(c->tables, GENERATION_DATABASE, deps->database, 0), now_us);
	if (deps->is_ddl)
		tables_change(tables_slot(c->tables, GENERATION_CLUSTER, cluster, 0), now_us);
}

static void invalidate_tables(struct cache_worker *w, const struct cache_deps *deps)
{
	struct cache *c = w->cache;
	uint64_t now_us;

	for (uint32_t i = 0; c->has_redis && i < deps->table_count; i++)
		publish_change(w, GENERATION_TABLE, deps->database, deps->tables[i]);
	now_us = clock_monotonic_us();
	for (uint32_t i = 0; i < deps->table_count; i++)
		tables_change(tables_slot(c->tables, GENERATION_TABLE, deps->database, deps->tables[i]),
		              now_us);
}

void cache_invalidate(struct cache_worker *w, const struct cache_deps *deps)
{
	struct cache *c = w->cache;
	uint64_t now_us = clock_monotonic_us();

	worker_count(w, COUNT_INVALIDATIONS);
	if (deps->is_ddl)
		atomic_store(&c->ddl_us, now_us);
	/* The oids may be of tables that were there before the DDL. */
	if (deps->table_count == 0 || now_us - atomic_load(&c->ddl_us) < DDL_DOUBT_US)
		invalidate_database(w, deps);
	else
		invalidate_tables(w, deps);
	if (c->has_redis)
		publish_flush(w);
}

struct void_mail {
	struct mail mail;
	struct tables_slot *slot; /* holds one pending */
	char cluster[];
};

static void deliver_void(struct mail *mail, void *receiver)
{
	struct void_mail *m = (struct void_mail *)(void *)mail;
	struct cache_worker *w = receiver;

	publish_change(w, GENERATION_CLUSTER, slice_str(m->cluster), 0);
	tables_pending_remove(m->slot);
	publish_flush(w);
	mem_free(m);
}

void cache_void_cluster(struct cache *c, struct slice cluster)
{
	struct tables_slot *slot = tables_slot(c->tables, GENERATION_CLUSTER, cluster, 0);
	struct void_mail *m;

	pthread_mutex_lock(&c->workers_mutex);
	if (c->has_redis && c->workers.count > 0) {
		struct cache_worker *w = list_entry(list_first(&c->workers), struct cache_worker, node);

		m = mem_zalloc(sizeof *m + cluster.len + 1);
		m->slot = slot;
		memcpy(m->cluster, cluster.ptr, cluster.len);
		m->mail.deliver = deliver_void;
		tables_pending_add(slot);
		mailbox_post(w->mailbox, &m->mail);
	} else {
		publish_owe(c);
	}
	pthread_mutex_unlock(&c->workers_mutex);
	tables_change(slot, clock_monotonic_us());
}
