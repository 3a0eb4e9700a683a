/* SPDX-License-Identifier: PostgreSQL */
/*
 * The tier: watches every cluster of the configuration from the control
 * thread's loop (Patroni REST or a fixed host list), probes the nodes over
 * libpq, reads the catalogs, and hands immutable snapshots to a callback.
 * Owned by the control thread; only the *_post calls are for other threads.
 */
#ifndef WEIR_TIER_TIER_H
#define WEIR_TIER_TIER_H

#include <stdbool.h>
#include <stdint.h>

struct catalog;
struct config;
struct loop;
struct tier;
struct topology;

struct pg_notification;

struct tier_callbacks { /* on the control thread */
	void *ctx; /* borrowed: outlives the tier */
	/* The callee takes its own reference (topology_get) if it keeps it. */
	void (*on_topology)(void *ctx, const char *cluster, struct topology *topology);
	void (*on_catalog)(void *ctx, const char *database, struct catalog *catalog);
	/* See channels.h. */
	void (*on_listening)(void *ctx, const char *database, const char *channel);
	void (*on_notification)(void *ctx, const char *database, const struct pg_notification *n);
	void (*on_caught_up)(void *ctx, uint64_t listener);
};

/* Calls on_topology once for each cluster from inside, with what is known by then. */
struct tier *tier_create(struct loop *loop, const struct config *config,
			 const struct tier_callbacks *callbacks);
void tier_destroy(struct tier *tier);
/* Clusters and databases added, changed, gone; keeps a reference on config, as tier_create does. */
void tier_reload(struct tier *tier, const struct config *config);
/* The last topology of a cluster, borrowed until the next turn; NULL: no such cluster. */
struct topology *tier_topology(const struct tier *tier, const char *cluster);
/* The last catalog of a database entry, borrowed likewise; NULL: none (yet). */
struct catalog *tier_catalog(const struct tier *tier, const char *database);

/*
 * Control thread: looks a user's secret up by auth_query; see auth_query.h. Call only if the
 * database's entry names an auth_user.
 */
struct auth_question;
void tier_ask_secret(struct tier *tier, struct auth_question *question);

/* Any thread: a connection to that node failed; look at the cluster at once (rate-limited). */
void tier_suspect_post(struct tier *tier, const char *cluster, uint16_t node_id);
/*
 * Any thread: DDL was seen in that database entry ("": any); read its catalog again soon. Of a
 * database that the fallback entry stands for, the first call begins the reading.
 */
void tier_catalog_stale_post(struct tier *tier, const char *database);
/* Any thread: a session waits for fresher replicas; probe now (rate-limited). */
void tier_probe_post(struct tier *tier, const char *cluster);

/* Any thread: a worker wants what is notified on the channel, or no more of it. */
void tier_listen_post(struct tier *tier, const char *database, const char *channel, bool is_on);
/* Any thread: on_caught_up is told behind all that was notified in the database before now. */
void tier_catch_up_post(struct tier *tier, const char *database, uint64_t listener);

#endif
