/* SPDX-License-Identifier: PostgreSQL */
/*
 * Clusters of a snapshot under construction: checking those of [clusters],
 * and making implicit ones from the host lists of [databases]. Private to
 * config/. Pure but for the arena.
 */
#ifndef WEIR_CONFIG_CLUSTERS_H
#define WEIR_CONFIG_CLUSTERS_H

#include "config/config.h"

/* Takes apart an explicit cluster's Patroni addresses or hosts; NULL, or what is wrong. */
const char *cluster_complete(struct config_cluster *cluster, struct arena *arena) WEIR_MUST_CHECK;

/*
 * The cluster that a database uses. `clusters` has room for one more. NULL and *why
 * (static text) when its cluster= or host= is wrong.
 */
const struct config_cluster *cluster_of_database(struct config *cfg,
                                                 struct config_cluster *clusters,
                                                 const struct config_database *db,
                                                 const char **why) WEIR_MUST_CHECK;

#endif
