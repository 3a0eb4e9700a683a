/* SPDX-License-Identifier: PostgreSQL */
/*
 * HTTP client and server against each other and against raw peers.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <unistd.h>

#include "net/http_client.h"
#include "net/http_server.h"
#include "net/listener.h"
#include "net/loop_priv.h"
#include "net/mailbox.h"
#include "net/resolver.h"
#include "peer.h"

enum { WAIT_TURNS = 20000 };

struct got {
	int count;
	enum weir_err err;
	int status;
	char body[256];
};

static void on_done(void *arg, enum weir_err err, int status, struct slice body)
{
	struct got *got = arg;

	got->count++;
	got->err = err;
	got->status = status;
	snprintf(got->body, sizeof(got->body), "%.*s", (int)body.len, body.ptr);
}

static void wait_done(struct loop *loop, const struct got *got)
{
	for (int i = 0; i < WAIT_TURNS && !got->count; i++) {
		peer_turns(loop, 1);
		usleep(1000);
	}
	cr_assert_eq(got->count, 1);
}

static void handler(void *arg, const struct http_request *request, struct http_reply *reply)
{
	(void)arg;
	if (strcmp(request->path, "/missing") == 0)
		reply->status = 404;
	buf_appendf(&reply->body, "%s %s ?%s %.*s", request->method, request->path, request->query,
	            (int)request->body.len, request->body.ptr);
}

static struct http_server *serve(struct loop *loop)
{
	struct http_server *server;
	char why[256] = "";

	cr_assert_eq(http_server_open(loop, "127.0.0.1", 0, handler, NULL, &server, why, sizeof(why)),
	             WEIR_OK, "%s", why);
	return server;
}

static enum weir_err get(struct loop *loop, const char *host, uint16_t port, const char *path,
                         struct http_get_options *o, struct got *got)
{
	struct http_get *request;
	char url[256];

	snprintf(url, sizeof(url), "http://%s:%u%s", host, port, path);
	o->url = url;
	o->on_done = on_done;
	o->arg = got;
	if (!o->timeout_ms)
		o->timeout_ms = 5000;
	if (!o->max_body_bytes)
		o->max_body_bytes = 1000;
	return http_get_start(loop, o, &request);
}

Test(http, get_is_answered, .timeout = 60)
{
	struct loop *loop = peer_loop();
	struct http_server *server = serve(loop);
	struct http_get_options o = { 0 };
	struct got got = { 0 };

	cr_assert_eq(get(loop, "127.0.0.1", http_server_port(server), "/a%20b?c=d", &o, &got), WEIR_OK);
	wait_done(loop, &got);
	cr_assert_eq(got.err, WEIR_OK);
	cr_assert_eq(got.status, 200);
	cr_assert_str_eq(got.body, "GET /a b ?c=d ");
	http_server_close(server);
	loop_destroy(loop);
}

Test(http, any_status_is_an_answer, .timeout = 60)
{
	struct loop *loop = peer_loop();
	struct http_server *server = serve(loop);
	struct http_get_options o = { 0 };
	struct got got = { 0 };

	cr_assert_eq(get(loop, "127.0.0.1", http_server_port(server), "/missing", &o, &got), WEIR_OK);
	wait_done(loop, &got);
	cr_assert_eq(got.status, 404);
	http_server_close(server);
	loop_destroy(loop);
}

Test(http, name_is_resolved, .timeout = 60)
{
	struct loop *loop = peer_loop();
	struct http_server *server = serve(loop);
	struct mailbox *mailbox = mailbox_create(loop, NULL);
	struct resolver *resolver = resolver_create(1000000, 1000000);
	struct http_get_options o = { .resolver = resolver, .mailbox = mailbox };
	struct got got = { 0 };

	cr_assert_eq(get(loop, "localhost", http_server_port(server), "/", &o, &got), WEIR_OK);
	wait_done(loop, &got);
	cr_assert_eq(got.status, 200);
	http_server_close(server);
	mailbox_destroy(mailbox);
	resolver_destroy(resolver);
	loop_destroy(loop);
}

Test(http, long_body_is_a_limit, .timeout = 60)
{
	struct loop *loop = peer_loop();
	struct http_server *server = serve(loop);
	struct http_get_options o = { .max_body_bytes = 3 };
	struct got got = { 0 };

	cr_assert_eq(get(loop, "127.0.0.1", http_server_port(server), "/", &o, &got), WEIR_OK);
	wait_done(loop, &got);
	cr_assert_eq(got.err, WEIR_ERR_LIMIT);
	http_server_close(server);
	loop_destroy(loop);
}

/* A server that says one fixed thing and perhaps hangs up. */
struct scripted {
	const char *text;
	bool is_closing;
	int fd;
};

static void on_accept(void *receiver, int fd, bool is_unix)
{
	struct scripted *s = receiver;

	(void)is_unix;
	s->fd = fd;
	cr_assert_eq(write(fd, s->text, strlen(s->text)), (ssize_t)strlen(s->text));
	if (s->is_closing)
		shutdown(fd, SHUT_WR);
}

static struct got script(const char *text, bool is_closing, unsigned timeout_ms)
{
	struct listener_options lo = { .addresses = "127.0.0.1", .backlog = 4 };
	struct scripted s = { text, is_closing, -1 };
	struct http_get_options o = { .timeout_ms = timeout_ms };
	struct loop *loop = peer_loop();
	struct listener *l;
	struct got got = { 0 };
	char why[256];

	cr_assert_eq(listener_open(loop, &lo, on_accept, &s, &l, why, sizeof(why)), WEIR_OK);
	cr_assert_eq(get(loop, "127.0.0.1", listener_port(l), "/", &o, &got), WEIR_OK);
	wait_done(loop, &got);
	close(s.fd);
	listener_close(l);
	loop_destroy(loop);
	return got;
}

Test(http, body_without_length_ends_with_the_stream, .timeout = 60)
{
	struct got got = script("HTTP/1.0 200 OK\r\n\r\n{\"a\":1}", true, 0);

	cr_assert_eq(got.status, 200);
	cr_assert_str_eq(got.body, "{\"a\":1}");
}

Test(http, length_ends_the_body, .timeout = 60)
{
	struct got got = script("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nokrubbish", false, 0);

	cr_assert_str_eq(got.body, "ok");
}

Test(http, broken_answers, .timeout = 60)
{
	cr_assert_eq(script("SSH-2.0-x\r\n\r\n", false, 0).err, WEIR_ERR_PROTOCOL);
	cr_assert_eq(script("HTTP/1.0 200 OK\r\n", true, 0).err, WEIR_ERR_CLOSED);
	cr_assert_eq(script("HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nx", true, 0).err,
	             WEIR_ERR_CLOSED);
	cr_assert_eq(script("HTTP/1.0 200 OK\r\n", false, 50).err, WEIR_ERR_TIMEOUT);
}

Test(http, refused_connection_and_url, .timeout = 60)
{
	struct loop *loop = peer_loop();
	struct http_server *server = serve(loop);
	uint16_t port = http_server_port(server);
	struct http_get_options o = { 0 };
	struct http_get *request;
	struct got got = { 0 };

	http_server_close(server);
	if (get(loop, "127.0.0.1", port, "/", &o, &got) == WEIR_OK) {
		wait_done(loop, &got);
		cr_assert_eq(got.err, WEIR_ERR_IO);
	}
	o.url = "https://127.0.0.1/";
	cr_assert_eq(http_get_start(loop, &o, &request), WEIR_ERR_UNSUPPORTED);
	o.url = "nonsense";
	cr_assert_eq(http_get_start(loop, &o, &request), WEIR_ERR_CONFIG);
	cr_assert_null(request);
	loop_destroy(loop);
}

Test(http, cancelled_request_is_silent, .timeout = 60)
{
	struct loop *loop = peer_loop();
	struct http_server *server = serve(loop);
	struct got got = { 0 };
	struct http_get_options o = {
		.timeout_ms = 50, .max_body_bytes = 10, .on_done = on_done, .arg = &got
	};
	struct http_get *request;
	char url[64];

	snprintf(url, sizeof(url), "http://127.0.0.1:%u/", http_server_port(server));
	o.url = url;
	cr_assert_eq(http_get_start(loop, &o, &request), WEIR_OK);
	http_get_cancel(request);
	for (int i = 0; i < 100; i++) {
		peer_turns(loop, 1);
		usleep(1000);
	}
	cr_assert_eq(got.count, 0);
	http_server_close(server);
	loop_destroy(loop);
}

/* What the server answers to raw text; "" while it waits for more. */
static void raw(const char *text, char *out, size_t size)
{
	struct loop *loop = peer_loop();
	struct http_server *server = serve(loop);
	struct sockaddr_in addr = { .sin_family = AF_INET,
		                        .sin_port = htons(http_server_port(server)),
		                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	ssize_t len;

	cr_assert_eq(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	for (int i = 0; i < 20; i++) {
		peer_turns(loop, 1);
		usleep(1000);
	}
	len = recv(fd, out, size - 1, MSG_DONTWAIT);
	out[len > 0 ? len : 0] = '\0';
	close(fd);
	peer_turns(loop, 2);
	http_server_close(server);
	loop_destroy(loop);
}

static const struct {
	const char *request, *begins, *ends;
} exchanges[] = {
	{ "GET /m HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n", "GET /m ? " },
	{ "HEAD /m HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n", "\r\n\r\n" },
	{ "POST /m?q HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi", "HTTP/1.1 200 OK", "POST /m ?q hi" },
	{ "POST /m HTTP/1.1\r\nContent-Length: 2\r\n\r\nh", "", "" },
	{ "PUT /m HTTP/1.1\r\n\r\n", "HTTP/1.1 405 ", "\n" },
	{ "POST /m HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 411 ", "\n" },
	{ "POST /m HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", "HTTP/1.1 413 ", "\n" },
	{ "GET /%00 HTTP/1.1\r\n\r\n", "HTTP/1.1 400 ", "\n" },
	{ "\x16\x03\x01 garbage\r\n\r\n", "HTTP/1.1 400 ", "\n" },
};

Test(http, server_exchanges, .timeout = 60)
{
	char got[2048];

	for (size_t i = 0; i < WEIR_COUNTOF(exchanges); i++) {
		size_t ends = strlen(exchanges[i].ends);

		raw(exchanges[i].request, got, sizeof(got));
		cr_assert(strncmp(got, exchanges[i].begins, strlen(exchanges[i].begins)) == 0, "%s", got);
		cr_assert(strlen(got) >= ends && strcmp(got + strlen(got) - ends, exchanges[i].ends) == 0,
		          "%s", got);
		cr_assert(exchanges[i].begins[0] || !got[0]);
	}
}
