/* SPDX-License-Identifier: PostgreSQL */
/* DateStyle's two halves: what one SET leaves of the other, as PostgreSQL 15 has it. */
#include "pool/datestyle.h"

#include <criterion/criterion.h>

static const struct {
	const char *old, *value, *want;
	bool is_partial; /* the result */
} cases[] = {
	{ "'ISO, MDY'", "ymd", "'iso, ymd'", false },
	{ "'ISO, MDY'", "'SQL'", "'sql, mdy'", false },
	{ "'sql, dmy'", "=Postgres", "'postgres, dmy'", false },
	{ "'iso, mdy'", "'sql', 'dmy'", "'sql, dmy'", false },
	{ "'iso, ymd'", "'German'", "'german, dmy'", false },
	{ "'iso, ymd'", "'German, MDY'", "'german, mdy'", false },
	{ "'iso, ymd'", "european", "'iso, dmy'", false },
	{ "'iso, ymd'", "US", "'iso, mdy'", false },
	{ "'iso, ymd'", "noneuropean", "'iso, mdy'", false },
	{ "'iso, ymd'", "postgresql", "'postgres, ymd'", false },
	{ "=YMD", "'ISO'", "'iso, ymd'", false },
	{ NULL, "'ISO, DMY'", "'iso, dmy'", false },
	{ NULL, "ymd", "ymd", true },
	{ NULL, "'ISO'", "'ISO'", true },
	{ "'ISO'", "SQL", "SQL", true },
	{ "'iso, ymd'", "'nonsense, dmy'", "'nonsense, dmy'", false },
	{ "'iso, ymd'", "'default'", "'default'", false },
	{ "'default'", "'dmy'", "'dmy'", true },
	{ "'iso, ymd'", "''", "''", true },
	{ "'iso, ymd'", "averyveryverylongwordindeed", "averyveryverylongwordindeed", false },
};

Test(datestyle, a_half_keeps_the_other_half)
{
	char text[DATESTYLE_MAX];

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		const char *got = datestyle_merge(text, cases[i].old, cases[i].value);

		cr_expect_str_eq(got, cases[i].want, "case %zu: got %s", i, got);
		cr_expect_eq(datestyle_is_partial(got), cases[i].is_partial, "case %zu", i);
	}
}
