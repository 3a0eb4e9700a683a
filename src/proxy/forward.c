/* SPDX-License-Identifier: PostgreSQL */
/*
 * Forwarding. A request without named statements leaves as the very bytes that
 * came in. Otherwise its messages are written again, with Parse messages put in
 * front of what this server doesn't know yet.
 */
#include "proxy/forward.h"

#include "pool/session.h"
#include "proxy/backend.h"
#include "proxy/cached.h"
#include "proxy/held.h"
#include "proxy/link.h"
#include "proxy/rewrite.h"
#include "proxy/track.h"
#include "wire/build.h"

enum { SYNC_SQL_MAX = 64 * 1024 };

bool forward_session_sync(struct client *c)
{
	struct server *s = c->server;
	struct buf sql;

	if (s->session == c->session || s->txn_status != 'I' || replies_count(&s->replies))
		return false;
	buf_init(&sql, SYNC_SQL_MAX);
	session_sync_sql(&sql, s->session, c->session);
	replies_push(&s->replies, REPLY_SYNC, true);
	backend_send_query(s, buf_slice(&sql));
	buf_fini(&sql);
	server_set_session(s, c->session);
	stat_add(&c->tenant->stats->session_syncs, 1);
	return true;
}

static void send_begin(struct client *c)
{
	struct server *s = c->server;

	replies_push(&s->replies, REPLY_BEGIN, true);
	backend_send_query(s, slice_str(c->begin_sql));
}

static bool is_segment_open(struct server *s)
{
	struct reply_segment *last = replies_newest(&s->replies);

	return last && last->kind == REPLY_EXTENDED && !last->has_sync;
}

static void send_extended(struct client *c, const struct request *req, const struct plan *plan)
{
	struct server *s = c->server;
	bool is_open = is_segment_open(s);

	if (is_open)
		replies_newest(&s->replies)->has_sync |= req->has_sync;
	else
		replies_push(&s->replies, REPLY_EXTENDED, req->has_sync);
	if (plan->must_rewrite || is_open || !req->has_sync || (plan->has_parse && !plan->has_bind)) {
		rewrite_send(c, req, plan);
		return;
	}
	conn_send(&s->conn, req->bytes);
	if (plan->has_parse) {
		c->is_unnamed_live = true;
		prepared_put(&c->unnamed);
	}
}

/* A simple query stands in the place of the open batch's Sync. */
static void end_by_query(struct client *c)
{
	struct reply_segment *seg = replies_newest(&c->server->replies);

	rewrite_query_mark(c);
	seg->has_sync = true;
	seg->ends_by_query = true;
}

static void send_body(struct client *c, const struct request *req, const struct plan *plan)
{
	struct server *s = c->server;

	if (req->kind == REQUEST_EXTENDED) {
		send_extended(c, req, plan);
		return;
	}
	if (!is_segment_open(s))
		replies_push(&s->replies, REPLY_SIMPLE, true);
	else
		end_by_query(c);
	prepared_put(&c->unnamed); /* a simple query ends it */
	c->is_unnamed_live = false;
	conn_send(&s->conn, req->bytes);
}

static void count_request(struct client *c, const struct request *req)
{
	struct db_stats *st = c->tenant->stats;
	bool on_primary = tenant_pool_of(c->server->pool)->is_primary;

	stat_add(&st->received, req->bytes.len);
	stat_add(on_primary ? &st->routed_primary : &st->routed_replica, 1);
	c->request_us = loop_now_us(c->proxy->loop);
	if (!c->txn_us)
		c->txn_us = c->request_us;
}

static void watch_backlog(struct client *c)
{
	if (conn_is_congested(&c->server->conn))
		conn_pause_read(&c->conn);
}

/* Behind an error PostgreSQL skips everything up to the Sync: nothing else need leave. */
static bool forward_skipped(struct client *c, const struct request *req)
{
	struct server *s = c->server;

	if (!is_segment_open(s) || !replies_newest(&s->replies)->has_error)
		return false;
	if (req->missing) /* its rest will be passed on as it comes */
		conn_send(&s->conn, req->bytes);
	else if (req->has_sync)
		conn_send(&s->conn, wire_sync);
	replies_newest(&s->replies)->has_sync |= req->has_sync;
	c->stream_left = req->missing;
	return true;
}

void forward_request(struct client *c, const struct request *req, const struct plan *plan)
{
	struct server *s = c->server;
	bool is_first = replies_count(&s->replies) == 0;

	if (forward_skipped(c, req))
		return;
	if (plan->moves_sequence)
		s->sequence_client = c->id;
	if (!is_first)
		held_release(c); /* one behind another can't be repeated alone */
	else if (!plan->has_named_parse && !plan->executed)
		held_take(c, req);
	forward_session_sync(c);
	if (c->txn.state == TXN_DEFERRED)
		send_begin(c);
	if (plan->executed)
		rewrite_ensure(c, plan->executed);
	count_request(c, req);
	send_body(c, req, plan);
	txn_sent(&c->txn, &plan->txn);
	track_request_sent(c, plan);
	cached_note_writes(c, plan);
	if (is_first)
		cached_forwarded(c);
	c->stream_left = req->missing;
	if (c->state != CLIENT_ACTIVE)
		client_set_state(c, CLIENT_ACTIVE);
	watch_backlog(c);
}

void forward_bytes(struct client *c, struct slice bytes)
{
	conn_send(&c->server->conn, bytes);
	stat_add(&c->tenant->stats->received, bytes.len);
	watch_backlog(c);
}
