/* SPDX-License-Identifier: PostgreSQL */
/*
 * Chooses a node, see choose.h. One pass over the nodes finds the least loaded
 * replica that qualifies and whether the session's last one does; ties go to
 * whichever the rotation meets first.
 *
 * A session whose reads went to the primary (after a write) goes back to a
 * replica only when that is fresh as of later than its last read there. One
 * that reads without a pause would never see such a replica, since a proof
 * takes longer than the time between its reads. So some time after its last
 * write it waits for a proof once, some milliseconds, and then stays on the
 * replica that it got.
 */
#include "route/choose.h"

#include "base/assert.h"

enum {
	STAY_SLACK = 4,       /* requests more that the last node may have before we move */
	EJECT_MAX_SHIFT = 16, /* doublings; the option's maximum caps earlier */
	WANT_EVERY_US = 5000,
	RETURN_AFTER_US = 100 * 1000, /* of no write before a session waits to return to a replica */
	RETURN_LAG_US = 60 * 1000,    /* replicas further behind aren't worth the wait */
	RETURN_WAIT_US = 30 * 1000,
	RETURN_PAUSE_US = 1000 * 1000, /* after a wait in vain */
};

struct scan {
	const struct topology_node *best;
	const struct topology_node *staying;
	uint64_t best_load;
	uint64_t staying_load;
	bool has_replica; /* usable, fresh or not */
	bool may_return;  /* one shows the session's writes and is close behind */
};

static const char *const reason_texts[] = {
	[ROUTE_REASON_WRITE] = "write",
	[ROUTE_REASON_NO_SPLIT] = "no_split",
	[ROUTE_REASON_HINT] = "hint",
	[ROUTE_REASON_READ] = "read",
	[ROUTE_REASON_STAYING] = "read_staying",
	[ROUTE_REASON_NONE_FRESH] = "none_fresh",
	[ROUTE_REASON_NO_REPLICA] = "no_replica",
	[ROUTE_REASON_NO_PRIMARY] = "no_primary",
};

static uint64_t live_u64(const _Atomic uint64_t *value)
{
	return atomic_load_explicit(value, memory_order_relaxed);
}

static bool is_usable_replica(const struct topology_node *n, const struct route_ask *ask)
{
	return n->role == NODE_ROLE_REPLICA && n->is_running && n->weight > 0 &&
	       !(ask->avoid & (1u << n->id)) &&
	       live_u64(&n->live->ejected_until_us) <= ask->now_us;
}

static bool is_within_lag(const struct topology_node *n, const struct route_policy *policy,
			  uint64_t now_us)
{
	uint64_t fresh;

	if (policy->max_lag_bytes && live_u64(&n->live->lag_bytes) > policy->max_lag_bytes)
		return false;
	if (policy->max_lag_us == 0)
		return true;
	fresh = live_u64(&n->live->fresh_as_of_us);
	return fresh != 0 && (fresh >= now_us || now_us - fresh <= policy->max_lag_us);
}

/* Load in 1/256 requests per unit of weight. */
static uint64_t load_of(const struct topology_node *n)
{
	uint32_t active = atomic_load_explicit(&n->live->active, memory_order_relaxed);

	return ((uint64_t)active << 8) / n->weight;
}

/* Only the session's last read is newer than what is known of the replica, and not by much. */
static bool is_close(const struct topology_node *n, const struct route_policy *policy,
		     const struct route_ask *ask)
{
	uint64_t fresh = live_u64(&n->live->fresh_as_of_us);

	return policy->level == CONSISTENCY_SESSION && fresh > ask->reads->last_write_us &&
	       fresh + RETURN_LAG_US > ask->now_us;
}

static void scan_node(struct scan *scan, const struct topology_node *n,
		      const struct route_policy *policy, const struct route_ask *ask)
{
	uint64_t load;

	if (!is_usable_replica(n, ask))
		return;
	scan->has_replica = true;
	if (!is_within_lag(n, policy, ask->now_us))
		return;
	if (!consistency_allows(policy->level, ask->reads, ask->arrived_us, n)) {
		scan->may_return |= is_close(n, policy, ask);
		return;
	}
	load = load_of(n);
	if (scan->best == NULL || load < scan->best_load) {
		scan->best = n;
		scan->best_load = load;
	}
	if (consistency_is_staying(ask->reads, n)) {
		scan->staying = n;
		scan->staying_load = load;
	}
}

static void scan_nodes(struct scan *scan, const struct topology *t,
		       const struct route_policy *policy, const struct route_ask *ask)
{
	unsigned count = t->node_count;
	unsigned at = count ? ask->rotation % count : 0;

	for (unsigned i = 0; i < count; i++) {
		scan_node(scan, &t->nodes[at], policy, ask);
		if (++at == count)
			at = 0;
	}
}

static struct route_choice choose_node(const struct topology *t, const struct topology_node *n,
				       enum route_reason reason)
{
	return (struct route_choice){
		.what = ROUTE_NODE,
		.reason = reason,
		.node_index = (uint16_t)(n - t->nodes),
		.node_id = n->id,
		.is_primary = n->role == NODE_ROLE_PRIMARY,
	};
}

static struct route_choice choose_primary(const struct topology *t, enum route_reason reason)
{
	if (t->primary >= 0)
		return choose_node(t, &t->nodes[t->primary], reason);
	return (struct route_choice){ .what = ROUTE_WAIT_PRIMARY, .reason = ROUTE_REASON_NO_PRIMARY };
}

/* Tells the tier that fresher replicas are wanted; a rare store, so that the line stays shared. */
static void want_freshness(const struct topology *t, uint64_t now_us)
{
	struct node_live *live = t->nodes[t->primary < 0 ? 0 : t->primary].live;

	if (now_us > live_u64(&live->wanted_us) + WANT_EVERY_US)
		atomic_store_explicit(&live->wanted_us, now_us, memory_order_relaxed);
}

/* Is it time to wait for a replica to go back to? Bounded per read, paused when in vain. */
static bool waits_to_return(const struct scan *scan, const struct route_ask *ask)
{
	struct session_reads *reads = ask->reads;

	if (!scan->may_return || ask->now_us < reads->return_us ||
	    ask->now_us < reads->last_write_us + RETURN_AFTER_US)
		return false;
	if (ask->waited_us < RETURN_WAIT_US)
		return true;
	reads->return_us = ask->now_us + RETURN_PAUSE_US;
	return false;
}

/* No replica may serve the read: wait for one, the primary, or nothing. */
static struct route_choice choose_fallback(const struct topology *t,
					   const struct route_policy *policy,
					   const struct route_ask *ask, const struct scan *scan)
{
	enum route_reason reason =
		scan->has_replica ? ROUTE_REASON_NONE_FRESH : ROUTE_REASON_NO_REPLICA;

	if (scan->has_replica)
		want_freshness(t, ask->now_us);
	if (waits_to_return(scan, ask) ||
	    (scan->has_replica && ask->waited_us < policy->wait_fresh_us))
		return (struct route_choice){ .what = ROUTE_WAIT_FRESH, .reason = reason };
	if (policy->has_primary_reads)
		return choose_primary(t, reason);
	return (struct route_choice){ .what = ROUTE_FAIL, .reason = reason };
}

/* Does the primary have to serve it, and why? */
static bool needs_primary(const struct route_policy *policy, const struct route_ask *ask,
			  enum route_reason *reason)
{
	*reason = ROUTE_REASON_WRITE;
	if (ask->node == TXN_NODE_PRIMARY)
		return true;
	*reason = ROUTE_REASON_HINT;
	if (ask->hint == HINT_ROUTE_PRIMARY)
		return true;
	*reason = ROUTE_REASON_NO_SPLIT;
	return !policy->has_split && ask->hint != HINT_ROUTE_REPLICA;
}

struct route_choice route_choose(const struct topology *t, const struct route_policy *policy,
				 const struct route_ask *ask)
{
	struct scan scan = { 0 };
	enum route_reason reason;

	WEIR_ASSERT(ask->node != TXN_NODE_SAME && t->primary < (int)t->node_count);
	if (needs_primary(policy, ask, &reason))
		return choose_primary(t, reason);
	scan_nodes(&scan, t, policy, ask);
	if (scan.staying && scan.staying_load <= scan.best_load * 2 + (STAY_SLACK << 8))
		return choose_node(t, scan.staying, ROUTE_REASON_STAYING);
	if (scan.best)
		return choose_node(t, scan.best, ROUTE_REASON_READ);
	return choose_fallback(t, policy, ask, &scan);
}

const char *route_reason_text(enum route_reason reason)
{
	WEIR_ASSERT((size_t)reason < WEIR_COUNTOF(reason_texts));
	return reason_texts[reason];
}

void route_node_eject(const struct topology_node *node, uint64_t now_us, uint64_t first_us,
		      uint64_t max_us)
{
	uint32_t count;
	uint64_t pause;

	/* The other connections of the same failure: once is enough. */
	if (live_u64(&node->live->ejected_until_us) > now_us)
		return;
	count = atomic_fetch_add_explicit(&node->live->eject_count, 1, memory_order_relaxed);
	pause = first_us << (count < EJECT_MAX_SHIFT ? count : EJECT_MAX_SHIFT);

	if (pause > max_us)
		pause = max_us;
	atomic_store_explicit(&node->live->ejected_until_us, now_us + pause, memory_order_relaxed);
}
