/* SPDX-License-Identifier: PostgreSQL */
/*
 * How a cache is to be: its bounds, and the Redis behind it.
 */
#ifndef WEIR_CACHE_OPTIONS_H
#define WEIR_CACHE_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct resolver;
struct tls_context;

enum { CACHE_SEEDS_MAX = 16 };

enum cache_redis_mode { CACHE_REDIS_SINGLE, CACHE_REDIS_CLUSTER, CACHE_REDIS_SENTINEL };

struct cache_seed {
	const char *host; /* a name, a number, a socket's path */
	uint16_t port;
};

struct cache_redis { /* texts borrowed during create */
	enum cache_redis_mode mode;
	unsigned seed_count; /* 0: local only; one server, some of the cluster's, or the sentinels */
	struct cache_seed seeds[CACHE_SEEDS_MAX];
	const char *user;     /* NULL: none */
	const char *password; /* NULL: none */
	const char *prefix;   /* key prefix, e.g. "pgweir" */
	uint32_t timeout_ms;
	struct tls_context *tls; /* counted: the cache takes a reference of its own; NULL: plain */
	/* Of the sentinels only. */
	const char *master; /* its name */
	const char *sentinel_user;
	const char *sentinel_password;
};

struct cache_options {
	size_t local_bytes; /* bound of the local store */
	size_t entry_bytes; /* largest result kept */
	uint32_t ttl_ms;    /* default life of an entry */
	uint32_t min_hits;  /* admission: requests of a key within the window before it is stored */
	uint32_t admission_window_ms;
	struct cache_redis redis;
	/* Borrowed: outlives the cache. NULL: names are looked up when they come up, waiting. */
	struct resolver *resolver;
	/*
	 * Another process changed what tables there are, or may have, unheard: catalogs are to be
	 * read again. A worker's thread, from its loop. scope as in cache_deps, empty: any. NULL: none.
	 */
	void (*on_ddl)(void *ctx, struct slice scope);
	void *ctx; /* borrowed: outlives the workers */
};

#endif
