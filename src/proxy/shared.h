/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the proxies of all workers share, and what they ask of the layers above.
 * The worker layer makes it before the threads start and frees it after they
 * ended; what changes meanwhile is atomic or has a lock of its own.
 */
#ifndef WEIR_PROXY_SHARED_H
#define WEIR_PROXY_SHARED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "auth/secret_shape.h"
#include "base/slice.h"

struct buf;
struct cache;
struct client;
struct ledger;
struct metrics;
struct proxy;
struct resolver;
struct session_table;

/* What proxies ask of the layers above; any worker's thread. */
struct proxy_hooks {
	void (*suspect)(void *ctx, const char *cluster, uint16_t node_id);
	void (*catalog_stale)(void *ctx, const char *database);
	void (*probe)(void *ctx, const char *cluster);
	/* See listen.h, hear.h; hear_caught_up follows the second, behind what was notified before. */
	void (*listen)(void *ctx, const char *database, const char *channel, bool is_on);
	void (*catch_up)(void *ctx, const char *database, uint64_t client_id);
	/* Asks for the user's secret by auth_query of a database entry; login_secret answers. */
	void (*secret)(void *ctx, struct proxy *proxy, struct client *client, struct slice database,
		       struct slice user);
	/* The answer comes back through client_console_reply with the same client id. */
	void (*console)(void *ctx, struct proxy *proxy, struct client *client, struct slice sql);
	void (*console_greeting)(struct buf *out);         /* ParameterStatus messages; pure */
	void (*console_refuse_extended)(struct buf *out);  /* an error; pure */
};

/* Who wrote last on a server process: told in the place of its pid, see listen.c. */
enum { NOTIFIERS = 1024 };
struct notifier {
	_Atomic uint64_t who;      /* server's pid above, the pid told to the client below */
	_Atomic uint64_t since_us; /* it is that one, right behind another; 0: no other was near */
	_Atomic uint64_t last_us;  /* wrote last */
};

struct proxy_shared { /* borrowed by every proxy: outlives them */
	struct ledger *ledger;
	struct session_table *sessions;
	struct resolver *resolver;
	struct cache *cache;            /* NULL: no cache configured at start */
	struct metrics *metrics;
	struct shape_sample shapes;     /* of secrets that auth_query gave, by database entry */
	unsigned worker_count;
	struct proxy *proxies[64];      /* by worker index, set before the threads start */
	_Atomic uint32_t client_count;  /* connected, all workers */
	_Atomic uint32_t orphan_count;  /* see orphan.h, all workers */
	_Atomic uint32_t listener_count; /* clients that listen, all workers */
	struct notifier notifiers[NOTIFIERS];
	const struct proxy_hooks *hooks;
	void *hooks_ctx;
};

#endif
