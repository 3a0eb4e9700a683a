/* SPDX-License-Identifier: PostgreSQL */
/*
 * HTTP GET over a connection of this layer. The request is HTTP/1.0 with
 * Connection: close, so that an answer ends by its length or by the end of the
 * stream and is never chunked. Addresses of a name are tried in order. One
 * timer bounds look-up, connect, handshake and answer together.
 */
#include "net/http_client.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "net/conn.h"
#include "net/http_parse.h"
#include "net/resolver.h"
#include "net/tls.h"

enum { HTTP_REQUEST_MAX = 2048, HTTP_US_PER_MS = 1000 };

struct http_get {
	struct conn conn;
	struct loop *loop; /* borrowed */
	struct loop_timer timeout;
	struct loop_deferred freeing;
	struct conn_limits limits;
	struct http_url url;
	struct resolved resolved;
	unsigned next_address;
	struct resolver_query *query; /* NULL: none under way */
	struct tls_context *tls;      /* counted; NULL: plain */
	struct buf answer;            /* head and body */
	size_t max_body_bytes;
	bool is_connected;
	http_get_done_fn *on_done;
	void *arg; /* borrowed */
};

static struct http_get *get_of(struct conn *conn)
{
	return (struct http_get *)(void *)((char *)conn - offsetof(struct http_get, conn));
}

static void run_freeing(struct loop_deferred *deferred)
{
	struct http_get *get =
		(struct http_get *)(void *)((char *)deferred - offsetof(struct http_get, freeing));

	buf_fini(&get->answer);
	tls_context_put(&get->tls);
	mem_free(get);
}

/* Nothing comes after it; the memory goes at the turn's end. */
static void retire(struct http_get *get)
{
	conn_close(&get->conn);
	loop_timer_cancel(&get->timeout);
	if (get->query)
		resolver_cancel(get->query);
	get->query = NULL;
	get->freeing.run = run_freeing;
	loop_defer(get->loop, &get->freeing);
}

static void finish(struct http_get *get, enum weir_err err, int status, struct slice body)
{
	retire(get);
	get->on_done(get->arg, err, status, body);
}

static void finish_failed(struct http_get *get, enum weir_err err)
{
	finish(get, err, 0, slice_of("", 0));
}

/* --- the answer --- */

/* Finishes if the answer is complete; is_end: no more bytes will come. */
static void check_answer(struct http_get *get, bool is_end)
{
	struct http_head head;
	struct slice all = buf_slice(&get->answer);
	enum weir_err err = http_parse_response(all, &head);
	size_t body_len;

	if (err == WEIR_ERR_AGAIN && !is_end)
		return;
	if (err != WEIR_OK || head.is_chunked) {
		finish_failed(get, err == WEIR_ERR_AGAIN ? WEIR_ERR_CLOSED : WEIR_ERR_PROTOCOL);
		return;
	}
	body_len = all.len - head.head_len;
	if (head.content_length > get->max_body_bytes || body_len > get->max_body_bytes) {
		finish_failed(get, WEIR_ERR_LIMIT);
		return;
	}
	if (head.has_length && body_len >= head.content_length)
		body_len = head.content_length;
	else if (!is_end)
		return;
	else if (head.has_length) {
		finish_failed(get, WEIR_ERR_CLOSED);
		return;
	}
	finish(get, WEIR_OK, head.status, slice_of(all.ptr + head.head_len, body_len));
}

static size_t on_bytes(struct conn *conn, struct slice bytes)
{
	struct http_get *get = get_of(conn);

	buf_append_slice(&get->answer, bytes);
	if (get->answer.err != WEIR_OK)
		finish_failed(get, WEIR_ERR_LIMIT);
	else
		check_answer(get, false);
	return bytes.len;
}

/* --- connecting --- */

static void send_request(struct http_get *get)
{
	const char *open = strchr(get->url.host, ':') ? "[" : "", *close = open[0] ? "]" : "";
	char request[HTTP_REQUEST_MAX];
	int len = snprintf(request, sizeof(request),
	                   "GET %s HTTP/1.0\r\nHost: %s%s%s:%u\r\nConnection: close\r\n"
	                   "User-Agent: pgweir\r\nAccept: application/json, */*\r\n\r\n",
	                   get->url.path, open, get->url.host, close, get->url.port);

	WEIR_ASSERT(len > 0 && (size_t)len < sizeof(request));
	conn_send_copy(&get->conn, slice_of(request, (size_t)len));
}

static void on_connected(struct conn *conn)
{
	struct http_get *get = get_of(conn);

	get->is_connected = true;
	if (!get->url.is_tls)
		send_request(get);
	else if (conn_start_tls(conn, get->tls, get->url.host) != WEIR_OK)
		finish_failed(get, WEIR_ERR_TLS);
}

static void on_tls_ready(struct conn *conn)
{
	send_request(get_of(conn));
}

static enum weir_err connect_next(struct http_get *get);

static void on_closed(struct conn *conn, enum weir_err why)
{
	struct http_get *get = get_of(conn);

	if (get->is_connected && why == WEIR_ERR_CLOSED) {
		check_answer(get, true);
		return;
	}
	conn_close(conn);
	if (get->is_connected || connect_next(get) != WEIR_OK)
		finish_failed(get, why);
}

static const struct conn_ops http_get_ops = {
	.on_bytes = on_bytes,
	.on_connected = on_connected,
	.on_tls_ready = on_tls_ready,
	.on_closed = on_closed,
};

static enum weir_err connect_next(struct http_get *get)
{
	while (get->next_address < get->resolved.count) {
		unsigned i = get->next_address++;

		if (conn_connect(&get->conn, get->loop, (const struct sockaddr *)&get->resolved.at[i].addr,
		                 get->resolved.at[i].len, &http_get_ops, &get->limits) == WEIR_OK)
			return WEIR_OK;
	}
	return WEIR_ERR_IO;
}

static void on_resolved(void *arg, enum weir_err err, const struct resolved *resolved)
{
	struct http_get *get = arg;

	get->query = NULL;
	if (err == WEIR_OK) {
		get->resolved = *resolved;
		err = connect_next(get);
	}
	if (err != WEIR_OK)
		finish_failed(get, err);
}

static void on_timeout(struct loop_timer *timer)
{
	struct http_get *get =
		(struct http_get *)(void *)((char *)timer - offsetof(struct http_get, timeout));

	finish_failed(get, WEIR_ERR_TIMEOUT);
}

static struct http_get *get_create(struct loop *loop, const struct http_get_options *o)
{
	struct http_get *get = mem_zalloc(sizeof(*get));

	get->loop = loop;
	get->on_done = o->on_done;
	get->arg = o->arg;
	get->max_body_bytes = o->max_body_bytes;
	get->limits.max_kept_bytes = HTTP_HEAD_MAX;
	get->limits.high_water_bytes = HTTP_HEAD_MAX;
	buf_init(&get->answer, HTTP_HEAD_MAX + o->max_body_bytes);
	return get;
}

enum weir_err http_get_start(struct loop *loop, const struct http_get_options *options,
                             struct http_get **get)
{
	struct http_get *g = get_create(loop, options);
	enum weir_err err = http_parse_url(options->url, &g->url);

	*get = NULL;
	if (err == WEIR_OK && g->url.is_tls && !options->tls)
		err = WEIR_ERR_UNSUPPORTED;
	if (err == WEIR_OK && g->url.is_tls)
		g->tls = tls_context_get(options->tls);
	if (err == WEIR_OK)
		err = resolver_try(options->resolver, g->url.host, g->url.port, &g->resolved);
	if (err == WEIR_OK)
		err = connect_next(g);
	else if (err == WEIR_ERR_AGAIN)
		g->query = resolver_ask(options->resolver, options->mailbox, g->url.host, g->url.port,
		                        on_resolved, g);
	if (err != WEIR_OK && err != WEIR_ERR_AGAIN) {
		run_freeing(&g->freeing);
		return err;
	}
	loop_timer_arm(loop, &g->timeout, (uint64_t)options->timeout_ms * HTTP_US_PER_MS, on_timeout);
	*get = g;
	return WEIR_OK;
}

void http_get_cancel(struct http_get *get)
{
	retire(get);
}
