/* SPDX-License-Identifier: PostgreSQL */
/*
 * The node_live blocks: one per cluster name and node id, made at first use,
 * never freed, because workers read them through topologies of any age.
 * Control thread only.
 */
#ifndef WEIR_TIER_LIVE_H
#define WEIR_TIER_LIVE_H

#include "tier/topology.h"

/* TOPOLOGY_NODES_MAX blocks, by id; the same ones for the same name. */
struct node_live *live_nodes(const char *cluster);
/* Another server stands behind the id: everything but the running requests starts anew. */
void live_reset(struct node_live *live);

#endif
