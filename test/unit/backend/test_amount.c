/* SPDX-License-Identifier: PostgreSQL */
/* Amounts: what a client may send, what PostgreSQL prints, and back. */
#include "backend/amount.h"

#include <criterion/criterion.h>

#include <string.h>

Test(amount, what_a_client_may_send)
{
	static const struct {
		const char *text;
		int64_t hundredths;
	} good[] = {
		{ "1", 100 },
		{ "0.01", 1 },
		{ "0.1", 10 },
		{ "12.5", 1250 },
		{ "12.05", 1205 },
		{ "999999999.99", 99999999999 },
		{ "1000000000.00", AMOUNT_MAX },
	};

	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		int64_t got = -1;

		cr_assert(amount_parse(good[i].text, &got), "%s", good[i].text);
		cr_assert_eq(got, good[i].hundredths, "%s", good[i].text);
	}
}

Test(amount, what_is_none)
{
	static const char *const bad[] = { "",
		                               "0",
		                               "0.00",
		                               "-1",
		                               "+1",
		                               " 1",
		                               "1 ",
		                               "1.",
		                               ".5",
		                               "1.234",
		                               "01",
		                               "00.1",
		                               "1e3",
		                               "1,5",
		                               "0x10",
		                               "NaN",
		                               "1.2.3",
		                               "1.-1",
		                               "1000000000.01",
		                               "99999999999999999999999999999999" };

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		int64_t got;

		cr_assert_not(amount_parse(bad[i], &got), "\"%s\" was taken", bad[i]);
	}
}

Test(amount, balances_as_postgresql_prints_them)
{
	static const struct {
		const char *text;
		int64_t hundredths;
	} good[] = {
		{ "0.00", 0 },
		{ "-0.01", -1 },
		{ "-500.00", -50000 },
		{ "9999999999999999.99", INT64_C(999999999999999999) },
		{ "-9999999999999999.99", INT64_C(-999999999999999999) },
	};
	int64_t got;

	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		char back[AMOUNT_TEXT_MAX];

		cr_assert(amount_parse_balance(good[i].text, &got), "%s", good[i].text);
		cr_assert_eq(got, good[i].hundredths, "%s", good[i].text);
		amount_format(got, back);
		cr_assert_str_eq(back, good[i].text);
	}
	cr_assert_not(amount_parse_balance("NaN", &got));
	cr_assert_not(amount_parse_balance("--1.00", &got));
	cr_assert_not(amount_parse_balance("10000000000000000.00", &got));
}

Test(amount, the_extremes_fit_the_text)
{
	char text[AMOUNT_TEXT_MAX];

	amount_format(INT64_MIN, text);
	cr_assert_str_eq(text, "-92233720368547758.08");
	amount_format(INT64_MAX, text);
	cr_assert_str_eq(text, "92233720368547758.07");
}
