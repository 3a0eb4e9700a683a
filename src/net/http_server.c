/* SPDX-License-Identifier: PostgreSQL */
/*
 * HTTP server over the connections of this layer: one request per connection,
 * answered at once, then closed. Everything is bounded: connections, head,
 * body, and the time of the whole exchange. A request is left in the
 * connection's kept bytes until it is complete.
 */
#include "net/http_server.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/conn.h"
#include "net/http_parse.h"
#include "net/listener.h"

enum {
	HTTP_CLIENTS_MAX = 64,
	HTTP_BODY_MAX = 64 * 1024,
	HTTP_REPLY_MAX = 16 * 1024 * 1024,
	HTTP_EXCHANGE_US = 10 * 1000000,
	HTTP_BACKLOG = 64,
	HTTP_PATH_MAX = 1024,
	HTTP_REPLY_HEAD_MAX = 512,
	HTTP_METHOD_MAX = 8,
};

struct http_server {
	struct loop *loop;         /* borrowed */
	struct listener *listener; /* owned */
	struct list clients;       /* http_peer.node */
	http_handler_fn *handler;
	void *arg; /* borrowed */
};

/* One connection. */
struct http_peer {
	struct conn conn;
	struct list_node node;
	struct http_server *server; /* borrowed: closes us before it goes */
	struct loop_timer timeout;
	struct loop_deferred freeing;
};

static const struct conn_limits http_limits = {
	.max_kept_bytes = HTTP_HEAD_MAX + HTTP_BODY_MAX,
	.high_water_bytes = HTTP_REPLY_MAX,
	.low_water_bytes = HTTP_HEAD_MAX,
};

static const struct {
	int status;
	const char *text;
} status_texts[] = {
	{ 200, "OK" },
	{ 204, "No Content" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 411, "Length Required" },
	{ 413, "Content Too Large" },
	{ 431, "Request Header Fields Too Large" },
	{ 500, "Internal Server Error" },
	{ 503, "Service Unavailable" },
};

static const char *status_text(int status)
{
	for (size_t i = 0; i < WEIR_COUNTOF(status_texts); i++) {
		if (status_texts[i].status == status)
			return status_texts[i].text;
	}
	return "Status";
}

/* --- one connection's end --- */

static void run_freeing(struct loop_deferred *deferred)
{
	mem_free((char *)deferred - offsetof(struct http_peer, freeing));
}

static void peer_close(struct http_peer *peer)
{
	conn_close(&peer->conn);
	loop_timer_cancel(&peer->timeout);
	list_remove(&peer->server->clients, &peer->node);
	peer->freeing.run = run_freeing;
	loop_defer(peer->server->loop, &peer->freeing);
}

static void on_closed(struct conn *conn, enum weir_err why)
{
	(void)why;
	peer_close((struct http_peer *)(void *)conn);
}

static void on_timeout(struct loop_timer *timer)
{
	peer_close((struct http_peer *)(void *)((char *)timer - offsetof(struct http_peer, timeout)));
}

/* --- answering --- */

static void send_reply(struct http_peer *peer, const struct http_reply *reply, bool has_body)
{
	char head[HTTP_REPLY_HEAD_MAX];
	int len =
		snprintf(head, sizeof(head),
	             "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
	             "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
	             "Connection: close\r\n\r\n",
	             reply->status, status_text(reply->status), reply->content_type, reply->body.len);

	WEIR_ASSERT(len > 0 && (size_t)len < sizeof(head));
	conn_send_copy(&peer->conn, slice_of(head, (size_t)len));
	if (has_body)
		conn_send_copy(&peer->conn, buf_slice(&reply->body));
	conn_close_after_flush(&peer->conn);
}

static void reply_init(struct http_reply *reply)
{
	memset(reply, 0, sizeof(*reply));
	reply->status = 200;
	reply->content_type = "text/plain; charset=utf-8";
	buf_init(&reply->body, HTTP_REPLY_MAX);
}

static void send_status(struct http_peer *peer, int status)
{
	struct http_reply reply;

	reply_init(&reply);
	reply.status = status;
	buf_appendf(&reply.body, "%d %s\n", status, status_text(status));
	send_reply(peer, &reply, true);
	buf_fini(&reply.body);
}

static bool is_known_method(struct slice method)
{
	return slice_is(method, "GET") || slice_is(method, "HEAD") || slice_is(method, "POST");
}

static void answer(struct http_peer *peer, const struct http_head *head, struct slice body)
{
	char method[HTTP_METHOD_MAX], path[HTTP_PATH_MAX], query[HTTP_PATH_MAX];
	const char *mark = memchr(head->target.ptr, '?', head->target.len);
	size_t path_len = mark ? (size_t)(mark - head->target.ptr) : head->target.len;
	size_t query_len = mark ? head->target.len - path_len - 1 : 0;
	struct http_request request = { method, path, query, body };
	struct http_reply reply;

	if (!http_decode(slice_of(head->target.ptr, path_len), path, sizeof(path)) ||
	    query_len >= sizeof(query)) {
		send_status(peer, 400);
		return;
	}
	if (query_len)
		memcpy(query, mark + 1, query_len);
	query[query_len] = '\0';
	memcpy(method, head->method.ptr, head->method.len);
	method[head->method.len] = '\0';
	reply_init(&reply);
	peer->server->handler(peer->server->arg, &request, &reply);
	if (reply.body.err == WEIR_OK)
		send_reply(peer, &reply, !slice_is(head->method, "HEAD"));
	else
		send_status(peer, 500);
	buf_fini(&reply.body);
}

/* 0: go on; else the status that refuses the head. */
static int head_refusal(enum weir_err err, const struct http_head *head)
{
	if (err == WEIR_ERR_LIMIT)
		return 431;
	if (err != WEIR_OK)
		return 400;
	if (!is_known_method(head->method))
		return 405;
	if (head->is_chunked)
		return 411;
	return head->content_length > HTTP_BODY_MAX ? 413 : 0;
}

static size_t on_bytes(struct conn *conn, struct slice bytes)
{
	struct http_peer *peer = (struct http_peer *)(void *)conn;
	struct http_head head;
	enum weir_err err = http_parse_request(bytes, &head);
	int refusal;

	if (err == WEIR_ERR_AGAIN)
		return 0;
	refusal = head_refusal(err, &head);
	if (refusal)
		send_status(peer, refusal);
	else if (bytes.len - head.head_len >= head.content_length)
		answer(peer, &head, slice_of(bytes.ptr + head.head_len, head.content_length));
	return 0;
}

static const struct conn_ops http_peer_ops = { .on_bytes = on_bytes, .on_closed = on_closed };

/* --- the server --- */

static void on_accept(void *receiver, int fd, bool is_unix)
{
	struct http_server *server = receiver;
	struct http_peer *peer;

	(void)is_unix;
	peer = mem_zalloc(sizeof(*peer));
	peer->server = server;
	conn_open(&peer->conn, server->loop, fd, &http_peer_ops, &http_limits);
	list_append(&server->clients, &peer->node);
	loop_timer_arm(server->loop, &peer->timeout, HTTP_EXCHANGE_US, on_timeout);
	if (server->clients.count > HTTP_CLIENTS_MAX)
		send_status(peer, 503);
	if (server->clients.count > 2 * HTTP_CLIENTS_MAX)
		peer_close(peer);
}

enum weir_err http_server_open(struct loop *loop, const char *address, uint16_t port,
                               http_handler_fn *handler, void *arg, struct http_server **server,
                               char *why, size_t why_size)
{
	const struct listener_options options = {
		.addresses = address,
		.port = port,
		.backlog = HTTP_BACKLOG,
	};
	struct http_server *s = mem_zalloc(sizeof(*s));
	enum weir_err err;

	*server = NULL;
	s->loop = loop;
	s->handler = handler;
	s->arg = arg;
	list_init(&s->clients);
	err = listener_open(loop, &options, on_accept, s, &s->listener, why, why_size);
	if (err != WEIR_OK) {
		mem_free(s);
		return err;
	}
	*server = s;
	return WEIR_OK;
}

void http_server_close(struct http_server *server)
{
	struct list_node *n;

	if (!server)
		return;
	listener_close(server->listener);
	while ((n = list_first(&server->clients)))
		peer_close(list_entry(n, struct http_peer, node));
	mem_free(server);
}

uint16_t http_server_port(const struct http_server *server)
{
	return listener_port(server->listener);
}
