/* SPDX-License-Identifier: PostgreSQL */
/*
 * The statement caches: what hits, what shares, what is bounded.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "base/mem.h"
#include "sql/statement.h"
#include "support/alloc.h"

static struct statement *lookup(struct statement_cache *c, const char *sql)
{
	return statement_cache_lookup(c, slice_str(sql));
}

static void expect_stats(struct statement_cache *c, uint64_t text_hits, uint64_t shape_hits,
                         uint64_t parses)
{
	const struct statement_cache_stats *s = statement_cache_stats(c);

	cr_expect_eq(s->text_hits, text_hits);
	cr_expect_eq(s->shape_hits + s->template_hits, shape_hits);
	cr_expect_eq(s->parses, parses);
}

Test(cache, texts_of_one_shape_share_a_statement)
{
	struct statement_cache *c = statement_cache_create(1 << 20, 1 << 16);
	struct statement *first = lookup(c, "select * from t where a = 1");

	cr_expect_eq(lookup(c, "SELECT * FROM t  WHERE a = 2"), first);
	cr_expect_eq(lookup(c, "select * from t where a = 3 -- x"), first);
	cr_expect_neq(lookup(c, "select * from t where b = 3"), first);
	cr_expect_neq(lookup(c, "select * from t where a = 1 /* pgweir: cache=on */"), first);
	expect_stats(c, 0, 2, 3);
	statement_cache_destroy(c);
}

Test(cache, a_text_gets_its_own_entry_when_it_comes_again_later)
{
	struct statement_cache *c = statement_cache_create(1 << 20, 1 << 16);
	const struct statement_cache_stats *s = statement_cache_stats(c);
	char sql[64];

	lookup(c, "select 1.5"); /* parsed: kept by shape; no plain literal, so no template */
	lookup(c, "select 2.5"); /* by shape, marked */
	lookup(c, "select 2.5"); /* the same request once more, for all we know */
	expect_stats(c, 0, 2, 1);
	cr_expect_eq(s->count, 1u);
	for (int i = 0; i < 5000; i++) {
		snprintf(sql, sizeof(sql), "select %d.5", 10 + i % 100);
		lookup(c, sql);
	}
	lookup(c, "select 2.5"); /* kept by text, if no other text took the mark */
	lookup(c, "select 2.5");
	lookup(c, "select 11.5"); /* often in both periods */
	cr_expect_gt(s->text_hits, 0u);
	cr_expect_eq(s->parses, 1u);
	cr_expect_leq(s->count, 102u);
	statement_cache_destroy(c);
}

Test(cache, where_literals_matter_the_text_is_the_key)
{
	struct statement_cache *c = statement_cache_create(1 << 20, 1 << 16);
	struct statement *s = lookup(c, "set work_mem = '4MB'");

	cr_expect_str_eq(s->effects[0].value, "'4MB'");
	s = lookup(c, "set work_mem = '5MB'");
	cr_expect_str_eq(s->effects[0].value, "'5MB'");
	s = lookup(c, "select set_config('a.b', 'c', false)");
	cr_expect_str_eq(s->effects[0].name, "a.b");
	s = lookup(c, "select set_config('d.e', 'c', false)");
	cr_expect_str_eq(s->effects[0].name, "d.e");
	cr_expect_eq(lookup(c, "explain (analyze 'true') delete from t")->class, STATEMENT_WRITE);
	cr_expect_eq(lookup(c, "explain (analyze 'false') delete from t")->class, STATEMENT_READ);
	s = lookup(c, "select * from U&\"a!0062\" uescape '!'");
	cr_expect_str_eq(s->reads[0].name, "ab");
	s = lookup(c, "select * from U&\"a!0062\" uescape '?'");
	cr_expect_str_eq(s->reads[0].name, "a!0062");
	expect_stats(c, 0, 0, 8);
	statement_cache_destroy(c);
}

Test(cache, moments_dont_share_with_other_literals)
{
	struct statement_cache *c = statement_cache_create(1 << 20, 1 << 16);

	cr_expect_not(lookup(c, "select 1 from t where d < '2026-01-01'")->flags & STATEMENT_NO_CACHE);
	cr_expect(lookup(c, "select 1 from t where d < 'today'")->flags & STATEMENT_NO_CACHE);
	cr_expect_not(lookup(c, "select 1 from t where d < '2027-01-01'")->flags & STATEMENT_NO_CACHE);
	statement_cache_destroy(c);
}

Test(cache, what_the_parser_refuses_is_refused_once)
{
	struct statement_cache *c = statement_cache_create(1 << 20, 1 << 16);

	lookup(c, "selec 1");
	cr_expect(lookup(c, "selec 1")->flags & STATEMENT_UNPARSED);
	expect_stats(c, 1, 0, 1);
	cr_expect_eq(statement_cache_stats(c)->parse_failures, 1u);
	statement_cache_destroy(c);
}

Test(cache, bytes_are_bounded_and_the_used_stay)
{
	struct statement_cache *c = statement_cache_create(20000, 1 << 16);
	char sql[64];

	lookup(c, "show hot");
	for (int i = 0; i < 2000; i++) {
		snprintf(sql, sizeof(sql), "select c%d from t", i);
		lookup(c, sql);
		lookup(c, "show hot");
		cr_assert_leq(statement_cache_stats(c)->bytes, 20000u);
	}
	expect_stats(c, 2000, 0, 2001);
	cr_expect_gt(statement_cache_stats(c)->evictions, 1000u);
	statement_cache_destroy(c);
}

Test(cache, a_held_statement_outlives_its_entry)
{
	struct statement_cache *c = statement_cache_create(4000, 1 << 16);
	struct statement *s = statement_get(lookup(c, "select first from t"));
	char sql[64];

	for (int i = 0; i < 100; i++) {
		snprintf(sql, sizeof(sql), "select c%d from t", i);
		lookup(c, sql);
	}
	statement_cache_destroy(c);
	cr_expect_eq(s->refcount, 1u);
	cr_expect_str_eq(s->reads[0].name, "t");
	statement_put(&s);
	cr_expect_null(s);
}

Test(cache, a_tiny_cache_still_answers)
{
	struct statement_cache *c = statement_cache_create(0, 1 << 16);

	for (int i = 0; i < 3; i++)
		cr_expect_eq(lookup(c, "select 1")->class, STATEMENT_READ);
	expect_stats(c, 0, 0, 3);
	cr_expect_eq(statement_cache_stats(c)->count, 0u);
	statement_cache_destroy(c);
}

Test(cache, large_texts_are_not_parsed)
{
	struct statement_cache *c = statement_cache_create(1 << 20, 16);
	struct statement *s = lookup(c, "select * from a_long_name");

	cr_expect_eq(s->class, STATEMENT_WRITE);
	cr_expect(s->flags & STATEMENT_LARGE);
	cr_expect_eq(lookup(c, "select 1")->class, STATEMENT_READ);
	expect_stats(c, 0, 0, 1);
	statement_cache_destroy(c);
}

Test(cache, memory_running_out_is_survived)
{
	struct statement_cache *c = statement_cache_create(1 << 20, 1 << 16);

	for (unsigned n = 1; n < 4; n++) {
		struct statement *s;

		mem_fail_after(n);
		s = lookup(c, "select 1 from t");
		mem_fail_after(0);
		cr_expect(s->class == STATEMENT_READ || (s->flags & STATEMENT_LARGE));
	}
	cr_expect_eq(lookup(c, "select 1 from t")->class, STATEMENT_READ);
	statement_cache_destroy(c);
}
