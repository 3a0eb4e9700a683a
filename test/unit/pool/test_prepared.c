/* SPDX-License-Identifier: PostgreSQL */
/* Prepared statements: shared texts, a client's names, a server's set. */
#include "pool/prepared.h"

#include "sql/statement.h"
#include "support/trace.h"

#include <criterion/criterion.h>

static struct prepared_table *table;

static void set_up(void)
{
	table = prepared_table_create();
}

static void tear_down(void)
{
	cr_assert_eq(prepared_table_count(table), 0);
	cr_assert_eq(prepared_table_bytes(table), 0);
	prepared_table_destroy(table);
}

TestSuite(prepared, .init = set_up, .fini = tear_down);

static struct prepared *intern(const char *text, const char *types, size_t types_len)
{
	struct statement *s = statement_analyse(slice_str(text));
	struct prepared *p = prepared_intern(table, slice_str(text), slice_of(types, types_len), s);

	statement_put(&s);
	return p;
}

static void add(struct prepared_names *names, const char *name, const char *text)
{
	struct prepared *p = intern(text, "\0\0", 2);

	prepared_names_add(names, slice_str(name), &p);
	cr_assert_null(p);
}

static void expect_names(const struct prepared_names *names, const char *expected)
{
	static const char *const all[] = { "", "a", "b", "c", "d" };
	struct trace t;

	trace_init(&t);
	for (size_t i = 0; i < WEIR_COUNTOF(all); i++) {
		const struct prepared_name *n = prepared_names_find(names, slice_str(all[i]));

		if (n)
			trace_add(&t, "%s=%.*s", all[i], (int)n->prepared->text.len, n->prepared->text.ptr);
	}
	trace_expect(&t, expected);
	trace_fini(&t);
}

Test(prepared, the_same_text_and_types_are_one_statement)
{
	struct prepared *a = intern("select $1", "\0\1\0\0\0\x17", 6);
	struct prepared *b = intern("select $1", "\0\1\0\0\0\x17", 6);
	struct prepared *types = intern("select $1", "\0\0", 2);
	struct prepared *text = intern("select  $1", "\0\0", 2);

	cr_assert_eq(a, b);
	cr_assert_neq(a, types);
	cr_assert_neq(types, text);
	cr_assert(a->id != types->id && types->id != text->id);
	cr_assert_eq(prepared_table_count(table), 3);
	prepared_put(&a);
	cr_assert_eq(prepared_table_count(table), 3);
	prepared_put(&b);
	cr_assert_eq(prepared_table_count(table), 2);
	prepared_put(&types);
	prepared_put(&text);
	prepared_put(&text);
}

Test(prepared, a_server_name_has_the_id)
{
	struct prepared *p = intern("select 1", "\0\0", 2);
	char name[PREPARED_SERVER_NAME_MAX];

	cr_assert_eq(prepared_server_name(p->id, name), p->server_name_len);
	cr_assert_str_eq(p->server_name, name);
	cr_assert_eq(strncmp(name, "pgweir_", 7), 0);
	cr_assert_lt(prepared_server_name(UINT64_MAX, name), PREPARED_SERVER_NAME_MAX);
	prepared_put(&p);
}

Test(prepared, names_are_confirmed_in_order_and_refused_from_the_oldest)
{
	struct prepared_names *names = prepared_names_create();

	add(names, "a", "select 1");
	add(names, "b", "select 2");
	add(names, "c", "select 3");
	prepared_names_confirm(names);
	prepared_names_refuse(names, 1, 0);
	expect_names(names, "a=select 1\n"
	                    "c=select 3\n");
	prepared_names_confirm(names);
	prepared_names_refuse(names, 5, 0);
	expect_names(names, "a=select 1\n"
	                    "c=select 3\n");
	prepared_names_destroy(&names);
	cr_assert_null(names);
}

Test(prepared, a_pending_name_may_be_closed)
{
	struct prepared_names *names = prepared_names_create();

	add(names, "a", "select 1");
	add(names, "b", "select 2");
	prepared_names_remove(names, prepared_names_find(names, slice_str("a")));
	prepared_names_refuse(names, 1, 0);
	expect_names(names, "");
	cr_assert_eq(prepared_names_count(names), 0);
	prepared_names_destroy(&names);
}

Test(prepared, names_come_in_the_order_they_were_made)
{
	static const char *const left[] = { "z", "m", "a", "b" };
	struct prepared_names *names = prepared_names_create();
	const struct prepared_name *n = NULL;

	add(names, "z", "select 1");
	add(names, "b", "select 2");
	add(names, "m", "select 3");
	add(names, "a", "select 4");
	prepared_names_remove(names, prepared_names_find(names, slice_str("b")));
	add(names, "b", "select 2");
	for (size_t i = 0; i < sizeof left / sizeof *left; i++) {
		n = prepared_names_next(names, n);
		cr_assert_not_null(n);
		cr_expect_str_eq(n->name, left[i]);
	}
	cr_expect_null(prepared_names_next(names, n));
	prepared_names_destroy(&names);
}

Test(prepared, the_empty_name_is_a_name_and_none_has_none)
{
	struct prepared_names *names = prepared_names_create(), *none = NULL;

	add(names, "", "select 1");
	expect_names(names, "=select 1\n");
	prepared_names_clear(names);
	expect_names(names, "");
	expect_names(none, "");
	cr_assert_eq(prepared_names_count(none), 0);
	prepared_names_destroy(&names);
	prepared_names_destroy(&none);
}

/* Close a; Parse a anew; Close that too: an error in front of all leaves the first one. */
Test(prepared, a_close_that_was_skipped_is_taken_back)
{
	struct prepared_names *names = prepared_names_create();

	add(names, "a", "select 1");
	add(names, "b", "select 2");
	prepared_names_confirm(names);
	prepared_names_confirm(names);
	prepared_names_close(names, prepared_names_find(names, slice_str("a")));
	expect_names(names, "b=select 2\n");
	add(names, "a", "select 3");
	prepared_names_close(names, prepared_names_find(names, slice_str("a")));
	prepared_names_refuse(names, 1, 2);
	expect_names(names, "a=select 1\n"
	                    "b=select 2\n");
	prepared_names_destroy(&names);
}

Test(prepared, a_close_that_was_done_is_forgotten)
{
	struct prepared_names *names = prepared_names_create();

	add(names, "a", "select 1");
	prepared_names_confirm(names);
	prepared_names_close(names, prepared_names_find(names, slice_str("a")));
	add(names, "a", "select 2");
	prepared_names_confirm_close(names);
	prepared_names_confirm_close(names);
	expect_names(names, "a=select 2\n");
	prepared_names_refuse(names, 1, 1);
	expect_names(names, "");
	cr_assert_eq(prepared_table_count(table), 0);
	prepared_names_destroy(&names);
}

/* The name was taken again meanwhile: what was to be closed gives way. */
Test(prepared, a_name_is_never_there_twice)
{
	struct prepared_names *names = prepared_names_create();

	add(names, "a", "select 1");
	prepared_names_confirm(names);
	prepared_names_close(names, prepared_names_find(names, slice_str("a")));
	add(names, "a", "select 2");
	prepared_names_refuse(names, 0, 1);
	expect_names(names, "a=select 2\n");
	prepared_names_close(names, prepared_names_find(names, slice_str("a")));
	prepared_names_destroy(&names);
	cr_assert_eq(prepared_table_count(table), 0);
}

Test(prepared, a_set_evicts_the_least_recently_used)
{
	struct prepared_set set;

	prepared_set_init(&set);
	prepared_set_add(&set, 1);
	prepared_set_add(&set, 2);
	prepared_set_add(&set, 3);
	cr_assert_eq(prepared_set_evict(&set, 4), 0);
	cr_assert(prepared_set_use(&set, 1));
	cr_assert_eq(prepared_set_evict(&set, 3), 2);
	cr_assert_eq(prepared_set_evict(&set, 3), 0);
	cr_assert_not(prepared_set_use(&set, 2));
	cr_assert_eq(prepared_set_evict(&set, 1), 3);
	cr_assert_eq(prepared_set_evict(&set, 1), 1);
	cr_assert_eq(prepared_set_evict(&set, 0), 0);
	cr_assert_eq(prepared_set_count(&set), 0);
	prepared_set_add(&set, 5);
	prepared_set_clear(&set);
	cr_assert_eq(prepared_set_count(&set), 0);
	prepared_set_fini(&set);
}

Test(prepared, doubt_ends_when_it_is_parsed_again)
{
	struct prepared_set set;

	prepared_set_init(&set);
	prepared_set_add(&set, 1);
	prepared_set_doubt(&set, 1);
	prepared_set_doubt(&set, 2);
	cr_assert_not(prepared_set_use(&set, 1));
	cr_assert_not(prepared_set_use(&set, 2));
	cr_assert(prepared_set_may_have(&set, 2));
	cr_assert_not(prepared_set_may_have(&set, 3));
	prepared_set_add(&set, 2);
	cr_assert(prepared_set_use(&set, 2));
	cr_assert_eq(prepared_set_count(&set), 2);
	prepared_set_doubt_all(&set);
	cr_assert_not(prepared_set_use(&set, 2));
	prepared_set_fini(&set);
}

Test(prepared, a_set_knows_what_a_server_described)
{
	const struct description d = { 3, 4 };
	struct prepared_set set;

	prepared_set_init(&set);
	prepared_set_describe(&set, 1, &d); /* not there any more */
	cr_assert_not(prepared_set_may_have(&set, 1));
	prepared_set_add(&set, 1);
	cr_assert_eq(prepared_set_use(&set, 1)->columns, 0);
	prepared_set_describe(&set, 1, &d);
	cr_assert(description_fits(&d, prepared_set_use(&set, 1)));
	prepared_set_add(&set, 1); /* parsed again */
	cr_assert_eq(prepared_set_use(&set, 1)->columns, 0);
	prepared_set_fini(&set);
}

Test(prepared, names_asked_for_are_told_in_order)
{
	struct prepared_names *names = prepared_names_create();
	struct prepared_name *b;

	add(names, "a", "select 1");
	add(names, "b", "select 2");
	add(names, "c", "select 3");
	b = prepared_names_find(names, slice_str("b"));
	cr_assert_not(prepared_names_is_asking(names));
	prepared_names_ask(names, prepared_names_find(names, slice_str("a")));
	prepared_names_ask(names, b);
	prepared_names_ask(names, prepared_names_find(names, slice_str("c")));
	cr_assert_eq(b->asked_id, b->prepared->id);
	prepared_renew(b->prepared);
	cr_assert_neq(b->asked_id, b->prepared->id);
	prepared_names_remove(names, prepared_names_find(names, slice_str("a")));
	cr_assert_eq(prepared_names_take_asked(names), b);
	prepared_names_close(names, prepared_names_find(names, slice_str("c")));
	cr_assert_str_eq(prepared_names_take_asked(names)->name, "c");
	cr_assert_null(prepared_names_take_asked(names));
	cr_assert_null(prepared_names_take_asked(NULL));
	prepared_names_destroy(&names);
}

Test(prepared, one_made_by_sql_is_another_than_one_of_the_protocol)
{
	struct statement *s = statement_analyse(slice_str("SELECT 1"));
	const char *text = "PREPARE a AS SELECT 1";
	struct prepared *sql = prepared_intern_sql(table, slice_str(text), s);
	struct prepared *again = prepared_intern_sql(table, slice_str(text), s);
	struct prepared *other = intern(text, "", 0);

	cr_assert_eq(sql, again);
	cr_assert_neq(sql, other);
	cr_assert(sql->is_sql && !other->is_sql);
	prepared_put(&sql);
	prepared_put(&again);
	prepared_put(&other);
	statement_put(&s);
}

Test(prepared, names_are_counted_in_bytes)
{
	struct prepared_names *names = prepared_names_create();
	struct prepared *p;
	size_t one;

	add(names, "a", "SELECT 1");
	one = prepared_names_bytes(names);
	cr_assert_gt(one, 8);
	p = intern("SELECT 1", "\0\0", 2);
	prepared_names_put(names, slice_str("a"), &p); /* in its place */
	cr_assert_eq(prepared_names_bytes(names), one);
	cr_assert_eq(prepared_names_count(names), 1);
	cr_assert_null(prepared_names_confirm(names));
	add(names, "b", "SELECT 1");
	cr_assert_eq(prepared_names_bytes(names), 2 * one);
	prepared_names_close(names, prepared_names_find(names, slice_str("a")));
	cr_assert_eq(prepared_names_bytes(names), one);
	prepared_names_refuse(names, 0, 1);
	cr_assert_eq(prepared_names_bytes(names), 2 * one);
	prepared_names_clear(names);
	cr_assert_eq(prepared_names_bytes(names), 0);
	prepared_names_destroy(&names);
}
