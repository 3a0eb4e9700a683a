/* SPDX-License-Identifier: PostgreSQL */
/*
 * Values as SQL text.
 */
#include <criterion/criterion.h>

#include "sql/quote.h"

static void expect(const char *name, const char *value, const char *want)
{
	struct buf b;

	buf_init(&b, 4096);
	quote_config_value(&b, name, slice_str(value));
	cr_expect(slice_is(buf_slice(&b), want), "%s: %.*s, want %s", value, (int)b.len, b.data, want);
	buf_fini(&b);
}

Test(quote, plain_settings_are_one_literal)
{
	expect("a.b", "", "''");
	expect("a.b", "x, Y", "'x, Y'");
	expect("a.b", "it's", "'it''s'");
	expect("a.b", "a\\b'c", "E'a\\\\b''c'");
}

Test(quote, names_keep_their_letters)
{
	struct buf b;

	buf_init(&b, 64);
	quote_identifier(&b, slice_str("It \"B\""));
	cr_expect(slice_is(buf_slice(&b), "\"It \"\"B\"\"\""));
	buf_fini(&b);
}

Test(quote, list_settings_are_several)
{
	expect("search_path", "", "''");
	expect("search_path", "public", "'public'");
	expect("search_path", " A , b,\"C, d\"", "'a', 'b', 'C, d'");
	expect("search_path", "\"x\"\"y\" ,\" z \"", "'x\"y', ' z '");
	expect("search_path", "a b ,c", "'a b', 'c'");
	expect("search_path", "a,", "'a', ''");
	expect("temp_tablespaces", "Fast", "'fast'");
}
