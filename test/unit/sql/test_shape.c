/* SPDX-License-Identifier: PostgreSQL */
/*
 * Which texts share a shape and which don't, and the bounds before the parser.
 */
#include <criterion/criterion.h>

#include "base/mem.h"
#include "sql/shape.h"

static struct shape shape_of(const char *sql, char *out, size_t size)
{
	struct slice text = slice_str(sql);
	struct shape shape;
	size_t len;

	cr_assert_leq(shape_bound(text.len) + 1, size);
	len = shape_make(&shape, text, out);
	cr_assert_leq(len, shape_bound(text.len));
	out[len] = '\0';
	return shape;
}

static void expect(const char *sql, const char *want)
{
	char out[2048];

	shape_of(sql, out, sizeof(out));
	cr_expect_str_eq(out, want);
}

Test(shape, literals_blanks_comments_and_case_go)
{
	expect("SELECT  1,'a' /* x */ FROM T -- y", "select ?n , ?s from t");
	expect("select 2 , 'bb'\nfrom t", "select ?n , ?s from t");
	expect("select \"T\".a, $2", "select \"T\" . a , $2");
	expect("select -1.5e3, B'1', $$x$$", "select - ?n , ?s+");
}

Test(shape, lists_of_any_length_are_one)
{
	expect("a in (1)", "a in ( ?n )");
	expect("a in (1, 2)", "a in ( ?n+ )");
	expect("a in (1, 2, 3,4)", "a in ( ?n+ )");
	expect("a in ('x', 1, 2, 'y')", "a in ( ?s , ?n+ , ?s )");
	expect("f(1, b, 2), 3", "f ( ?n , b , ?n ) , ?n");
}

Test(shape, equal_rows_are_written_once)
{
	expect("values (1, 'a'), (2, 'b'), (3, 'c')", "values ( ?n , ?s )");
	expect("values (1, null), (2, null)", "values ( ?n , null )");
	expect("values (1), ('a'), (2)", "values ( ?n ) , ( ?s ) , ( ?n )");
	expect("values (1), (x), (2)", "values ( ?n ) , ( x ) , ( ?n )");
	expect("values (1), ($1), ($2)", "values ( ?n ) , ( $1 ) , ( $2 )");
	expect("f(1), g(1), (1)", "f ( ?n ) , g ( ?n )");
	expect("(1) (1)", "( ?n ) ( ?n )");
	expect("((1), (2)), (3)", "( ( ?n ) ) , ( ?n )");
	expect("values (now()), (now())", "values ( now ( ) ) , ( now ( ) )");
}

Test(shape, different_things_stay_different)
{
	expect("a b", "a b");
	expect("ab", "ab");
	expect("\"a b\"", "\"a b\"");
	expect("\"A\"", "\"A\"");
	expect("a ?s b", "a ? s b");
	expect("1_000", "?n _000");
}

Test(shape, moments_are_marked)
{
	char out[512];

	expect("select 'now', ' Today ', 'known'", "select ?t+ , ?s");
	expect("select '12:00tomorrow +1'", "select ?t");
	expect("select 'to_day', 'tod'", "select ?s+");
	cr_expect(shape_of("date 'yesterday'", out, sizeof(out)).has_time_word);
	cr_expect(shape_of("E'n\\x6fw'", out, sizeof(out)).has_time_word);
	cr_expect_not(shape_of("date '2026-01-01'", out, sizeof(out)).has_time_word);
}

Test(shape, hints_are_part_of_it)
{
	char plain[256], hinted[256], ttl[256];
	struct shape a = shape_of("select 1", plain, sizeof(plain));
	struct shape b = shape_of("select 1 /* pgweir: cache=5 */", hinted, sizeof(hinted));
	struct shape c = shape_of("/* pgweir: cache=6 */ select 1", ttl, sizeof(ttl));

	cr_expect_neq(a.hash, b.hash);
	cr_expect_neq(b.hash, c.hash);
	cr_expect_eq(b.hints.cache_ttl_ms, 5000u);
}

Test(shape, parameters_are_counted)
{
	char out[256];

	cr_expect_eq(shape_of("select $3, $1", out, sizeof(out)).param_count, 3);
	cr_expect_eq(shape_of("select $99999999999", out, sizeof(out)).param_count, 65535);
	cr_expect_eq(shape_of("select '$3'", out, sizeof(out)).param_count, 0);
}

Test(shape, unicode_identifiers_are_text_only)
{
	char out[256];

	cr_expect(shape_of("select U&\"d!0061\" UESCAPE '!'", out, sizeof(out)).is_text_only);
	cr_expect_not(shape_of("select U&'d!0061' UESCAPE '!'", out, sizeof(out)).is_text_only);
}

static bool is_deep(const char *head, const char *piece, size_t count)
{
	size_t bytes = strlen(head) + strlen(piece) * count;
	char *sql = mem_alloc(bytes), *p = sql, *out = mem_alloc(shape_bound(bytes));
	struct shape shape;

	memcpy(p, head, strlen(head));
	for (p += strlen(head); count > 0; count--, p += strlen(piece))
		memcpy(p, piece, strlen(piece));
	shape_make(&shape, slice_of(sql, bytes), out);
	mem_free(sql);
	mem_free(out);
	return shape.is_too_deep;
}

Test(shape, deep_trees_are_seen_before_the_parser_sees_them)
{
	cr_expect_not(is_deep("select ", "(", 400));
	cr_expect(is_deep("select ", "(", 10000));
	cr_expect(is_deep("select ", "1+", 100000));
	cr_expect(is_deep("select 1", " isnull", 7000));
	cr_expect(is_deep("select 1", " union select 1, 2", 7000));
	cr_expect(is_deep("select 1 from a", " join b on x and y", 7000));
	cr_expect(is_deep("select ", "(a+a+a+a+a+a+a+a+a+a+a+a+a+a+a+a+a+a+a+a+a+a+", 400));
}

Test(shape, long_flat_texts_are_not_deep)
{
	cr_expect_not(is_deep("insert into t values ", "(1, 'a', now()), ", 20000));
	cr_expect_not(is_deep("select 1 from t where a = 1", " or a = 1", 20000));
	cr_expect_not(is_deep("", "select 1; ", 20000));
}
