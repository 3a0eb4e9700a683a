/* SPDX-License-Identifier: PostgreSQL */
/*
 * A small HTTP server for metrics, health and the dashboard: short answers
 * made at once by one handler, bounded connections, headers, bodies and idle
 * time. The loop's thread only.
 */
#ifndef WEIR_NET_HTTP_SERVER_H
#define WEIR_NET_HTTP_SERVER_H

#include "base/assert.h"
#include "base/buf.h"
#include "base/err.h"
#include "net/loop.h"

struct http_server;

struct http_request {
	const char *method; /* "GET", "HEAD" or "POST" */
	const char *path;   /* decoded, without the query */
	const char *query;  /* raw, "" when there is none */
	struct slice body;
};

struct http_reply {
	int status;               /* 200 unless set */
	const char *content_type; /* static text; "text/plain; charset=utf-8" unless set */
	struct buf body;
};

typedef void http_handler_fn(void *arg, const struct http_request *request,
                             struct http_reply *reply);

/* address: a number or name; port 0: any, see http_server_port. `why` says what failed. */
enum weir_err http_server_open(struct loop *loop, const char *address, uint16_t port,
                               http_handler_fn *handler, void *arg, struct http_server **server,
                               char *why, size_t why_size) WEIR_MUST_CHECK;
void http_server_close(struct http_server *server); /* NULL is fine */
uint16_t http_server_port(const struct http_server *server);

#endif
