/* SPDX-License-Identifier: PostgreSQL */
/*
 * A tenant is a (database entry, user) on one worker: what its clients have
 * in common. It resolves the configuration once, owns one pool per node of its
 * cluster, and keeps what a log-in needs to answer without asking a server.
 */
#ifndef WEIR_PROXY_TENANT_H
#define WEIR_PROXY_TENANT_H

#include "base/map.h"
#include "auth/scram.h"
#include "metrics/db_stats.h"
#include "pool/ledger.h"
#include "pool/pool.h"
#include "proxy/proxy.h"
#include "route/choose.h"
#include "tier/topology.h"

struct tenant_pool {
	struct map_node by_ledger;  /* in proxy->pools */
	struct pool pool;
	struct tenant *tenant;      /* borrowed: owns us */
	struct loop_timer patience; /* see keep_watch */
	struct pg_error *refusal;   /* owned: of the last log-in that a server refused; NULL: none */
	bool is_refused_for_good;   /* told at once until retry_us; else to who has waited in vain */
	uint64_t retry_us;          /* no new connection before this time; 0: at once */
	unsigned failures;          /* log-ins that failed in a row */
	bool is_primary;            /* in the last topology */
	bool is_deposed;            /* was the primary; what runs there waits for a successor */
};

enum { TENANT_WELCOMES_MAX = 16 };

struct tenant_welcome { /* what a server reports to a session with these settings */
	struct session_state *session; /* counted */
	struct params *params;         /* counted */
	struct params *defaults;       /* counted: those of the server */
};

struct tenant {
	struct map_node map;        /* in proxy->tenants */
	struct proxy *proxy;        /* borrowed */
	char *database;             /* owned: as the client asked */
	char *user;                 /* owned */
	char *scope;                /* owned: "cluster/dbname", what cached tables belong to */
	struct settings *settings;  /* counted: the snapshot that db and user_cfg point into */
	const struct config_database *db;      /* borrowed from settings, also once it is gone */
	const struct config_user *user_cfg;    /* likewise; may be NULL */
	struct tenant *home;        /* borrowed: same life; see tenant_home; NULL: not asked yet */
	struct cluster_view *cluster;          /* borrowed: never freed before the proxy */
	struct catalog *catalog;    /* counted; NULL: none */
	uint64_t catalog_ask_us;    /* no asking for a newer one before this time */
	uint64_t catalog_pause_us;  /* between asking in vain; 0: not asked since it came */
	struct route_policy policy;
	enum config_pool_mode pool_mode;
	bool is_gone;               /* the database entry is no longer configured */
	bool has_cache;
	struct gate_state gate;     /* what the operator closed */
	struct list held;           /* clients that wait for RESUME */
	struct ledger_seats seats;  /* of its clients */
	uint32_t client_count;
	uint32_t guest_count;       /* tenants whose home this is */
	uint32_t in_flight;         /* servers on their way to clients that have gone */
	uint64_t vacate_until_us;   /* its servers are unwanted once they have gone: vacate.h */
	uint64_t unused_us;         /* since when nobody uses it; 0: somebody does */
	size_t max_prepared;
	struct scram_keys *keys;    /* owned: of a client's SCRAM log-in, for servers; or NULL */
	char *secret;               /* owned: the user's by auth_query, for servers; NULL: none */
	struct tenant_pool *pools[TOPOLOGY_NODES_MAX]; /* owned; NULL: not used yet */
	struct db_stats *stats;     /* borrowed from the worker's metrics */
	struct tenant_welcome welcomes[TENANT_WELCOMES_MAX];
	struct params *defaults;    /* counted: the newest of its servers; NULL: none yet */
	unsigned next_welcome;
	unsigned server_major;      /* PostgreSQL's version as a server reported it; 0: none yet */
};

/* For proxy.c's maps. */
bool tenant_equal(const struct map_node *node, const void *key);
bool tenant_pool_equal(const struct map_node *node, const void *key);
/* Found or made; NULL: no such database. */
struct tenant *tenant_find(struct proxy *p, struct slice database, struct slice user);
void tenant_destroy(struct tenant *t);
void tenant_configure(struct tenant *t); /* again, after a reload */
/* How a database's requests are routed. Pure. */
struct route_policy tenant_policy(const struct config_database *db);
/* Whose pools it uses: the forced user's, where the entry names one, else its own. */
struct tenant *tenant_home(struct tenant *t);
void tenant_leave_home(struct tenant *t);
struct pool *tenant_pool(struct tenant *t, const struct topology_node *node);
/*
 * Once a second: connections that min_pool_size wants, or that the reserve has for who waits too
 * long; idle ones that are too old go.
 */
void tenant_keep_pools(struct tenant *t, uint64_t now_us);
/* Housekeeping: true once nobody has used it for so long that it may be destroyed. */
bool tenant_is_over(struct tenant *t, uint64_t now_us);
/* A log-in failed, by a server's refusal where error isn't NULL, or was right (tenant_login_ok). */
void tenant_login_failed(struct tenant_pool *tp, const struct pg_error *error, bool is_for_good);
/* Why there is no connection to the primary, if the server refused it; NULL: it didn't. */
const struct pg_error *tenant_refusal(struct tenant *t);
void tenant_login_ok(struct tenant_pool *tp);
/* No connection is there, the last tries failed, and it is too early for the next. */
bool tenant_holds_off(struct tenant_pool *tp);
/* What was refused may be right now: settings, secrets or the server changed. */
void tenant_forget_failures(struct tenant *t);
/* NULL: none. */
struct pool *tenant_pool_by_ledger(struct proxy *p, const struct ledger_entry *ledger);
static inline struct tenant_pool *tenant_pool_of(struct pool *pool)
{
	return list_entry(pool, struct tenant_pool, pool);
}
/* PAUSE: servers are closed as they become free, requests held; until it ends. */
void tenant_set_gate(struct tenant *t, struct gate_state gate);
/* The topology changed: pools of nodes that lost the primary role are emptied. */
void tenant_topology_changed(struct tenant *t);
/* What auth_query gave at a log-in that was right; used where auth_file has nothing. */
void tenant_keep_secret(struct tenant *t, const char *secret);
/* The secret that logs this tenant in to servers; empty: none. */
struct slice tenant_server_secret(const struct tenant *t);
struct slice tenant_server_user(const struct tenant *t);
struct slice tenant_server_dbname(const struct tenant *t);
/* What to report to a client with that state; NULL: not learnt yet. Borrowed. */
const struct tenant_welcome *tenant_welcome(const struct tenant *t,
					    const struct session_state *session);
/* `s` has these settings now. */
void tenant_learn(struct tenant *t, struct session_state *session, const struct server *s);
void tenant_unlearn(struct tenant *t); /* the next log-in asks a server */
/* A connection to that node failed: the tier looks at once, reads avoid it for a while. */
void tenant_suspect(struct tenant *t, uint16_t node_id);
/* NULL: not there now. */
const struct topology_node *tenant_node(const struct tenant *t, uint16_t node_id);

#endif
