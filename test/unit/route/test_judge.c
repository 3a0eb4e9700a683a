/* SPDX-License-Identifier: PostgreSQL */
/*
 * Verdicts: SQL text and catalog in, "replica cache known write" out, and the
 * tables read and written.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "route/judge.h"
#include "tier/catalog_build.h"

enum {
	T = 101,
	U,
	VIEW = 201,
	VIEW_WRITES,
	SEQ = 301,
	FOREIGN = 401,
	RLS,
	UNLOGGED,
	TRIGGERED,
	OTHER_T,
	SERIAL
};

static void add_functions(struct catalog_builder *b)
{
	static const struct {
		const char *schema, *name;
		enum catalog_volatility v;
	} functions[] = {
		{ "pg_catalog", "upper", CATALOG_IMMUTABLE },
		{ "pg_catalog", "count", CATALOG_IMMUTABLE },
		{ "pg_catalog", "now", CATALOG_STABLE },
		{ "pg_catalog", "random", CATALOG_VOLATILE_HARMLESS },
		{ "pg_catalog", "nextval", CATALOG_VOLATILE },
		{ "pg_catalog", "pg_is_in_recovery", CATALOG_VOLATILE },
		{ "pg_catalog", "lo_import", CATALOG_VOLATILE },
		{ "public", "pure", CATALOG_IMMUTABLE },
		{ "public", "looks", CATALOG_STABLE },
		{ "public", "writes", CATALOG_VOLATILE },
	};

	for (size_t i = 0; i < WEIR_COUNTOF(functions); i++)
		catalog_builder_function(b, (uint32_t)(900 + i), functions[i].schema, functions[i].name,
		                         functions[i].v);
}

static struct catalog *make_catalog(void)
{
	struct catalog_builder *b = catalog_builder_create();

	add_functions(b);
	catalog_builder_relation(b, T, "public", "t", 0);
	catalog_builder_relation(b, U, "public", "u", 0);
	catalog_builder_relation(b, OTHER_T, "other", "u", 0);
	catalog_builder_relation(b, VIEW, "public", "v", CATALOG_REL_VIEW);
	catalog_builder_relation(b, VIEW_WRITES, "public", "v_writes", CATALOG_REL_VIEW);
	catalog_builder_relation(b, SEQ, "public", "seq", CATALOG_REL_SEQUENCE);
	catalog_builder_relation(b, FOREIGN, "public", "abroad", CATALOG_REL_FOREIGN);
	catalog_builder_relation(b, RLS, "public", "tenants", CATALOG_REL_ROW_SECURITY);
	catalog_builder_relation(b, UNLOGGED, "public", "fast", CATALOG_REL_UNLOGGED);
	catalog_builder_relation(b, TRIGGERED, "public", "triggered", CATALOG_REL_TRIGGERS);
	catalog_builder_relation(b, SERIAL, "public", "serial", 0);
	catalog_builder_relation_session(b, SERIAL, CATALOG_SESSION_MOVES);
	catalog_builder_function_session(b, "public", "writes", CATALOG_SESSION_TEMPORARY);
	catalog_builder_relation_session(b, TRIGGERED, CATALOG_SESSION_SEQUENCE);
	catalog_builder_relation(b, 10, "pg_catalog", "pg_class",
	                         CATALOG_REL_SYSTEM | CATALOG_REL_UNCACHEABLE);
	catalog_builder_edge(b, CATALOG_EDGE_READS, VIEW, T);
	catalog_builder_edge(b, CATALOG_EDGE_READS, VIEW_WRITES, T);
	catalog_builder_view_calls(b, VIEW_WRITES, 909);
	catalog_builder_edge(b, CATALOG_EDGE_CHANGES, T, U);
	return catalog_builder_finish(&b);
}

static const char *verdict(const char *sql, const struct catalog *catalog)
{
	static char out[64];
	struct statement *s = statement_analyse(slice_str(sql));
	uint32_t v = judge_statement(s, catalog);

	snprintf(out, sizeof out, "%s%s%s%s%s%s", v & VERDICT_REPLICA_OK ? "replica" : "primary",
	         v & VERDICT_CACHEABLE ? " cache" : "", v & VERDICT_MAY_WRITE ? " write" : "",
	         v & VERDICT_WRITES_KNOWN ? " known" : "",
	         v & VERDICT_UNKNOWN_NAME ? " new" : "", v & VERDICT_RUNS_CODE ? " code" : "");
	statement_put(&s);
	return out;
}

struct row {
	const char *sql;
	const char *verdict;
};

static void check(const struct row *rows, size_t count, const struct catalog *catalog)
{
	for (size_t i = 0; i < count; i++) {
		const char *got = verdict(rows[i].sql, catalog);

		cr_expect_str_eq(got, rows[i].verdict, "%s: %s, not %s", rows[i].sql, got, rows[i].verdict);
	}
}

static const struct row with_catalog[] = {
	{ "SELECT * FROM t", "replica cache known" },
	{ "SELECT * FROM public.t WHERE upper(a) = 'X'", "replica cache known" },
	{ "SELECT count(*) FROM u", "replica cache known" },
	{ "SELECT pure(1) FROM t", "replica cache known" },
	{ "SELECT now() FROM t", "replica known" },
	{ "SELECT looks() FROM t", "replica known" },
	{ "SELECT random() FROM t", "replica known" },
	{ "SELECT writes() FROM t", "primary write code" },
	{ "SELECT unheard_of() FROM t", "primary write new code" },
	{ "SELECT nextval('seq')", "primary write known" },
	{ "SELECT lo_import('x')", "primary write code" },
	{ "SELECT 1", "replica known" },
	{ "SELECT * FROM v", "replica cache known" },
	{ "SELECT * FROM v_writes", "primary write code" },
	{ "SELECT * FROM seq", "primary known" },
	{ "SELECT * FROM abroad", "replica known" },
	{ "SELECT * FROM tenants", "replica known" },
	{ "SELECT * FROM fast", "primary known" },
	{ "SELECT * FROM nobody_knows", "replica known new" },
	{ "SELECT * FROM pg_temp.mine", "primary write known" },
	{ "SELECT * FROM pg_class", "replica known" },
	{ "SELECT * FROM information_schema.tables", "replica known" },
	{ "SELECT * FROM pg_stat_activity", "primary known" },
	{ "SELECT * FROM pg_catalog.pg_locks", "primary known" },
	{ "SELECT pg_is_in_recovery()", "primary" },
	{ "SELECT * FROM t FOR UPDATE", "primary write known" },
	{ "INSERT INTO t VALUES (1)", "primary write known" },
	{ "INSERT INTO triggered VALUES (1)", "primary write code" },
	{ "INSERT INTO nobody_knows VALUES (1)", "primary write new code" },
	{ "UPDATE t SET a = nextval('seq')", "primary write known" },
	{ "UPDATE t SET a = writes()", "primary write code" },
	{ "DELETE FROM v", "primary write known" },
	{ "TRUNCATE t", "primary write" },
	{ "CREATE TABLE x (a int)", "primary write" },
	{ "CALL something()", "primary write" },
	{ "DO $$ BEGIN END $$", "primary write" },
	{ "this is not SQL", "primary write" },
	{ "EXPLAIN SELECT * FROM t", "replica known" },
	{ "SHOW transaction_read_only", "primary known" },
	{ "SET work_mem = '4MB'", "replica known" },
	{ "BEGIN", "replica known" },
	{ "", "replica known" },
	{ "SELECT * FROM t; SELECT * FROM u", "replica known" },
	{ "SELECT * FROM t; INSERT INTO u VALUES (1)", "primary write known" },
};

Test(judge, statements_with_a_catalog)
{
	struct catalog *c;

	hash_seed_init();
	c = make_catalog();
	check(with_catalog, WEIR_COUNTOF(with_catalog), c);
	catalog_put(&c);
}

static uint32_t session_bits(const char *sql, const struct catalog *catalog)
{
	struct statement *s = statement_analyse(slice_str(sql));
	uint32_t v = judge_statement(s, catalog);

	statement_put(&s);
	return v >> VERDICT_SESSION_SHIFT;
}

Test(judge, what_moves_a_sequence)
{
	static const char *const moving[] = {
		"SELECT nextval('seq')",
		"SELECT pg_catalog.setval('seq', 1)",
		"INSERT INTO serial VALUES (1)",
		"COPY serial FROM STDIN",
		"WITH w AS (INSERT INTO serial DEFAULT VALUES RETURNING a) SELECT * FROM w",
		"WITH w AS (INSERT INTO serial DEFAULT VALUES) UPDATE t SET a = 1",
		"UPDATE serial SET a = DEFAULT",
		"INSERT INTO not_known VALUES (1)",
	};
	static const char *const others[] = {
		"INSERT INTO t VALUES (1)", "UPDATE serial SET a = 1", "DELETE FROM serial",
		"SELECT * FROM serial",     "COPY serial TO STDOUT",   "COPY t FROM STDIN",
	};
	struct catalog *c = make_catalog();

	for (size_t i = 0; i < WEIR_COUNTOF(moving); i++)
		cr_expect(session_bits(moving[i], c) & CATALOG_SESSION_MOVES, "%s", moving[i]);
	for (size_t i = 0; i < WEIR_COUNTOF(others); i++)
		cr_expect_not(session_bits(others[i], c) & CATALOG_SESSION_MOVES, "%s", others[i]);
	cr_expect_eq(session_bits("INSERT INTO t VALUES (1)", NULL), CATALOG_SESSION_MOVES);
	cr_expect_eq(session_bits("SELECT 1", NULL), 0);
	catalog_put(&c);
}

Test(judge, what_called_and_triggered_code_does_to_the_session)
{
	struct catalog *c;

	hash_seed_init();
	c = make_catalog();
	cr_expect_eq(session_bits("SELECT writes()", c), CATALOG_SESSION_TEMPORARY);
	cr_expect_eq(session_bits("SELECT * FROM t WHERE a = public.writes()", c),
		     CATALOG_SESSION_TEMPORARY);
	cr_expect_eq(session_bits("INSERT INTO triggered VALUES (1)", c), CATALOG_SESSION_SEQUENCE);
	cr_expect_eq(session_bits("WITH w AS (UPDATE triggered SET a = writes() RETURNING a) "
				  "SELECT * FROM w, v", c),
		     CATALOG_SESSION_SEQUENCE | CATALOG_SESSION_TEMPORARY);
	cr_expect_eq(session_bits("SELECT * FROM triggered", c), 0);
	cr_expect_eq(session_bits("SELECT other.writes(), upper(a) FROM v", c), 0);
	cr_expect_eq(session_bits("SELECT writes()", NULL), 0);
	catalog_put(&c);
}

static const struct row without_catalog[] = {
	{ "SELECT * FROM t", "replica known" },
	{ "SELECT upper(a), now() FROM t", "replica known" },
	{ "SELECT pg_catalog.upper(a) FROM t", "replica known" },
	{ "SELECT own(a) FROM t", "primary write code" },
	{ "SELECT public.upper(a) FROM t", "primary write code" },
	{ "SELECT nextval('s')", "primary write" },
	{ "SELECT pg_is_in_recovery()", "primary known" },
	{ "SELECT * FROM pg_stat_replication", "primary known" },
	{ "SELECT * FROM pg_class", "replica known" },
	{ "INSERT INTO t VALUES (1)", "primary write" },
};

Test(judge, statements_without_a_catalog)
{
	check(without_catalog, WEIR_COUNTOF(without_catalog), NULL);
}

static const char *tables(const char *sql, const struct catalog *c, bool writes)
{
	static char out[256];
	struct statement *s = statement_analyse(slice_str(sql));
	struct judge_tables t;
	size_t n = 0;

	(writes ? judge_writes : judge_reads)(s, c, &t);
	out[0] = '\0';
	for (uint32_t i = 0; i < t.count; i++)
		n += (size_t)snprintf(out + n, sizeof out - n, "%s%u", i ? " " : "", (unsigned)t.oids[i]);
	if (t.is_unknown)
		snprintf(out + n, sizeof out - n, "%s?", n ? " " : "");
	statement_put(&s);
	return out;
}

Test(judge, tables_read_and_written)
{
	struct catalog *c;

	hash_seed_init();
	c = make_catalog();
	cr_expect_str_eq(tables("SELECT * FROM v JOIN public.u USING (a)", c, false), "101 102");
	cr_expect_str_eq(tables("SELECT * FROM u", c, false), "102 405", "either u may be meant");
	cr_expect_str_eq(tables("SELECT * FROM nobody_knows, t", c, false), "101 ?");
	cr_expect_str_eq(tables("SELECT * FROM t", NULL, false), "?");
	cr_expect_str_eq(tables("SELECT * FROM t", c, true), "");
	cr_expect_str_eq(tables("DELETE FROM t", c, true), "101 102", "ON DELETE actions");
	cr_expect_str_eq(tables("INSERT INTO triggered SELECT * FROM t", c, true), "404 ?");
	cr_expect_str_eq(
		tables("WITH x AS (DELETE FROM public.u RETURNING *) SELECT * FROM x", c, true), "102");
	cr_expect_str_eq(tables("SELECT writes()", c, true), "?");
	cr_expect_str_eq(tables("DROP TABLE t", c, true), "?");
	catalog_put(&c);
}

Test(judge, more_tables_than_fit_are_unknown)
{
	struct judge_tables a = { 0 }, b = { 0 };

	for (uint32_t i = 0; i < JUDGE_TABLES_MAX; i++)
		a.oids[a.count++] = i * 2 + 2;
	b.oids[b.count++] = 8;
	judge_tables_add(&a, &b);
	cr_assert(!a.is_unknown && a.count == JUDGE_TABLES_MAX, "it was there");
	b.oids[0] = 3;
	judge_tables_add(&a, &b);
	cr_assert(a.is_unknown && a.count == JUDGE_TABLES_MAX);
	for (uint32_t i = 1; i < a.count; i++)
		cr_assert_lt(a.oids[i - 1], a.oids[i]);
}

Test(judge, the_memo_holds_for_one_generation_of_the_catalog)
{
	struct statement *s = statement_analyse(slice_str("SELECT * FROM t"));
	struct catalog *a, *b;
	struct catalog_builder *empty = catalog_builder_create();

	hash_seed_init();
	a = make_catalog();
	b = catalog_builder_finish(&empty);
	cr_assert(judge_cached(s, a) & VERDICT_CACHEABLE);
	s->verdict |= 1u << 31; /* shows that it isn't judged again */
	cr_assert(judge_cached(s, a) & 1u << 31);
	cr_assert_not(judge_cached(s, b) & VERDICT_CACHEABLE);
	cr_assert_not(judge_cached(s, NULL) & VERDICT_CACHEABLE);
	cr_assert(judge_cached(s, NULL) & VERDICT_REPLICA_OK);
	catalog_put(&a);
	catalog_put(&b);
	statement_put(&s);
}
