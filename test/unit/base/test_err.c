/* SPDX-License-Identifier: PostgreSQL */
/* Errors: every code has a text of its own; a pg_error is filled and cut. */
#include "base/err.h"

#include <criterion/criterion.h>

#include <signal.h>

#include <string.h>

Test(err, every_code_has_its_text)
{
	for (int a = WEIR_ERR_RESOLVE; a <= WEIR_OK; a++) {
		cr_assert_str_neq(weir_err_text((enum weir_err)a), "unknown error");
		for (int b = WEIR_ERR_RESOLVE; b < a; b++)
			cr_assert_str_neq(weir_err_text((enum weir_err)a), weir_err_text((enum weir_err)b));
	}
	cr_assert_str_eq(weir_err_text((enum weir_err) - 1000), "unknown error");
}

Test(err, set_fills_and_clears)
{
	struct pg_error e = { .detail = "old", .hint = "old" };

	pg_error_set(&e, "28P01", "password authentication failed for user \"%s\"", "ann");
	cr_assert_str_eq(e.sqlstate, "28P01");
	cr_assert_str_eq(e.message, "password authentication failed for user \"ann\"");
	cr_assert_str_eq(e.detail, "");
	cr_assert_str_eq(e.hint, "");
}

Test(err, a_long_message_is_cut)
{
	struct pg_error e;
	char name[2000];

	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	pg_error_set(&e, "42704", "%s", name);
	cr_assert_eq(strlen(e.message), PG_ERROR_MESSAGE_MAX - 1);
}

Test(err, a_sqlstate_has_five_characters, .signal = SIGABRT)
{
	struct pg_error e;

	pg_error_set(&e, "4270", "x");
}
