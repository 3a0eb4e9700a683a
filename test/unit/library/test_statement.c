/* SPDX-License-Identifier: PostgreSQL */
/* The installed statement analyser, through its public header alone. */
#include <pgweir/statement.h>

#include <criterion/criterion.h>

#include <string.h>

static struct pgweir_statement *analyse(const char *sql)
{
	return pgweir_statement_analyse(sql, strlen(sql));
}

static void expect_class(const char *sql, enum pgweir_class expected)
{
	struct pgweir_statement *s = analyse(sql);

	cr_assert_eq(pgweir_statement_class(s), expected, "%s: %d", sql, pgweir_statement_class(s));
	pgweir_statement_free(s);
}

Test(library_statement, classes)
{
	expect_class("", PGWEIR_CLASS_EMPTY);
	expect_class("select 1", PGWEIR_CLASS_READ);
	expect_class("set work_mem = '1MB'", PGWEIR_CLASS_SESSION);
	expect_class("commit", PGWEIR_CLASS_TRANSACTION);
	expect_class("insert into t values (1)", PGWEIR_CLASS_WRITE);
	expect_class("select 1; delete from t", PGWEIR_CLASS_WRITE);
}

Test(library_statement, names)
{
	struct pgweir_statement *s =
		analyse("insert into app.log select f(a) from items where id = $2");
	const char *schema;

	cr_assert(pgweir_statement_is_parsed(s));
	cr_assert_str_eq(pgweir_statement_tag(s), "INSERT");
	cr_assert_eq(pgweir_statement_param_count(s), 2);
	cr_assert_eq(pgweir_statement_name_count(s, PGWEIR_NAMES_WRITTEN), 1);
	cr_assert_str_eq(pgweir_statement_name(s, PGWEIR_NAMES_WRITTEN, 0, &schema), "log");
	cr_assert_str_eq(schema, "app");
	cr_assert_eq(pgweir_statement_name_count(s, PGWEIR_NAMES_READ), 1);
	cr_assert_str_eq(pgweir_statement_name(s, PGWEIR_NAMES_READ, 0, &schema), "items");
	cr_assert_null(schema);
	cr_assert_eq(pgweir_statement_name_count(s, PGWEIR_NAMES_FUNCTION), 1);
	pgweir_statement_free(s);
}

Test(library_statement, what_does_not_parse_is_a_write)
{
	struct pgweir_statement *s = analyse("selec 1");

	cr_assert_not(pgweir_statement_is_parsed(s));
	cr_assert_eq(pgweir_statement_class(s), PGWEIR_CLASS_WRITE);
	pgweir_statement_free(s);
	pgweir_statement_free(NULL);
}
