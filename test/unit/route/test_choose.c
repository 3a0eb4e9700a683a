/* SPDX-License-Identifier: PostgreSQL */
/*
 * The choice of node: examples over a small topology, and random histories of
 * a whole tier with sessions that write and read through the choice: no own
 * write is missed, no read goes back.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "route/choose.h"
#include "tier/view.h"

enum { REPLICAS = 3, NODES = REPLICAS + 1, SESSIONS = 4 };

struct fixture {
	struct topology t;
	struct node_live live[NODES];
	struct session_reads reads;
	struct route_policy policy;
	struct route_ask ask;
};

static void setup(struct fixture *f)
{
	memset(f, 0, sizeof *f);
	f->t.node_count = NODES;
	f->t.primary = 0;
	for (uint16_t i = 0; i < NODES; i++) {
		f->t.nodes[i] = (struct topology_node){ .id = i,
			                                    .role = i ? NODE_ROLE_REPLICA : NODE_ROLE_PRIMARY,
			                                    .is_running = true,
			                                    .weight = 1,
			                                    .timeline = 1,
			                                    .epoch = 1,
			                                    .live = &f->live[i] };
		atomic_store(&f->live[i].fresh_as_of_us, 1000);
	}
	session_reads_init(&f->reads);
	f->policy = (struct route_policy){ .level = CONSISTENCY_SESSION,
		                               .has_split = true,
		                               .has_primary_reads = true };
	f->ask = (struct route_ask){
		.node = TXN_NODE_REPLICA_OK, .reads = &f->reads, .now_us = 1100, .arrived_us = 1100
	};
}

static struct route_choice choose(struct fixture *f)
{
	return route_choose(&f->t, &f->policy, &f->ask);
}

static void expect_node(struct fixture *f, uint16_t id, enum route_reason reason)
{
	struct route_choice c = choose(f);

	cr_assert(c.what == ROUTE_NODE && c.node_id == id && c.reason == reason,
	          "what %d node %u reason %s", c.what, (unsigned)c.node_id,
	          route_reason_text(c.reason));
	cr_assert_eq(c.is_primary, id == 0);
}

static void expect(struct fixture *f, enum route_what what, enum route_reason reason)
{
	struct route_choice c = choose(f);

	cr_assert(c.what == what && c.reason == reason, "what %d reason %s", c.what,
	          route_reason_text(c.reason));
}

Test(choose, writes_and_hints)
{
	struct fixture f;

	setup(&f);
	f.ask.node = TXN_NODE_PRIMARY;
	expect_node(&f, 0, ROUTE_REASON_WRITE);
	f.ask.hint = HINT_ROUTE_REPLICA;
	expect_node(&f, 0, ROUTE_REASON_WRITE);
	f.ask.node = TXN_NODE_REPLICA_OK;
	f.ask.hint = HINT_ROUTE_PRIMARY;
	expect_node(&f, 0, ROUTE_REASON_HINT);
	f.ask.hint = HINT_ROUTE_NONE;
	f.policy.has_split = false;
	expect_node(&f, 0, ROUTE_REASON_NO_SPLIT);
	f.ask.hint = HINT_ROUTE_REPLICA;
	cr_assert_eq(choose(&f).reason, ROUTE_REASON_READ);
	f.t.primary = -1;
	f.ask.node = TXN_NODE_PRIMARY;
	expect(&f, ROUTE_WAIT_PRIMARY, ROUTE_REASON_NO_PRIMARY);
}

Test(choose, the_least_loaded_by_weight_and_ties_rotate)
{
	struct fixture f;
	unsigned seen = 0;

	setup(&f);
	for (f.ask.rotation = 0; f.ask.rotation < 8; f.ask.rotation++)
		seen |= 1u << choose(&f).node_id;
	cr_assert_eq(seen, 0xeu, "all replicas take their turn, the primary doesn't");
	atomic_store(&f.live[1].active, 3);
	atomic_store(&f.live[2].active, 4);
	atomic_store(&f.live[3].active, 5);
	expect_node(&f, 1, ROUTE_REASON_READ);
	f.t.nodes[3].weight = 2;
	expect_node(&f, 3, ROUTE_REASON_READ);
	f.t.nodes[3].weight = 0;
	f.t.nodes[1].is_running = false;
	expect_node(&f, 2, ROUTE_REASON_READ);
}

Test(choose, a_session_stays_unless_its_node_is_clearly_more_loaded)
{
	struct fixture f;

	setup(&f);
	session_read_done(&f.reads, &f.t.nodes[2], 900);
	atomic_store(&f.live[2].active, 3);
	for (f.ask.rotation = 0; f.ask.rotation < 4; f.ask.rotation++)
		expect_node(&f, 2, ROUTE_REASON_STAYING);
	atomic_store(&f.live[2].active, 50);
	cr_assert_neq(choose(&f).node_id, 2);
	session_read_done(&f.reads, &f.t.nodes[2], 1050);
	expect_node(&f, 2, ROUTE_REASON_STAYING); /* no other is fresh enough to move to */
}

Test(choose, ejected_avoided_and_lagging_nodes_are_passed_over)
{
	struct fixture f;

	setup(&f);
	route_node_eject(&f.t.nodes[1], 1000, 500, 4000);
	f.ask.avoid = 1u << 2;
	f.policy.max_lag_bytes = 100;
	atomic_store(&f.live[3].lag_bytes, 101);
	expect_node(&f, 0, ROUTE_REASON_NONE_FRESH);
	atomic_store(&f.live[3].lag_bytes, 100);
	expect_node(&f, 3, ROUTE_REASON_READ);
	f.policy.max_lag_us = 50;
	expect_node(&f, 0, ROUTE_REASON_NONE_FRESH);
	f.policy.max_lag_us = 100;
	expect_node(&f, 3, ROUTE_REASON_READ);
	f.ask.avoid = 0xe;
	expect_node(&f, 0, ROUTE_REASON_NO_REPLICA);
}

Test(choose, ejection_grows_to_its_bound)
{
	struct fixture f;
	uint64_t last = 0, now = 0;

	setup(&f);
	for (int i = 0; i < 40; i++) {
		route_node_eject(&f.t.nodes[1], now, 500, 4000);
		last = atomic_load(&f.live[1].ejected_until_us) - now;
		route_node_eject(&f.t.nodes[1], now + 1, 500, 4000);
		cr_assert_eq(atomic_load(&f.live[1].ejected_until_us), now + last, "one failure");
		now += last;
		cr_assert_eq(last, i == 0 ? 500u : i == 1 ? 1000u : i == 2 ? 2000u : 4000u);
	}
}

Test(choose, a_read_that_no_replica_may_serve)
{
	struct fixture f;

	setup(&f);
	session_write_done(&f.reads, 1050);
	expect_node(&f, 0, ROUTE_REASON_NONE_FRESH);
	cr_assert_eq(atomic_load(&f.live[0].wanted_us), 0, "not so soon after the clock's start");
	f.ask.now_us = 9000;
	expect_node(&f, 0, ROUTE_REASON_NONE_FRESH);
	cr_assert_eq(atomic_load(&f.live[0].wanted_us), 9000);
	f.ask.now_us = 1100;
	f.policy.wait_fresh_us = 100;
	expect(&f, ROUTE_WAIT_FRESH, ROUTE_REASON_NONE_FRESH);
	f.ask.waited_us = 100;
	expect_node(&f, 0, ROUTE_REASON_NONE_FRESH);
	f.t.primary = -1;
	expect(&f, ROUTE_WAIT_PRIMARY, ROUTE_REASON_NO_PRIMARY);
	f.policy.has_primary_reads = false;
	expect(&f, ROUTE_FAIL, ROUTE_REASON_NONE_FRESH);
	atomic_store(&f.live[2].fresh_as_of_us, 1051);
	expect_node(&f, 2, ROUTE_REASON_READ); /* reads go on without a primary */
}

Test(choose, a_busy_session_waits_once_to_return_to_a_replica)
{
	struct fixture f;
	const uint64_t ms = 1000, start = 1000 * ms;

	setup(&f);
	session_write_done(&f.reads, start);
	session_read_done(&f.reads, &f.t.nodes[0], start + 99 * ms);
	for (int i = 1; i < NODES; i++)
		atomic_store(&f.live[i].fresh_as_of_us, start + 90 * ms);
	f.ask.now_us = start + 99 * ms;
	expect_node(&f, 0, ROUTE_REASON_NONE_FRESH); /* it may write again */
	f.ask.now_us = start + 100 * ms;
	expect(&f, ROUTE_WAIT_FRESH, ROUTE_REASON_NONE_FRESH);
	f.ask.waited_us = 29 * ms;
	f.ask.now_us += 29 * ms;
	expect(&f, ROUTE_WAIT_FRESH, ROUTE_REASON_NONE_FRESH);
	f.ask.waited_us = 30 * ms;
	expect_node(&f, 0, ROUTE_REASON_NONE_FRESH);
	f.ask.waited_us = 0;
	expect_node(&f, 0, ROUTE_REASON_NONE_FRESH); /* in vain: not again so soon */
	f.ask.now_us += 1000 * ms;
	expect_node(&f, 0, ROUTE_REASON_NONE_FRESH); /* all are far behind */
	atomic_store(&f.live[2].fresh_as_of_us, f.ask.now_us - 10 * ms);
	session_read_done(&f.reads, &f.t.nodes[0], f.ask.now_us - 1);
	expect(&f, ROUTE_WAIT_FRESH, ROUTE_REASON_NONE_FRESH);
	atomic_store(&f.live[2].fresh_as_of_us, f.ask.now_us);
	expect_node(&f, 2, ROUTE_REASON_READ);
}

Test(choose, an_empty_topology_waits)
{
	struct fixture f;

	setup(&f);
	f.t.node_count = 0;
	f.t.primary = -1;
	expect(&f, ROUTE_WAIT_PRIMARY, ROUTE_REASON_NO_PRIMARY);
}

/* ---- a whole tier, at random ---- */

struct tier_model {
	uint64_t now_us;
	uint64_t primary_lsn; /* one commit is 8192 + 64, so headers don't matter here */
	uint64_t replayed[NODES];
	struct view view;
	struct node_live live[NODES];
	struct topology topology;
	uint64_t written[SESSIONS]; /* position of the session's last commit */
	uint64_t seen[SESSIONS];    /* newest position that it has read */
	struct session_reads reads[SESSIONS];
	unsigned from_replica, from_primary, moves;
};

static uint64_t rnd(uint64_t below)
{
	return (uint64_t)rand() % below;
}

static void model_publish(struct tier_model *m)
{
	view_topology(&m->view, &m->topology);
	for (uint16_t i = 0; i < m->topology.node_count; i++) {
		m->topology.nodes[i].live = &m->live[m->topology.nodes[i].id];
		atomic_store(&m->live[i].fresh_as_of_us, m->view.nodes[i].fresh_as_of_us);
	}
}

static void model_init(struct tier_model *m, unsigned seed)
{
	struct cluster_doc doc = { .count = NODES };

	memset(m, 0, sizeof *m);
	srand(seed);
	m->now_us = 1000;
	m->primary_lsn = 8192 + 64;
	view_init(&m->view, false, true, 1);
	for (int i = 0; i < NODES; i++) {
		doc.members[i] = (struct member_claim){ .name = { (char)('A' + i) },
			                                    .port = 1,
			                                    .weight = 1,
			                                    .is_running = true,
			                                    .is_leader = i == 0 };
		m->replayed[i] = m->primary_lsn;
	}
	view_on_cluster(&m->view, &doc);
	for (int i = 0; i < SESSIONS; i++)
		session_reads_init(&m->reads[i]);
	model_publish(m);
}

static void model_write(struct tier_model *m, int session)
{
	m->primary_lsn += 8192 + 64;
	m->now_us += 1 + rnd(5); /* the acknowledgement travels */
	m->written[session] = m->primary_lsn;
	session_write_done(&m->reads[session], m->now_us);
}

static void model_read(struct tier_model *m, int session)
{
	const struct route_policy policy = { .level = CONSISTENCY_SESSION,
		                                 .has_split = true,
		                                 .has_primary_reads = true };
	const struct route_ask ask = { .node = TXN_NODE_REPLICA_OK,
		                           .reads = &m->reads[session],
		                           .now_us = m->now_us,
		                           .arrived_us = m->now_us,
		                           .rotation = (uint32_t)rnd(100) };
	struct route_choice c;
	uint64_t position;

	for (int i = 1; i < NODES; i++)
		atomic_store(&m->live[i].active, (uint32_t)rnd(30));
	c = route_choose(&m->topology, &policy, &ask);
	if (c.what != ROUTE_NODE)
		return;
	m->now_us += rnd(3);
	position = c.is_primary ? m->primary_lsn : m->replayed[c.node_id];
	cr_assert_geq(position, m->written[session], "an own write is missing");
	cr_assert_geq(position, m->seen[session], "the read went back");
	m->seen[session] = position;
	m->moves += m->reads[session].last_read_node != c.node_id;
	*(c.is_primary ? &m->from_primary : &m->from_replica) += 1;
	m->now_us += rnd(3);
	session_read_done(&m->reads[session], &m->topology.nodes[c.node_index], m->now_us);
}

static void model_probe(struct tier_model *m, uint16_t id)
{
	struct probe_sample s = { .sent_us = m->now_us, .timeline = 1, .in_recovery = id != 0 };

	m->now_us += rnd(4);
	s.lsn = id ? m->replayed[id] : m->primary_lsn;
	view_on_probe(&m->view, id, &s);
	model_publish(m);
}

/* A crash: the replica returns with less than it has shown; its probe has seen it go. */
static void model_restart(struct tier_model *m, uint16_t id)
{
	view_on_probe_failed(&m->view, id);
	model_publish(m);
	m->replayed[id] -= (m->replayed[id] / (8192 + 64) / 2) * (8192 + 64) * (rnd(2) ? 1 : 0);
	if (m->replayed[id] < 8192 + 64)
		m->replayed[id] = 8192 + 64;
}

static void model_step(struct tier_model *m)
{
	uint16_t replica = (uint16_t)(1 + rnd(REPLICAS));
	int session = (int)rnd(SESSIONS);

	m->now_us += rnd(3);
	switch (rnd(10)) {
	case 0:
		model_write(m, session);
		break;
	case 1:
	case 2:
		m->replayed[replica] +=
			rnd((m->primary_lsn - m->replayed[replica]) / (8192 + 64) + 1) * (8192 + 64);
		break;
	case 3:
		model_probe(m, 0);
		break;
	case 4:
	case 5:
		model_probe(m, replica);
		break;
	case 6:
		if (rnd(20) == 0)
			model_restart(m, replica);
		break;
	default:
		model_read(m, session);
	}
}

Test(choose, no_session_misses_its_writes_or_reads_backwards)
{
	static struct tier_model m;
	unsigned from_replica = 0, from_primary = 0, moves = 0;

	for (unsigned seed = 1; seed <= 100; seed++) {
		model_init(&m, seed);
		for (int step = 0; step < 2000; step++)
			model_step(&m);
		from_replica += m.from_replica;
		from_primary += m.from_primary;
		moves += m.moves;
	}
	cr_assert(from_replica > 10000 && from_primary > 100 && moves > 1000,
	          "the property must not hold for want of reads: %u %u %u", from_replica, from_primary,
	          moves);
}
