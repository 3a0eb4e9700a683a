/* SPDX-License-Identifier: PostgreSQL */
/*
 * Forwarding. A request without named statements leaves as the very bytes that
 * came in. Otherwise its messages are written again, with Parse messages put in
 * front of what this server doesn't know yet.
 */
#include "proxy/forward.h"

#include "base/mem.h"
#include "pool/session.h"
#include "proxy/backend.h"
#include "proxy/bring.h"
#include "proxy/cached.h"
#include "proxy/held.h"
#include "proxy/keep.h"
#include "proxy/link.h"
#include "proxy/hear.h"
#include "proxy/listen.h"
#include "proxy/rewrite.h"
#include "proxy/track.h"
#include "proxy/unnamed.h"
#include "proxy/vacate.h"
#include "wire/build.h"
#include "wire/frontend.h"

enum {
	SYNC_SQL_MAX = 8 * SESSION_TEXT_MAX, /* quoting: values twice, dots thrice */
	GATE_MAX = 256,
	DISCARD_MAX = 512,
	BEGIN_ROOM = 256, /* for all but its text */
};

#define GATE "pgweir_gate"
#define BEGIN_NAME "pgweir_begin"

/* A savepoint may undo it, or the end of the transaction, but not the request behind it. */
static void note_synced(struct client *c, struct session_state *want)
{
	if (c->server->txn_status == 'I')
		server_set_session(c->server, want);
	else
		session_txn_synced(&c->settings, want);
}

/*
 * Another client ran a function or a block of its own, and no one can see what that did to
 * settings and role. It keeps that as long as it stays; nobody else gets it.
 */
static bool is_unsure(const struct client *c)
{
	const struct server *s = c->server;

	return s->unsure_client && s->unsure_client != c->id && s->txn_status == 'I';
}

static void append_sync(struct buf *sql, struct client *c, struct session_state *have,
			struct session_state *want)
{
	struct session_state *none;

	if (!is_unsure(c)) {
		session_sync_sql(sql, have, want);
		return;
	}
	none = session_none(want);
	buf_append_str(sql, "RESET SESSION AUTHORIZATION;RESET ROLE;RESET ALL;");
	session_sync_sql(sql, none, want);
	session_put(&none);
}

/* A statement that the settings' text drops at its end; one already there ends the server. */
static void append_gate(struct buf *b)
{
	build_parse(b, slice_str(GATE), slice_str(""), slice_of("", 0));
}

static void send_first(struct client *c, struct session_state *have, struct session_state *want)
{
	struct buf sql;

	buf_init(&sql, SYNC_SQL_MAX);
	session_first_sql(&sql, have, want);
	if (sql.len) {
		replies_add(&c->server->replies, REPLY_SYNC, true);
		link_send_query(c, buf_slice(&sql));
	}
	buf_fini(&sql);
}

static void send_settings(struct client *c, struct session_state *have, struct session_state *want)
{
	struct server *s = c->server;
	struct buf sql;

	replies_add(&s->replies, REPLY_SYNC, true);
	buf_init(&sql, SYNC_SQL_MAX);
	if (c->is_gated) {
		append_gate(&sql);
		conn_send_copy(&s->conn, buf_slice(&sql));
		buf_clear(&sql);
	}
	append_sync(&sql, c, have, want);
	if (c->is_gated)
		buf_append_str(&sql, "DEALLOCATE " GATE);
	link_send_query(c, buf_slice(&sql));
	buf_fini(&sql);
}

bool forward_session_sync(struct client *c)
{
	struct server *s = c->server;
	struct session_state *want = c->settings.client ? c->settings.client : c->session;
	struct session_state *have = c->settings.server ? c->settings.server : s->session;

	if ((want == have && !is_unsure(c)) || s->txn_status == 'E' ||
	    replies_has_own(&s->replies))
		return false;
	c->is_gated = c->state != CLIENT_LOGIN &&
		      (is_unsure(c) || session_differs_in_meaning(have, want));
	send_first(c, have, want);
	send_settings(c, have, want);
	s->unsure_client = 0;
	note_synced(c, want);
	stat_add(&c->tenant->stats->session_syncs, 1);
	return true;
}

/*
 * No request may run as a role that isn't its client's, nor can the answer to the SET ROLE in
 * front of it be waited for without a round trip. So a statement is parsed before the settings'
 * text, which drops it last; and here its name is parsed again. That is an error unless all of the
 * text was executed, however early it failed, and PostgreSQL skips what follows. The server is
 * closed then, see failure_internal_error.
 */
static void send_gate(struct client *c)
{
	struct server *s = c->server;
	struct buf b;

	c->is_gated = false;
	replies_push_op(&s->replies, REPLY_OP_OWN_PARSE, 0);
	replies_push_op(&s->replies, REPLY_OP_OWN_CLOSE, 0);
	buf_init(&b, GATE_MAX);
	append_gate(&b);
	build_close(&b, 'S', slice_str(GATE));
	conn_send_copy(&s->conn, buf_slice(&b));
	buf_fini(&b);
}

static struct reply_segment *segment_begin(struct client *c, enum reply_kind kind, bool has_sync)
{
	struct reply_segment *seg = replies_add(&c->server->replies, kind, has_sync);

	if (c->is_gated)
		send_gate(c);
	return seg;
}

static void keep_begin(struct client *c, struct slice sql, struct slice portal)
{
	mem_free(c->begin_sql);
	c->begin_sql = mem_zalloc(sql.len + 1 + portal.len + 1);
	memcpy(c->begin_sql, sql.ptr, sql.len);
	memcpy(c->begin_sql + sql.len + 1, portal.ptr, portal.len);
}

void forward_defer_begin(struct client *c, const struct request *req, const struct plan *plan)
{
	struct slice portal = slice_of("", 0);
	struct msg_bind m;

	c->has_begin_portal = req->kind == REQUEST_EXTENDED;
	if (c->has_begin_portal && frontend_read_bind(plan->only_bind, &m) == WEIR_OK)
		portal = m.portal;
	keep_begin(c, plan->only_text, portal);
}

void forward_begin_anew(struct client *c)
{
	c->has_begin_portal = false;
	keep_begin(c, slice_str("BEGIN READ ONLY"), slice_of("", 0));
}

/* No parameters, results as text. */
static void build_run(struct buf *b, const char *portal, struct slice statement)
{
	size_t start;

	build_bind_renamed(b, slice_of(portal, strlen(portal) + 1), statement,
			   slice_of("\0\0\0\0\0", 6));
	start = build_begin(b, FE_EXECUTE);
	build_cstring(b, slice_str(portal));
	buf_append_u32(b, 0);
	build_end(b, start);
}

/*
 * In the batch of the request behind it, without a Sync: if it fails (a cancel may hit it),
 * PostgreSQL skips the request too, which must not run outside of its transaction. As a Query it
 * leaves no portal, by extended messages the client's. The last Close says that it is done: where
 * no Sync comes behind, nothing else would have PostgreSQL say so, and what ends the batch may
 * wait for it.
 */
static void send_begin(struct client *c, const struct request *req)
{
	struct server *s = c->server;
	struct slice none = slice_of("", 0), name = slice_str(BEGIN_NAME);
	const char *portal = c->begin_sql + strlen(c->begin_sql) + 1;
	struct buf b;

	segment_begin(c, REPLY_BEGIN, false);
	replies_push_op(&s->replies, REPLY_OP_OWN_PARSE, 0);
	buf_init(&b, strlen(c->begin_sql) + strlen(portal) * 2 + BEGIN_ROOM);
	build_parse(&b, name, slice_str(c->begin_sql), none);
	build_run(&b, portal, name);
	if (!c->has_begin_portal) {
		replies_push_op(&s->replies, REPLY_OP_OWN_CLOSE, 0);
		build_close(&b, 'P', none);
	}
	replies_push_op(&s->replies, REPLY_OP_OWN_CLOSE, 0);
	build_close(&b, 'S', name);
	if (req->kind == REQUEST_EXTENDED && !req->has_sync)
		buf_append_slice(&b, wire_flush);
	conn_send_copy(&s->conn, buf_slice(&b));
	buf_fini(&b);
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
	struct reply_segment *seg = is_open ? replies_newest(&s->replies) :
					      segment_begin(c, REPLY_EXTENDED, req->has_sync);

	seg->has_sync |= req->has_sync;
	if (plan->must_rewrite || (plan->has_live_unnamed && !c->is_unnamed_live) || is_open ||
	    !req->has_sync) {
		rewrite_send(c, req, plan);
		return;
	}
	conn_send(&s->conn, req->bytes);
	if (plan->unnamed_parses) {
		c->is_unnamed_live = true;
		unnamed_parsed(c, plan->unnamed_parse);
		seg->unnamed_due = plan->unnamed_parses;
	}
}

/* A simple query stands in the place of the open batch's Sync. */
static void end_by_query(struct client *c, const struct plan *plan)
{
	struct reply_segment *seg = replies_newest(&c->server->replies);

	rewrite_query_mark(c, plan);
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
		segment_begin(c, REPLY_SIMPLE, true);
	else
		end_by_query(c, plan);
	if (req->kind == REQUEST_QUERY) { /* which ends it; a function call doesn't */
		unnamed_end(c);
		c->is_unnamed_live = false;
	}
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

bool forward_reads_foreign_sequence(const struct client *c, const struct plan *plan)
{
	return (plan->pins & PIN_SEQUENCE_VALUE) && !(c->pins & PIN_SEQUENCE_VALUE) &&
	       !plan->is_ddl && c->server->sequence_client != c->id;
}

bool forward_takes_sequences_over(const struct client *c, const struct plan *plan)
{
	const struct server *s = c->server;

	return plan->moves_sequence && s->has_sequences && s->sequence_client != c->id &&
	       keep_may(c, s->pool);
}

/* Others' values go: the server is as one on which nobody has moved a sequence. */
static void discard_sequences(struct client *c)
{
	struct server *s = c->server;
	struct buf b;

	if (c->txn.state == TXN_FAILED || is_segment_open(s))
		return;
	replies_add(&s->replies, REPLY_SYNC, true);
	buf_init(&b, DISCARD_MAX);
	bring_command(&b, slice_str("DISCARD SEQUENCES"));
	buf_append_slice(&b, wire_sync);
	conn_send_copy(&s->conn, buf_slice(&b));
	buf_fini(&b);
	s->has_sequences = false;
	s->sequence_client = c->id;
}

static void note_sequences(struct client *c, const struct plan *plan)
{
	struct server *s = c->server;

	if (forward_reads_foreign_sequence(c, plan) || forward_takes_sequences_over(c, plan))
		discard_sequences(c);
	if (!plan->moves_sequence)
		return;
	if (s->sequence_client != c->id)
		s->sequence_client = s->has_sequences ? 0 : c->id;
	s->has_sequences = true;
	c->has_moved_sequence = true;
}

void forward_request(struct client *c, const struct request *req, const struct plan *plan)
{
	struct server *s = c->server;
	bool is_first = !replies_has_own(&s->replies);

	if (forward_skipped(c, req))
		return;
	if (!is_first)
		held_release(c); /* one behind another can't be repeated alone */
	else if (!plan->has_named_parse && !plan->replaces_unnamed)
		held_take(c, req);
	forward_session_sync(c);
	if (plan->runs_code)
		s->unsure_client = c->id;
	if (is_first)
		bring_names(c, plan);
	s->is_listening |= plan->listens;
	if (plan->shows_channels && is_first)
		listen_show(c);
	note_sequences(c, plan);
	if (c->txn.state == TXN_DEFERRED)
		send_begin(c, req);
	if (plan->txn.may_write)
		hear_note_writer(c);
	if (plan->is_ddl)
		vacate_for(c, plan);
	c->has_notified |= plan->may_notify;
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
