/* SPDX-License-Identifier: PostgreSQL */
/* The switches in `options`, as PostgreSQL 15 was seen to take each of these texts. */
#include "proxy/switches.h"

#include "support/trace.h"

#include <criterion/criterion.h>

#include <stdio.h>

static enum weir_err on_setting(void *ctx, struct slice name, struct slice value,
				struct pg_error *e)
{
	if (slice_is(name, "nosuch")) {
		pg_error_set(e, "42704", "unrecognized");
		return WEIR_ERR_PROTOCOL;
	}
	trace_add(ctx, "%.*s=%.*s", (int)name.len, name.ptr, (int)value.len, value.ptr);
	return WEIR_OK;
}

static enum weir_err take(const char *options, struct trace *t, struct pg_error *e)
{
	trace_init(t);
	return switches_take(slice_str(options), on_setting, t, e);
}

static void expect(const char *options, const char *settings)
{
	struct pg_error e;
	struct trace t;

	cr_assert_eq(take(options, &t, &e), WEIR_OK, "%s", options);
	trace_expect(&t, settings);
	trace_fini(&t);
}

/* `named`: the word that the message names. */
static void refuse(const char *options, const char *named)
{
	struct pg_error e;
	struct trace t;
	char text[200];

	cr_assert_eq(take(options, &t, &e), WEIR_ERR_PROTOCOL, "%s", options);
	snprintf(text, sizeof text, "invalid command-line argument for server process: %s", named);
	cr_assert_str_eq(e.message, text);
	cr_assert_str_eq(e.sqlstate, "42601");
	cr_assert_str_eq(e.hint, "Try \"postgres --help\" for more information.");
	trace_fini(&t);
}

static void refuse_value(const char *options, const char *message)
{
	struct pg_error e;
	struct trace t;

	cr_assert_eq(take(options, &t, &e), WEIR_ERR_PROTOCOL, "%s", options);
	cr_assert_str_eq(e.message, message);
	cr_assert_str_eq(e.sqlstate, "42601");
	cr_assert_str_empty(e.hint);
	trace_fini(&t);
}

Test(switches, assignments)
{
	expect("", "");
	expect(" \t\n", "");
	expect("-c geqo=off", "geqo=off\n");
	expect("-cgeqo=off --Search-Path=x", "geqo=off\nSearch-Path=x\n");
	expect("-c\tgeqo=off\n-c x.y=a=b -c x.z=", "geqo=off\nx.y=a=b\nx.z=\n");
	expect("-c =1", "=1\n");
	expect("-c -geqo=off", "-geqo=off\n");
}

Test(switches, a_backslash_keeps_what_follows)
{
	expect("-c search_path=a\\ b\\\\c", "search_path=a b\\c\n");
	expect("-\\c geqo\\=off", "geqo=off\n");
	expect("-c\\ geqo=off", " geqo=off\n");
	expect("-c search_path=a\\", "search_path=a\n");
}

Test(switches, other_letters)
{
	expect("-e -F", "datestyle=euro\nfsync=false\n");
	expect("-S 100 -S64", "work_mem=100\nwork_mem=64\n");
	expect("-fs -f n -t pl", "enable_seqscan=false\nenable_nestloop=false\n"
	                         "log_planner_stats=true\n");
	expect("-d 0 -d x", "log_min_messages=notice\nlog_min_messages=notice\n");
	expect("-d 9", "log_min_messages=debug9\nlog_statement=all\ndebug_print_parse=true\n"
	               "debug_print_plan=true\ndebug_print_rewritten=true\n");
	expect("-d 1", "log_min_messages=debug1\n");
	expect("-B 100 -i -h x", "shared_buffers=100\nlisten_addresses=*\nlisten_addresses=x\n");
	expect("-b -j -E -n -T -C x -D /tmp -r x -v 1", "");
}

Test(switches, several_in_a_word)
{
	expect("-nTc geqo=off", "geqo=off\n");
	expect("-es", "datestyle=euro\nlog_statement_stats=true\n");
	expect("-n-geqo=off -n- geqo=on", "geqo=off\ngeqo=on\n");
}

Test(switches, the_end_of_switches)
{
	expect("--", "");
	expect("-e --", "datestyle=euro\n");
	refuse("-- -c geqo=off", "-c");
	refuse("-- -", "-");
	refuse("-- --", "--");
}

Test(switches, a_value_is_required)
{
	refuse_value("-c search_path", "-c search_path requires a value");
	refuse_value("-cgeqo", "-c geqo requires a value");
	refuse_value("--search-path", "--search-path requires a value");
	refuse_value("-c geqo =off", "-c geqo requires a value");
	refuse_value("--geqo off", "--geqo requires a value");
	refuse_value("-c --", "-c -- requires a value");
	refuse_value("-c ge\\ qo", "-c ge qo requires a value");
}

Test(switches, unknown_ones_and_missing_arguments)
{
	refuse("-c", "-c");
	refuse("-e -nc", "-nc");
	refuse("-n-", "-n-");
	refuse("-d", "-d");
	refuse("-x", "-x");
	refuse("-:", "-:");
	refuse("-nx", "-nx");
	refuse("-f x", "x");
	refuse("-fx", "-fx");
	refuse("-f \\", "");
	refuse("-t p", "p");
}

Test(switches, a_word_that_is_none_is_told_of_last)
{
	refuse("x", "x");
	refuse("-", "-");
	refuse("\\", "");
	refuse("x -c geqo=off y", "x");
	refuse("x -q", "-q");
	refuse_value("x -c geqo", "-c geqo requires a value");
}

Test(switches, the_first_error_ends_it)
{
	struct pg_error e;
	struct trace t;

	cr_assert_eq(take("x -c a.b=1 -c nosuch=1 -c geqo", &t, &e), WEIR_ERR_PROTOCOL);
	cr_assert_str_eq(e.sqlstate, "42704");
	trace_expect(&t, "a.b=1\n");
	trace_fini(&t);
}
