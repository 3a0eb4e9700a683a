/* SPDX-License-Identifier: PostgreSQL */
/*
 * One cluster at work: joins the pure view with the Patroni watcher and the
 * probes, publishes topologies, writes node_live, logs what changed. Control
 * thread only.
 */
#ifndef WEIR_TIER_CLUSTER_H
#define WEIR_TIER_CLUSTER_H

#include "tier/pg_session.h"
#include "tier/topology.h"

struct cluster;
struct config;
struct config_cluster;

struct cluster_ops {
	/* Take an own reference to keep it. */
	void (*on_topology)(void *arg, struct cluster *cluster, struct topology *topology);
};

/* Publishes once from inside: what is known by then. */
struct cluster *cluster_create(const struct pg_session_net *net, const struct cluster_ops *ops,
			       void *arg, const struct config *config,
			       const struct config_cluster *options);
void cluster_destroy(struct cluster *cluster); /* not from inside its callbacks */
/* After a reload: addresses, credentials and intervals anew; node ids stay. */
void cluster_configure(struct cluster *cluster, const struct config *config,
		       const struct config_cluster *options);
const char *cluster_name(const struct cluster *cluster);
struct topology *cluster_topology(const struct cluster *cluster); /* borrowed */

/* A worker's connection to that node failed. */
void cluster_suspect(struct cluster *cluster, uint16_t node_id);
void cluster_probe(struct cluster *cluster); /* now, rate-limited */

#endif
