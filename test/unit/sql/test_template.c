/* SPDX-License-Identifier: PostgreSQL */
/*
 * Templates: which texts fit, and that whatever fits has the same shape.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "base/mem.h"
#include "sql/statement.h"
#include "sql/template.h"

static struct template_table table;

static void set_up(void)
{
	memset(&table, 0, sizeof(table));
}

static void tear_down(void)
{
	template_table_fini(&table);
}

TestSuite(template, .init = set_up, .fini = tear_down);

/* The normalised text, for the caller to free. */
static struct slice shape_of(struct slice text, struct shape *shape,
                             struct shape_literals *literals)
{
	char *out = mem_alloc(shape_bound(text.len));

	return slice_of(out, shape_make_noting(shape, text, out, literals));
}

/* Keeps the text's template; its statement's class is only there to have one. */
static void keep(const char *sql)
{
	struct slice text = slice_str(sql);
	struct statement *s = statement_analyse(text);
	struct shape_literals literals;
	struct shape shape;

	mem_free((void *)(uintptr_t)shape_of(text, &shape, &literals).ptr);
	template_add(&table, text, &literals, s);
	statement_put(&s);
}

static bool fits(const char *sql)
{
	return template_find(&table, slice_str(sql)) != NULL;
}

/* A match is right only if lexing would have said the same. */
static void expect_sound(const char *a, const char *b)
{
	struct shape_literals literals;
	struct shape first, second;
	struct slice x = shape_of(slice_str(a), &first, &literals);
	struct slice y = shape_of(slice_str(b), &second, &literals);

	if (fits(b))
		cr_expect(slice_equal(x, y) && first.has_time_word == second.has_time_word &&
		              first.param_count == second.param_count,
		          "%s fits %s", b, a);
	mem_free((void *)(uintptr_t)x.ptr);
	mem_free((void *)(uintptr_t)y.ptr);
}

Test(template, other_digits_and_other_plain_strings_fit)
{
	keep("SELECT * FROM t WHERE a = 17 AND b = 'x' LIMIT 5;");
	cr_expect(fits("SELECT * FROM t WHERE a = 17 AND b = 'x' LIMIT 5;"));
	cr_expect(fits("SELECT * FROM t WHERE a = 123456789 AND b = '' LIMIT 0;"));
	cr_expect(fits("SELECT * FROM t WHERE a = 1 AND b = 'any -- /* \\ $1 ;' LIMIT 99;"));
}

Test(template, anything_else_does_not)
{
	static const char *const others[] = {
		"SELECT * FROM t WHERE a = 1.5 AND b = 'x' LIMIT 5;",
		"SELECT * FROM t WHERE a = 1e5 AND b = 'x' LIMIT 5;",
		"SELECT * FROM t WHERE a = -1 AND b = 'x' LIMIT 5;",
		"SELECT * FROM t WHERE a = '1' AND b = 'x' LIMIT 5;",
		"SELECT * FROM t WHERE a =  AND b = 'x' LIMIT 5;",
		"SELECT * FROM t WHERE a = 1 AND b = 'it''s' LIMIT 5;",
		"SELECT * FROM t WHERE a = 1 AND b = 'x'\n'y' LIMIT 5;",
		"SELECT * FROM t WHERE a = 1 AND b = 'today' LIMIT 5;",
		"SELECT * FROM t WHERE a = 1 AND b = E'x' LIMIT 5;",
		"SELECT * FROM t WHERE a = 1 AND b = 'x' LIMIT 5",
		"SELECT * FROM t WHERE a = 1 AND b = 'x' LIMIT 5;;",
		"SELECT * FROM t WHERE a = 1 AND b = 'x LIMIT 5;",
		"select * FROM t WHERE a = 1 AND b = 'x' LIMIT 5;",
		"SELECT * FROM t WHERE a = 1",
		"",
	};

	keep("SELECT * FROM t WHERE a = 17 AND b = 'x' LIMIT 5;");
	for (size_t i = 0; i < WEIR_COUNTOF(others); i++)
		cr_expect_not(fits(others[i]), "%s", others[i]);
}

Test(template, what_is_not_kept)
{
	static const char *const texts[] = {
		"SELECT now()",         "SELECT $1",           "SELECT 1.5",          "SELECT .5",
		"SELECT E'x'",          "SELECT 'it''s'",      "SELECT 'now'",        "SELECT $$x$$",
		"SELECT 'x'\n'y'",      "SELECT U&'x'",        "SELECT 1e5",          "SELECT B'1'",
		"SELECT 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17",
	};

	for (size_t i = 0; i < WEIR_COUNTOF(texts); i++) {
		keep(texts[i]);
		cr_expect_not(fits(texts[i]), "%s", texts[i]);
	}
}

/* Every text of the list as a template, every text against it, and each with one byte changed. */
Test(template, what_fits_has_the_same_shape)
{
	static const char *const texts[] = {
		"SELECT 1",           "SELECT 1e",           "SELECT 1 e5",        "SELECT 1..2",
		"SELECT 1 .5",        "SELECT a1, 2",        "SELECT 'a''b'",      "SELECT 'a' 'b'",
		"SELECT 'a'\n'b'",    "SELECT 'a' -- x\n'b'", "SELECT 'a', 'b'",    "SELECT n'a'",
		"SELECT 12 FROM t1",  "SELECT $1, 2",        "SELECT 1;SELECT 2",  "SELECT '1',2",
		"SELECT 'now', 1",    "SELECT 1--2",         "SELECT 1-2",         "SELECT 1/*2*/+3",
		"SELECT '/*', 1",     "SELECT 1 IN (1,2,3)", "SELECT 1 IN (1,2)",  "VALUES (1,'a'),(2,'b')",
	};
	static const char bytes[] = "0e.'\\$-/*nN \n;,(";
	char changed[64];

	for (size_t i = 0; i < WEIR_COUNTOF(texts); i++) {
		tear_down();
		keep(texts[i]);
		for (size_t j = 0; j < WEIR_COUNTOF(texts); j++)
			expect_sound(texts[i], texts[j]);
		for (size_t at = 0; at < strlen(texts[i]); at++) {
			for (size_t b = 0; b < sizeof(bytes) - 1; b++) {
				(void)snprintf(changed, sizeof(changed), "%s", texts[i]);
				changed[at] = bytes[b];
				expect_sound(texts[i], changed);
			}
		}
	}
}

Test(template, the_table_is_bounded_and_the_newest_stay)
{
	char sql[64];

	for (int i = 0; i < 5000; i++) {
		(void)snprintf(sql, sizeof(sql), "SELECT c FROM t%c%c%c WHERE a = 1", 'a' + i % 26,
		               'a' + i / 26 % 26, 'a' + i / 676);
		keep(sql);
	}
	cr_expect(fits(sql));
	/* Texts with one prefix share a set; four of them live beside each other. */
	for (int i = 0; i < 5; i++) {
		(void)snprintf(sql, sizeof(sql), "SELECT 1, %c", 'a' + i);
		keep(sql);
	}
	cr_expect(fits("SELECT 2, e") && fits("SELECT 2, b"));
	cr_expect_not(fits("SELECT 2, a"));
}

/* The search for the first digit or quote goes by words of eight bytes. */
Test(template, the_first_literal_may_be_anywhere)
{
	char sql[96] = "";

	for (size_t pad = 0; pad < 40; pad++) {
		(void)snprintf(sql, sizeof(sql), "SELECT %.*s/9:z 7", (int)pad,
		               "abcdefghijklmnopqrstuvwxyz_ABCDEFGHIJKLMNOPQRSTUVWXYZ");
		keep(sql);
		cr_expect(fits(sql), "%s", sql);
		(void)snprintf(sql, sizeof(sql), "SELECT %.*s/12:z 345", (int)pad,
		               "abcdefghijklmnopqrstuvwxyz_ABCDEFGHIJKLMNOPQRSTUVWXYZ");
		cr_expect(fits(sql), "%s", sql);
	}
}
