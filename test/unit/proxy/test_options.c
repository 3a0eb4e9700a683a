/* SPDX-License-Identifier: PostgreSQL */
/* Start-up parameters and the switches in `options` as session settings. */
#include "proxy/options.h"

#include "pool/session.h"
#include "support/script.h"
#include "support/trace.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

static struct proxy_shared shared;
static struct proxy proxy;
static struct session_state *state;
static struct pg_error error;

static void set_up(void)
{
	shared.sessions = session_table_create(0);
	proxy.shared = &shared;
}

static void tear_down(void)
{
	session_put(&state);
	session_table_destroy(shared.sessions);
}

TestSuite(options, .init = set_up, .fini = tear_down);

static enum weir_err take(const char *params, const char *ignored)
{
	struct startup s;
	enum weir_err err;
	struct buf b;
	size_t used;

	buf_init(&b, 100000);
	script_bytes(&b, params);
	cr_assert_eq(startup_next(buf_slice(&b), &s, &used), WEIR_OK);
	session_put(&state);
	err = options_take(&proxy, &s, ignored, &state, &error);
	buf_fini(&b);
	return err;
}

static void expect(const char *params, const char *settings)
{
	struct trace t;

	trace_init(&t);
	cr_assert_eq(take(params, "extra_float_digits, search_path"), WEIR_OK);
	for (size_t i = 0; i < session_count(state); i++)
		trace_add(&t, "%s %s", session_name(state, i), session_value(state, i));
	trace_expect(&t, settings);
	trace_fini(&t);
}

static void refuse(const char *params, const char *sqlstate, const char *message)
{
	cr_assert_neq(take(params, ""), WEIR_OK);
	cr_assert_str_eq(error.message, message);
	cr_assert_str_eq(error.sqlstate, sqlstate);
}

#define START "*{#196608user\\0ann\\0"

Test(options, who_and_where_are_no_settings)
{
	expect(START "database\\0shop\\0replication\\0false\\0_pq_.x\\0y\\0\\0}", "");
}

Test(options, settings_are_raw_text_under_lower_case_names)
{
	expect(START "DateStyle\\0ISO, DMY\\0application_name\\0it's\\0\\0}", "application_name =it's\n"
	                                                                      "datestyle 'iso, dmy'\n");
}

Test(options, ignored_ones_are_dropped)
{
	expect(START "extra_float_digits\\03\\0search_path\\0x\\0timezone\\0UTC\\0\\0}",
	       "timezone =UTC\n");
}

Test(options, switches)
{
	expect(START "options\\0-c work_mem=1MB  --Statement-Timeout=5s -cgeqo=off\\0\\0}",
	       "geqo =off\n"
	       "statement_timeout =5s\n"
	       "work_mem =1MB\n");
	expect(START "options\\0-c search_path=a\\\\ b\\\\\\\\c\\0\\0}", "search_path =a b\\c\n");
	expect(START "options\\0   \\0\\0}", "");
	expect(START "options\\0-c x.y=a=b -c x.z=\\0\\0}", "x.y =a=b\n"
	                                                    "x.z =\n");
}

Test(options, a_later_one_wins)
{
	expect(START "options\\0-c geqo=off -c geqo=on\\0\\0}", "geqo =on\n");
}

Test(options, a_parameter_wins_over_a_switch)
{
	expect(START "geqo\\0on\\0options\\0-c geqo=off\\0\\0}", "geqo =on\n");
	expect(START "options\\0-c geqo=off\\0geqo\\0on\\0\\0}", "geqo =on\n");
}

Test(options, what_is_wrong_with_switches)
{
	refuse(START "options\\0-c geqo\\0\\0}", "42601", "-c geqo requires a value");
	refuse(START "options\\0-x\\0\\0}", "42601",
	       "invalid command-line argument for server process: -x");
	refuse(START "options\\0-c =1\\0\\0}", "42704",
	       "unrecognized configuration parameter \"\"");
}

Test(options, too_long_a_name_is_refused)
{
	char name[201], params[300];

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	snprintf(params, sizeof(params), START "%s\\0x\\0\\0}", name);
	cr_assert_neq(take(params, ""), WEIR_OK);
	cr_assert_str_eq(error.sqlstate, "42704");
	cr_assert_not_null(strstr(error.message, "nnnn"));
	cr_assert_null(strstr(error.message, name), "the name in the message is cut");
}
