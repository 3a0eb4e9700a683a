/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the cache counts, and the masters of Redis as it sees them.
 */
#ifndef WEIR_CACHE_STATS_H
#define WEIR_CACHE_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cache;

enum { CACHE_NODES_SHOWN = 16 };

struct cache_node_stats {
	char name[80]; /* host:port, shortened if it is longer */
	unsigned links_open, links_up; /* of all workers */
	bool is_heard;                 /* its messages arrive */
};

struct cache_stats {
	uint64_t hits_local, hits_redis, misses, stores, refused, evictions, invalidations;
	uint64_t redis_errors, redis_timeouts, breaker_opens;
	uint64_t redirections, refreshes, map_changes; /* of the map of masters */
	size_t bytes, entries;
	bool redis_connected, breaker_open;
	unsigned node_count; /* masters; the first CACHE_NODES_SHOWN of them follow */
	struct cache_node_stats nodes[CACHE_NODES_SHOWN];
};
void cache_stats(struct cache *cache, struct cache_stats *out); /* any thread */

#endif
