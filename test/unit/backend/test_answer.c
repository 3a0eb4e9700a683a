/* SPDX-License-Identifier: PostgreSQL */
/* Answers: rows as JSON by their types, pages and what comes behind them, problems, tags. */
#include "backend/answer.h"

#include <criterion/criterion.h>

#include <stdlib.h>
#include <stdio.h>
#include <string.h>

enum { OID_INT8 = 20, OID_TEXT = 25, OID_TIMESTAMPTZ = 1184, OID_NUMERIC = 1700 };

/* text NULL: null. libpq copies it. */
static void set(PGresult *rows, int row, int column, const char *text)
{
	cr_assert(PQsetvalue(rows, row, column, (char *)text, text ? (int)strlen(text) : -1));
}

static PGresult *rows_of(int count)
{
	static PGresAttDesc columns[] = {
		{ .name = (char *)"id", .typid = OID_INT8 },
		{ .name = (char *)"balance", .typid = OID_NUMERIC },
		{ .name = (char *)"at", .typid = OID_TIMESTAMPTZ },
		{ .name = (char *)"note", .typid = OID_TEXT },
	};
	PGresult *rows = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);

	PQsetResultAttrs(rows, 4, columns);
	for (int i = 0; i < count; i++) {
		char id[16];

		snprintf(id, sizeof id, "%d", 10 + i);
		set(rows, i, 0, id);
		set(rows, i, 1, "-0.10");
		set(rows, i, 2, "2026-01-31 12:00:00.5+00");
		set(rows, i, 3, i ? "\"x\"" : NULL);
	}
	return rows;
}

static void assert_json(json_t *got, const char *want)
{
	char *text = json_dumps(got, JSON_COMPACT);

	cr_assert_str_eq(text, want);
	free(text);
	json_decref(got);
}

Test(answer, a_row_by_its_types)
{
	PGresult *rows = rows_of(2);

	assert_json(answer_row(rows, 0), "{\"id\":10,\"balance\":\"-0.10\","
	                                 "\"at\":\"2026-01-31T12:00:00.5Z\",\"note\":null}");
	assert_json(answer_row(rows, 1), "{\"id\":11,\"balance\":\"-0.10\","
	                                 "\"at\":\"2026-01-31T12:00:00.5Z\",\"note\":\"\\\"x\\\"\"}");
	PQclear(rows);
}

static const char *next_of(json_t *page)
{
	return json_string_value(json_object_get(page, "next"));
}

Test(answer, pages_know_whether_more_comes)
{
	PGresult *rows = rows_of(3);
	struct page p = { .limit = 2 };
	json_t *page = answer_page("accounts", rows, ROUTE_ACCOUNTS, &p);

	cr_assert_eq(json_array_size(json_object_get(page, "accounts")), 2);
	cr_assert_str_eq(next_of(page), "/api/accounts?limit=2&after=11");
	json_decref(page);
	p.account = 7;
	page = answer_page("transfers", rows, ROUTE_TRANSFERS, &p);
	cr_assert_str_eq(next_of(page), "/api/transfers?limit=2&before=11&account=7");
	json_decref(page);
	p.limit = 3;
	page = answer_page("accounts", rows, ROUTE_ACCOUNTS, &p);
	cr_assert_eq(json_array_size(json_object_get(page, "accounts")), 3);
	cr_assert(json_is_null(json_object_get(page, "next")));
	json_decref(page);
	PQclear(rows);
}

Test(answer, moments_of_another_form_stay)
{
	static PGresAttDesc column = { .name = (char *)"at", .typid = OID_TIMESTAMPTZ };
	static const char *const other[] = { "infinity", "2026-01-31 12:00:00+02",
		                                 "31.01.2026 12:00:00 CET", "-infinity" };

	for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
		PGresult *rows = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
		json_t *row;

		PQsetResultAttrs(rows, 1, &column);
		set(rows, 0, 0, other[i]);
		row = answer_row(rows, 0);
		cr_assert_str_eq(json_string_value(json_object_get(row, "at")), other[i]);
		json_decref(row);
		PQclear(rows);
	}
}

Test(answer, problems)
{
	struct refusal r = { 422, "Title", "Detail.", "amount" };

	assert_json(answer_problem(&r), "{\"type\":\"about:blank\",\"title\":\"Title\",\"status\":422,"
	                                "\"detail\":\"Detail.\",\"field\":\"amount\"}");
	r.field = NULL;
	assert_json(answer_problem(&r), "{\"type\":\"about:blank\",\"title\":\"Title\",\"status\":422,"
	                                "\"detail\":\"Detail.\"}");
}

/* Published values of FNV-1a: every process must make the same tag. */
Test(answer, tags)
{
	char tag[ANSWER_TAG_MAX];

	answer_tag(slice_of("", 0), tag);
	cr_assert_str_eq(tag, "\"cbf29ce484222325\"");
	answer_tag(slice_str("foobar"), tag);
	cr_assert_str_eq(tag, "\"85944171f73967e8\"");
}
