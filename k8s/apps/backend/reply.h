/* SPDX-License-Identifier: PostgreSQL */
/*
 * Sends an answer, counts it and logs it: the one way out for every request.
 * Loop's thread.
 */
#ifndef FINAI_REPLY_H
#define FINAI_REPLY_H

#include <jansson.h>
#include <stdint.h>

#include "backend/route.h"
#include "backend/rules.h"
#include "backend/trace.h"
#include "base/slice.h"

struct http_conn;
struct metrics;

/* One request and its answer. */
struct exchange {
	struct metrics *metrics; /* borrowed */
	struct http_conn *conn;  /* borrowed until replied */
	enum route route;
	uint64_t began_us;
	struct trace trace;
};

/* body is consumed; fields as in struct http_answer. */
void reply_json(struct exchange *x, int status, json_t *body, const char *fields);
/* 200 with an entity tag, or 304 when the client has just this. body is consumed. */
void reply_tagged(struct exchange *x, json_t *body);
/* A problem body; 503 and 504 say when to come again. */
void reply_problem(struct exchange *x, const struct refusal *refusal, const char *fields);
void reply_text(struct exchange *x, int status, struct slice text);

#endif
