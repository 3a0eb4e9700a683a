/* SPDX-License-Identifier: PostgreSQL */
/*
 * Consistency of a session's reads, see consistency.h. Every rule is one
 * comparison of monotonic times: fresh_as_of_us > needed. A replica whose
 * freshness isn't known (0) satisfies `eventual` only.
 */
#include "route/consistency.h"

#include "base/assert.h"

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

void session_reads_init(struct session_reads *reads)
{
	*reads = (struct session_reads){ .last_read_node = SESSION_NODE_NONE };
}

void session_write_done(struct session_reads *reads, uint64_t now_us)
{
	reads->last_write_us = max_u64(reads->last_write_us, now_us);
}

/*
 * What was seen is bounded by the time of the answer, not by what was known
 * of the replica: it may have replayed more than the last probe told.
 */
void session_read_done(struct session_reads *reads, const struct topology_node *node,
		       uint64_t now_us)
{
	reads->last_read_us = max_u64(reads->last_read_us, now_us);
	reads->last_read_node = node->id;
	reads->last_read_epoch = node->epoch;
}

void session_hit_done(struct session_reads *reads, uint64_t stored_us)
{
	reads->last_hit_us = max_u64(reads->last_hit_us, stored_us);
}

/*
 * A node of another epoch was restarted or rewound meanwhile: it may show less
 * than before, so staying there is no promise.
 */
bool consistency_is_staying(const struct session_reads *reads, const struct topology_node *node)
{
	return reads->last_read_node == node->id && reads->last_read_epoch == node->epoch;
}

uint64_t consistency_needed_us(enum config_consistency level, const struct session_reads *reads,
			       uint64_t arrived_us, bool is_staying)
{
	/* Staying on a node doesn't help after a hit: it may have been computed on another. */
	uint64_t needed = max_u64(reads->last_write_us, reads->last_hit_us);

	WEIR_ASSERT(level != CONSISTENCY_EVENTUAL);
	if (!is_staying)
		needed = max_u64(needed, reads->last_read_us);
	if (level == CONSISTENCY_STRONG)
		needed = max_u64(needed, arrived_us);
	return needed;
}

bool consistency_allows(enum config_consistency level, const struct session_reads *reads,
			uint64_t arrived_us, const struct topology_node *node)
{
	uint64_t fresh;

	if (level == CONSISTENCY_EVENTUAL)
		return true;
	fresh = atomic_load_explicit(&node->live->fresh_as_of_us, memory_order_relaxed);
	return fresh > consistency_needed_us(level, reads, arrived_us,
					     consistency_is_staying(reads, node));
}
