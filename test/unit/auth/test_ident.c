/* SPDX-License-Identifier: PostgreSQL */
/*
 * User name maps: who may be whom, expressions with their group, and every
 * malformed line is an error that names its place.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "auth/ident.h"

static char error[IDENT_ERROR_MAX];

static struct ident *parse(const char *text)
{
	struct ident *ident = NULL;

	error[0] = '\0';
	return ident_parse(slice_str(text), "ident.conf", &ident, error) == WEIR_OK ? ident : NULL;
}

static const char *const maps =
	"# map  system        database\n"
	"ops    alice         postgres\n"
	"ops    \"bob smith\"   app\n"
	"ops    bob           app\n"
	"mail   /^(.*)@example\\.com$  \\1\n"
	"mail   /^(.*)@example\\.com$  x_\\1_y\n"
	"any    root          all\n"
	"quoted root          \"all\"\n";

Test(ident, who_may_be_whom)
{
	static const struct {
		const char *map, *system_user, *user;
		bool is_allowed;
	} rows[] = {
		{ "", "app", "app", true },
		{ "", "app", "App", false },
		{ "ops", "alice", "postgres", true },
		{ "ops", "alice", "alice", false },
		{ "ops", "bob smith", "app", true },
		{ "ops", "carol", "app", false },
		{ "Ops", "alice", "postgres", false },
		{ "mail", "joe@example.com", "joe", true },
		{ "mail", "joe@example.com", "x_joe_y", true },
		{ "mail", "joe@example.com", "joe@example.com", false },
		{ "mail", "joe@exampleXcom", "joe", false },
		{ "mail", "@example.com", "", true },
		{ "any", "root", "whoever", true },
		{ "any", "toor", "whoever", false },
		{ "quoted", "root", "whoever", false },
		{ "quoted", "root", "all", true },
		{ "missing", "app", "app", false },
	};
	struct ident *ident = parse(maps);

	cr_assert(ident, "%s", error);
	for (size_t i = 0; i < WEIR_COUNTOF(rows); i++)
		cr_expect_eq(ident_allows(ident, rows[i].map, rows[i].system_user,
		                          slice_str(rows[i].user)),
		             rows[i].is_allowed, "row %zu", i);
	ident_destroy(ident);
	cr_assert(!ident_allows(NULL, "ops", "alice", slice_str("postgres")));
	cr_assert(ident_allows(NULL, "", "alice", slice_str("alice")));
}

Test(ident, a_name_that_grows_too_long_is_no_match)
{
	struct ident *ident = parse("m /^(.*)$ a\\1\n");
	char name[IDENT_NAME_MAX + 1];

	memset(name, 'x', IDENT_NAME_MAX);
	name[IDENT_NAME_MAX] = '\0';
	cr_assert(!ident_allows(ident, "m", name, slice_str("a")));
	ident_destroy(ident);
}

/* Each doubles what the C library makes of it, or worse: five more of them, and it doesn't end. */
Test(ident, a_repeat_behind_a_repeat_is_refused)
{
	static const struct {
		const char *expression;
		bool is_taken;
	} rows[] = {
		{ "a*", true },          { "a*?b", true },     { "(a*)*", true },
		{ "a\\**", true },       { "[*+]*", true },    { "[]*+]+b*", true },
		{ "[^]**]", true },      { "[[:alpha:]*+]{2}", true }, { "a{12}b{3}", true },
		{ "a*b*c+d?", true },    { "(.*)++++++b", false },
		{ "a**", false },        { "a+?*", false },    { "a{2}{3}", false },
		{ "a?{2}", false },      { "[a]+*", false },   { "a\\***", false },
		{ "[[:alpha:]]+*", false }, { "a*??", false },
	};

	for (size_t i = 0; i < WEIR_COUNTOF(rows); i++) {
		char text[64];
		struct ident *ident;

		snprintf(text, sizeof text, "m /%s b\n", rows[i].expression);
		ident = parse(text);
		cr_expect_eq(ident != NULL, rows[i].is_taken, "%s: %s", text, error);
		ident_destroy(ident);
	}
}

Test(ident, malformed_lines)
{
	static const char *const texts[] = {
		"m\n",     "m a\n",       "m a b c\n",     "m a,b c\n", "m /( b\n",
		"m a \\1\n", "m /a \\1\n", "m \"a b\n",
	};

	for (size_t i = 0; i < WEIR_COUNTOF(texts); i++) {
		cr_expect_null(parse(texts[i]), "text %zu", i);
		cr_expect_eq(strncmp(error, "ident.conf:1: ", 14), 0, "text %zu: %s", i, error);
	}
}
