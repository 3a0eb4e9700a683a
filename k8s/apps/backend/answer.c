/* SPDX-License-Identifier: PostgreSQL */
/*
 * The columns' names and types in the result decide the JSON, so an answer's
 * form is its statement's select list (statement.def). The tag is FNV-1a in 64
 * bits: a check against needless transfers, not against forgery. Pure.
 */
#include "backend/answer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OID_INT8 = 20, OID_INT4 = 23, OID_TIMESTAMPTZ = 1184, MOMENT_MAX = 48, PATH_MAX_LEN = 128 };

/* "2026-01-31 12:00:00.5+00" -> "2026-01-31T12:00:00.5Z"; what is no such text stays. */
static json_t *moment(const char *text)
{
	char out[MOMENT_MAX];
	size_t len = strlen(text);

	if (len < 22 || len >= sizeof out || text[10] != ' ' || strcmp(text + len - 3, "+00") != 0)
		return json_string(text);
	memcpy(out, text, len - 3);
	out[10] = 'T';
	memcpy(out + len - 3, "Z", 2);
	return json_string(out);
}

static json_t *cell(const PGresult *result, int row, int column)
{
	const char *text = PQgetvalue(result, row, column);

	if (PQgetisnull(result, row, column))
		return json_null();
	switch (PQftype(result, column)) {
	case OID_INT4:
	case OID_INT8:
		return json_integer(strtoll(text, NULL, 10));
	case OID_TIMESTAMPTZ:
		return moment(text);
	default:
		return json_string(text);
	}
}

json_t *answer_row(const PGresult *result, int row)
{
	json_t *object = json_object();

	for (int i = 0; i < PQnfields(result); i++)
		json_object_set_new(object, PQfname(result, i), cell(result, row, i));
	return object;
}

json_t *answer_rows(const PGresult *result, int limit)
{
	json_t *rows = json_array();

	for (int i = 0; i < PQntuples(result) && i < limit; i++)
		json_array_append_new(rows, answer_row(result, i));
	return rows;
}

json_t *answer_page(const char *name, const PGresult *result, enum route route,
                    const struct page *page)
{
	char path[PATH_MAX_LEN], account[48] = "";
	json_t *body = json_object();
	int limit = (int)page->limit;

	json_object_set_new(body, name, answer_rows(result, limit));
	if (PQntuples(result) <= limit) {
		json_object_set_new(body, "next", json_null());
		return body;
	}
	if (page->account)
		snprintf(account, sizeof account, "&account=%" PRId64, page->account);
	snprintf(path, sizeof path, "%s?limit=%d&%s=%s%s", route_label(route), limit,
	         route == ROUTE_ACCOUNTS ? "after" : "before",
	         PQgetvalue(result, limit - 1, PQfnumber(result, "id")), account);
	json_object_set_new(body, "next", json_string(path));
	return body;
}

json_t *answer_problem(const struct refusal *r)
{
	json_t *body = json_pack("{s:s s:s s:i s:s}", "type", "about:blank", "title", r->title,
	                         "status", r->status, "detail", r->detail);

	if (r->field)
		json_object_set_new(body, "field", json_string(r->field));
	return body;
}

void answer_tag(struct slice body, char tag[ANSWER_TAG_MAX])
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < body.len; i++)
		hash = (hash ^ (unsigned char)body.ptr[i]) * UINT64_C(0x100000001b3);
	snprintf(tag, ANSWER_TAG_MAX, "\"%016" PRIx64 "\"", hash);
}
