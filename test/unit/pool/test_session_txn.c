/* SPDX-License-Identifier: PostgreSQL */
/* Settings in a transaction: traces of commands, and the two states after each. */
#include "pool/session_txn.h"

#include "base/mem.h"
#include "pool/session.h"
#include "support/trace.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

struct fixture {
	struct session_table *table;
	struct session_state *committed, *startup;
	struct session_txn txn;
	struct trace trace;
};

static struct fixture f;

/* "a=1 b=2" as a state: counted. */
static struct session_state *state_of(const char *text)
{
	struct session_state *s = session_empty(f.table), *next;
	char copy[256], *rest = copy;

	snprintf(copy, sizeof copy, "%s", text);
	for (char *word; (word = strsep(&rest, " ")) != NULL;) {
		char *value = strchr(word, '=');

		if (!value)
			continue;
		*value++ = '\0';
		next = session_with(s, slice_str(word), value);
		session_put(&s);
		s = next;
	}
	return s;
}

static void begin(const char *startup, const char *committed)
{
	f = (struct fixture){ .table = session_table_create(8) };
	f.startup = state_of(startup);
	f.committed = state_of(committed);
	trace_init(&f.trace);
}

static void put_state(const struct session_state *s)
{
	for (size_t i = 0; s && i < session_count(s); i++)
		buf_appendf(&f.trace.text, "%s%s=%s", i ? " " : "", session_name(s, i),
		            session_value(s, i));
	if (!s)
		buf_append_str(&f.trace.text, "-");
}

static void note(const char *what)
{
	buf_appendf(&f.trace.text, "%s: ", what);
	put_state(f.txn.client);
	buf_append_str(&f.trace.text, " | ");
	put_state(f.txn.server);
	buf_append_str(&f.trace.text, "\n");
}

static struct session_base base(void)
{
	return (struct session_base){ .committed = f.committed, .startup = f.startup };
}

static void set(const char *name, const char *value)
{
	char text[128];
	bool is_ok = session_txn_set(&f.txn, base(), name, value);

	snprintf(text, sizeof text, "set %s %s%s", name, value ? value : "default",
		 is_ok ? "" : " refused");
	note(text);
}

static void savepoint(const char *name)
{
	cr_assert(session_txn_savepoint(&f.txn, name));
}

static void rollback_to(const char *name)
{
	char text[64];

	session_txn_rollback_to(&f.txn, name);
	snprintf(text, sizeof text, "rollback to %s", name);
	note(text);
}

static void expect(const char *text)
{
	trace_expect(&f.trace, text);
	trace_fini(&f.trace);
	session_txn_fini(&f.txn);
	session_put(&f.committed);
	session_put(&f.startup);
	session_table_destroy(f.table);
}

Test(session_txn, a_reset_leads_the_client_to_its_start_and_the_server_to_its_own)
{
	begin("a=1", "a=2 b=3");
	set("a", NULL);
	set("b", NULL);
	set("c", "4");
	expect("set a default: a=1 b=3 | b=3\n"
	       "set b default: a=1 | \n"
	       "set c 4: a=1 c=4 | c=4\n");
}

Test(session_txn, a_setting_of_nobodys_is_empty_behind_its_reset_not_unknown)
{
	begin("my.start=1", "my.a=2 my.start=3 pgweir.consistency=4");
	set("my.a", NULL);
	set("my.never", NULL);
	set("my.start", NULL);
	set("pgweir.consistency", NULL);
	expect("set my.a default: my.a=DEFAULT my.start=3 pgweir.consistency=4 | "
	       "my.a=DEFAULT my.start=3 pgweir.consistency=4\n"
	       "set my.never default: my.a=DEFAULT my.start=3 pgweir.consistency=4 | "
	       "my.a=DEFAULT my.start=3 pgweir.consistency=4\n"
	       "set my.start default: my.a=DEFAULT my.start=1 pgweir.consistency=4 | "
	       "my.a=DEFAULT pgweir.consistency=4\n"
	       "set pgweir.consistency default: my.a=DEFAULT my.start=1 | my.a=DEFAULT\n");
}

Test(session_txn, a_rollback_to_a_savepoint_takes_back_what_came_behind_it)
{
	begin("", "a=1");
	savepoint("before");
	set("a", "2");
	savepoint("s");
	set("a", "3");
	savepoint("t");
	set("b", "4");
	rollback_to("s");
	set("a", "5");
	rollback_to("s"); /* it stays */
	rollback_to("before");
	expect("set a 2: a=2 | a=2\n"
	       "set a 3: a=3 | a=3\n"
	       "set b 4: a=3 b=4 | a=3 b=4\n"
	       "rollback to s: a=2 | a=2\n"
	       "set a 5: a=5 | a=5\n"
	       "rollback to s: a=2 | a=2\n"
	       "rollback to before: - | -\n");
}

Test(session_txn, a_released_savepoint_gives_its_changes_to_the_one_around_it)
{
	begin("", "");
	set("a", "1");
	savepoint("s");
	set("a", "2");
	savepoint("s");
	set("a", "3");
	session_txn_release(&f.txn, "s");
	note("release s");
	rollback_to("s");
	expect("set a 1: a=1 | a=1\n"
	       "set a 2: a=2 | a=2\n"
	       "set a 3: a=3 | a=3\n"
	       "release s: a=3 | a=3\n"
	       "rollback to s: a=1 | a=1\n");
}

Test(session_txn, releasing_one_from_before_the_first_change_releases_all)
{
	begin("", "");
	savepoint("old");
	set("a", "1");
	savepoint("s");
	session_txn_release(&f.txn, "old");
	cr_assert_eq(f.txn.count, 0);
	note("release old");
	expect("set a 1: a=1 | a=1\nrelease old: a=1 | a=1\n");
}

Test(session_txn, the_authorization_takes_the_role_with_it)
{
	begin("role='r'", "role='x'");
	set("session_authorization", "'bob'");
	set("role", "'y'");
	set("session_authorization", NULL);
	expect("set session_authorization 'bob': session_authorization='bob' | "
	       "session_authorization='bob'\n"
	       "set role 'y': role='y' session_authorization='bob' | "
	       "role='y' session_authorization='bob'\n"
	       "set session_authorization default: role='r' | \n");
}

Test(session_txn, reset_all_keeps_the_role_and_discard_all_does_not)
{
	begin("a=1", "a=2 b=3 role='x'");
	session_txn_reset_all(&f.txn, base());
	note("reset all");
	session_txn_discard_all(&f.txn, base());
	note("discard all");
	expect("reset all: a=1 role='x' | role='x'\n"
	       "discard all: a=1 | \n");
}

Test(session_txn, a_superusers_setting_under_another_role_is_not_followed)
{
	begin("", "role='x'");
	set("log_statement", "'all'");
	set("auto_explain.log_min_duration", "1");
	set("work_mem", "'1MB'");
	set("role", NULL);
	set("log_statement", "'all'");
	expect("set log_statement 'all' refused: - | -\n"
	       "set auto_explain.log_min_duration 1 refused: - | -\n"
	       "set work_mem '1MB': role='x' work_mem='1MB' | role='x' work_mem='1MB'\n"
	       "set role default: work_mem='1MB' | work_mem='1MB'\n"
	       "set log_statement 'all': log_statement='all' work_mem='1MB' | "
	       "log_statement='all' work_mem='1MB'\n");
}

Test(session_txn, an_encoding_behind_text_in_another_is_not_followed)
{
	begin("", "my.name='caf\xe9'");
	set("client_encoding", "'UTF8'");
	set("client_encoding", NULL);
	set("my.name", "'cafe'");
	set("client_encoding", "'UTF8'");
	expect("set client_encoding 'UTF8' refused: - | -\n"
	       "set client_encoding default refused: - | -\n"
	       "set my.name 'cafe': my.name='cafe' | my.name='cafe'\n"
	       "set client_encoding 'UTF8': client_encoding='UTF8' my.name='cafe' | "
	       "client_encoding='UTF8' my.name='cafe'\n");
}

Test(session_txn, savepoints_are_bounded)
{
	begin("", "");
	set("a", "1");
	for (int i = 0; i < SESSION_SAVEPOINTS_MAX; i++)
		savepoint("s");
	cr_assert_not(session_txn_savepoint(&f.txn, "s"));
	session_txn_end(&f.txn);
	savepoint("s"); /* nothing has changed: it needn't be kept */
	cr_assert_eq(f.txn.count, 0);
	expect("set a 1: a=1 | a=1\n");
}

Test(session_txn, a_sync_inside_the_transaction_is_undone_with_its_savepoint)
{
	struct session_state *want;

	begin("a=1", "a=2");
	set("a", NULL);
	savepoint("s");
	want = session_get(f.txn.client);
	session_txn_synced(&f.txn, want);
	note("synced");
	session_put(&want);
	rollback_to("s");
	expect("set a default: a=1 | \n"
	       "synced: a=1 | a=1\n"
	       "rollback to s: a=1 | \n");
}
