/* SPDX-License-Identifier: PostgreSQL */
/*
 * The same pure steps that a request takes - analysis, verdict, transaction
 * plan, choice of node - and what they say in words. Which name made a read
 * need the primary is found by judging the statement with that name alone.
 */
#include "worker/explain.h"

#include <stdarg.h>
#include <stdio.h>

#include "proxy/tenant.h"
#include "route/choose.h"
#include "route/judge.h"
#include "route/txn.h"

struct explain {
	const struct explain_input *in;
	struct statement *statement;
	uint32_t verdict;
	struct admin_route *out;
};

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

#define ADD(field, ...) add(field, sizeof(field), __VA_ARGS__)

void explain_pins(uint32_t pins, char *out, size_t size)
{
	static const char *const names[] = {
#define PIN_REASON(number, ID, name, text) [number] = text,
#include "sql/pin_reasons.def"
	};

	*out = '\0';
	for (unsigned i = 0; i < WEIR_COUNTOF(names); i++)
		if (pins & (1u << i))
			add(out, size, "%s%s", *out ? ", " : "", names[i]);
}

static const char *class_text(enum statement_class class)
{
	static const char *const texts[] = { "empty", "read", "session", "txn", "write" };

	WEIR_ASSERT(class < WEIR_COUNTOF(texts));
	return texts[class];
}

static void add_names(struct admin_route *out, const char *verb, const struct statement_name *names,
                      unsigned count)
{
	if (count)
		ADD(out->tables, "%s%s", out->tables[0] ? "; " : "", verb);
	for (unsigned i = 0; i < count; i++)
		ADD(out->tables, "%s%s%s%s", i ? ", " : " ", names[i].schema ? names[i].schema : "",
		    names[i].schema ? "." : "", names[i].name);
}

/* --- why not a replica, why not the cache --------------------------------------------- */

static bool is_name_to_blame(const struct explain *e, const struct statement_name *function,
                             const struct statement_name *relation, uint32_t lacking)
{
	struct statement probe = *e->statement;

	probe.functions = function;
	probe.function_count = function != NULL;
	probe.reads = relation;
	probe.read_count = relation != NULL;
	probe.written_count = 0;
	return !(judge_statement(&probe, e->in->catalog) & lacking);
}

/* The first name without which the verdict would have the bit; false: the text itself lacks it. */
static bool add_culprit(const struct explain *e, uint32_t lacking, char *out, size_t size)
{
	const struct statement *s = e->statement;
	const struct statement_name *n = NULL;
	const char *kind = "function";

	if (lacking == VERDICT_REPLICA_OK && is_name_to_blame(e, NULL, NULL, lacking))
		return false;
	for (uint16_t i = 0; i < s->function_count && !n; i++)
		if (is_name_to_blame(e, &s->functions[i], NULL, lacking))
			n = &s->functions[i];
	for (uint16_t i = 0; i < s->read_count && !n; i++) {
		if (!is_name_to_blame(e, NULL, &s->reads[i], lacking))
			continue;
		n = &s->reads[i];
		kind = "relation";
	}
	if (!n)
		return false;
	add(out, size, "%s %s%s%s", kind, n->schema ? n->schema : "", n->schema ? "." : "", n->name);
	return true;
}

static void explain_primary(struct explain *e)
{
	struct admin_route *out = e->out;
	char culprit[128] = "";

	if (e->statement->flags & STATEMENT_UNPARSED)
		ADD(out->reason, ", the parser refused it");
	else if (e->statement->flags & STATEMENT_LARGE)
		ADD(out->reason, ", too long to be analysed");
	else if (e->statement->flags & STATEMENT_ROW_LOCK)
		ADD(out->reason, ", it locks rows");
	else if (!(e->verdict & VERDICT_REPLICA_OK) &&
	         add_culprit(e, VERDICT_REPLICA_OK, culprit, sizeof culprit))
		ADD(out->reason, ", %s needs the primary", culprit);
}

static const char *cache_switch(const struct explain *e)
{
	enum hint_cache hint = e->statement->hints.cache;

	if (!e->in->has_cache)
		return "off, pgweir has no cache";
	if (hint == HINT_CACHE_OFF)
		return "off by hint";
	if (hint == HINT_CACHE_ON)
		return NULL;
	if (!e->in->db->cache)
		return "off";
	return e->in->db->consistency == CONSISTENCY_STRONG ? "off, consistency is strong" : NULL;
}

static void explain_cache(struct explain *e)
{
	struct admin_route *out = e->out;
	const char *off = cache_switch(e);

	if (e->statement->class != STATEMENT_READ)
		return;
	if (off)
		ADD(out->cache, "%s", off);
	else if (e->verdict & VERDICT_CACHEABLE)
		ADD(out->cache, "yes, once it is asked for often enough");
	else if (!e->in->catalog)
		ADD(out->cache, "no, the catalog isn't known");
	else if (e->statement->read_count == 0)
		ADD(out->cache, "no, it reads no table");
	else
		ADD(out->cache, "no, the answer depends on more than its tables");
}

/* --- where ----------------------------------------------------------------------------- */

static void explain_target(struct explain *e, const struct route_choice *choice)
{
	struct admin_route *out = e->out;

	switch (choice->what) {
	case ROUTE_NODE:
		ADD(out->target, "%s %s", choice->is_primary ? "primary" : "replica",
		    e->in->topology->nodes[choice->node_index].name);
		break;
	case ROUTE_WAIT_PRIMARY:
		ADD(out->target, "waits for a primary");
		break;
	case ROUTE_WAIT_FRESH:
		ADD(out->target, "waits for a fresh replica");
		break;
	case ROUTE_FAIL:
		ADD(out->target, "none");
		break;
	}
}

static void explain_choice(struct explain *e, enum txn_node node)
{
	struct session_reads reads;
	struct route_policy policy = tenant_policy(e->in->db);
	struct route_ask ask = {
		.node = node == TXN_NODE_SAME ? TXN_NODE_PRIMARY : node,
		.hint = e->statement->hints.route,
		.reads = &reads,
		.now_us = e->in->now_us,
		.arrived_us = e->in->now_us,
	};
	struct route_choice choice;

	session_reads_init(&reads);
	choice = route_choose(e->in->topology, &policy, &ask);
	ADD(e->out->reason, "%s", route_reason_text(choice.reason));
	explain_target(e, &choice);
	if (choice.reason == ROUTE_REASON_WRITE)
		explain_primary(e);
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
		ADD(e->out->target, "pgweir");
		ADD(e->out->reason, "answered here, a server is only taken by the first statement");
	} else if (!e->in->topology) {
		ADD(e->out->target, "none");
		ADD(e->out->reason, "the cluster wasn't seen yet");
	} else {
		explain_choice(e, plan.node);
	}
}

void explain_statement(const struct explain_input *in, struct admin_route *out)
{
	struct explain e = { .in = in, .out = out };

	e.statement = statement_analyse(in->sql);
	e.verdict = judge_statement(e.statement, in->catalog);
	*out = (struct admin_route){ 0 };
	ADD(out->class, "%s", class_text(e.statement->class));
	add_names(out, "reads", e.statement->reads, e.statement->read_count);
	add_names(out, "writes", e.statement->writes, e.statement->written_count);
	explain_route(&e);
	explain_pins(e.statement->pins, out->pins, sizeof out->pins);
	explain_cache(&e);
	statement_put(&e.statement);
}
