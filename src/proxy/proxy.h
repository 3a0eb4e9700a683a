/* SPDX-License-Identifier: PostgreSQL */
/*
 * One proxy per worker thread: its clients, tenants, pools, statement cache
 * and the snapshots it works from. Everything in it belongs to that thread;
 * what proxies share hangs off proxy_shared, and what reaches a proxy from
 * outside comes through its mailbox. The worker layer makes and drives it.
 */
#ifndef WEIR_PROXY_PROXY_H
#define WEIR_PROXY_PROXY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "auth/secret_shape.h"
#include "base/list.h"
#include "base/map.h"
#include "base/slab.h"
#include "metrics/metrics.h"
#include "net/conn.h"
#include "net/mailbox.h"
#include "proxy/gate.h"
#include "proxy/settings.h"

struct cache;
struct cache_worker;
struct catalog;
struct client;
struct key_cache;
struct ledger;
struct ledger_waiter;
struct proxy;
struct prepared_table;
struct resolver;
struct server;
struct session_table;
struct statement_cache;
struct topology;

/* What proxies ask of the layers above; any worker's thread. */
struct proxy_hooks {
	void (*suspect)(void *ctx, const char *cluster, uint16_t node_id);
	void (*catalog_stale)(void *ctx, const char *database);
	void (*probe)(void *ctx, const char *cluster);
	/* See listen.h; listen_caught_up follows the second, behind all that was notified before. */
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

/* A client's id: worker above, number below. Its cancel key's pid where it knows no server's. */
enum { CLIENT_ID_BITS = 25 };

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
	_Atomic uint32_t listener_count; /* clients that listen, all workers */
	struct notifier notifiers[NOTIFIERS];
	const struct proxy_hooks *hooks;
	void *hooks_ctx;
};

struct cluster_view { /* a worker's view of one cluster */
	struct list_node node;
	char *name;                  /* owned */
	struct topology *topology;   /* counted; NULL: none seen yet */
	struct list waiting;         /* clients that wait for a primary or for freshness */
	struct loop_timer retry;
};

struct catalog_view { /* the newest catalog of a database entry, for tenants to come */
	struct list_node node;
	char *database;              /* owned */
	struct catalog *catalog;     /* counted */
};

struct proxy {
	struct proxy_shared *shared;
	unsigned index;
	struct loop *loop;           /* borrowed: the worker's */
	struct metrics_block *metrics; /* borrowed: this thread's */
	_Atomic uint32_t client_load; /* clients here or on their way; any thread reads */
	struct mailbox *mailbox;     /* owned */
	struct settings *settings;   /* counted */
	struct list clients;         /* every client of this worker */
	struct slab client_slab;
	struct slab login_slab;      /* struct login */
	uint64_t freed_seen;         /* of both, when housekeeping looked last: see trim_memory */
	uint64_t freed_trimmed;
	struct map clients_by_id;
	struct map clients_by_key;   /* by their cancel keys */
	struct list ready;           /* clients granted a server or to be served again */
	bool is_draining_ready;
	bool is_draining;            /* no new requests outside transactions: shutting down */
	struct gates gates;          /* PAUSE, DISABLE */
	struct list clusters;        /* struct cluster_view */
	struct list catalogs;        /* struct catalog_view */
	struct map tenants;
	struct map pools;            /* struct tenant_pool by ledger entry */
	struct map channels;         /* struct listen_channel by database and name */
	struct statement_cache *statements;
	struct prepared_table *prepared;
	struct key_cache *login_keys; /* owned: of log-ins to servers */
	struct cache_worker *cache;  /* NULL: off */
	struct list spare_requests;  /* held-request blocks */
	struct list cancelers;       /* cancel requests on their way */
	struct loop_timer housekeeping;
	struct conn_limits client_limits, server_limits;
	uint32_t rotation;
	uint64_t next_client_id;
};

struct proxy *proxy_create(struct proxy_shared *shared, unsigned index, struct loop *loop,
			   struct settings *settings);
/* Own thread: closes everything at once; the loop must turn once more before proxy_destroy. */
void proxy_close_all(struct proxy *p);
void proxy_destroy(struct proxy *p);

/* Own thread. The proxy takes its own references. */
void proxy_set_settings(struct proxy *p, struct settings *settings);
void proxy_set_topology(struct proxy *p, const char *cluster, struct topology *topology);
void proxy_set_catalog(struct proxy *p, const char *database, struct catalog *catalog);
/* Any thread: a socket is about to be posted to proxy_accept; it counts from here. */
void proxy_expect_client(struct proxy *p);
void proxy_accept(struct proxy *p, int fd, bool is_unix); /* consumes fd */
void proxy_drain(struct proxy *p); /* idle clients leave now, others when their transaction ends */
/* PAUSE, DISABLE and their ends; both over all tenants. */
void proxy_set_gate(struct proxy *p, const char *database, struct gate_state state);
void proxy_resume_all(struct proxy *p);

struct catalog *proxy_catalog(const struct proxy *p, const char *database); /* borrowed; or NULL */
struct cluster_view *proxy_cluster(struct proxy *p, const char *name); /* made when new */
struct client *proxy_client_by_id(struct proxy *p, uint64_t id);      /* NULL: gone */

#endif
