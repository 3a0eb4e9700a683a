/* SPDX-License-Identifier: PostgreSQL */
/*
 * One bufferevent per connection:
 *
 *   IDLE -> READING -> HANDLING -> REPLYING -> IDLE
 *                                           -> LINGERING -> closed
 *
 * While a request is handled nothing is read, so a connection holds at most one
 * request and its bounds. A connection that ends after an answer is shut for
 * writing first and read dry (LINGERING): closing a socket with unread bytes
 * makes the kernel drop the answer on its way. Loop's thread; owns connections.
 */
#include "backend/http.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/header.h"
#include "backend/journal.h"
#include "backend/timer.h"
#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "net/http_parse.h"

enum {
	CONN_MAGIC = 0x66486370,
	PATH_TEXT_MAX = 512,
	BACKLOG = 512,
	LINGER_MS = 1000,
	ACCEPT_BREAK_MS = 200, /* without a descriptor: the kernel's queue waits */
};

enum conn_state {
	CONN_IDLE,
	CONN_READING,
	CONN_HANDLING,
	CONN_REPLYING,
	CONN_LINGERING,
	CONN_STATES
};

struct http_conn {
	unsigned magic;
	struct list_node node;   /* in http->states[state], oldest first */
	struct http *http;       /* borrowed: outlives us */
	struct bufferevent *bev; /* owned */
	struct event *timer;     /* owned */
	enum conn_state state;
	bool is_new;             /* nothing has come yet */
	bool must_close;         /* after the answer */
	bool is_continued;       /* 100 was sent */
	char *head;              /* owned; NULL outside a request */
	struct http_head parsed; /* slices of head */
	char *body;              /* owned; NULL without one */
	char method[8];
	char path[PATH_TEXT_MAX];
	const char *query; /* in head */
};

struct http {
	struct http_settings settings;
	struct event_base *base;         /* borrowed */
	struct evconnlistener *listener; /* owned; NULL: no longer accepting */
	struct event *resume;            /* owned: accepts again after a break */
	uint16_t port;
	bool is_draining;
	struct list states[CONN_STATES];
};

/* --- a connection's life --- */

static void set_state(struct http_conn *c, enum conn_state state)
{
	const struct http_settings *s = &c->http->settings;

	list_remove(&c->http->states[c->state], &c->node);
	c->state = state;
	list_append(&c->http->states[state], &c->node);
	if (state == CONN_HANDLING)
		evtimer_del(c->timer); /* the request has a bound of its own */
	else
		timer_set(c->timer, state == CONN_IDLE        ? s->idle_timeout_ms
		                    : state == CONN_LINGERING ? LINGER_MS
		                                              : s->request_timeout_ms);
}

static void forget_request(struct http_conn *c)
{
	mem_free(c->head);
	mem_free(c->body);
	c->head = c->body = NULL;
	c->is_continued = false;
}

static void conn_close(struct http_conn *c)
{
	struct http *http = c->http;

	WEIR_CHECK_MAGIC(c, CONN_MAGIC);
	list_remove(&http->states[c->state], &c->node);
	forget_request(c);
	event_free(c->timer);
	bufferevent_free(c->bev);
	c->magic = 0;
	mem_free(c);
	if (http->listener && !evtimer_pending(http->resume, NULL))
		evconnlistener_enable(http->listener);
}

static void linger(struct http_conn *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);

	shutdown(bufferevent_getfd(c->bev), SHUT_WR);
	evbuffer_drain(in, evbuffer_get_length(in));
	set_state(c, CONN_LINGERING);
	bufferevent_enable(c->bev, EV_READ);
}

static void refuse(struct http_conn *c, int status)
{
	c->must_close = true; /* where the next request begins isn't known */
	set_state(c, CONN_HANDLING);
	c->http->settings.on_refused(c->http->settings.arg, c, status);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct http_conn *c = arg;

	(void)fd, (void)what;
	WEIR_CHECK_MAGIC(c, CONN_MAGIC);
	if (c->state != CONN_READING) {
		conn_close(c);
		return;
	}
	refuse(c, 408);
}

/* --- requests --- */

/* Copies the head, so that its slices outlive the buffer. */
static bool keep_head(struct http_conn *c, const char *bytes, size_t len)
{
	struct slice target;
	const char *question;

	c->head = mem_try_alloc(len + 1);
	if (!c->head)
		return false;
	memcpy(c->head, bytes, len);
	c->head[len] = '\0';
	if (http_parse_request(slice_of(c->head, len), &c->parsed) != WEIR_OK)
		return false;
	target = c->parsed.target;
	question = memchr(target.ptr, '?', target.len);
	c->head[(size_t)(target.ptr - c->head) + target.len] = '\0'; /* the blank behind it */
	c->query = question ? question + 1 : "";
	if (question)
		target.len = (size_t)(question - target.ptr);
	snprintf(c->method, sizeof c->method, "%.*s", (int)c->parsed.method.len, c->parsed.method.ptr);
	return http_decode(target, c->path, sizeof c->path);
}

/* 0: fine. A status: why the request isn't taken. */
static int check_body(const struct http_conn *c)
{
	if (c->parsed.is_chunked)
		return 411;
	if (strcmp(c->method, "POST") == 0 && !c->parsed.has_length)
		return 411;
	return c->parsed.content_length > c->http->settings.body_max_bytes ? 413 : 0;
}

static void read_head(struct http_conn *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);
	size_t have = evbuffer_get_length(in);
	size_t len = have < HTTP_HEAD_MAX ? have : HTTP_HEAD_MAX;
	struct http_head parsed;
	const char *bytes = (const char *)evbuffer_pullup(in, (ev_ssize_t)len);
	enum weir_err err = http_parse_request(slice_of(bytes, len), &parsed);
	int status;

	if (err == WEIR_ERR_AGAIN)
		return;
	if (err != WEIR_OK) {
		refuse(c, err == WEIR_ERR_LIMIT ? 431 : 400);
		return;
	}
	if (!keep_head(c, bytes, parsed.head_len)) {
		refuse(c, 400);
		return;
	}
	evbuffer_drain(in, parsed.head_len);
	c->must_close = !header_keeps_alive(slice_of(c->head, c->parsed.head_len));
	status = check_body(c);
	if (status)
		refuse(c, status);
}

/* The body is whole, or the client is told to go on. */
static bool read_body(struct http_conn *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);
	size_t len = c->parsed.content_length;

	if (evbuffer_get_length(in) < len) {
		struct slice head = slice_of(c->head, c->parsed.head_len);

		if (!c->is_continued && header_has_word(head, "Expect", "100-continue"))
			bufferevent_write(c->bev, "HTTP/1.1 100 Continue\r\n\r\n", 25);
		c->is_continued = true;
		return false;
	}
	c->body = mem_alloc(len + 1); /* at most body_max_bytes, which we chose */
	evbuffer_remove(in, c->body, len);
	c->body[len] = '\0';
	return true;
}

static void consume(struct http_conn *c)
{
	if (c->state == CONN_IDLE && evbuffer_get_length(bufferevent_get_input(c->bev)) > 0) {
		c->is_new = false;
		set_state(c, CONN_READING);
	}
	if (c->state == CONN_READING && !c->head)
		read_head(c);
	if (c->state == CONN_READING && c->head && read_body(c)) {
		bufferevent_disable(c->bev, EV_READ);
		set_state(c, CONN_HANDLING);
		c->http->settings.on_request(c->http->settings.arg, c);
	}
}

static void on_readable(struct bufferevent *bev, void *arg)
{
	struct http_conn *c = arg;

	WEIR_CHECK_MAGIC(c, CONN_MAGIC);
	if (c->state == CONN_LINGERING)
		evbuffer_drain(bufferevent_get_input(bev), evbuffer_get_length(bufferevent_get_input(bev)));
	else
		consume(c);
}

static void on_written(struct bufferevent *bev, void *arg)
{
	struct http_conn *c = arg;

	(void)bev;
	WEIR_CHECK_MAGIC(c, CONN_MAGIC);
	if (c->state != CONN_REPLYING)
		return;
	if (c->must_close) {
		linger(c);
		return;
	}
	set_state(c, CONN_IDLE);
	bufferevent_enable(c->bev, EV_READ);
	consume(c); /* what came behind the last request */
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	struct http_conn *c = arg;

	(void)bev, (void)what;
	WEIR_CHECK_MAGIC(c, CONN_MAGIC);
	if (c->state == CONN_HANDLING)
		c->must_close = true; /* the answer finds out */
	else
		conn_close(c);
}

/* --- accepting --- */

static struct http_conn *add_connection(struct http *http, evutil_socket_t fd)
{
	struct http_conn *c = mem_zalloc(sizeof *c);
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	c->magic = CONN_MAGIC;
	c->http = http;
	c->is_new = true;
	c->bev = bufferevent_socket_new(http->base, fd, BEV_OPT_CLOSE_ON_FREE);
	c->timer = evtimer_new(http->base, on_timer, c);
	WEIR_ASSERT(c->bev && c->timer);
	list_append(&http->states[CONN_IDLE], &c->node);
	set_state(c, CONN_IDLE);
	bufferevent_setcb(c->bev, on_readable, on_written, on_event, c);
	bufferevent_setwatermark(c->bev, EV_READ, 0, HTTP_HEAD_MAX + http->settings.body_max_bytes);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
	return c;
}

size_t http_connections(const struct http *http)
{
	size_t count = 0;

	for (int i = 0; i < CONN_STATES; i++)
		count += http->states[i].count;
	return count;
}

/* At the limit the longest idle one makes room; without any, the kernel's queue waits. */
static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *peer,
                      int len, void *arg)
{
	struct http *http = arg;

	(void)peer, (void)len;
	add_connection(http, fd);
	if (http_connections(http) < http->settings.connections_max)
		return;
	if (http->states[CONN_IDLE].count > 1)
		conn_close(list_entry(list_first(&http->states[CONN_IDLE]), struct http_conn, node));
	else
		evconnlistener_disable(listener);
}

/* Out of descriptors: a break, since the event would come again at once. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
	struct http *http = arg;

	journal(JOURNAL_WARN, "accept_failed", "{s:s}", "error", strerror(errno));
	evconnlistener_disable(listener);
	timer_set(http->resume, ACCEPT_BREAK_MS);
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct http *http = arg;

	(void)fd, (void)what;
	if (http->listener)
		evconnlistener_enable(http->listener);
}

static uint16_t bound_port(evutil_socket_t fd)
{
	struct sockaddr_in6 a = { 0 }; /* an IPv4 address has its port at the same place */
	socklen_t len = sizeof a;

	getsockname(fd, (struct sockaddr *)&a, &len);
	return ntohs(a.sin6_port);
}

int http_open(struct event_base *base, const struct http_settings *settings, struct http **http,
              char *why, size_t why_size)
{
	struct sockaddr_storage address;
	int len = sizeof address;
	struct http *h;

	if (evutil_parse_sockaddr_port(settings->listen, (struct sockaddr *)&address, &len) != 0) {
		snprintf(why, why_size, "FINAI_LISTEN: %s is no address and port", settings->listen);
		return WEIR_ERR_CONFIG;
	}
	h = mem_zalloc(sizeof *h);
	h->settings = *settings;
	h->base = base;
	for (int i = 0; i < CONN_STATES; i++)
		list_init(&h->states[i]);
	h->listener = evconnlistener_new_bind(
		base, on_accept, h, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE,
		BACKLOG, (struct sockaddr *)&address, len);
	if (!h->listener) {
		snprintf(why, why_size, "FINAI_LISTEN: can't listen on %s: %s", settings->listen,
		         strerror(errno));
		mem_free(h);
		return WEIR_ERR_IO;
	}
	h->resume = evtimer_new(base, on_resume, h);
	evconnlistener_set_error_cb(h->listener, on_accept_error);
	h->port = bound_port(evconnlistener_get_fd(h->listener));
	*http = h;
	return WEIR_OK;
}

uint16_t http_port(const struct http *http)
{
	return http->port;
}

struct http_view http_view(const struct http_conn *c)
{
	WEIR_CHECK_MAGIC(c, CONN_MAGIC);
	WEIR_ASSERT(c->state == CONN_HANDLING && c->head);
	return (struct http_view){ c->method, c->path, c->query, slice_of(c->head, c->parsed.head_len),
		                       slice_of(c->body, c->parsed.content_length) };
}

/* --- answers --- */

static const char *reason(int status)
{
	static const struct {
		int status;
		const char *text;
	} known[] = {
		{ 200, "OK" },
		{ 201, "Created" },
		{ 304, "Not Modified" },
		{ 400, "Bad Request" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 408, "Request Timeout" },
		{ 409, "Conflict" },
		{ 411, "Length Required" },
		{ 413, "Content Too Large" },
		{ 415, "Unsupported Media Type" },
		{ 422, "Unprocessable Content" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
	};

	for (size_t i = 0; i < WEIR_COUNTOF(known); i++) {
		if (known[i].status == status)
			return known[i].text;
	}
	return "Unknown";
}

void http_reply(struct http_conn *c, const struct http_answer *a)
{
	struct evbuffer *out = bufferevent_get_output(c->bev);

	WEIR_CHECK_MAGIC(c, CONN_MAGIC);
	WEIR_ASSERT(c->state == CONN_HANDLING);
	if (c->http->is_draining)
		c->must_close = true;
	evbuffer_add_printf(
		out, "HTTP/1.1 %d %s\r\nCache-Control: %s\r\nX-Content-Type-Options: nosniff\r\n",
		a->status, reason(a->status), a->cache_control ? a->cache_control : "no-store");
	if (a->content_type)
		evbuffer_add_printf(out, "Content-Type: %s\r\n", a->content_type);
	if (a->status != 304)
		evbuffer_add_printf(out, "Content-Length: %zu\r\n", a->body.len);
	if (a->fields)
		evbuffer_add(out, a->fields, strlen(a->fields));
	evbuffer_add_printf(out, "Connection: %s\r\n\r\n", c->must_close ? "close" : "keep-alive");
	if (strcmp(c->method, "HEAD") != 0 && a->status != 304)
		evbuffer_add(out, a->body.ptr, a->body.len);
	forget_request(c);
	set_state(c, CONN_REPLYING);
}

/* --- the end --- */

void http_drain(struct http *http)
{
	http->is_draining = true;
}

/* Closing the socket resets whoever is in its queue. */
static void accept_the_rest(struct http *http)
{
	evutil_socket_t listening = evconnlistener_get_fd(http->listener);

	for (int i = 0; i < BACKLOG; i++) {
		int fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0)
			return;
		timer_set(add_connection(http, fd)->timer, LINGER_MS);
	}
}

void http_stop_accepting(struct http *http)
{
	if (!http->listener)
		return;
	/* Idle ones first: what is accepted now hasn't had a chance to speak. */
	list_foreach_safe (&http->states[CONN_IDLE], n, next)
		conn_close(list_entry(n, struct http_conn, node));
	accept_the_rest(http);
	evconnlistener_free(http->listener);
	http->listener = NULL;
}

void http_close(struct http *http)
{
	if (!http)
		return;
	if (http->listener)
		evconnlistener_free(http->listener);
	http->listener = NULL;
	for (int i = 0; i < CONN_STATES; i++) {
		list_foreach_safe (&http->states[i], n, next)
			conn_close(list_entry(n, struct http_conn, node));
	}
	event_free(http->resume);
	mem_free(http);
}
