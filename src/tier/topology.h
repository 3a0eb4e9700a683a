/* SPDX-License-Identifier: PostgreSQL */
/*
 * A topology: an immutable, counted snapshot of one cluster's nodes and their
 * roles, made by the control thread, read by every worker. What changes
 * many times a second (how fresh a replica is) lives in node_live, shared by
 * all snapshots, read with relaxed atomics.
 *
 * Freshness: `fresh_as_of_us` is a monotonic time T of this process such that
 * every commit acknowledged before T is known to be visible on the node. It
 * comes from pairs of probes: primary insert LSN L sampled at T, replica
 * replayed past L. So "this session's last write was before T" is one integer
 * comparison, and no query is paid per write.
 */
#ifndef WEIR_TIER_TOPOLOGY_H
#define WEIR_TIER_TOPOLOGY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { TOPOLOGY_NODES_MAX = 32, NODE_HOST_MAX = 1024, NODE_NAME_MAX = 64 };

enum node_role { NODE_ROLE_UNKNOWN, NODE_ROLE_PRIMARY, NODE_ROLE_REPLICA };

struct node_live { /* one per node for the life of the process */
	_Atomic uint64_t fresh_as_of_us; /* 0: not known */
	_Atomic uint64_t replay_lsn;
	_Atomic uint64_t lag_bytes;      /* behind the newest primary sample */
	_Atomic uint64_t ejected_until_us; /* monotonic; above now: not used for reads */
	_Atomic uint32_t active;         /* requests running on it from all workers, for least-loaded */
	_Atomic uint32_t eject_count;    /* for growing back-off */
	_Atomic uint64_t probe_failures;
	_Atomic uint64_t wanted_us;      /* when a read last found no fresh replica */
};

struct topology_node {
	uint16_t id;                    /* stable per cluster; < TOPOLOGY_NODES_MAX */
	enum node_role role;
	bool is_running;                /* usable at all */
	uint16_t port;
	uint16_t weight;                /* reads, default 1; 0: never */
	uint32_t timeline;              /* 0: not known */
	uint32_t epoch;                 /* changes when reads on it may go back in time */
	char name[NODE_NAME_MAX];       /* Patroni member name or host:port */
	char host[NODE_HOST_MAX];       /* or several, alike: config/hostlist.h */
	struct node_live *live;         /* borrowed: immortal */
};

struct topology {
	_Atomic uint32_t refcount;
	uint64_t generation;            /* grows with every change */
	uint32_t timeline;              /* of the primary; 0: none known */
	int primary;                    /* index into nodes; -1: none that may take writes */
	bool is_static;                 /* a fixed host list, no Patroni */
	bool is_paused;                 /* Patroni pause */
	uint16_t node_count;
	struct topology_node nodes[TOPOLOGY_NODES_MAX];
};

struct topology *topology_get(struct topology *t);  /* counted */
void topology_put(struct topology **t);

#endif
