/* SPDX-License-Identifier: PostgreSQL */
/*
 * Queries on the system catalogs, see catalog_sql.h. All are schema-qualified
 * and run in a session whose search_path is pg_catalog.
 *
 * What a view calls is taken from the node tree of its rule, since pg_depend
 * doesn't hold built-in functions and relations. Temporary relations are left
 * out: they belong to other sessions, and a name that isn't here goes to the
 * primary.
 */
#include "tier/catalog_sql.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

/* Every row version has its xmin, so any change of a catalog changes the sum or the count. */
#define FINGERPRINT(catalog)                                                               \
	"(SELECT pg_catalog.concat(pg_catalog.count(*), ':', pg_catalog.sum("              \
	"pg_catalog.hashtext(pg_catalog.concat(oid, '/', xmin))::pg_catalog.int8)) "       \
	"FROM pg_catalog." catalog ")"

/*
 * CATALOG_SESSION_ bits of a source text. A temporary table that ends with its transaction and a
 * set_config whose third argument isn't a plain false leave nothing behind.
 */
#define SESSION_BITS(text)                                                                       \
	"(CASE WHEN " text " ~* '\\m(currval|lastval)\\M' THEN 1 ELSE 0 END"                      \
	" | CASE WHEN " text " ~* '\\mpg_(try_)?advisory_lock' THEN 2 ELSE 0 END"                  \
	" | CASE WHEN " text " ~* '\\m(create|into)\\s+((local|global)\\s+)?temp(orary)?\\M'"     \
	" AND " text " !~* '\\mon\\s+commit\\s+drop\\M' THEN 4 ELSE 0 END"                        \
	" | CASE WHEN " text " ~* '\\mset_config\\s*\\([^;]*,\\s*(false|''f''|''false'')\\s*\\)'"  \
	" OR " text " ~* '(^|;|''|\\m(begin|then|else|loop)\\M)\\s*set\\s+(session\\s+)?"        \
	"(?!local\\M)[a-z_.\"]+\\s*(=|\\mto\\M)' THEN 8 ELSE 0 END"                             \
	" | CASE WHEN " text " ~* '\\m(nextval|setval)\\M' THEN 16 ELSE 0 END)"

/* All of a reading is of this moment; the transaction ends with the session. */
const char catalog_fingerprint_sql[] =
	"BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;"
	" SELECT pg_catalog.concat_ws(' ', " FINGERPRINT("pg_namespace") ", " FINGERPRINT("pg_proc")
	", " FINGERPRINT("pg_class") ", " FINGERPRINT("pg_rewrite") ", " FINGERPRINT("pg_trigger")
	", " FINGERPRINT("pg_attrdef") ", " FINGERPRINT("pg_constraint")
	", (SELECT pg_catalog.concat(pg_catalog.count(*), ':', pg_catalog.sum("
	"pg_catalog.hashtext(pg_catalog.concat(inhrelid, '/', inhparent))::pg_catalog.int8))"
	" FROM pg_catalog.pg_inherits))";

static const char functions_sql[] =
	"SELECT p.oid, n.nspname, p.proname, p.provolatile"
	" FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace";

/* The built-in ones are known by name. */
static const char function_sessions_sql[] =
	"SELECT f.nspname, f.proname, f.bits FROM (SELECT n.nspname, p.proname, " SESSION_BITS(
		"p.prosrc") " AS bits"
	" FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace"
	" JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang"
	" WHERE l.lanname NOT IN ('internal', 'c') AND n.nspname <> 'pg_catalog') AS f"
	" WHERE f.bits <> 0";

/*
 * Defaults, identity columns, then trigger functions. pg_get_expr looks at the present: for a table
 * that is gone by now it has no text, and the functions of the node tree stand for it, each as if
 * called in the way that leaves most behind.
 */
static const char relation_sessions_sql[] =
	"SELECT d.adrelid, d.bits FROM (SELECT a.adrelid, " SESSION_BITS("a.source") " AS bits FROM"
	" (SELECT adrelid, coalesce(pg_catalog.pg_get_expr(adbin, adrelid),"
	" (SELECT pg_catalog.string_agg(p.proname || '(, false)', ' ')"
	" FROM pg_catalog.regexp_matches(adbin::pg_catalog.text, ':funcid ([0-9]+)', 'g') AS m"
	" JOIN pg_catalog.pg_proc AS p ON p.oid = m[1]::pg_catalog.oid)) AS source"
	" FROM pg_catalog.pg_attrdef OFFSET 0) AS a) AS d WHERE d.bits <> 0"
	" UNION ALL SELECT i.attrelid, 16 FROM pg_catalog.pg_attribute AS i"
	" WHERE i.attidentity <> '' AND NOT i.attisdropped"
	" UNION ALL SELECT g.tgrelid, g.bits FROM (SELECT t.tgrelid, " SESSION_BITS(
		"p.prosrc") " AS bits"
	" FROM pg_catalog.pg_trigger AS t JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid"
	" WHERE NOT t.tgisinternal) AS g WHERE g.bits <> 0";

static const char relations_sql[] =
	"SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence, c.relrowsecurity,"
	" EXISTS (SELECT FROM pg_catalog.pg_trigger AS t"
	" WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)"
	" OR EXISTS (SELECT FROM pg_catalog.pg_rewrite AS r WHERE r.ev_class = c.oid"
	" AND r.rulename <> '_RETURN')"
	" FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace"
	" WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relpersistence <> 't'"
	" AND n.nspname <> 'pg_toast'";

static const char children_sql[] =
	"SELECT i.inhparent, i.inhrelid FROM pg_catalog.pg_inherits AS i";

static const char foreign_keys_sql[] =
	"SELECT c.confrelid, c.conrelid FROM pg_catalog.pg_constraint AS c WHERE c.contype = 'f'"
	" AND (c.confdeltype IN ('c', 'n', 'd') OR c.confupdtype IN ('c', 'n', 'd'))";

static const char views_sql[] =
	"SELECT DISTINCT r.ev_class, m[1] = 'relid', m[2]"
	" FROM pg_catalog.pg_rewrite AS r"
	" JOIN pg_catalog.pg_class AS c ON c.oid = r.ev_class"
	" JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace,"
	" LATERAL pg_catalog.regexp_matches(r.ev_action::pg_catalog.text,"
	" ':(relid|funcid|opfuncid|aggfnoid|winfnoid) ([0-9]+)', 'g') AS m"
	" WHERE r.ev_type = '1' AND c.relkind = 'v'"
	" AND n.nspname NOT IN ('pg_catalog', 'information_schema')";

/* CURRENT_DATE, CURRENT_USER and the like in a view are no functions in the tree. */
static const char session_views_sql[] =
	"SELECT r.ev_class FROM pg_catalog.pg_rewrite AS r"
	" JOIN pg_catalog.pg_class AS c ON c.oid = r.ev_class"
	" JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace"
	" WHERE r.ev_type = '1' AND c.relkind = 'v'"
	" AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
	" AND pg_catalog.strpos(r.ev_action::pg_catalog.text, '{SQLVALUEFUNCTION') > 0";

static const char *text_of(const struct pg_rows *rows, int row, int column)
{
	const char *text = pg_rows_text(rows, row, column);

	return text ? text : "";
}

static uint32_t oid_of(const struct pg_rows *rows, int row, int column)
{
	return (uint32_t)strtoul(text_of(rows, row, column), NULL, 10);
}

static bool is_true(const struct pg_rows *rows, int row, int column)
{
	return text_of(rows, row, column)[0] == 't';
}

static enum catalog_volatility volatility_of(const char *schema, const char *name, char letter)
{
	if (letter == 'i')
		return CATALOG_IMMUTABLE;
	if (letter == 's')
		return CATALOG_STABLE;
	if (strcmp(schema, "pg_catalog") == 0 &&
	    catalog_builtin_function(name) == CATALOG_VOLATILE_HARMLESS)
		return CATALOG_VOLATILE_HARMLESS;
	return CATALOG_VOLATILE;
}

static void take_functions(struct catalog_builder *b, const struct pg_rows *rows)
{
	for (int i = 0; i < pg_rows_count(rows); i++) {
		const char *schema = text_of(rows, i, 1), *name = text_of(rows, i, 2);

		catalog_builder_function(b, oid_of(rows, i, 0), schema, name,
					 volatility_of(schema, name, text_of(rows, i, 3)[0]));
	}
}

static uint32_t flags_of_kind(char kind)
{
	switch (kind) {
	case 'v':
		return CATALOG_REL_VIEW;
	case 'f':
		return CATALOG_REL_FOREIGN | CATALOG_REL_UNCACHEABLE;
	case 'S':
		return CATALOG_REL_SEQUENCE | CATALOG_REL_UNCACHEABLE;
	case 'p':
		return CATALOG_REL_PARTITIONED;
	default:
		return 0;
	}
}

static void take_relations(struct catalog_builder *b, const struct pg_rows *rows)
{
	for (int i = 0; i < pg_rows_count(rows); i++) {
		const char *schema = text_of(rows, i, 1);
		uint32_t flags = flags_of_kind(text_of(rows, i, 3)[0]);

		if (text_of(rows, i, 4)[0] == 'u')
			flags |= CATALOG_REL_UNLOGGED;
		if (is_true(rows, i, 5))
			flags |= CATALOG_REL_ROW_SECURITY;
		if (is_true(rows, i, 6))
			flags |= CATALOG_REL_TRIGGERS;
		if (strcmp(schema, "pg_catalog") == 0 || strcmp(schema, "information_schema") == 0)
			flags |= CATALOG_REL_SYSTEM | CATALOG_REL_UNCACHEABLE;
		catalog_builder_relation(b, oid_of(rows, i, 0), schema, text_of(rows, i, 2), flags);
	}
}

static uint32_t bits_of(const struct pg_rows *rows, int row, int column)
{
	return oid_of(rows, row, column) & CATALOG_SESSION_ALL;
}

static void take_function_sessions(struct catalog_builder *b, const struct pg_rows *rows)
{
	for (int i = 0; i < pg_rows_count(rows); i++)
		catalog_builder_function_session(b, text_of(rows, i, 0), text_of(rows, i, 1),
						 bits_of(rows, i, 2));
}

static void take_relation_sessions(struct catalog_builder *b, const struct pg_rows *rows)
{
	for (int i = 0; i < pg_rows_count(rows); i++)
		catalog_builder_relation_session(b, oid_of(rows, i, 0), bits_of(rows, i, 1));
}

static void take_children(struct catalog_builder *b, const struct pg_rows *rows)
{
	for (int i = 0; i < pg_rows_count(rows); i++)
		catalog_builder_edge(b, CATALOG_EDGE_CHILD, oid_of(rows, i, 0), oid_of(rows, i, 1));
}

static void take_foreign_keys(struct catalog_builder *b, const struct pg_rows *rows)
{
	for (int i = 0; i < pg_rows_count(rows); i++)
		catalog_builder_edge(b, CATALOG_EDGE_CHANGES, oid_of(rows, i, 0), oid_of(rows, i, 1));
}

static void take_views(struct catalog_builder *b, const struct pg_rows *rows)
{
	for (int i = 0; i < pg_rows_count(rows); i++) {
		uint32_t view = oid_of(rows, i, 0), other = oid_of(rows, i, 2);

		if (!is_true(rows, i, 1) && other != 0)
			catalog_builder_view_calls(b, view, other);
		else if (is_true(rows, i, 1) && other != view)
			catalog_builder_edge(b, CATALOG_EDGE_READS, view, other);
	}
}

static void take_session_views(struct catalog_builder *b, const struct pg_rows *rows)
{
	for (int i = 0; i < pg_rows_count(rows); i++)
		catalog_builder_view_depends_on_session(b, oid_of(rows, i, 0));
}

const struct catalog_query catalog_queries[] = {
	{ "functions", functions_sql, take_functions },
	{ "function_sessions", function_sessions_sql, take_function_sessions },
	{ "relations", relations_sql, take_relations },
	{ "relation_sessions", relation_sessions_sql, take_relation_sessions },
	{ "children", children_sql, take_children },
	{ "foreign_keys", foreign_keys_sql, take_foreign_keys },
	{ "views", views_sql, take_views },
	{ "session_views", session_views_sql, take_session_views },
};

const size_t catalog_query_count = WEIR_COUNTOF(catalog_queries);
