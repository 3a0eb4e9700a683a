/* SPDX-License-Identifier: PostgreSQL */
/*
 * One function per kind of operation. Owns nothing.
 */
#include "backend/api.h"

#include <stdio.h>
#include <string.h>

#include "backend/call.h"
#include "backend/header.h"
#include "backend/http.h"
#include "base/clock.h"

enum { HEADER_TEXT_MAX = 160, PAGE_SIZE_MAX = 1024 * 1024 };

static const struct refusal not_found = { 404, "Not found", "There is nothing at this address.",
	                                      NULL };
static const struct refusal wrong_method = { 405, "Method not allowed",
	                                         "This address doesn't do that.", NULL };
static const struct refusal no_key = {
	400, "Idempotency-Key missing",
	"A transfer needs one Idempotency-Key: 8 to 64 letters, digits, \"-\" or \"_\".", NULL
};
static const struct refusal not_json = { 415, "Unsupported media type",
	                                     "A transfer is application/json.", NULL };

static enum route_method method_of(const char *name)
{
	if (strcmp(name, "GET") == 0 || strcmp(name, "HEAD") == 0)
		return ROUTE_GET;
	return strcmp(name, "POST") == 0 ? ROUTE_POST : ROUTE_OTHER_METHOD;
}

static bool is_json(struct slice head)
{
	char type[HEADER_TEXT_MAX];

	if (!header_text(head, "Content-Type", type, sizeof type))
		return false;
	type[strcspn(type, "; \t")] = '\0';
	return slice_is_nocase(slice_str(type), "application/json");
}

static void take_trace(struct call *c, struct slice head)
{
	char text[HEADER_TEXT_MAX];
	struct trace *trace = &c->exchange.trace;

	trace_parse(trace, header_text(head, "traceparent", text, sizeof text) ? text : NULL);
	trace_comment(trace, c->comment);
}

static void read_route(struct call *c, const struct http_view *view)
{
	struct refusal bad_query = { 400, "Bad query", NULL, NULL };

	c->kind = &call_read;
	c->from =
		header_has_word(view->head, "Cache-Control", "no-cache") ? READ_PRIMARY : READ_ANYWHERE;
	if (route_page(c->match.route, view->query, &c->page, &bad_query.detail))
		call_start(c);
	else
		reply_problem(&c->exchange, &bad_query, NULL);
}

static void transfer_route(struct call *c, const struct http_view *view)
{
	char key[HEADER_TEXT_MAX];
	struct refusal no;

	c->kind = &call_transfer;
	if (!is_json(view->head)) {
		no = not_json;
	} else if (!header_text(view->head, "Idempotency-Key", key, sizeof key) ||
	           !rules_key(key, c->transfer.key)) {
		no = no_key;
	} else if (rules_body(view->body.ptr, view->body.len, &c->transfer, &no)) {
		call_start(c);
		return;
	}
	metrics_transfer(&c->app->metrics, TRANSFER_REFUSED, 0, "");
	reply_problem(&c->exchange, &no, NULL);
}

static void ready_route(struct call *c)
{
	const char *problem = health_problem(&c->app->health, clock_monotonic_us());
	char text[HEADER_TEXT_MAX];

	snprintf(text, sizeof text, "%s\n", problem ? problem : "ready");
	reply_text(&c->exchange, problem ? 503 : 200, slice_str(text));
}

static void metrics_route(struct call *c)
{
	struct app *app = c->app;
	struct metrics *m = &app->metrics;
	struct buf page;

	m->http_connections = http_connections(app->http);
	m->requests_open = app->calls.count;
	m->pool_size = app->options.db_pool_size;
	m->pool_open = pool_open_count(app->pool);
	m->pool_used = pool_used_count(app->pool);
	m->queue_length = pool_queue_length(app->pool);
	m->is_ready = !health_problem(&app->health, clock_monotonic_us());
	buf_init(&page, PAGE_SIZE_MAX);
	metrics_print(m, &page);
	reply_text(&c->exchange, 200, buf_slice(&page));
	buf_fini(&page);
}

void api_on_request(void *arg, struct http_conn *conn)
{
	struct app *app = arg;
	struct http_view view = http_view(conn);
	struct call c = { .app = app };
	char allow[HEADER_TEXT_MAX];

	c.match = route_find(method_of(view.method), view.path);
	c.exchange = (struct exchange){ .metrics = &app->metrics,
		                            .conn = conn,
		                            .route = c.match.route,
		                            .began_us = clock_monotonic_us() };
	take_trace(&c, view.head);
	switch (c.match.route) {
	case ROUTE_TRANSFER_POST:
		transfer_route(&c, &view);
		break;
	case ROUTE_HEALTHZ:
		reply_text(&c.exchange, 200, slice_str("ok\n"));
		break;
	case ROUTE_READYZ:
		ready_route(&c);
		break;
	case ROUTE_METRICS:
		metrics_route(&c);
		break;
	case ROUTE_WRONG_METHOD:
		snprintf(allow, sizeof allow, "Allow: %s\r\n", c.match.allow);
		reply_problem(&c.exchange, &wrong_method, allow);
		break;
	case ROUTE_NONE:
		reply_problem(&c.exchange, &not_found, NULL);
		break;
	default:
		read_route(&c, &view);
	}
}

void api_on_refused(void *arg, struct http_conn *conn, int status)
{
	struct app *app = arg;
	struct exchange x = { .metrics = &app->metrics,
		                  .conn = conn,
		                  .route = ROUTE_NONE,
		                  .began_us = clock_monotonic_us() };
	const struct refusal refusal = { status, "Bad request",
		                             status == 408   ? "The request didn't come in time."
		                             : status == 411 ? "A body needs a Content-Length."
		                             : status == 413 ? "The body is too long."
		                             : status == 431 ? "The head is too long."
		                                             : "This is no request in HTTP/1.1.",
		                             NULL };

	reply_problem(&x, &refusal, NULL);
}
