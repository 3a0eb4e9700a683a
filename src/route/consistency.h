/* SPDX-License-Identifier: PostgreSQL */
/*
 * Consistency of reads per session: which replicas are fresh enough. Pure.
 *
 * A replica's fresh_as_of_us T says: every commit acknowledged before T is
 * visible there (tier/topology.h). So read-your-writes is T > last_write_us,
 * monotonic reads is T > last_read_us unless the read stays on the same node,
 * and strong is T > the request's arrival. The primary satisfies all.
 *
 * CLOCK: the times given here are clock_monotonic_us() read AFTER the event
 * (the ReadyForQuery was received, the request arrived). loop_now_us is the
 * start of the turn, thus earlier than what arrived in it: it would let a
 * sample taken in between pass as newer than the write.
 */
#ifndef WEIR_ROUTE_CONSISTENCY_H
#define WEIR_ROUTE_CONSISTENCY_H

#include <stdbool.h>
#include <stdint.h>

#include "config/options.h"
#include "tier/topology.h"

enum { SESSION_NODE_NONE = UINT16_MAX };

struct session_reads { /* one per client; session_reads_init */
	uint64_t last_write_us;      /* its last write was acknowledged no later than this; 0: none */
	uint64_t last_read_us;       /* what it has read was committed no later than this; 0: none */
	uint64_t last_hit_us;        /* what the cache has answered was committed no later; 0: none */
	uint64_t return_us;          /* not before: wait for a replica to go back to */
	uint32_t last_read_epoch;    /* of that node then */
	uint16_t last_read_node;     /* SESSION_NODE_NONE: none */
};

void session_reads_init(struct session_reads *reads);
/* A write was (or may have been) committed; now_us: see CLOCK. */
void session_write_done(struct session_reads *reads, uint64_t now_us);
/* The answer of a read on `node` is complete; now_us: see CLOCK. */
void session_read_done(struct session_reads *reads, const struct topology_node *node,
		       uint64_t now_us);
/* An answer from the cache, committed no later than stored_us: no later read shows less. */
void session_hit_done(struct session_reads *reads, uint64_t stored_us);

/* A node must be fresh as of more than this; staying: it is the node of the last read. */
uint64_t consistency_needed_us(enum config_consistency level, const struct session_reads *reads,
			       uint64_t arrived_us, bool is_staying);
/* Is `node` the one that the session last read from, with its history unbroken? */
bool consistency_is_staying(const struct session_reads *reads, const struct topology_node *node);
/* May this replica serve a read of the session? arrived_us: see CLOCK. */
bool consistency_allows(enum config_consistency level, const struct session_reads *reads,
			uint64_t arrived_us, const struct topology_node *node);

#endif
