/* SPDX-License-Identifier: PostgreSQL */
/*
 * Immortal blocks of node_live, see live.h. The registry is process-wide since
 * the blocks are: they outlive every cluster, tier and worker.
 */
#include "tier/live.h"

#include <string.h>

#include "base/mem.h"

struct live_cluster {
	struct live_cluster *next;
	char *name;
	struct node_live nodes[TOPOLOGY_NODES_MAX];
};

static struct live_cluster *registry; /* control thread only */

struct node_live *live_nodes(const char *cluster)
{
	struct live_cluster *c = registry;

	while (c && strcmp(c->name, cluster) != 0)
		c = c->next;
	if (c == NULL) {
		c = mem_zalloc(sizeof *c);
		c->name = mem_strdup(cluster);
		c->next = registry;
		registry = c;
	}
	return c->nodes;
}

void live_reset(struct node_live *live)
{
	atomic_store_explicit(&live->fresh_as_of_us, 0, memory_order_relaxed);
	atomic_store_explicit(&live->replay_lsn, 0, memory_order_relaxed);
	atomic_store_explicit(&live->lag_bytes, 0, memory_order_relaxed);
	atomic_store_explicit(&live->ejected_until_us, 0, memory_order_relaxed);
	atomic_store_explicit(&live->eject_count, 0, memory_order_relaxed);
}
