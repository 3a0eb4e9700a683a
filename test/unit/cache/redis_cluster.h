/* SPDX-License-Identifier: PostgreSQL */
/*
 * A real Redis Cluster of a test's own: masters 0 to n-1 with a third of the
 * slots each, then their replicas in the same order, if any.
 */
#ifndef WEIR_TEST_UNIT_CACHE_REDIS_CLUSTER_H
#define WEIR_TEST_UNIT_CACHE_REDIS_CLUSTER_H

#include <stdbool.h>

#include "redis_server.h"

enum { CLUSTER_NODES_MAX = 6 };

struct redis_cluster {
	unsigned masters, count;
	struct redis_server nodes[CLUSTER_NODES_MAX];
};

/* config: further lines of every redis.conf, or NULL. */
void redis_cluster_start(struct redis_cluster *c, unsigned masters, bool has_replicas,
                         const char *config);
void redis_cluster_stop(struct redis_cluster *c);
/* Waits until this node says that it is a master. */
void redis_cluster_until_master(struct redis_cluster *c, unsigned node);
unsigned redis_cluster_slot(struct redis_cluster *c, const char *key);
unsigned redis_cluster_owner(const struct redis_cluster *c, unsigned slot); /* as it was formed */
/* Moves a slot as redis-cli --cluster reshard does; half: keys are moved, nobody is told yet. */
void redis_cluster_move_slot(struct redis_cluster *c, unsigned slot, unsigned from, unsigned to);
void redis_cluster_begin_move(struct redis_cluster *c, unsigned slot, unsigned from, unsigned to);
void redis_cluster_move_keys(struct redis_cluster *c, unsigned slot, unsigned from, unsigned to);
void redis_cluster_end_move(struct redis_cluster *c, unsigned slot, unsigned from, unsigned to);

#endif
