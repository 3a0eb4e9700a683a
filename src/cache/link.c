/* SPDX-License-Identifier: PostgreSQL */
/*
 * A Redis connection and its breaker.
 *
 *         timer            address           connected          greeted
 *   DOWN -------> RESOLVING -------> CONNECTING -------> GREETING -------> READY
 *    ^                |                  |                   |               |
 *    +----------------+------------------+-------------------+---------------+
 *                 error or timer                      error, silence, timeouts in a row
 *
 * What the greeting asks is in greet.c. The server's incarnation, which it
 * tells, is part of what makes an entry valid (lookup.c).
 *
 * Replies come in the order of the requests, so a request that nobody waits
 * for any more stays in the list until its replies have passed.
 */
#include "cache/link.h"

#include "base/log.h"
#include "base/mem.h"
#include "net/resolver.h"

enum {
	LINK_MAGIC = 0x6c696e6b,
	BACKOFF_MIN_US = 100 * 1000,
	BACKOFF_MAX_US = 5 * 1000 * 1000,
	BEAT_US = 1000 * 1000,
	OUT_MAX_BYTES = 64 * 1024 * 1024, /* one request; the parts are bounded by their makers */
};

static const struct conn_limits limits = {
	.max_kept_bytes = 64 * 1024, /* on_bytes takes everything */
	.high_water_bytes = 1024 * 1024,
	.low_water_bytes = 256 * 1024,
};

static const struct conn_ops conn_ops;
static void on_timer(struct loop_timer *timer);

static struct link *link_of(struct conn *conn)
{
	struct link *link = (struct link *)(void *)((char *)conn - offsetof(struct link, conn));

	WEIR_CHECK_MAGIC(link, LINK_MAGIC);
	return link;
}

static void arm(struct link *link, uint64_t delay_us)
{
	loop_timer_cancel(&link->timer);
	loop_timer_arm(link->loop, &link->timer, delay_us, on_timer);
}

static void tell_requests(struct link *link)
{
	struct list_node *n;

	while ((n = list_pop(&link->requests))) {
		struct link_request *request = list_entry(n, struct link_request, node);

		request->on_reply(request, NULL);
	}
}

static void disconnect(struct link *link)
{
	if (link->query)
		resolver_cancel(link->query);
	link->query = NULL;
	if (link->state >= LINK_CONNECTING)
		conn_close(&link->conn);
	if (link->reader)
		redis_reader_destroy(link->reader);
	link->reader = NULL;
	buf_clear(&link->out);
}

static const char *kind_of(const struct link *link)
{
	if (link->options->greet.takes_any)
		return "discovery";
	return link->options->greet.channel ? "subscription" : "commands";
}

/* The one way down. why: constant text for the log. */
static void fail(struct link *link, const char *why)
{
	bool was_ready = link->state == LINK_READY;

	disconnect(link);
	if ((was_ready || link->failures == 0) && !link->options->greet.takes_any)
		log_warn("redis_down", "link=%s host=%s port=%u why=\"%s\"", kind_of(link),
		         link->options->host, (unsigned)link->options->port, why);
	link->state = LINK_DOWN;
	link->failures++;
	arm(link, link->backoff_us);
	link->backoff_us *= 2;
	if (link->backoff_us > BACKOFF_MAX_US)
		link->backoff_us = BACKOFF_MAX_US;
	tell_requests(link);
	link->ops->on_down(link, was_ready);
}

static void connect_to(struct link *link, const struct sockaddr_storage *addr, socklen_t len)
{
	link->conn = (struct conn){ 0 };
	if (len == 0 || conn_connect(&link->conn, link->loop, (const struct sockaddr *)addr, len,
	                             &conn_ops, &limits) != WEIR_OK) {
		fail(link, "connect");
		return;
	}
	link->state = LINK_CONNECTING;
	link->reader = link->options->is_deep ?
	                   redis_reader_create_deep(link->options->reply_max_bytes) :
	                   redis_reader_create(link->options->reply_max_bytes);
}

static void on_resolved(void *arg, enum weir_err err, const struct resolved *resolved)
{
	struct link *link = arg;

	WEIR_CHECK_MAGIC(link, LINK_MAGIC);
	link->query = NULL;
	if (err != WEIR_OK || resolved->count == 0)
		fail(link, "name");
	else
		connect_to(link, &resolved->at[0].addr, resolved->at[0].len);
}

static void connect_now(struct link *link)
{
	const struct link_options *o = link->options;

	link->first_timeout_us = 0;
	link->is_ping_out = false;
	arm(link, o->greeting_us); /* of all of it */
	if (o->addr_len > 0 || !o->resolver) {
		connect_to(link, &o->addr, o->addr_len);
		return;
	}
	link->state = LINK_RESOLVING;
	link->query = resolver_ask(o->resolver, link->mailbox, o->host, o->port, on_resolved, link);
}

void link_open(struct link *link, struct mailbox *mailbox, struct loop *loop,
               const struct link_options *options, const struct link_ops *ops)
{
	*link = (struct link){
		.magic = LINK_MAGIC,
		.state = LINK_DOWN,
		.loop = loop,
		.mailbox = mailbox,
		.options = options,
		.ops = ops,
		.backoff_us = BACKOFF_MIN_US,
	};
	buf_init(&link->out, OUT_MAX_BYTES);
	list_init(&link->requests);
	connect_now(link);
}

void link_close(struct link *link)
{
	WEIR_CHECK_MAGIC(link, LINK_MAGIC);
	disconnect(link);
	link->state = LINK_CLOSED;
	loop_timer_cancel(&link->timer);
	tell_requests(link);
	buf_fini(&link->out);
}

bool link_is_ready(const struct link *link)
{
	return link->state == LINK_READY;
}

bool link_has_room(const struct link *link)
{
	return link->state == LINK_READY && !conn_is_congested(&link->conn);
}

void link_add(struct link *link, size_t argc, const struct slice *argv)
{
	redis_append_command(&link->out, argc, argv);
}

static void flush(struct link *link)
{
	conn_send_copy(&link->conn, buf_slice(&link->out));
	buf_clear(&link->out);
}

bool link_send(struct link *link, struct link_request *request, unsigned replies)
{
	if (link->state != LINK_READY || link->out.err != WEIR_OK) {
		buf_clear(&link->out);
		return false;
	}
	request->remaining = replies;
	list_append(&link->requests, &request->node);
	flush(link);
	return true;
}

void link_timed_out(struct link *link)
{
	uint64_t now_us = loop_now_us(link->loop);

	if (link->first_timeout_us == 0)
		link->first_timeout_us = now_us;
	if (link->state == LINK_READY && now_us - link->first_timeout_us >= link->options->patience_us)
		fail(link, "timeouts");
}

void link_restart(struct link *link, const char *why)
{
	if (link->state == LINK_READY)
		fail(link, why);
}

bool link_is_coming(const struct link *link)
{
	return link->failures == 0 && link->state >= LINK_RESOLVING && link->state <= LINK_GREETING;
}

static void greet(struct link *link)
{
	link->state = LINK_GREETING;
	greet_begin(&link->greet, &link->options->greet, &link->out);
	flush(link);
}

static void on_connected(struct conn *conn)
{
	struct link *link = link_of(conn);
	const struct link_options *o = link->options;

	if (!o->tls)
		greet(link);
	else if (conn_start_tls(conn, o->tls, o->tls_name) != WEIR_OK)
		fail(link, "tls");
}

static void on_tls_ready(struct conn *conn)
{
	greet(link_of(conn));
}

static void become_ready(struct link *link)
{
	link->state = LINK_READY;
	if (link->failures > 0)
		log_info("redis_up", "link=%s host=%s port=%u", kind_of(link), link->options->host,
		         (unsigned)link->options->port);
	if (link->greet.is_denied)
		log_warn("redis_info_denied", "effect=restarts_unnoticed");
	arm(link, BEAT_US);
	link->ops->on_ready(link);
}

static void on_greeting(struct link *link, const struct redis_reply *reply)
{
	switch (greet_take(&link->greet, reply)) {
	case GREET_MORE:
		break;
	case GREET_DONE:
		become_ready(link);
		break;
	case GREET_REFUSED:
		fail(link, link->greet.why);
		break;
	}
}

static bool element_is(const struct redis_reply *reply, unsigned i, const char *text)
{
	return i < reply->count && reply->elements[i].type == REDIS_TYPE_STRING &&
	       slice_is(reply->elements[i].text, text);
}

/* Of a subscribed link: ["message", channel, payload]; pongs and the like are passed over. */
static void on_push(struct link *link, const struct redis_reply *reply)
{
	if (reply->value.type == REDIS_TYPE_ERROR)
		fail(link, "subscription lost");
	else if (reply->value.type == REDIS_TYPE_ARRAY && reply->count == 3 &&
	         element_is(reply, 0, "message") && reply->elements[2].type == REDIS_TYPE_STRING)
		link->ops->on_message(link, reply->elements[2].text);
}

static void on_request_reply(struct link *link, const struct redis_reply *reply)
{
	struct list_node *first = list_first(&link->requests);
	bool is_read_only = redis_error_is(&reply->value, "READONLY"); /* before it may be gone */
	struct link_request *request;

	if (!first) {
		fail(link, "reply without request");
		return;
	}
	request = list_entry(first, struct link_request, node);
	if (--request->remaining == 0)
		list_remove(&link->requests, first);
	request->on_reply(request, reply);
	if (is_read_only && link->state == LINK_READY) {
		link->greet.is_replica = true;
		fail(link, "not a master any more");
	}
}

static size_t on_bytes(struct conn *conn, struct slice bytes)
{
	struct link *link = link_of(conn);
	const struct redis_reply *reply;
	enum weir_err err = redis_reader_feed(link->reader, bytes);

	link->is_ping_out = false;
	link->first_timeout_us = 0;
	while (err == WEIR_OK && link->reader) {
		err = redis_reader_next(link->reader, &reply);
		if (err != WEIR_OK)
			break;
		if (link->state == LINK_GREETING)
			on_greeting(link, reply);
		else if (link->options->greet.channel)
			on_push(link, reply);
		else
			on_request_reply(link, reply);
	}
	if (link->reader && err != WEIR_ERR_AGAIN)
		fail(link, "bad reply");
	return bytes.len;
}

static void on_closed(struct conn *conn, enum weir_err why)
{
	struct link *link = link_of(conn);

	fail(link, link->state == LINK_CONNECTING && why == WEIR_ERR_TLS ? "tls" : "connection");
}

static const struct conn_ops conn_ops = {
	.on_bytes = on_bytes,
	.on_connected = on_connected,
	.on_tls_ready = on_tls_ready,
	.on_closed = on_closed,
};

static void on_look_reply(struct link_request *self, const struct redis_reply *reply)
{
	struct link *link = (struct link *)(void *)((char *)self - offsetof(struct link, look));

	if (reply && !greet_is_same(&link->greet, &reply->value))
		link_restart(link, link->greet.is_replica ? "not a master any more" : "promoted meanwhile");
}

static void beat(struct link *link)
{
	struct slice ping = slice_str("PING");

	if (link->is_ping_out) {
		fail(link, "silence");
		return;
	}
	link->backoff_us = BACKOFF_MIN_US; /* it held for a beat: not flapping */
	link->is_ping_out = true;
	if (link->options->greet.channel) {
		link_add(link, 1, &ping);
		flush(link);
	} else if (!list_node_linked(&link->look.node)) {
		link->look.on_reply = on_look_reply;
		greet_look(&link->greet, &link->out);
		link_send(link, &link->look, 1);
	}
	arm(link, BEAT_US);
	if (link->ops->on_beat)
		link->ops->on_beat(link);
}

static void on_timer(struct loop_timer *timer)
{
	struct link *link = (struct link *)(void *)((char *)timer - offsetof(struct link, timer));

	WEIR_CHECK_MAGIC(link, LINK_MAGIC);
	switch (link->state) {
	case LINK_DOWN:
		connect_now(link);
		break;
	case LINK_RESOLVING:
	case LINK_CONNECTING:
	case LINK_GREETING:
		fail(link, "greeting timeout");
		break;
	case LINK_READY:
		beat(link);
		break;
	case LINK_CLOSED:
		break;
	}
}
