/* SPDX-License-Identifier: PostgreSQL */
/*
 * Catalog snapshots: look-ups, and what follows from views, partitions and
 * foreign keys.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tier/catalog_build.h"

enum { T1 = 101, T2, T3, V1 = 201, V2, V3, SEQ = 301, F = 401, P = 501, P1, P2, FUNCTION = 900 };

static struct catalog *shop(void)
{
	struct catalog_builder *b = catalog_builder_create();
	struct catalog *c;

	catalog_builder_relation(b, T1, "public", "orders", 0);
	catalog_builder_relation(b, T2, "public", "lines", 0);
	catalog_builder_relation(b, T3, "audit", "lines", CATALOG_REL_TRIGGERS);
	catalog_builder_relation(b, V1, "public", "open_orders", CATALOG_REL_VIEW);
	catalog_builder_relation(b, V2, "public", "report", CATALOG_REL_VIEW);
	catalog_builder_relation(b, V3, "public", "numbered", CATALOG_REL_VIEW);
	catalog_builder_relation(b, SEQ, "public", "ids", CATALOG_REL_SEQUENCE);
	catalog_builder_relation(b, F, "public", "abroad", CATALOG_REL_FOREIGN);
	catalog_builder_relation(b, P, "public", "log", CATALOG_REL_PARTITIONED);
	catalog_builder_relation(b, P1, "public", "log_1", 0);
	catalog_builder_relation(b, P2, "public", "log_2", CATALOG_REL_TRIGGERS);
	catalog_builder_edge(b, CATALOG_EDGE_CHANGES, T1, T2);
	catalog_builder_edge(b, CATALOG_EDGE_CHANGES, T2, T1); /* a cycle */
	catalog_builder_edge(b, CATALOG_EDGE_READS, V1, T1);
	catalog_builder_edge(b, CATALOG_EDGE_READS, V2, V1);
	catalog_builder_edge(b, CATALOG_EDGE_READS, V2, P);
	catalog_builder_edge(b, CATALOG_EDGE_READS, V3, V2);
	catalog_builder_edge(b, CATALOG_EDGE_CHILD, P, P1);
	catalog_builder_edge(b, CATALOG_EDGE_CHILD, P, P2);
	catalog_builder_function(b, FUNCTION, "public", "tick", CATALOG_VOLATILE);
	catalog_builder_function(b, FUNCTION + 1, "public", "lower", CATALOG_VOLATILE);
	catalog_builder_function(b, FUNCTION + 2, "pg_catalog", "lower", CATALOG_IMMUTABLE);
	catalog_builder_function(b, FUNCTION + 3, "pg_catalog", "age", CATALOG_IMMUTABLE);
	catalog_builder_function(b, FUNCTION + 4, "pg_catalog", "age", CATALOG_STABLE);
	catalog_builder_function_session(b, "public", "tick", CATALOG_SESSION_SETTING);
	catalog_builder_function_session(b, "public", "not_there", CATALOG_SESSION_LOCK);
	catalog_builder_relation_session(b, P2, CATALOG_SESSION_SEQUENCE);
	catalog_builder_relation_session(b, P2, CATALOG_SESSION_LOCK);
	catalog_builder_relation_session(b, 99999, CATALOG_SESSION_LOCK);
	catalog_builder_view_calls(b, V3, FUNCTION);
	catalog_builder_view_calls(b, V1, FUNCTION + 4);
	c = catalog_builder_finish(&b);
	cr_assert_null(b);
	return c;
}

static const char *oids(const uint32_t *list, uint32_t count)
{
	static char text[256];
	size_t n = 0;

	text[0] = '\0';
	for (uint32_t i = 0; i < count; i++)
		n += (size_t)snprintf(text + n, sizeof text - n, "%s%u", i ? " " : "", (unsigned)list[i]);
	return text;
}

static const struct catalog_relation *find(const struct catalog *c, const char *name)
{
	bool several;
	const struct catalog_relation *r = catalog_relation(c, "public", name, &several);

	cr_assert_not_null(r, "%s", name);
	cr_assert_not(several);
	return r;
}

#define BASES(name) oids(find(c, name)->bases, find(c, name)->base_count)
#define AFFECTED(name) oids(find(c, name)->affected, find(c, name)->affected_count)

Test(catalog, views_reach_their_tables)
{
	struct catalog *c = shop();

	cr_assert_str_eq(BASES("orders"), "101");
	cr_assert_str_eq(BASES("open_orders"), "101");
	cr_assert_str_eq(BASES("report"), "101 501");
	cr_assert_str_eq(BASES("log"), "501");
	catalog_put(&c);
	cr_assert_null(c);
}

Test(catalog, writes_reach_partitions_parents_and_foreign_keys)
{
	struct catalog *c = shop();

	cr_assert_str_eq(AFFECTED("orders"), "101 102");
	cr_assert_str_eq(AFFECTED("lines"), "101 102");
	cr_assert_str_eq(AFFECTED("log_1"), "501 502");
	cr_assert_str_eq(AFFECTED("log"), "501 502 503");
	cr_assert(find(c, "log")->flags & CATALOG_REL_TRIGGERS, "a partition has one");
	cr_assert_not(find(c, "log_1")->flags & CATALOG_REL_TRIGGERS);
	cr_assert(find(c, "report")->flags & CATALOG_REL_TRIGGERS);
	catalog_put(&c);
}

Test(catalog, views_inherit_what_their_queries_call)
{
	struct catalog *c = shop();

	cr_assert_not(find(c, "orders")->flags & CATALOG_REL_UNCACHEABLE);
	cr_assert(find(c, "open_orders")->flags & CATALOG_REL_UNCACHEABLE, "a stable function");
	cr_assert_not(find(c, "open_orders")->flags & CATALOG_REL_VOLATILE_VIEW);
	cr_assert(find(c, "report")->flags & CATALOG_REL_UNCACHEABLE, "through a view");
	cr_assert(find(c, "numbered")->flags & CATALOG_REL_VOLATILE_VIEW);
	catalog_put(&c);
}

Test(catalog, views_of_node_local_system_views_are_the_primarys)
{
	struct catalog_builder *b = catalog_builder_create();
	struct catalog *c;

	catalog_builder_relation(b, 10, "pg_catalog", "pg_stat_activity",
	                         CATALOG_REL_VIEW | CATALOG_REL_SYSTEM);
	catalog_builder_relation(b, 11, "pg_catalog", "pg_class", CATALOG_REL_SYSTEM);
	catalog_builder_relation(b, 12, "public", "who", CATALOG_REL_VIEW);
	catalog_builder_relation(b, 13, "public", "what", CATALOG_REL_VIEW);
	catalog_builder_edge(b, CATALOG_EDGE_READS, 12, 10);
	catalog_builder_edge(b, CATALOG_EDGE_READS, 13, 11);
	c = catalog_builder_finish(&b);
	cr_assert(find(c, "who")->flags & CATALOG_REL_VOLATILE_VIEW);
	cr_assert_not(find(c, "what")->flags & CATALOG_REL_VOLATILE_VIEW);
	cr_assert(find(c, "what")->flags & CATALOG_REL_UNCACHEABLE);
	catalog_put(&c);
}

Test(catalog, a_name_without_schema_stands_for_all_of_that_name)
{
	struct catalog *c = shop();
	bool several;
	const struct catalog_relation *r = catalog_relation(c, NULL, "lines", &several);
	uint32_t seen = 0;

	cr_assert(several);
	cr_assert(r->flags & CATALOG_REL_TRIGGERS, "the worst of both");
	for (size_t n = 0; (r = catalog_relation_nth(c, "lines", n)); n++)
		seen += r->oid;
	cr_assert_eq(seen, T2 + T3);
	r = catalog_relation(c, NULL, "orders", &several);
	cr_assert_not(several);
	cr_assert_eq(r->oid, T1);
	cr_assert_null(catalog_relation(c, NULL, "nothing", &several));
	cr_assert_null(catalog_relation(c, "audit", "orders", &several));
	catalog_put(&c);
}

/* Nobody has oid 0: a server that says so isn't believed, and looking up ends all the same. */
Test(catalog, a_relation_without_an_oid_is_none)
{
	struct catalog_builder *b = catalog_builder_create();
	struct catalog *c;
	bool several;
	size_t n = 0;

	catalog_builder_relation(b, 0, "public", "ghost", 0);
	catalog_builder_relation(b, 0, "public", "ghost", 0);
	catalog_builder_relation(b, 7, "public", "real", 0);
	catalog_builder_relation(b, 8, "public", "real", CATALOG_REL_VIEW);
	c = catalog_builder_finish(&b);
	cr_expect_null(catalog_relation(c, "public", "ghost", &several));
	cr_expect_null(catalog_relation(c, NULL, "ghost", &several));
	while (n < 9 && catalog_relation_nth(c, "ghost", n))
		n++;
	cr_expect_eq(n, 0, "%zu", n);
	cr_expect_eq(find(c, "real")->oid, 7);
	cr_expect_null(catalog_relation_nth(c, "real", 1));
	catalog_put(&c);
}

Test(catalog, the_worst_overload_of_a_function_counts)
{
	struct catalog *c = shop();

	cr_assert_eq(catalog_function(c, "pg_catalog", "age"), CATALOG_STABLE);
	cr_assert_eq(catalog_function(c, "pg_catalog", "lower"), CATALOG_IMMUTABLE);
	cr_assert_eq(catalog_function(c, NULL, "lower"), CATALOG_VOLATILE, "public.lower may be meant");
	cr_assert_eq(catalog_function(c, NULL, "nothing"), CATALOG_FUNCTION_UNKNOWN);
	catalog_put(&c);
}

Test(catalog, generations_differ_and_references_count)
{
	struct catalog *a = shop(), *b = shop(), *again = catalog_get(a);

	cr_assert_neq(catalog_generation(a), catalog_generation(b));
	catalog_put(&a);
	cr_assert_eq(catalog_function(again, "public", "tick"), CATALOG_VOLATILE);
	catalog_put(&again);
	catalog_put(&b);
}

Test(catalog, built_in_functions_are_known_by_name)
{
	cr_assert_eq(catalog_builtin_function("upper"), CATALOG_IMMUTABLE);
	cr_assert_eq(catalog_builtin_function("abbrev"), CATALOG_IMMUTABLE);
	cr_assert_eq(catalog_builtin_function("xpath_exists"), CATALOG_IMMUTABLE);
	cr_assert_eq(catalog_builtin_function("count"), CATALOG_IMMUTABLE);
	cr_assert_eq(catalog_builtin_function("now"), CATALOG_STABLE);
	cr_assert_eq(catalog_builtin_function("random"), CATALOG_VOLATILE_HARMLESS);
	cr_assert_eq(catalog_builtin_function("nextval"), CATALOG_FUNCTION_UNKNOWN);
	cr_assert_eq(catalog_builtin_function("pg_advisory_lock"), CATALOG_FUNCTION_UNKNOWN);
	cr_assert_eq(catalog_builtin_function(""), CATALOG_FUNCTION_UNKNOWN);
}

/* The parent's row may land in the partition, whose defaults and triggers run. */
Test(catalog, what_code_does_to_the_session_is_known_by_function_and_by_table_written)
{
	struct catalog *c = shop();
	uint32_t both = CATALOG_SESSION_SEQUENCE | CATALOG_SESSION_LOCK;
	bool several;

	cr_expect_eq(catalog_function_session(c, "public", "tick"), CATALOG_SESSION_SETTING);
	cr_expect_eq(catalog_function_session(c, NULL, "tick"), CATALOG_SESSION_SETTING);
	cr_expect_eq(catalog_function_session(c, NULL, "lower"), 0);
	cr_expect_eq(catalog_function_session(c, NULL, "not_there"), 0);
	cr_expect_eq(catalog_relation(c, "public", "log_2", &several)->flags >>
		     CATALOG_REL_SESSION_SHIFT, both);
	cr_expect_eq(catalog_relation(c, NULL, "log", &several)->flags >> CATALOG_REL_SESSION_SHIFT,
		     both);
	cr_expect_eq(catalog_relation(c, NULL, "log_1", &several)->flags >>
		     CATALOG_REL_SESSION_SHIFT, 0);
	catalog_put(&c);
}
