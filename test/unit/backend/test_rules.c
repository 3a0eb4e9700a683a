/* SPDX-License-Identifier: PostgreSQL */
/* A transfer's rules: keys, bodies, balances, errors of the database, pauses. */
#include "backend/rules.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

Test(rules, keys)
{
	static const char *const bad[] = { NULL,        "",           "1234567",   "with blank",
		                               "\"short\"", "umläut-key", "a/b/c/d/e", "\"12345678" };
	char key[KEY_MAX + 1], longest[KEY_MAX + 2];

	cr_assert(rules_key("abc-DEF_09", key));
	cr_assert_str_eq(key, "abc-DEF_09");
	cr_assert(rules_key("\"12345678\"", key));
	cr_assert_str_eq(key, "12345678");
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		cr_assert_not(rules_key(bad[i], key), "%s was taken", bad[i] ? bad[i] : "NULL");
	memset(longest, 'k', sizeof longest);
	longest[KEY_MAX + 1] = '\0';
	cr_assert_not(rules_key(longest, key));
	longest[KEY_MAX] = '\0';
	cr_assert(rules_key(longest, key));
}

static int status_of(const char *body, const char **field)
{
	struct transfer_request r;
	struct refusal no = { 0 };

	*field = NULL;
	if (rules_body(body, strlen(body), &r, &no))
		return 0;
	*field = no.field;
	return no.status;
}

Test(rules, a_good_body)
{
	static const char body[] = "{\"to_account\":2,\"from_account\":1,\"amount\":\"1.5\","
							   "\"note\":\"f\\u00fcr\"}";
	static const char without_note[] = "{\"to_account\":2,\"from_account\":1,\"amount\":\"1\"}";
	struct transfer_request r = { .key = "stays" };
	struct refusal no;

	cr_assert(rules_body(body, sizeof body - 1, &r, &no));
	cr_assert(r.from == 1 && r.to == 2 && r.amount == 150);
	cr_assert_str_eq(r.note, "f\xc3\xbcr");
	cr_assert_str_eq(r.key, "stays");
	cr_assert(rules_body(without_note, strlen(without_note), &r, &no));
	cr_assert_str_eq(r.note, "");
}

Test(rules, bodies_that_are_refused)
{
	static const struct {
		const char *body;
		int status;
		const char *field;
	} table[] = {
		{ "", 400, NULL },
		{ "[]", 400, NULL },
		{ "{\"amount\":\"1\",\"amount\":\"2\"}", 400, NULL },
		{ "{} x", 400, NULL },
		{ "{}", 422, "from_account" },
		{ "{\"from_account\":1.0,\"to_account\":2,\"amount\":\"1\"}", 422, "from_account" },
		{ "{\"from_account\":-1,\"to_account\":2,\"amount\":\"1\"}", 422, "from_account" },
		{ "{\"from_account\":1,\"to_account\":\"2\",\"amount\":\"1\"}", 422, "to_account" },
		{ "{\"from_account\":1,\"to_account\":1,\"amount\":\"1\"}", 422, "to_account" },
		{ "{\"from_account\":1,\"to_account\":2,\"amount\":1}", 422, "amount" },
		{ "{\"from_account\":1,\"to_account\":2,\"amount\":\"-1\"}", 422, "amount" },
		{ "{\"from_account\":1,\"to_account\":2,\"amount\":\"1\",\"note\":3}", 422, "note" },
		{ "{\"from_account\":1,\"to_account\":2,\"amount\":\"1\",\"note\":\"\\t\"}", 422, "note" },
		{ "{\"from_account\":1,\"to_account\":2,\"amount\":\"1\",\"more\":0}", 422, NULL },
	};

	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		const char *field;

		cr_assert_eq(status_of(table[i].body, &field), table[i].status, "%s", table[i].body);
		cr_assert(table[i].field ? field && strcmp(field, table[i].field) == 0 : !field, "%s",
		          table[i].body);
	}
}

/* 140 characters of four bytes each fit, the 141st doesn't. */
Test(rules, a_note_is_counted_in_characters)
{
	char body[2048], note[NOTE_MAX * 4 + 8] = "";
	const char *field;

	for (int i = 0; i < NOTE_MAX; i++)
		memcpy(note + i * 4, "\xf0\x9f\x92\xb6", 5);
	snprintf(body, sizeof body,
	         "{\"from_account\":1,\"to_account\":2,\"amount\":\"1\",\"note\":\"%s\"}", note);
	cr_assert_eq(status_of(body, &field), 0);
	snprintf(body, sizeof body,
	         "{\"from_account\":1,\"to_account\":2,\"amount\":\"1\",\"note\":\"%sx\"}", note);
	cr_assert_eq(status_of(body, &field), 422);
}

Test(rules, what_the_locked_accounts_allow)
{
	struct transfer_request r = { .from = 1, .to = 2, .amount = 100 };
	struct account_row rows[] = { { 1, 100, 0, "EUR" }, { 2, 0, 0, "EUR" } };

	cr_assert_null(rules_decide(&r, rows, 2));
	rows[0].balance = 99;
	cr_assert_eq(rules_decide(&r, rows, 2), &rules_insufficient);
	rows[0].overdraft = 1;
	cr_assert_null(rules_decide(&r, rows, 2));
	rows[1].currency[0] = 'U';
	cr_assert_str_eq(rules_decide(&r, rows, 2)->field, "to_account");
	cr_assert_str_eq(rules_decide(&r, rows, 1)->field, "to_account");
	cr_assert_str_eq(rules_decide(&r, rows + 1, 1)->field, "from_account");
	cr_assert_str_eq(rules_decide(&r, rows, 0)->field, "from_account");
}

Test(rules, what_an_error_means)
{
	static const struct {
		const char *sqlstate;
		enum next_step step;
	} table[] = {
		{ "40001", NEXT_RETRY }, { "40P01", NEXT_RETRY }, { "08006", NEXT_RETRY },
		{ "08007", NEXT_RETRY }, { "57P01", NEXT_RETRY }, { "25006", NEXT_RETRY },
		{ "55P03", NEXT_RETRY }, { "23505", NEXT_RETRY }, { "57P03", NEXT_BUSY },
		{ "57014", NEXT_BUSY },  { "53300", NEXT_BUSY },  { "23514", NEXT_REFUSED },
		{ "42P01", NEXT_BUG },   { "23503", NEXT_BUG },   { "XX000", NEXT_BUG },
	};

	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		cr_assert_eq(rules_after_error(table[i].sqlstate), table[i].step, "%s", table[i].sqlstate);
}

Test(rules, after_which_errors_a_commit_may_have_been)
{
	cr_assert_not(rules_is_rolled_back("08006"));
	cr_assert_not(rules_is_rolled_back("08007"));
	cr_assert_not(rules_is_rolled_back("57P01"));
	cr_assert(rules_is_rolled_back("40P01"));
	cr_assert(rules_is_rolled_back("23514"));
	cr_assert(rules_is_rolled_back("57014"));
}

Test(rules, pauses_grow_and_have_a_top)
{
	for (unsigned attempt = 1; attempt < 40; attempt++) {
		uint32_t shortest = rules_pause_ms(attempt, 0), longest = 0;

		for (uint32_t random = 0; random < 2000; random++) {
			uint32_t ms = rules_pause_ms(attempt, random);

			cr_assert_geq(ms, shortest);
			longest = ms > longest ? ms : longest;
		}
		cr_assert_leq(longest, 1280);
		cr_assert_eq(longest, 2 * shortest);
	}
	cr_assert_gt(rules_pause_ms(3, 0), rules_pause_ms(1, 0));
}
