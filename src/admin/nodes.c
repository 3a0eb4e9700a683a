/* SPDX-License-Identifier: PostgreSQL */
/*
 * SHOW NODES and the nodes' gauges, straight from the topologies.
 */
#include "admin/nodes.h"

#include <inttypes.h>
#include <stdio.h>

#include "admin/command.h"
#include "admin/result.h"
#include "base/clock.h"
#include "metrics/exposition.h"

static uint64_t live(const _Atomic uint64_t *value)
{
	return atomic_load_explicit(value, memory_order_relaxed);
}

const char *node_role_text(enum node_role role)
{
	static const char *const texts[] = { "unknown", "primary", "replica" };

	WEIR_ASSERT(role <= NODE_ROLE_REPLICA);
	return texts[role];
}

const char *node_state(const struct topology_node *node, uint64_t now_us)
{
	if (!node->is_running)
		return "down";
	return live(&node->live->ejected_until_us) > now_us ? "ejected" : "running";
}

struct primary_ask {
	const char *cluster;
	struct node_place *out;
	bool found;
};

static void on_primary(void *ctx, const char *cluster, const struct topology *t)
{
	struct primary_ask *ask = ctx;

	if (ask->found || t->primary < 0 || strcmp(cluster, ask->cluster) != 0)
		return;
	snprintf(ask->out->host, sizeof(ask->out->host), "%s", t->nodes[t->primary].host);
	ask->out->port = t->nodes[t->primary].port;
	ask->found = true;
}

bool nodes_primary(const struct admin_source *source, const char *cluster, struct node_place *out)
{
	struct primary_ask ask = { .cluster = cluster, .out = out };

	source->topologies(source->ctx, on_primary, &ask);
	return ask.found;
}

/* --- SHOW NODES ------------------------------------------------------------------ */

struct node_rows {
	struct result result;
	uint64_t now_us;
};

static void seconds_since(struct result *r, uint64_t then_us, uint64_t now_us)
{
	char text[32];

	if (then_us == 0) {
		result_text(r, NULL);
		return;
	}
	snprintf(text, sizeof(text), "%.3f", now_us > then_us ? (double)(now_us - then_us) / 1e6 : 0.0);
	memcpy(r->numbers[r->used], text, sizeof(text));
	result_text(r, r->numbers[r->used]);
}

static void node_row(struct node_rows *rows, const char *cluster, const struct topology_node *n)
{
	struct result *r = &rows->result;
	uint64_t ejected = live(&n->live->ejected_until_us);
	bool is_replica = n->role == NODE_ROLE_REPLICA;

	result_text(r, cluster);
	result_text(r, n->name);
	result_text(r, n->host);
	result_number(r, n->port);
	result_text(r, node_role_text(n->role));
	result_text(r, node_state(n, rows->now_us));
	result_number(r, n->timeline);
	if (is_replica)
		result_number(r, live(&n->live->lag_bytes));
	else
		result_text(r, NULL);
	seconds_since(r, is_replica ? live(&n->live->fresh_as_of_us) : 0, rows->now_us);
	result_lsn(r, live(&n->live->replay_lsn));
	result_number(r, atomic_load_explicit(&n->live->active, memory_order_relaxed));
	result_number(r, n->weight);
	result_number(r, ejected > rows->now_us ? (ejected - rows->now_us + 999999) / 1000000 : 0);
	result_number(r, live(&n->live->probe_failures));
	result_row(r);
}

static void on_node_rows(void *ctx, const char *cluster, const struct topology *t)
{
	for (unsigned i = 0; i < t->node_count; i++)
		node_row(ctx, cluster, &t->nodes[i]);
}

void show_nodes(struct show *s)
{
	static const struct build_column columns[] = {
		COLUMN_TEXT("cluster"),
		COLUMN_TEXT("node"),
		COLUMN_TEXT("host"),
		COLUMN_INT("port"),
		COLUMN_TEXT("role"),
		COLUMN_TEXT("state"),
		COLUMN_INT("timeline"),
		COLUMN_BIG("lag_bytes"),
		COLUMN_NUMERIC("fresh_seconds_ago"),
		COLUMN_TEXT("lsn"),
		COLUMN_INT("active"),
		COLUMN_INT("weight"),
		COLUMN_INT("ejected_seconds"),
		COLUMN_BIG("probe_failures"),
	};
	struct node_rows rows = { .now_us = clock_monotonic_us() };

	RESULT_BEGIN(&rows.result, s->out, columns);
	s->source->topologies(s->source->ctx, on_node_rows, &rows);
	result_end(&rows.result, "SHOW");
}

/* --- gauges ------------------------------------------------------------------------ */

struct gauge {
	const char *name;
	const char *help;
	uint64_t (*value)(const struct topology_node *n, uint64_t now_us);
	struct buf *out;
	uint64_t now_us;
};

static uint64_t value_up(const struct topology_node *n, uint64_t now_us)
{
	return strcmp(node_state(n, now_us), "running") == 0;
}

static uint64_t value_primary(const struct topology_node *n, uint64_t now_us)
{
	(void)now_us;
	return n->role == NODE_ROLE_PRIMARY;
}

static uint64_t value_lag(const struct topology_node *n, uint64_t now_us)
{
	(void)now_us;
	return live(&n->live->lag_bytes);
}

static uint64_t value_active(const struct topology_node *n, uint64_t now_us)
{
	(void)now_us;
	return atomic_load_explicit(&n->live->active, memory_order_relaxed);
}

static uint64_t value_failures(const struct topology_node *n, uint64_t now_us)
{
	(void)now_us;
	return live(&n->live->probe_failures);
}

static uint64_t value_ejected(const struct topology_node *n, uint64_t now_us)
{
	return live(&n->live->ejected_until_us) > now_us;
}

static uint64_t value_timeline(const struct topology_node *n, uint64_t now_us)
{
	(void)now_us;
	return n->timeline;
}

static void on_gauge(void *ctx, const char *cluster, const struct topology *t)
{
	struct gauge *g = ctx;

	for (unsigned i = 0; i < t->node_count; i++) {
		buf_appendf(g->out, "pgweir_%s{cluster=\"", g->name);
		exposition_label(g->out, cluster);
		buf_append_str(g->out, "\",node=\"");
		exposition_label(g->out, t->nodes[i].name);
		buf_appendf(g->out, "\"} %" PRIu64 "\n", g->value(&t->nodes[i], g->now_us));
	}
}

void nodes_exposition(const struct admin_source *source, uint64_t now_us, struct buf *out)
{
	static const struct gauge gauges[] = {
		{ .name = "node_up", .help = "1: usable for requests.", .value = value_up },
		{ .name = "node_is_primary", .help = "1: the primary.", .value = value_primary },
		{ .name = "node_lag_bytes",
		  .help = "Bytes of WAL behind the primary.",
		  .value = value_lag },
		{ .name = "node_active", .help = "Requests running there now.", .value = value_active },
		{ .name = "node_probe_failures", .help = "Failed probes.", .value = value_failures },
		{ .name = "node_ejected",
		  .help = "1: left out of the reads after a failure.",
		  .value = value_ejected },
		{ .name = "node_timeline",
		  .help = "Its timeline; it grows with each failover.",
		  .value = value_timeline },
	};

	for (size_t i = 0; i < WEIR_COUNTOF(gauges); i++) {
		struct gauge g = gauges[i];

		g.out = out;
		g.now_us = now_us;
		exposition_head(out, g.name, "gauge", g.help);
		source->topologies(source->ctx, on_gauge, &g);
	}
}
