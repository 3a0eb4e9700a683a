/* SPDX-License-Identifier: PostgreSQL */
/*
 * Chooses the node for a request from a topology snapshot. Pure apart from
 * relaxed reads of node_live and one relaxed store that tells the tier that a
 * read found no fresh replica; no allocation, one pass over the nodes.
 */
#ifndef WEIR_ROUTE_CHOOSE_H
#define WEIR_ROUTE_CHOOSE_H

#include <stdbool.h>
#include <stdint.h>

#include "route/consistency.h"
#include "route/txn.h"
#include "sql/statement.h"
#include "tier/topology.h"

struct route_policy { /* per database, from the configuration; level also from the session */
	enum config_consistency level;
	uint64_t max_lag_bytes;  /* 0: no bound */
	uint64_t max_lag_us;     /* 0: no bound */
	uint64_t wait_fresh_us;  /* of a read, for a fresh replica before it takes the primary */
	bool has_split;          /* false: everything goes to the primary */
	bool has_primary_reads;  /* reads may fall back to the primary */
};

struct route_ask { /* one request */
	enum txn_node node;      /* of the plan; not TXN_NODE_SAME */
	enum hint_route hint;
	struct session_reads *reads; /* route_choose keeps return_us in it */
	uint64_t now_us;         /* clock, for lag and ejection: the turn's time will do */
	uint64_t arrived_us;     /* of the request: see CLOCK in consistency.h; used by strong only */
	uint64_t waited_us;      /* how long this request has waited for freshness */
	uint32_t rotation;       /* any counter of the worker: spreads ties */
	uint32_t avoid;          /* bit set of node ids that just failed for this request */
};

enum route_what {
	ROUTE_NODE,         /* node_id serves it */
	ROUTE_WAIT_PRIMARY, /* no primary: wait for the next topology, bounded by the caller */
	ROUTE_WAIT_FRESH,   /* tier_probe_post, then ask again, bounded by wait_fresh_us */
	ROUTE_FAIL,         /* no replica may serve it and the primary may not either */
};

enum route_reason {
	ROUTE_REASON_WRITE,       /* needs the primary */
	ROUTE_REASON_NO_SPLIT,
	ROUTE_REASON_HINT,
	ROUTE_REASON_READ,        /* least loaded replica that is fresh enough */
	ROUTE_REASON_STAYING,     /* the replica of the last read */
	ROUTE_REASON_NONE_FRESH,  /* replicas exist, none fresh enough: the primary */
	ROUTE_REASON_NO_REPLICA,  /* none usable: the primary */
	ROUTE_REASON_NO_PRIMARY,
};

struct route_choice {
	enum route_what what;
	enum route_reason reason;
	uint16_t node_index; /* into topology->nodes; ROUTE_NODE only */
	uint16_t node_id;
	bool is_primary;
};

struct route_choice route_choose(const struct topology *topology, const struct route_policy *policy,
				 const struct route_ask *ask);
/* Static, e.g. "read", for logs and EXPLAIN ROUTE. */
const char *route_reason_text(enum route_reason reason);

/* For the caller: one request starts or ends on a node (least-loaded counting). Any thread. */
static inline void route_node_start(const struct topology_node *node)
{
	atomic_fetch_add_explicit(&node->live->active, 1, memory_order_relaxed);
}

static inline void route_node_end(const struct topology_node *node)
{
	atomic_fetch_sub_explicit(&node->live->active, 1, memory_order_relaxed);
}

/*
 * A connection to the node failed: no reads there for first_us, doubled with each
 * failure up to max_us (options replica_eject_time, replica_eject_max). The tier
 * ends it once a probe of the node succeeds again. Any thread.
 */
void route_node_eject(const struct topology_node *node, uint64_t now_us, uint64_t first_us,
		      uint64_t max_us);

#endif
