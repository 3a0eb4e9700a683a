/* SPDX-License-Identifier: PostgreSQL */
/*
 * Turns bodies into bytes and hands them to http.c. Server errors leave a line
 * in the log, everything else only at level debug. Owns nothing.
 */
#include "backend/reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/answer.h"
#include "backend/header.h"
#include "backend/http.h"
#include "backend/journal.h"
#include "backend/metrics.h"
#include "base/clock.h"

enum { FIELDS_MAX = 256 };

static void send(struct exchange *x, const struct http_answer *answer)
{
	uint64_t us = clock_monotonic_us() - x->began_us;
	bool is_watching = route_is_watching(x->route);

	if (!is_watching)
		metrics_request(x->metrics, x->route, answer->status, us);
	journal(answer->status >= 500 && !is_watching ? JOURNAL_WARN : JOURNAL_DEBUG, "request",
	        "{s:s s:i s:I s:s*}", "route", route_label(x->route), "status", answer->status, "us",
	        (json_int_t)us, "traceparent", *x->trace.text ? x->trace.text : NULL);
	http_reply(x->conn, answer);
	x->conn = NULL;
}

/* The text of a JSON value, which is freed; the caller frees the text. */
static char *dump(json_t *body)
{
	char *text = json_dumps(body, JSON_COMPACT);

	WEIR_ASSERT(text);
	json_decref(body);
	return text;
}

void reply_json(struct exchange *x, int status, json_t *body, const char *fields)
{
	char *text = dump(body);

	send(x, &(struct http_answer){ .status = status,
	                               .content_type = "application/json",
	                               .fields = fields,
	                               .body = slice_str(text) });
	free(text);
}

void reply_tagged(struct exchange *x, json_t *body)
{
	char *text = dump(body), tag[ANSWER_TAG_MAX], fields[FIELDS_MAX];
	struct http_answer answer = { .status = 200,
		                          .content_type = "application/json",
		                          .cache_control = "no-cache",
		                          .fields = fields,
		                          .body = slice_str(text) };

	answer_tag(answer.body, tag);
	snprintf(fields, sizeof fields, "ETag: %s\r\n", tag);
	if (header_matches_tag(http_view(x->conn).head, tag)) {
		answer.status = 304;
		answer.content_type = NULL;
		answer.body = slice_of("", 0);
	}
	send(x, &answer);
	free(text);
}

void reply_problem(struct exchange *x, const struct refusal *refusal, const char *fields)
{
	char *text = dump(answer_problem(refusal)), all[FIELDS_MAX];

	snprintf(all, sizeof all, "%s%s", refusal->status >= 503 ? "Retry-After: 1\r\n" : "",
	         fields ? fields : "");
	send(x, &(struct http_answer){ .status = refusal->status,
	                               .content_type = "application/problem+json",
	                               .fields = all,
	                               .body = slice_str(text) });
	free(text);
}

void reply_text(struct exchange *x, int status, struct slice text)
{
	send(x, &(struct http_answer){ .status = status,
	                               .content_type = "text/plain; version=0.0.4; charset=utf-8",
	                               .body = text });
}
