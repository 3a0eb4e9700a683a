/* SPDX-License-Identifier: PostgreSQL */
/* Statements: the right hint before each, and one name per text. */
#include "backend/statement.h"

#include <criterion/criterion.h>

#include <string.h>

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

Test(statement, hints)
{
	cr_assert(
		begins(statement_text(STATEMENT_QUOTES, READ_ANYWHERE), "/* pgweir: cache=60 */ SELECT"));
	cr_assert(
		begins(statement_text(STATEMENT_ACCOUNT, READ_ANYWHERE), "/* pgweir: cache=off */ SELECT"));
	cr_assert(begins(statement_text(STATEMENT_MOVE, READ_PRIMARY), "UPDATE"));
	for (unsigned s = 0; s < STATEMENT_COUNT; s++) {
		if (statement_kind(s) != STATEMENT_KIND_PLAIN)
			cr_assert(
				begins(statement_text(s, READ_PRIMARY), "/* pgweir: route=primary, cache=off */ "),
				"%s", statement_name(s));
	}
}

Test(statement, a_name_has_one_text)
{
	for (unsigned a = 0; a < STATEMENT_COUNT * READ_FROM_COUNT; a++) {
		for (unsigned b = 0; b < a; b++) {
			const char *name_a = statement_prepared_name(a / READ_FROM_COUNT, a % READ_FROM_COUNT);
			const char *name_b = statement_prepared_name(b / READ_FROM_COUNT, b % READ_FROM_COUNT);
			const char *text_a = statement_text(a / READ_FROM_COUNT, a % READ_FROM_COUNT);
			const char *text_b = statement_text(b / READ_FROM_COUNT, b % READ_FROM_COUNT);

			cr_assert_eq(strcmp(name_a, name_b) == 0, strcmp(text_a, text_b) == 0, "%s, %s", name_a,
			             name_b);
		}
	}
}

/* Money must not pass through a float, and a cached read may use immutable functions only. */
Test(statement, no_floats_and_nothing_that_a_cache_forbids)
{
	static const char *const never[] = { "float", "double", "random", "::real" };
	static const char *const never_cached[] = { "now()", "to_char", "::text", "current_" };

	for (unsigned s = 0; s < STATEMENT_COUNT; s++) {
		const char *text = statement_text(s, READ_ANYWHERE);

		for (size_t i = 0; i < sizeof never / sizeof *never; i++)
			cr_assert_null(strstr(text, never[i]), "%s has %s", statement_name(s), never[i]);
		for (size_t i = 0; i < sizeof never_cached / sizeof *never_cached; i++) {
			if (statement_kind(s) == STATEMENT_KIND_CACHED)
				cr_assert_null(strstr(text, never_cached[i]), "%s has %s", statement_name(s),
				               never_cached[i]);
		}
	}
}
