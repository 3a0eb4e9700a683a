/* SPDX-License-Identifier: PostgreSQL */
/*
 * Where the console's data comes from and where its commands go: calls that
 * the worker layer fills in. All run on the control thread; those with a
 * `done` answer later, on the control thread, exactly once. So admin/ knows no
 * worker, and its tests give it made-up tables.
 */
#ifndef WEIR_ADMIN_SOURCE_H
#define WEIR_ADMIN_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "admin/snapshot.h"
#include "base/err.h"
#include "base/slice.h"
#include "cache/cache.h"
#include "config/config.h"
#include "metrics/metrics.h"
#include "net/resolver.h"
#include "tier/topology.h"

enum admin_action {
	ADMIN_RELOAD,
	ADMIN_PAUSE,
	ADMIN_RESUME,
	ADMIN_DISABLE,
	ADMIN_ENABLE,
	ADMIN_RECONNECT,
	ADMIN_KILL,
	ADMIN_KILL_CLIENT,
	ADMIN_WAIT_CLOSE,
	ADMIN_SHUTDOWN,
	ADMIN_SHUTDOWN_CLIENTS,
	ADMIN_SHUTDOWN_SERVERS,
	ADMIN_CACHE_CLEAR,
};

struct admin_order {
	enum admin_action action;
	const char *database; /* borrowed during the call; "" for all */
	uint64_t id;          /* ADMIN_KILL_CLIENT */
};

struct admin_database { /* what holds for a database beyond its configuration */
	bool is_paused;
	bool is_disabled;
};

struct admin_route { /* EXPLAIN ROUTE: how a statement would be routed now */
	char class[32];  /* read, write, session, ... */
	char target[96]; /* primary, replica, cache, pgweir; with the node's name where known */
	char reason[160];
	char tables[256]; /* that it reads or writes, where known */
	char pins[96];    /* "" when it doesn't pin */
	char cache[96];   /* cacheable, or why not */
};

typedef void admin_parts_fn(void *done_ctx, struct admin_part *parts);   /* the callee owns parts */
typedef void admin_error_fn(void *done_ctx, const struct pg_error *err); /* NULL: done */
typedef void admin_name_fn(void *each_ctx, struct slice name); /* lives as long as the request */
typedef void admin_topology_fn(void *each_ctx, const char *cluster,
                               const struct topology *topology);

struct admin_source {
	void *ctx; /* borrowed: outlives the console */
	const struct metrics *metrics;
	int64_t started_us;                  /* wall clock */
	struct config *(*config)(void *ctx); /* counted: the caller puts it */
	void (*collect)(void *ctx, unsigned want, admin_parts_fn *done, void *done_ctx);
	void (*topologies)(void *ctx, admin_topology_fn *each, void *each_ctx);
	void (*cache)(void *ctx, struct cache_stats *out); /* NULL: no cache */
	void (*database)(void *ctx, const char *name, struct admin_database *out);
	void (*users)(void *ctx, admin_name_fn *each, void *each_ctx); /* of auth_file; may be NULL */
	struct resolver_host *(*hosts)(void *ctx, size_t *count); /* as resolver_hosts; may be NULL */
	void (*act)(void *ctx, const struct admin_order *order, admin_error_fn *done, void *done_ctx);
	/* Publishes the changed configuration, takes over the reference. False and why: no change. */
	bool (*publish)(void *ctx, struct config *cfg, char *why, size_t why_size);
	/* False and *err when it can't be told. May be NULL. */
	bool (*explain)(void *ctx, const char *database, struct slice sql, struct admin_route *out,
	                struct pg_error *err);
	bool (*is_accepting)(void *ctx); /* false while draining */
};

#endif
