/* SPDX-License-Identifier: PostgreSQL */
/*
 * EXPLAIN ROUTE over a made-up cluster: SQL in, "class|target|reason|tables|pins|cache" out.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "sql/statement.h"
#include "tier/catalog_build.h"
#include "worker/explain.h"

enum { T = 101, UNLOGGED, CALLS = 900, WRITES };

struct world {
	struct config *cfg;
	struct topology topology;
	struct node_live live[2];
	struct catalog *catalog;
	struct explain_input in;
};

static struct catalog *make_catalog(void)
{
	struct catalog_builder *b = catalog_builder_create();

	catalog_builder_relation(b, T, "public", "t", 0);
	catalog_builder_relation(b, UNLOGGED, "public", "fast", CATALOG_REL_UNLOGGED);
	catalog_builder_function(b, CALLS, "pg_catalog", "now", CATALOG_STABLE);
	catalog_builder_function(b, WRITES, "public", "writes", CATALOG_VOLATILE);
	return catalog_builder_finish(&b);
}

static void init(struct world *w, const char *options)
{
	struct config_error err;
	char ini[512];

	memset(w, 0, sizeof(*w));
	snprintf(ini, sizeof(ini), "[pgweir]\n[databases]\nshop = host=a %s\n", options);
	w->cfg = config_load_text(ini, &err);
	cr_assert_not_null(w->cfg, "%s", err.message);
	w->topology.node_count = 2;
	for (int i = 0; i < 2; i++) {
		struct topology_node *n = &w->topology.nodes[i];

		n->id = (uint16_t)i;
		n->role = i ? NODE_ROLE_REPLICA : NODE_ROLE_PRIMARY;
		n->is_running = true;
		n->weight = 1;
		n->live = &w->live[i];
		snprintf(n->name, sizeof(n->name), "n%d", i);
	}
	atomic_store(&w->live[1].fresh_as_of_us, 1000);
	w->catalog = make_catalog();
	w->in = (struct explain_input){ .db = config_database_find(w->cfg, slice_str("shop")),
		                            .topology = &w->topology,
		                            .catalog = w->catalog,
		                            .now_us = 2000,
		                            .has_cache = true };
	cr_assert_not_null(w->in.db);
}

static void fini(struct world *w)
{
	catalog_put(&w->catalog);
	config_put(&w->cfg);
}

static const char *told(struct world *w, const char *sql)
{
	static char out[1024];
	struct admin_route r;

	w->in.sql = slice_str(sql);
	explain_statement(&w->in, &r);
	snprintf(out, sizeof(out), "%s|%s|%s|%s|%s|%s", r.class, r.target, r.reason, r.tables, r.pins,
	         r.cache);
	return out;
}

Test(explain, where_statements_go)
{
	struct world w;

	init(&w, "cache=on");
	cr_expect_str_eq(told(&w, "SELECT * FROM public.t"),
	                 "read|replica n1|read|reads public.t||yes, once it is asked for often enough");
	cr_expect_str_eq(told(&w, "UPDATE t SET x = 1"),
	                 "write|primary n0|write|writes t||");
	cr_expect_str_eq(told(&w, "SELECT now()"),
	                 "read|replica n1|read|||no, it reads no table");
	cr_expect_str_eq(told(&w, "BEGIN"),
	                 "txn|pgweir|answered here, a server is only taken by the first "
	                 "statement|||");
	cr_expect_str_eq(told(&w, "/* pgweir: route=primary */ SELECT 1"),
	                 "read|primary n0|hint|||no, it reads no table");
	fini(&w);
}

Test(explain, what_needs_the_primary_is_named)
{
	struct world w;

	init(&w, "");
	cr_expect_str_eq(told(&w, "SELECT public.writes(x) FROM t"),
	                 "read|primary n0|write, function public.writes needs the primary|reads t|"
	                 "|off");
	cr_expect_str_eq(told(&w, "SELECT now() FROM t, fast"),
	                 "read|primary n0|write, relation fast needs the primary|reads t, fast||off");
	cr_expect_str_eq(told(&w, "SELECT 1 FROM t FOR UPDATE"),
	                 "write|primary n0|write, it locks rows|reads t||");
	cr_expect_str_eq(told(&w, "SELEC 1"),
	                 "write|primary n0|write, the parser refused it|||");
	fini(&w);
}

Test(explain, pins)
{
	char text[EXPLAIN_PINS_MAX];
	struct world w;

	init(&w, "");
	cr_expect_str_eq(told(&w, "CREATE TEMP TABLE x(a int)"),
	                 "write|primary n0|write||temporary table|");
	explain_pins(PIN_ADVISORY_LOCK | PIN_LISTEN, text, sizeof(text));
	cr_expect_str_eq(text, "advisory lock, LISTEN");
	explain_pins(0, text, sizeof(text));
	cr_expect_str_eq(text, "");
	explain_pins(UINT32_MAX, text, 20);
	cr_expect_str_eq(text, "temporary table, ad");
	fini(&w);
}

Test(explain, the_tier_as_it_is)
{
	struct world w;

	init(&w, "");
	w.topology.nodes[1].is_running = false;
	cr_expect_str_eq(told(&w, "SELECT 1 FROM t"), "read|primary n0|no_replica|reads t||off");
	w.topology.primary = -1;
	w.topology.nodes[0].is_running = false;
	cr_expect_str_eq(told(&w, "DELETE FROM t"),
	                 "write|waits for a primary|no_primary|writes t||");
	w.in.topology = NULL;
	cr_expect_str_eq(told(&w, "DELETE FROM t"),
	                 "write|none|the cluster wasn't seen yet|writes t||");
	fini(&w);
}

Test(explain, why_it_is_not_cached)
{
	struct world w;

	init(&w, "cache=on consistency=strong");
	cr_expect_str_eq(strrchr(told(&w, "SELECT 1 FROM t"), '|'), "|off, consistency is strong");
	cr_expect_str_eq(strrchr(told(&w, "/* pgweir: cache=off */ SELECT 1 FROM t"), '|'),
	                 "|off by hint");
	cr_expect_str_eq(strrchr(told(&w, "/* pgweir: cache=on */ SELECT now() FROM t"), '|'),
	                 "|no, the answer depends on more than its tables");
	w.in.catalog = NULL;
	cr_expect_str_eq(strrchr(told(&w, "/* pgweir: cache=on */ SELECT 1 FROM t"), '|'),
	                 "|no, the catalog isn't known");
	w.in.has_cache = false;
	cr_expect_str_eq(strrchr(told(&w, "SELECT 1 FROM t"), '|'), "|off, pgweir has no cache");
	fini(&w);
}
