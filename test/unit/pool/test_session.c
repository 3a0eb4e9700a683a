/* SPDX-License-Identifier: PostgreSQL */
/* Session states: interned, sorted, and the SQL that leads from one to another. */
#include "pool/session.h"

#include "support/trace.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

static struct session_table *table;

static void set_up(void)
{
	table = session_table_create(4);
}

static void tear_down(void)
{
	session_table_destroy(table);
}

TestSuite(session, .init = set_up, .fini = tear_down);

/* *s with one setting changed, in place. */
static void change(struct session_state **s, const char *name, const char *value)
{
	struct session_state *changed = session_with(*s, slice_str(name), value);

	cr_assert_not_null(changed);
	session_put(s);
	*s = changed;
}

static void expect_sync(const struct session_state *from, const struct session_state *to,
                        const char *sql)
{
	struct trace t;

	trace_init(&t);
	session_sync_sql(&t.text, from, to);
	trace_expect(&t, sql);
	trace_fini(&t);
}

Test(session, equal_settings_are_one_pointer_whatever_the_order)
{
	struct session_state *a = session_empty(table), *b = session_empty(table);

	cr_assert_eq(a, b);
	change(&a, "work_mem", "'1MB'");
	change(&a, "datestyle", "'iso'");
	change(&b, "datestyle", "'iso'");
	cr_assert_neq(a, b);
	change(&b, "work_mem", "'1MB'");
	cr_assert_eq(a, b);
	cr_assert_eq(session_count(a), 2);
	cr_assert_str_eq(session_name(a, 0), "datestyle");
	cr_assert_str_eq(session_value(a, 1), "'1MB'");
	session_put(&a);
	session_put(&b);
}

Test(session, a_setting_is_replaced_and_removed)
{
	struct session_state *s = session_empty(table), *empty = session_empty(table);

	change(&s, "timezone", "'UTC'");
	change(&s, "timezone", "'CET'");
	cr_assert_eq(session_count(s), 1);
	cr_assert_str_eq(session_find(s, slice_str("timezone")), "'CET'");
	cr_assert_null(session_find(s, slice_str("time")));
	change(&s, "timezone", NULL);
	cr_assert_eq(s, empty);
	change(&s, "not_there", NULL);
	cr_assert_eq(s, empty);
	session_put(&s);
	session_put(&empty);
}

Test(session, sync_sets_what_differs_and_resets_what_is_gone)
{
	struct session_state *from = session_empty(table), *to = session_empty(table);

	expect_sync(from, to, "");
	change(&from, "a", "1");
	change(&from, "b", "2");
	change(&from, "c", "3");
	change(&to, "b", "2");
	change(&to, "c", "4");
	change(&to, "d", "5, 6");
	expect_sync(from, to, "RESET \"a\";SET SESSION \"c\" TO 4;SET SESSION \"d\" TO 5, 6;");
	expect_sync(to, from, "SET SESSION \"a\" TO 1;SET SESSION \"c\" TO 3;RESET \"d\";");
	session_put(&from);
	session_put(&to);
}

Test(session, names_and_raw_values_can_not_leave_their_quotes)
{
	struct session_state *from = session_empty(table), *to = session_empty(table);

	change(&to, "app.user\"; drop table t; --", "1");
	change(&to, "search_path", "=a, \"b'c\"");
	change(&to, "z", "=\\'x");
	expect_sync(from, to,
	            "SET SESSION \"app\".\"user\"\"; drop table t; --\" TO 1;"
	            "SELECT pg_catalog.set_config('search_path', 'a, \"b''c\"', false);"
	            "SELECT pg_catalog.set_config('z',  E'\\\\''x', false);");
	session_put(&from);
	session_put(&to);
}

Test(session, half_a_datestyle_is_set_on_top_of_what_the_session_has)
{
	struct session_state *from = session_empty(table), *to = session_empty(table);

	change(&from, "datestyle", "'german'");
	change(&to, "datestyle", "=YMD");
	expect_sync(from, to, "RESET \"datestyle\";"
		    "SELECT pg_catalog.set_config('datestyle', 'YMD', false);");
	change(&to, "datestyle", "'sql'");
	expect_sync(from, to, "SET SESSION \"datestyle\" TO 'sql, ymd';");
	session_put(&from);
	session_put(&to);
}

Test(session, the_number_of_settings_is_bounded_but_one_may_always_go)
{
	struct session_state *s = session_empty(table), *refused;
	char name[32];

	for (int i = 0; i < SESSION_SETTINGS_MAX - 1; i++) {
		snprintf(name, sizeof(name), "x.s%d", i);
		change(&s, name, "1");
	}
	refused = session_with(s, slice_str("x.more"), "1");
	cr_assert_null(refused);
	change(&s, "x.s5", "2");
	cr_assert_str_eq(session_find(s, slice_str("x.s5")), "2");
	change(&s, "x.s7", NULL);
	cr_assert_eq(session_count(s), SESSION_SETTINGS_MAX - 2);
	session_put(&s);
}

Test(session, the_text_is_bounded)
{
	static char value[SESSION_TEXT_MAX + 1], name[300];
	struct session_state *s = session_empty(table);

	memset(value, 'v', SESSION_TEXT_MAX);
	memset(name, 'n', sizeof(name) - 1);
	cr_assert_null(session_with(s, slice_str("a"), value));
	cr_assert_null(session_with(s, slice_str(name), "1"));
	session_put(&s);
}

Test(session, unused_states_are_kept_for_the_next_log_in_up_to_a_bound)
{
	struct session_state *s, *kept;
	char value[16];

	s = session_empty(table);
	change(&s, "a", "1");
	kept = s;
	session_put(&s);
	s = session_empty(table);
	change(&s, "a", "1");
	cr_assert_eq(s, kept);
	session_put(&s);
	for (int i = 0; i < 100; i++) {
		s = session_empty(table);
		snprintf(value, sizeof(value), "%d", i);
		change(&s, "b", value);
		session_put(&s);
	}
}

Test(session, what_a_request_means_depends_on_more_than_its_role)
{
	static const struct {
		const char *from, *to; /* one setting's name; NULL: none */
		bool differs;
	} cases[] = {
		{ NULL, NULL, false },          { NULL, "application_name", false },
		{ "statement_timeout", NULL, false }, { NULL, "app.tenant", true },
		{ "search_path", NULL, true },  { "role", NULL, true },
		{ "role", "role", true },       { "search_path", "search_path", false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct session_state *from = session_empty(table), *to = session_empty(table);

		if (cases[i].from)
			change(&from, cases[i].from, "'a'");
		if (cases[i].to)
			change(&to, cases[i].to, "'a'");
		cr_assert_eq(session_differs_in_meaning(from, to), cases[i].differs, "case %zu", i);
		session_put(&from);
		session_put(&to);
	}
}

static void expect_first(const struct session_state *from, const struct session_state *to,
                            const char *sql)
{
	struct trace t;

	trace_init(&t);
	session_first_sql(&t.text, from, to);
	trace_expect(&t, sql);
	trace_fini(&t);
}

Test(session, letters_beyond_ascii_are_read_in_their_own_encoding)
{
	struct session_state *none = session_empty(table), *latin = session_empty(table);
	struct session_state *plain = session_empty(table);

	change(&plain, SESSION_ENCODING, "'LATIN1'");
	change(&latin, SESSION_ENCODING, "'LATIN1'");
	change(&latin, "my.name", "'caf\xe9'");
	expect_first(none, latin, "SET SESSION \"client_encoding\" TO 'LATIN1';");
	expect_first(plain, latin, "");
	expect_first(latin, plain, "");
	expect_first(latin, none, "");
	change(&none, "my.name", "'caf\xc3\xa9'");
	expect_first(plain, none, "RESET \"client_encoding\";");
	session_put(&none);
	session_put(&latin);
	session_put(&plain);
}

Test(session, a_server_stops_being_serializable_before_all_else)
{
	struct session_state *none = session_empty(table), *from = session_empty(table);
	struct session_state *weaker = session_empty(table), *same;

	change(&from, SESSION_ISOLATION, "'serializable'");
	change(&weaker, SESSION_ISOLATION, "'read committed'");
	expect_first(from, none, "RESET \"default_transaction_isolation\";");
	expect_first(from, weaker, "RESET \"default_transaction_isolation\";");
	expect_first(weaker, none, "");
	expect_first(none, from, "");
	same = session_with(from, slice_str("work_mem"), "'1MB'");
	expect_first(from, same, "");
	session_put(&none);
	session_put(&from);
	session_put(&weaker);
	session_put(&same);
}

Test(session, distance_counts_settings_and_roles_for_more)
{
	struct session_state *a = session_empty(table), *b = session_empty(table);

	cr_assert_eq(session_distance(a, b), 0);
	change(&a, "a", "1");
	change(&a, "b", "1");
	change(&b, "b", "2");
	change(&b, "c", "3");
	cr_assert_eq(session_distance(a, b), 3);
	cr_assert_eq(session_distance(b, a), 3);
	change(&b, "role", "'x'");
	cr_assert_gt(session_distance(a, b), SESSION_SETTINGS_MAX);
	session_put(&a);
	session_put(&b);
}

Test(session, an_identity_is_left_first_and_taken_last)
{
	struct session_state *from = session_empty(table), *to = session_empty(table);

	change(&from, "role", "'a'");
	change(&from, "work_mem", "1");
	change(&to, "role", "'b'");
	change(&to, "session_authorization", "'c'");
	change(&to, "zero", "0");
	cr_assert(session_has_identity(from));
	expect_sync(from, to,
	            "RESET SESSION AUTHORIZATION;RESET ROLE;RESET \"work_mem\";"
	            "SET SESSION \"zero\" TO 0;SET SESSION \"session_authorization\" TO 'c';"
	            "SET SESSION \"role\" TO 'b';");
	expect_sync(to, to, "");
	session_put(&from);
	session_put(&to);
}
