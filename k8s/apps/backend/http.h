/* SPDX-License-Identifier: PostgreSQL */
/*
 * The HTTP/1.1 server: many kept connections, one request at a time on each,
 * every wait and size bounded. A request is handed out as its connection, and
 * stays valid until http_reply, which must be called once. The loop's thread.
 */
#ifndef FINAI_HTTP_H
#define FINAI_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/slice.h"

struct event_base;
struct http;
struct http_conn;

typedef void http_request_fn(void *arg, struct http_conn *conn);
/* What came is no request that can be taken: replies with status; http_view isn't there. */
typedef void http_refused_fn(void *arg, struct http_conn *conn, int status);

struct http_settings {
	const char *listen; /* "address:port", "[address]:port"; port 0: any */
	uint32_t connections_max;
	uint32_t body_max_bytes;
	uint32_t idle_timeout_ms; /* between requests */
	uint32_t
		request_timeout_ms; /* from a request's first byte to its last, and for the answer's way */
	http_request_fn *on_request;
	http_refused_fn *on_refused;
	void *arg;
};

/* A request's parts; borrowed until http_reply. */
struct http_view {
	const char *method;
	const char *path;  /* percent-decoded */
	const char *query; /* raw; "" without one */
	struct slice head; /* for header.h */
	struct slice body;
};

struct http_answer {
	int status;
	const char *content_type;  /* NULL: no body */
	const char *cache_control; /* NULL: no-store */
	const char *fields;        /* further header lines, each with its CRLF; NULL: none */
	struct slice body;         /* copied */
};

/* why says what failed. */
int http_open(struct event_base *base, const struct http_settings *settings, struct http **http,
              char *why, size_t why_size) WEIR_MUST_CHECK;
uint16_t http_port(const struct http *http);

struct http_view http_view(const struct http_conn *conn);
/* HEAD gets the same head without the body. */
void http_reply(struct http_conn *conn, const struct http_answer *answer);

/* Answers from now on end their connection. */
void http_drain(struct http *http);
/* No new connections; what is in the accept queue is taken first. Idle connections are closed. */
void http_stop_accepting(struct http *http);
size_t http_connections(const struct http *http);
void http_close(struct http *http); /* NULL is fine; no request may be open */

#endif
