/* SPDX-License-Identifier: PostgreSQL */
/*
 * Finding commands in texts.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "admin/command.h"

static const char *found(const char *sql)
{
	static char result[256];
	struct slice argument = slice_str("");
	const struct admin_command *c = command_find(slice_str(sql), &argument);

	snprintf(result, sizeof(result), "%s|%.*s", c ? c->words : "none", (int)argument.len,
	         argument.ptr);
	return result;
}

Test(command, finds_the_longest)
{
	cr_expect_str_eq(found("SHOW POOLS"), "SHOW POOLS|");
	cr_expect_str_eq(found("  show\n\tpools ; "), "SHOW POOLS|");
	cr_expect_str_eq(found("-- hi\nshow /* x */ stats;"), "SHOW STATS|");
	cr_expect_str_eq(found("show stats_totals"), "SHOW STATS_TOTALS|");
	cr_expect_str_eq(found("show client_encoding"), "SHOW|client_encoding");
	cr_expect_str_eq(found("reconnect \"my db\";"), "RECONNECT|\"my db\"");
	cr_expect_str_eq(found("shutdown wait_for_clients"), "SHUTDOWN WAIT_FOR_CLIENTS|");
	cr_expect_str_eq(found("shutdown now"), "SHUTDOWN|now");
	cr_expect_str_eq(found("set x=1"), "SET|x=1");
	cr_expect_str_eq(found("kill_client 7"), "KILL_CLIENT|7");
	cr_expect_str_eq(found("kill"), "KILL|");
	cr_expect_str_eq(found("explain route select 1;"), "EXPLAIN ROUTE|select 1");
	cr_expect_str_eq(found("explain route /* pgweir: cache=on */ select 1;"),
	                 "EXPLAIN ROUTE|/* pgweir: cache=on */ select 1");
	cr_expect_str_eq(found("select 1"), "SELECT 1|");
	cr_expect_str_eq(found("select 2"), "none|");
	cr_expect_str_eq(found("showpools"), "none|");
	cr_expect_str_eq(found(""), "none|");
	cr_expect_str_eq(found("/* open"), "none|");
	cr_expect_str_eq(found("-- only"), "none|");
	cr_expect_str_eq(found("/*"), "none|");
}

static const char *word(const char *text)
{
	static char result[16];

	return command_word(slice_str(text), result, sizeof(result)) ? result : "!";
}

Test(command, words)
{
	cr_expect_str_eq(word("abc"), "abc");
	cr_expect_str_eq(word(""), "");
	cr_expect_str_eq(word("\"a b\""), "a b");
	cr_expect_str_eq(word("'a''b'"), "a'b");
	cr_expect_str_eq(word("\"\""), "");
	cr_expect_str_eq(word("\"a\"b\""), "!");
	cr_expect_str_eq(word("\"a"), "!");
	cr_expect_str_eq(word("'a'''"), "a'");
	cr_expect_str_eq(word("a b"), "!");
	cr_expect_str_eq(word("0123456789abcdef"), "!");
	cr_expect_str_eq(word("\"0123456789abcdef\""), "!");
}

/* A command without a role or with the wrong one would open the console: all of them, by name. */
Test(command, roles_of_all)
{
	static const char *const for_admins[] = {
		"RELOAD",
		"PAUSE",
		"RESUME",
		"DISABLE",
		"ENABLE",
		"RECONNECT",
		"KILL",
		"KILL_CLIENT",
		"WAIT_CLOSE",
		"SHUTDOWN",
		"SHUTDOWN WAIT_FOR_CLIENTS",
		"SHUTDOWN WAIT_FOR_SERVERS",
		"CACHE CLEAR",
	};
	const struct admin_command *c;

	for (size_t i = 0; (c = command_at(i)); i++) {
		enum admin_role wanted = ADMIN_ROLE_STATS;

		for (size_t k = 0; k < WEIR_COUNTOF(for_admins); k++)
			if (strcmp(c->words, for_admins[k]) == 0)
				wanted = ADMIN_ROLE_ADMIN;
		cr_expect_eq(c->role, wanted, "%s", c->words);
		cr_expect(c->help[0] != '\0');
		if (wanted == ADMIN_ROLE_STATS)
			cr_expect(strncmp(c->words, "SHOW", 4) == 0 || c->want == 0, "%s", c->words);
	}
}
