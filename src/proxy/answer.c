/* SPDX-License-Identifier: PostgreSQL */
/*
 * The hot half of the proxy. Most messages are passed on unseen: only their
 * header is read, and neighbours leave as one span. A table of 256 bits says
 * which types need a look. Bodies that aren't there yet are passed on as they
 * come (pass_left), so a large row costs no memory here.
 *
 * The span [run, at) is what is due to the client; swallowing something sends
 * what stands in front of it and starts a new run.
 */
#include "proxy/answer.h"

#include "base/clock.h"
#include "base/log.h"
#include "pool/session.h"
#include "proxy/backend.h"
#include "proxy/bring.h"
#include "proxy/cached.h"
#include "proxy/defaults.h"
#include "proxy/failure.h"
#include "proxy/link.h"
#include "proxy/hear.h"
#include "proxy/login.h"
#include "proxy/pins.h"
#include "proxy/rewrite.h"
#include "proxy/track.h"
#include "proxy/unnamed.h"
#include "proxy/unpin.h"
#include "tier/catalog.h"
#include "wire/backend.h"
#include "wire/build.h"
#include "wire/frame.h"

enum { LOOKED_AT_MAX = 64 * 1024 };

/* Types that are looked at; everything else is passed on by its header alone. */
static const bool is_looked_at[256] = {
	[BE_READY] = true,		[BE_ERROR] = true,
	[BE_PARAMETER_STATUS] = true,	[BE_PARSE_COMPLETE] = true,
	[BE_CLOSE_COMPLETE] = true,	[BE_COPY_IN] = true,
	[BE_COPY_BOTH] = true,		[BE_NOTIFICATION] = true,
	[BE_BACKEND_KEY_DATA] = true,	[BE_AUTHENTICATION] = true,
};

struct stream { /* one delivery */
	struct server *s;
	const char *base;
	size_t run; /* start of what is due to the client and not sent yet */
	size_t at;
	bool is_over;       /* the server was closed, or its request is to be repeated */
	bool is_handed_on;  /* it is free, or another's: what is left here answers nobody */
};

static struct reply_segment *current(struct stream *st)
{
	return replies_current(&st->s->replies);
}

static void flush_run(struct stream *st)
{
	struct client *c = st->s->client;
	struct slice span = slice_of(st->base + st->run, st->at - st->run);

	st->run = st->at;
	if (!span.len || !c)
		return;
	if (current(st))
		current(st)->is_started = true;
	conn_send(&c->conn, span);
	stat_add(&c->tenant->stats->sent, span.len);
	if (c->cached)
		cached_collect(c, span);
	if (conn_is_congested(&c->conn))
		conn_pause_read(&st->s->conn);
}

static void swallow(struct stream *st, size_t total)
{
	flush_run(st);
	st->at += total;
	st->run = st->at;
}

static bool is_for_client(struct stream *st)
{
	struct reply_segment *seg = current(st);

	return seg && !replies_is_internal(seg) && st->s->client;
}

static void drop_message(struct stream *st, size_t total, size_t left)
{
	if (total > left) {
		st->s->pass_left = total - left;
		st->s->pass_dropped = true;
		total = left;
	}
	swallow(st, total);
}

/* One message that nobody looks at. */
static void pass_message(struct stream *st, size_t total, size_t left)
{
	if (is_for_client(st)) {
		if (total > left) {
			st->s->pass_left = total - left;
			st->s->pass_dropped = false;
			total = left;
		}
		st->at += total;
		return;
	}
	drop_message(st, total, left);
}

/* This turn, but not from here: it may end the client or its server. */
static void redeliver_soon(struct client *c)
{
	conn_pause_read(&c->conn);
	conn_resume_read(&c->conn);
}

/* A server accepted the oldest pending statement: the same again needs no server. */
static void confirm_statement(struct client *c)
{
	struct prepared *p = prepared_names_confirm(c->names);

	if (!p)
		return;
	p->good_session = session_id(c->session);
	p->good_catalog = c->tenant->catalog ? catalog_generation(c->tenant->catalog) : 0;
}

/* The deferred BEGIN is done: what waited for that may follow. */
static void begin_done(struct server *s)
{
	struct client *c = s->client;

	replies_pop(&s->replies);
	s->txn_status = 'T';
	if (c && conn_kept_bytes(&c->conn))
		redeliver_soon(c);
}

/* The answer to a Describe comes next. */
static void watch_description(struct server *s, enum reply_op_kind kind)
{
	s->described = (struct description){ 0 };
	if (s->client)
		s->watch |= kind == REPLY_OP_LOOK ? WATCH_LOOK : WATCH_ASKED;
}

static void unnamed_done(struct reply_segment *seg)
{
	if (seg->unnamed_due)
		seg->unnamed_due--;
}

/* A Parse or Close was answered. */
static void take_completion(struct stream *st, struct reply_segment *seg, const struct frame *f)
{
	struct server *s = st->s;
	struct client *c = s->client;
	size_t total = f->whole.len;
	enum reply_op_kind kind;

	if (!seg->op_count) { /* it was sent as it came: its statements are unnamed */
		if (f->type == BE_PARSE_COMPLETE)
			unnamed_done(seg);
		st->at += total;
		return;
	}
	kind = (enum reply_op_kind)replies_take_op(&s->replies).kind;
	switch (kind) {
	case REPLY_OP_OWN_PARSE:
	case REPLY_OP_OWN_CLOSE:
		swallow(st, total);
		if (seg->kind == REPLY_BEGIN && !seg->op_count)
			begin_done(s);
		return;
	case REPLY_OP_AS_PARSED:
		swallow(st, total);
		if (c) {
			seg->is_started = true;
			conn_send(&c->conn, wire_parse_complete);
			confirm_statement(c);
		}
		return;
	case REPLY_OP_ASKED:
	case REPLY_OP_LOOK:
		swallow(st, total);
		watch_description(s, kind);
		return;
	case REPLY_OP_PARSED:
		if (c && c->names)
			confirm_statement(c);
		break;
	case REPLY_OP_CLOSED:
		if (c && c->names)
			prepared_names_confirm_close(c->names);
		break;
	case REPLY_OP_UNNAMED:
		unnamed_done(seg);
		break;
	case REPLY_OP_CLOSED_UNNAMED:
		if (c)
			unnamed_closed(c, &s->replies);
		break;
	default:
		break;
	}
	st->at += total;
}

/* More belongs to the request than was thought: what the client sent meanwhile may go on. */
static void extend_request(struct server *s, struct client *c)
{
	do
		replies_extend(&s->replies);
	while (replies_current(&s->replies)->ends_by_query); /* skipped like the one before */
	redeliver_soon(c);
}

static void take_copy_in(struct stream *st, const struct frame *f)
{
	struct server *s = st->s;
	struct reply_segment *seg = current(st);

	if (seg->early_ends) { /* its data is sent, and the Sync comes behind that */
		seg->early_ends--;
		st->at += f->whole.len;
		return;
	}
	s->is_copy_in = !seg->late_ends;
	if (seg->late_ends)
		seg->late_ends--;
	/* PostgreSQL ignores the Sync that came behind Execute: one more will follow CopyDone. */
	if (seg->kind == REPLY_EXTENDED && seg->has_sync && !seg->ends_by_query)
		extend_request(s, s->client);
	else if (conn_kept_bytes(&((struct client *)s->client)->conn))
		redeliver_soon(s->client); /* what was kept may end the COPY */
	st->at += f->whole.len;
}

/* What is left of the request is skipped; a query in the place of its Sync too, if still due. */
static void take_request_error(struct stream *st, struct reply_segment *seg)
{
	struct client *c = st->s->client;
	bool is_query_skipped = seg->ends_by_query && seg->op_count;

	seg->has_error = true;
	c->had_error = true;
	st->s->is_copy_in = false;
	rewrite_undo(c, st->s);
	if (is_query_skipped)
		extend_request(st->s, c);
	if (!c->look || current(st) != replies_newest(&st->s->replies))
		return;
	rewrite_look_failed(c);
	if (conn_kept_bytes(&c->conn))
		redeliver_soon(c); /* it waited for the look */
}

/* The server's own error, the one that was its cause, or pgweir's, whose place it kept. */
static void pass_error(struct stream *st, const struct frame *f, const struct msg_error *e)
{
	struct client *c = st->s->client;
	struct slice other = bring_error(c, e);
	struct pg_error refusal;

	if (pins_take_refusal(e, &refusal)) {
		swallow(st, f->whole.len);
		client_send_error(c, "ERROR", &refusal);
		return;
	}
	if (rewrite_is_outdated(e))
		other = wire_plan_outdated;
	if (!other.ptr) {
		st->at += f->whole.len;
		return;
	}
	swallow(st, f->whole.len);
	conn_send_copy(&c->conn, other);
}

static bool is_fatal(const struct msg_error *e)
{
	return slice_is(e->severity, "FATAL") || slice_is(e->severity, "PANIC");
}

/* True: nothing more is to be read: the request will be repeated, or the server is closed. */
static bool take_error(struct stream *st, const struct frame *f)
{
	struct server *s = st->s;
	struct client *c = s->client;
	struct reply_segment *seg = current(st);
	struct msg_error e;

	backend_read_error(f->body, &e);
	if (seg && seg->kind == REPLY_NAMES)
		plain_names_doubt_all(&s->plain);
	if (!seg || !c) { /* nobody asked: the server is going away */
		swallow(st, f->whole.len);
		if (is_fatal(&e) && (c || !s->is_checked)) { /* its reason tells whether the node is well */
			failure_server_lost(s, &e);
			return true;
		}
		if (!s->is_checked)
			return false;
		backend_close(s, CLOSE_SERVER_LOST);
		return true;
	}
	if (failure_is_retryable(c, seg, &e)) {
		st->run = st->at + f->whole.len; /* nothing of this answer has left */
		st->at = st->run;
		failure_retry(c, &e);
		return s->state != SERVER_TESTED; /* else it reads what is left, which is nobody's */
	}
	if (seg->kind == REPLY_PINS || seg->kind == REPLY_ABORT) { /* it stays pinned; it was wanted */
		swallow(st, f->whole.len);
		return false;
	}
	if (seg->kind == REPLY_NAMES) { /* the request in question will fail too */
		bring_failed(c, f->whole);
		swallow(st, f->whole.len);
		return false;
	}
	if (replies_is_internal(seg)) { /* the sync or BEGIN in front of the request failed */
		swallow(st, f->whole.len);
		failure_internal_error(c, seg, f->whole);
		return true;
	}
	stat_add(&c->tenant->stats->errors, 1);
	if (is_fatal(&e)) {
		swallow(st, f->whole.len);
		failure_server_lost(s, &e);
		return true;
	}
	if (failure_is_outdated_plan(c, &e))
		prepared_names_renew(c->names, false); /* the next use shall work; EXECUTE tells again */
	take_request_error(st, seg);
	pass_error(st, f, &e);
	return false;
}

/* Too long to be kept: what it means is known from its type, its text passes as it comes. */
static void take_long_error(struct stream *st, size_t total, size_t left)
{
	struct client *c = st->s->client;
	struct reply_segment *seg = current(st);
	struct pg_error e;
	struct buf b;

	if (!is_for_client(st) && seg && c && seg->kind != REPLY_PINS) {
		pg_error_set(&e, "54000", "the server's error about the session's settings is too long");
		buf_init(&b, LOOKED_AT_MAX);
		build_error(&b, "ERROR", &e);
		flush_run(st);
		failure_internal_error(c, seg, buf_slice(&b));
		buf_fini(&b);
		st->is_over = true;
		return;
	}
	if (is_for_client(st)) {
		stat_add(&c->tenant->stats->errors, 1);
		take_request_error(st, seg);
	}
	pass_message(st, total, left);
}

/* Only these three may be long: others that are would pass with their meaning unseen. */
static void take_long(struct stream *st, char type, size_t total, size_t left)
{
	switch (type) {
	case BE_ERROR:
		take_long_error(st, total, left);
		break;
	case BE_PARAMETER_STATUS:
	case BE_NOTIFICATION:
		pass_message(st, total, left);
		break;
	default:
		failure_protocol(st->s);
		st->is_over = true;
		break;
	}
}

static void take_parameter(struct stream *st, const struct frame *f)
{
	struct reply_segment *seg = current(st);
	struct client *c = st->s->client;
	bool is_own = seg && !replies_is_internal(seg);
	bool is_news = backend_learn_parameter(st->s, f->body);

	if (!is_news || !is_own) {
		if (is_news && (!c || !c->settings.has_changed))
			defaults_heard(st->s, f->body);
		swallow(st, f->whole.len);
		return;
	}
	if (c && track_hidden_change(c))
		defaults_passed(c, f->body);
	st->at += f->whole.len;
}

/* The server was `c`'s until now. */
static void hand_on(struct stream *st, const struct client *c)
{
	st->is_over = st->s->state == SERVER_CLOSED;
	st->is_handed_on = !c || st->s->client != c;
}

static void internal_done(struct stream *st, enum reply_kind kind)
{
	struct server *s = st->s;
	struct client *c = s->client;

	if (kind == REPLY_PINS && c) {
		if (unpin_done(c))
			hand_on(st, c);
		return;
	}
	if (replies_count(&s->replies))
		return;
	if (s->state == SERVER_TESTED) {
		loop_timer_cancel(&s->timer);
		link_server_free(s);
		hand_on(st, NULL);
	} else if (c && c->state == CLIENT_LOGIN) {
		login_synced(c);
		hand_on(st, c);
	}
}

/* The client's request is answered. */
static void request_done(struct stream *st, struct client *c)
{
	struct server *s = st->s;
	bool has_more;

	track_request_done(c, s);
	cached_request_done(c, s);
	client_settle(c);
	client_set_state(c, CLIENT_IDLE);
	c->idle_us = loop_now_us(c->proxy->loop);
	if (c->listening)
		hear_end_request(c);
	has_more = conn_kept_bytes(&c->conn) > 0;
	if (client_is_free(c) && s->txn_status == 'I' && (!has_more || link_is_wanted_back(c)))
		link_release(c);
	if (has_more)
		link_make_ready(c);
	else if (c->server && c->pins_in_doubt)
		unpin_ask(c);
	if (c->proxy->is_draining && client_may_leave(c))
		client_close(c, CLOSE_SHUTDOWN, NULL);
	hand_on(st, c);
}

static void take_ready(struct stream *st, const struct frame *f)
{
	struct server *s = st->s;
	struct client *c = s->client;
	struct reply_segment *seg = current(st);
	bool was_internal = seg && replies_is_internal(seg);
	enum reply_kind kind = seg ? (enum reply_kind)seg->kind : REPLY_SIMPLE;
	char status;

	if (!seg || !seg->has_sync || backend_read_ready(f->body, &status) != WEIR_OK) {
		failure_protocol(s);
		st->is_over = true;
		return;
	}
	s->txn_status = status;
	s->is_copy_in = false;
	if (c && c->defaults != s->defaults && !was_internal && status == 'I') {
		flush_run(st);
		defaults_tell(c);
	}
	if (was_internal || !c || hear_holds_ready(c, status))
		swallow(st, f->whole.len);
	else
		st->at += f->whole.len;
	if (c && seg->op_count) /* sent behind an error, and skipped */
		rewrite_undo(c, s);
	replies_pop(&s->replies);
	if (c && replies_count(&s->replies) && conn_kept_bytes(&c->conn))
		redeliver_soon(c); /* something may have waited for this end */
	if (was_internal) {
		internal_done(st, kind);
		return;
	}
	if (!c)
		return;
	flush_run(st);
	track_ready(c, s, status);
	if (replies_count(&s->replies) == 0)
		request_done(st, c);
}

/* An async notification without request, or one behind a request: the linked client's. */
static void take_notification(struct stream *st, const struct frame *f)
{
	const struct client *c = st->s->client;

	if (c && ((c->pins & PIN_LISTEN) || c->tenant->pool_mode == POOL_MODE_SESSION))
		st->at += f->whole.len;
	else
		swallow(st, f->whole.len);
}

static void take_frame(struct stream *st, const struct frame *f)
{
	struct reply_segment *seg = current(st);

	switch (f->type) {
	case BE_READY:
		take_ready(st, f);
		return;
	case BE_ERROR:
		st->is_over = take_error(st, f);
		return;
	case BE_PARAMETER_STATUS:
		take_parameter(st, f);
		return;
	case BE_NOTIFICATION:
		take_notification(st, f);
		return;
	case BE_AUTHENTICATION:
	case BE_BACKEND_KEY_DATA:
		failure_protocol(st->s);
		st->is_over = true;
		return;
	default:
		break;
	}
	if (!seg || !st->s->client || (replies_is_internal(seg) && seg->kind != REPLY_BEGIN))
		swallow(st, f->whole.len);
	else if (f->type == BE_COPY_IN || f->type == BE_COPY_BOTH)
		take_copy_in(st, f);
	else
		take_completion(st, seg, f);
}

/* A body that is passed on (or swallowed) as it comes. */
static void pass_on(struct stream *st, size_t len)
{
	struct server *s = st->s;
	size_t n = len - st->at < s->pass_left ? len - st->at : (size_t)s->pass_left;

	s->pass_left -= n;
	if (s->pass_dropped)
		swallow(st, n);
	else
		st->at += n;
}

static bool is_watched(struct stream *st, char type)
{
	struct server *s = st->s;

	if (!s->client || !current(st))
		return false;
	if (current(st)->kind == REPLY_PINS)
		return type == BE_DATA_ROW;
	return (s->watch & (WATCH_ASKED | WATCH_LOOK)) &&
	       (type == BE_PARAMETER_DESCRIPTION || type == BE_ROW_DESCRIPTION || type == BE_NO_DATA);
}

/* `body` is empty where the message is too long to be kept. */
static void learn(struct description *d, const struct frame_header *head, struct slice body)
{
	bool is_long = body.len != head->body_len;

	if (head->type == BE_PARAMETER_DESCRIPTION)
		d->parameters = is_long ? description_of_length(head->body_len) :
					  description_of_parameters(body);
	else if (head->type == BE_NO_DATA)
		d->columns = description_of_no_data();
	else
		d->columns = is_long ? description_of_length(head->body_len) :
				       description_of_columns(body);
}

/* What comes behind a look was kept back. */
static void description_done(struct server *s, uint8_t watch)
{
	struct client *c = s->client;

	s->watch &= (uint8_t)~(WATCH_ASKED | WATCH_LOOK);
	if (watch & WATCH_ASKED) {
		rewrite_asked(c);
		return;
	}
	rewrite_looked(c);
	if (conn_kept_bytes(&c->conn))
		redeliver_soon(c);
}

static void take_description(struct stream *st, const struct frame_header *head, struct slice rest)
{
	struct server *s = st->s;
	size_t total = FRAME_HEADER_BYTES + (size_t)head->body_len;
	uint8_t watch = s->watch;
	struct slice body = slice_of("", 0);

	if (total <= rest.len)
		body = slice_of(rest.ptr + FRAME_HEADER_BYTES, head->body_len);
	learn(&s->described, head, body);
	if (watch & WATCH_LOOK)
		drop_message(st, total, rest.len);
	else
		pass_message(st, total, rest.len);
	if (head->type != BE_PARAMETER_DESCRIPTION)
		description_done(s, watch);
}

/* False: more bytes are needed. */
static bool take_watched(struct stream *st, const struct frame_header *head, struct slice rest)
{
	size_t total = FRAME_HEADER_BYTES + (size_t)head->body_len;
	bool is_row = head->type == BE_DATA_ROW;

	if (total > rest.len && (is_row || total <= LOOKED_AT_MAX))
		return false;
	if (is_row) {
		unpin_take_row(st->s->client, slice_of(rest.ptr + FRAME_HEADER_BYTES, head->body_len));
		swallow(st, total);
	} else {
		take_description(st, head, rest);
	}
	return true;
}

/* What ends a statement's answer, or for now (a portal with more rows to give). */
static void count_statement(struct stream *st, char type)
{
	if ((type == BE_COMMAND_COMPLETE || type == BE_EMPTY_QUERY || type == BE_PORTAL_SUSPENDED) &&
	    is_for_client(st))
		track_completed(st->s->client);
}

/* False: more bytes are needed. */
static bool next_message(struct stream *st, size_t len)
{
	struct slice rest = slice_of(st->base + st->at, len - st->at);
	struct frame_header head;
	struct frame frame;
	size_t total;

	if (frame_peek(rest, &head) != WEIR_OK) {
		if (rest.len >= FRAME_HEADER_BYTES) {
			failure_protocol(st->s);
			st->is_over = true;
		}
		return false;
	}
	total = FRAME_HEADER_BYTES + (size_t)head.body_len;
	if (__builtin_expect(st->s->watch, 0) && is_watched(st, head.type))
		return take_watched(st, &head, rest);
	if (!is_looked_at[(unsigned char)head.type]) {
		if (__builtin_expect(st->s->is_counted, 0))
			count_statement(st, head.type);
		pass_message(st, total, rest.len);
		return true;
	}
	if (total > LOOKED_AT_MAX) {
		take_long(st, head.type, total, rest.len);
		return true;
	}
	if (total > rest.len)
		return false;
	frame = (struct frame){
		.type = head.type,
		.body = slice_of(rest.ptr + FRAME_HEADER_BYTES, head.body_len),
		.whole = slice_of(rest.ptr, total),
	};
	take_frame(st, &frame);
	return true;
}

/* Behind the last answer: a notification, say. False: more bytes are needed. */
static bool skip_message(struct stream *st, size_t len)
{
	struct slice rest = slice_of(st->base + st->at, len - st->at);
	struct frame_header head;
	struct slice body;
	size_t total;

	if (frame_peek(rest, &head) != WEIR_OK)
		return false;
	body = slice_of(rest.ptr + FRAME_HEADER_BYTES, head.body_len);
	total = FRAME_HEADER_BYTES + (size_t)head.body_len;
	if (total > rest.len && total <= LOOKED_AT_MAX)
		return false;
	if (head.type == BE_PARAMETER_STATUS && total <= LOOKED_AT_MAX)
		(void)backend_learn_parameter(st->s, body);
	drop_message(st, total, rest.len);
	return true;
}

size_t answer_bytes(struct server *s, struct slice bytes)
{
	struct stream st = { .s = s, .base = bytes.ptr };

	while (st.at < bytes.len && !st.is_over) {
		if (s->pass_left)
			pass_on(&st, bytes.len);
		else if (!(st.is_handed_on ? skip_message(&st, bytes.len) :
					     next_message(&st, bytes.len)))
			break;
	}
	if (!st.is_over)
		flush_run(&st);
	return st.is_over ? bytes.len : st.at;
}
