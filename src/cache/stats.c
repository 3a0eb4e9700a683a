/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the cache counts, summed over workers and stripes at the reader's
 * expense: each worker writes its own counters without ordering. Any thread.
 */
#include "cache/local.h"
#include "cache/shared.h"

#include <stdio.h>

static uint64_t sum(struct cache *c, enum worker_counter which)
{
	uint64_t total = 0;

	list_foreach (&c->workers, n) {
		struct cache_worker *w = list_entry(n, struct cache_worker, node);

		total += atomic_load_explicit(&w->counters[which], memory_order_relaxed);
	}
	return total;
}

static size_t count_up(struct cache *c)
{
	size_t up = 0;

	list_foreach (&c->workers, n)
		up += atomic_load_explicit(&list_entry(n, struct cache_worker, node)->is_up,
		                           memory_order_relaxed);
	return up;
}

/* The workers still show what the newest map has, or will in a moment. */
static void show_nodes(const struct slots *slots, struct cache_stats *out)
{
	out->node_count = slots ? slots->node_count : 0;
	for (unsigned i = 0; i < out->node_count && i < CACHE_NODES_SHOWN; i++) {
		const struct slots_node *n = &slots->nodes[i];
		struct cache_node_stats *shown = &out->nodes[i];

		snprintf(shown->name, sizeof shown->name, "%.*s:%u", 70, n->host, (unsigned)n->port);
		shown->links_open = atomic_load_explicit(&n->links_open, memory_order_relaxed);
		shown->links_up = atomic_load_explicit(&n->links_up, memory_order_relaxed);
		shown->is_heard = atomic_load_explicit(&n->is_heard, memory_order_relaxed);
	}
}

void cache_stats(struct cache *c, struct cache_stats *out)
{
	struct local_stats local;
	size_t up;

	local_stats(c->local, &local);
	pthread_mutex_lock(&c->workers_mutex);
	up = count_up(c);
	*out = (struct cache_stats){
		.hits_local = sum(c, COUNT_HITS_LOCAL),
		.hits_redis = sum(c, COUNT_HITS_REDIS),
		.misses = sum(c, COUNT_MISSES),
		.stores = sum(c, COUNT_STORES),
		.refused = sum(c, COUNT_REFUSED),
		.evictions = local.evictions,
		.invalidations = sum(c, COUNT_INVALIDATIONS),
		.redis_errors = sum(c, COUNT_REDIS_ERRORS),
		.redis_timeouts = sum(c, COUNT_REDIS_TIMEOUTS),
		.breaker_opens = sum(c, COUNT_BREAKER_OPENS),
		.redirections = sum(c, COUNT_REDIRECTIONS),
		.refreshes = atomic_load(&c->refreshes),
		.map_changes = atomic_load(&c->map_changes),
		.bytes = local.bytes,
		.entries = local.entries,
		.redis_connected =
			c->has_redis && up > 0 && up == c->workers.count && atomic_load(&c->is_hearing),
		.breaker_open = c->has_redis && up < c->workers.count,
	};
	show_nodes(c->slots, out);
	pthread_mutex_unlock(&c->workers_mutex);
}
