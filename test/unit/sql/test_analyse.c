/* SPDX-License-Identifier: PostgreSQL */
/*
 * Rules that the table of texts (test_routes.c) doesn't show well: scopes,
 * joins of classes, bounds, threads.
 */
#include <criterion/criterion.h>
#include <pthread.h>

#include "base/mem.h"
#include "sql/statement.h"
#include "unit/sql/describe.h"

#define EXPECT(sql, want) cr_expect_str_eq(describe_text(sql), want)

Test(analyse, names_of_with_queries_hide_tables_by_scope)
{
	EXPECT("with a as (select * from b), b as (select * from a) select * from a, b, c",
	       "read cacheable r=b r=c");
	EXPECT("with recursive a as (select * from b), b as (select * from a) select 1",
	       "read cacheable");
	EXPECT("with a as (select 1) select * from s.a", "read cacheable r=s.a");
	EXPECT("select * from (with a as (select 1) select * from a) x, a", "read cacheable r=a");
	EXPECT("with a as (select 1) select (with b as (select * from a) select 1 from b),"
	       " (select 1 from b)",
	       "read cacheable r=b");
	EXPECT("with a as (select 1) select 1 union select * from a", "read cacheable");
	EXPECT("with t as (select 1) insert into t select * from t", "write w=t");
	EXPECT("with t as (select 1) delete from t using t t2", "write w=t");
}

Test(analyse, row_locks_name_aliases_not_tables)
{
	EXPECT("select 1 from a x, b y for update of x", "write row_lock r=a r=b");
}

Test(analyse, user_functions_named_like_built_in_ones)
{
	EXPECT("select s.nextval('x')", "read cacheable f=s.nextval");
	EXPECT("select s.set_config('a', 'b', false)", "read cacheable f=s.set_config");
	EXPECT("select ext.dblink_connect('x')",
	       "write pin_session_state f=ext.dblink_connect e=opaque");
}

Test(analyse, set_config_is_known_only_where_it_surely_runs_once)
{
	EXPECT("select set_config('a.b', 'c', false)", "read e=set:a.b:'c'");
	EXPECT("select set_config('a.b', 'c', 'f')", "read e=set:a.b:'c'");
	EXPECT("select set_config('a.b', $1, false)", "write e=set:a.b:$1");
	EXPECT("select set_config('a.b', $2::text, false)", "write e=set:a.b:$2");
	EXPECT("select set_config('a.b', $1 || 'x', false)", "write pin_session_state e=opaque");
	EXPECT("select set_config('search_path', $1, false)", "write e=set:search_path:$1");
	EXPECT("select set_config('role', $1, false)", "write e=set:role:$1");
	EXPECT("select set_config($1, 'c', false)", "write pin_session_state e=opaque");
	EXPECT("select set_config('a.b', 'c', $1)", "write pin_session_state e=opaque");
	EXPECT("select set_config('a.b', 'c', false) where false", "write pin_session_state e=opaque");
	EXPECT("select 1 where set_config('a.b', 'c', false) = 'c'",
	       "write pin_session_state e=opaque");
	EXPECT("select set_config('a.b', $1, true)", "read local_set e=set_local:a.b");
	EXPECT("select set_config('role', 'x', false)", "read e=set:role:'x'");
	EXPECT("select set_config('search_path', ' A, \"B\"\"c\" ,d', false)",
	       "read e=set:search_path:'a', 'B\"c', 'd'");
}

Test(analyse, settings_keep_their_value)
{
	EXPECT("set a.b to 1, -22, 3.5, -4.5", "session e=set:a.b:1, -22, 3.5, -4.5");
	EXPECT("set transaction_read_only = on",
	       "session local_set e=set_local:transaction_read_only:'on'");
	EXPECT("set search_path = pg_template", "session e=set:search_path:'pg_template'");
	EXPECT("show \"DateStyle\"", "session show e=show:datestyle");
	EXPECT("set a.b = - 1", "session e=set:a.b:-1");
	EXPECT("set a.b = true", "session e=set:a.b:'true'");
	EXPECT("set a.b = ''", "session e=set:a.b:''");
	EXPECT("set A.B = E'x\\ny'", "session e=set:a.b:'x\ny'");
	EXPECT("select 1; set a.b = -7", "read multi e=set:a.b:-7@1");
}

Test(analyse, the_strongest_of_several_wins)
{
	EXPECT("select 1; select 2", "read multi");
	EXPECT("show a; set a.b = 1", "session multi show e=show:a e=set:a.b:1@1");
	EXPECT("show a; select 1", "read multi show e=show:a");
	EXPECT("select 1; delete from t", "write multi w=t");
	EXPECT("begin; commit", "write multi txn_inside_multi commits e=commit@1");
	EXPECT("begin; select 1", "write multi txn_inside_multi opens");
	EXPECT("begin; commit; begin", "write multi txn_inside_multi opens e=commit@1");
	EXPECT("rollback and chain; select 1", "write multi chain txn_inside_multi opens e=rollback");
	EXPECT("select 1; prepare transaction 'x'",
	       "write multi two_phase txn_inside_multi may_unpin writes_unknown e=commit@1");
	EXPECT(";begin read only;", "txn begin begin_read_only");
}

Test(analyse, explain_takes_back_only_its_own)
{
	EXPECT("delete from t; explain insert into u values (1)", "write multi explain w=t");
	EXPECT("explain insert into u values (1); delete from t", "write multi explain w=t");
	EXPECT("explain select pg_advisory_lock(1)", "read explain f=pg_advisory_lock");
	EXPECT("explain (analyze) select pg_advisory_lock(1)",
	       "write explain pin_advisory_lock f=pg_advisory_lock");
	EXPECT("explain (analyze off) delete from t", "read explain");
	EXPECT("explain (analyze 0) delete from t", "read explain");
	EXPECT("explain (analyze 1) delete from t", "write explain w=t");
	EXPECT("explain analyze create table x as select 1", "write ddl explain w=x");
}

Test(analyse, a_do_block_may_leave_something_behind)
{
	EXPECT("do $$ begin update t set a = 1; end $$", "write may_unpin writes_unknown");
	EXPECT("do $$ begin set local a.b = 1; set transaction read only; end $$",
	       "write may_unpin writes_unknown");
	EXPECT("do $$ begin set a.b = 1; reset c; end $$",
	       "write may_unpin writes_unknown pin_session_state e=opaque");
	EXPECT("do $$ begin if x then set a.b = 1; end if; end $$",
	       "write may_unpin writes_unknown pin_session_state e=opaque");
	EXPECT("do $$ begin execute 'set role x'; end $$",
	       "write may_unpin writes_unknown pin_session_state e=opaque");
	EXPECT("do 'begin execute ''listen x''; end'", "write may_unpin writes_unknown pin_listen");
	EXPECT("do $$ begin perform set_config('a', 'b', false); end $$",
	       "write may_unpin writes_unknown pin_session_state e=opaque");
	EXPECT("do $$ begin create temp table t (a int); perform pg_advisory_lock(1); end $$",
	       "write may_unpin writes_unknown pin_temp_table pin_advisory_lock");
	EXPECT("do $x$ begin execute $$ create temporary view v as select 1 $$; end $x$",
	       "write may_unpin writes_unknown pin_temp_table");
	EXPECT("do $$ begin raise notice 'set aside'; perform temp from t; end $$",
	       "write may_unpin writes_unknown pin_session_state e=opaque");
}

Test(analyse, the_first_word_is_the_tag)
{
	static const char *const pairs[][2] = {
		{ "  /* x */ select 1", "SELECT" },
		{ "((select 1))", "SELECT" },
		{ "with a as (select 1) select 1", "WITH" },
		{ ";; Commit", "COMMIT" },
		{ "frobnicate", "" },
		{ "", "" },
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct statement *s = statement_analyse(slice_str(pairs[i][0]));

		cr_expect_str_eq(s->tag, pairs[i][1]);
		statement_put(&s);
	}
}

static const char *describe_repeated(const char *head, const char *piece, size_t count)
{
	char *sql = mem_zalloc(strlen(head) + strlen(piece) * count + 1);
	size_t len = strlen(head), step = strlen(piece);
	const char *text;

	memcpy(sql, head, len);
	for (; count > 0; count--, len += step)
		memcpy(sql + len, piece, step);
	text = describe_text(sql);
	mem_free(sql);
	return text;
}

Test(analyse, deep_texts_are_writes_and_end_nothing)
{
	static const char *const unknown = "write unparsed writes_unknown";

	cr_expect_str_eq(describe_repeated("select ", "(", 100000), unknown);
	cr_expect_str_eq(describe_repeated("select ", "1+", 200000), unknown);
	cr_expect_str_eq(describe_repeated("select ", "- ", 200000), unknown);
	cr_expect_str_eq(describe_repeated("select ", "not ", 200000), unknown);
	cr_expect_str_eq(describe_repeated("select 1", " isnull", 100000), unknown);
	cr_expect_str_eq(describe_repeated("select 1", " union select 1", 60000), unknown);
	cr_expect_str_eq(describe_repeated("select 1 ", "[1] ", 100000), unknown);
	cr_expect_str_eq(describe_repeated("select ", "case when a and ", 50000), unknown);
	cr_expect_str_eq(describe_repeated("select 1", " or 1 = 1", 10000), "read cacheable");
}

Test(analyse, texts_over_the_bound_are_judged_by_key_words)
{
	static const char *const piece = "insert into t values ('xxxxxxxxxxxxxxxxxxxxxxxxxxxx'); ";

	cr_expect_str_eq(describe_repeated("", piece, 30000), "write multi large writes_unknown");
	cr_expect_str_eq(describe_repeated("commit; ", piece, 30000),
	                 "write multi large txn_inside_multi writes_unknown");
	cr_expect_str_eq(describe_repeated("set a = 1; ", piece, 30000),
	                 "write multi large writes_unknown pin_session_state e=opaque");
}

Test(analyse, a_zero_byte_is_not_parsed)
{
	struct statement *s = statement_analyse(slice_of("select 1\0; drop table t", 23));

	cr_expect(s->flags & STATEMENT_UNPARSED);
	cr_expect_eq(s->class, STATEMENT_WRITE);
	statement_put(&s);
}

static void *analyse_often(void *arg)
{
	static const char *const texts[] = { "select * from a where b = 1", "selec", "set a.b = 1",
		                                 "with x as (delete from y returning 1) select 1" };
	size_t *wrong = arg;

	for (int i = 0; i < 400; i++) {
		struct statement *s = statement_analyse(slice_str(texts[i % 4]));

		*wrong += (s->flags & STATEMENT_UNPARSED) != (i % 4 == 1 ? STATEMENT_UNPARSED : 0u);
		*wrong += (s->class == STATEMENT_READ) != (i % 4 == 0);
		statement_put(&s);
	}
	return NULL;
}

Test(analyse, threads_dont_disturb_each_other)
{
	pthread_t threads[4];
	size_t wrong[4] = { 0 };

	for (int i = 0; i < 4; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, analyse_often, &wrong[i]), 0);
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		cr_expect_eq(wrong[i], 0u);
	}
}
