/* SPDX-License-Identifier: PostgreSQL */
/*
 * What differs between two topologies, one line per event: for the log and for
 * tests. Pure.
 */
#ifndef WEIR_TIER_CLUSTER_LOG_H
#define WEIR_TIER_CLUSTER_LOG_H

#include "tier/topology.h"

/* event: constant name, e.g. "primary_changed"; is_bad: degraded. node NULL: of the cluster. */
typedef void topology_event_fn(void *arg, const char *event, bool is_bad,
			       const struct topology_node *node);

/* old NULL: the first topology. */
void topology_diff(const struct topology *old, const struct topology *new_one,
		   topology_event_fn *on_event, void *arg);

#endif
