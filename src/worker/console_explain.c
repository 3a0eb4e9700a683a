/* SPDX-License-Identifier: PostgreSQL */
/*
 * EXPLAIN ROUTE: the same pure steps that a request takes - analysis, verdict,
 * transaction plan, choice of node - for a fresh session that has written
 * nothing, and what they say in words.
 */
#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "route/choose.h"
#include "route/judge.h"
#include "route/txn.h"
#include "tier/tier.h"
#include "worker/console_source.h"
#include "worker/control_priv.h"

struct explain {
	const struct config_database *db;
	struct statement *statement;
	const struct topology *topology; /* NULL: none seen yet */
	uint32_t verdict;
	struct admin_route *out;
};

static const char *class_text(enum statement_class class)
{
	static const char *const texts[] = { "empty", "read", "session", "txn", "write" };

	WEIR_ASSERT(class < WEIR_COUNTOF(texts));
	return texts[class];
}

/* Appends to a text of fixed size; what doesn't fit is cut. */
static void add(char *out, size_t size, const char *fmt, ...) WEIR_PRINTF(3, 4);

static void add(char *out, size_t size, const char *fmt, ...)
{
	size_t len = strlen(out);
	va_list args;

	va_start(args, fmt);
	vsnprintf(out + len, size - len, fmt, args);
	va_end(args);
}

static void add_names(struct admin_route *out, const char *verb, const struct statement_name *names,
                      unsigned count)
{
	if (count)
		add(out->tables, sizeof out->tables, "%s%s", out->tables[0] ? "; " : "", verb);
	for (unsigned i = 0; i < count; i++)
		add(out->tables, sizeof out->tables, "%s%s%s%s", i ? ", " : " ",
		    names[i].schema ? names[i].schema : "", names[i].schema ? "." : "", names[i].name);
}

static void explain_pins(struct explain *e)
{
	static const char *const names[] = {
		"temporary table", "advisory lock", "cursor with hold", "sequence value", "LOAD",
		"LISTEN",          "SQL PREPARE",   "session state",    "replication",    "role",
	};

	for (unsigned i = 0; i < WEIR_COUNTOF(names); i++)
		if (e->statement->pins & (1u << i))
			add(e->out->pins, sizeof e->out->pins, "%s%s", e->out->pins[0] ? ", " : "", names[i]);
}

static void explain_cache(struct explain *e)
{
	enum hint_cache hint = e->statement->hints.cache;
	const char *text = "yes, once it is asked for often enough";

	if (e->statement->class != STATEMENT_READ)
		text = "";
	else if (hint == HINT_CACHE_OFF || (!e->db->cache && hint != HINT_CACHE_ON))
		text = "off";
	else if (!(e->verdict & VERDICT_CACHEABLE))
		text = "no, the answer depends on more than the tables";
	snprintf(e->out->cache, sizeof e->out->cache, "%s", text);
}

static void explain_choice(struct explain *e, enum txn_node node)
{
	struct session_reads reads;
	uint64_t now = clock_monotonic_us();
	struct route_policy policy = {
		.level = e->db->consistency,
		.max_lag_bytes = e->db->max_replica_lag_bytes,
		.max_lag_us = e->db->max_replica_lag_us,
		.wait_fresh_us = e->db->replica_wait_timeout_us,
		.has_split = e->db->split,
		.has_primary_reads = e->db->primary_reads,
	};
	struct route_ask ask = { .node = node,
		                     .hint = e->statement->hints.route,
		                     .reads = &reads,
		                     .now_us = now,
		                     .arrived_us = now };
	struct route_choice choice;

	session_reads_init(&reads);
	choice = route_choose(e->topology, &policy, &ask);
	snprintf(e->out->reason, sizeof e->out->reason, "%s", route_reason_text(choice.reason));
	if (choice.what == ROUTE_NODE)
		snprintf(e->out->target, sizeof e->out->target, "%s %s",
		         choice.is_primary ? "primary" : "replica",
		         e->topology->nodes[choice.node_index].name);
	else if (choice.what == ROUTE_WAIT_PRIMARY)
		snprintf(e->out->target, sizeof e->out->target, "waits for a primary");
	else if (choice.what == ROUTE_WAIT_FRESH)
		snprintf(e->out->target, sizeof e->out->target, "waits for a fresh replica");
	else
		snprintf(e->out->target, sizeof e->out->target, "none");
}

static void explain_route(struct explain *e)
{
	struct txn_request request = { 0 };
	struct txn_defaults defaults = { 0 };
	struct txn txn = { 0 };
	struct txn_plan plan;

	txn_request_add(&request, e->statement, e->verdict);
	plan = txn_plan(&txn, &request, &defaults);
	if (plan.act != TXN_FORWARD) {
		snprintf(e->out->target, sizeof e->out->target, "pgweir");
		snprintf(e->out->reason, sizeof e->out->reason,
		         "answered here, a server is only taken by the first statement");
	} else if (!e->topology) {
		snprintf(e->out->target, sizeof e->out->target, "none");
		snprintf(e->out->reason, sizeof e->out->reason, "the cluster wasn't seen yet");
	} else {
		explain_choice(e, plan.node == TXN_NODE_SAME ? TXN_NODE_PRIMARY : plan.node);
	}
}

bool console_explain(void *ctx, const char *database, struct slice sql, struct admin_route *out,
                     struct pg_error *err)
{
	struct control *c = ctx;
	struct explain e = { .out = out };
	struct catalog *catalog;

	e.db = config_database_find(c->settings->config, slice_str(database));
	if (!e.db) {
		pg_error_set(err, "3D000", "database \"%.100s\" does not exist", database);
		return false;
	}
	e.topology = tier_topology(c->tier, e.db->cluster->name);
	catalog = tier_catalog(c->tier, e.db->name);
	e.statement = statement_analyse(sql);
	e.verdict = judge_statement(e.statement, catalog);
	snprintf(out->class, sizeof out->class, "%s", class_text(e.statement->class));
	add_names(out, "reads", e.statement->reads, e.statement->read_count);
	add_names(out, "writes", e.statement->writes, e.statement->written_count);
	explain_route(&e);
	if (e.statement->flags & STATEMENT_UNPARSED)
		add(out->reason, sizeof out->reason, ", the parser refused it");
	explain_pins(&e);
	explain_cache(&e);
	statement_put(&e.statement);
	return true;
}
