/* SPDX-License-Identifier: PostgreSQL */
/*
 * One proxy per worker thread: its clients, tenants, pools, statement cache
 * and the snapshots it works from. Everything in it belongs to that thread;
 * what proxies share is in shared.h, and what reaches a proxy from
 * outside comes through its mailbox. The worker layer makes and drives it.
 */
#ifndef WEIR_PROXY_PROXY_H
#define WEIR_PROXY_PROXY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"
#include "base/slab.h"
#include "metrics/metrics.h"
#include "net/conn.h"
#include "net/mailbox.h"
#include "proxy/gate.h"
#include "proxy/settings.h"
#include "proxy/shared.h"

struct cache_worker;
struct catalog;
struct client;
struct key_cache;
struct ledger_waiter;
struct proxy;
struct prepared_table;
struct server;
struct statement_cache;
struct topology;

/* A client's id: worker above, number below. Its cancel key's pid where it knows no server's. */
enum { CLIENT_ID_BITS = 25 };

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
	uint64_t freed_seen;         /* when housekeeping looked last: see trim_memory */
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
	size_t unnamed_bytes;        /* kept of clients' unnamed statements: see unnamed.h */
	uint32_t unnamed_count;      /* clients that keep some */
	struct list cancelers;       /* cancel requests on their way */
	struct list orphans;         /* requests whose servers were given up, see orphan.h */
	struct loop_timer housekeeping;
	struct conn_limits client_limits, server_limits;
	uint32_t rotation;
	unsigned name_rounds;        /* see hosts.c */
	uint64_t name_changes;
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
