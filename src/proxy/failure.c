/* SPDX-License-Identifier: PostgreSQL */
/*
 * Failures. The rule: a request may run twice only if its first run certainly
 * left nothing behind - it read only, or PostgreSQL refused or ended it before
 * anything of its answer was sent (an error inside a transaction undoes it).
 * A connection that just breaks leaves a write's outcome unknown: that is told.
 */
#include "proxy/failure.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "pool/session.h"
#include "proxy/backend.h"
#include "proxy/cached.h"
#include "proxy/hear.h"
#include "proxy/held.h"
#include "proxy/link.h"
#include "proxy/local.h"
#include "proxy/orphan.h"
#include "proxy/replication.h"
#include "proxy/rewrite.h"
#include "proxy/serve.h"
#include "proxy/track.h"
#include "wire/build.h"
#include "wire/frame.h"

enum { RESIDUE_BOUND_US = 5000000, ABORT_MAX = 64, WARNING_MAX = 256 };

bool failure_is_final_login_error(const char *sqlstate)
{
	static const char *const final[] = { "08001", "3D000", "42501", "08P01", "42704",
						 "55000", "22023" };

	for (size_t i = 0; i < WEIR_COUNTOF(final); i++)
		if (strcmp(sqlstate, final[i]) == 0)
			return true;
	return strncmp(sqlstate, "28", 2) == 0;
}

void failure_copy_error(struct pg_error *out, const struct msg_error *from)
{
	pg_error_set(out, "XX000", "%.*s", (int)from->message.len, from->message.ptr);
	memcpy(out->sqlstate, from->sqlstate.ptr, PG_SQLSTATE_LEN);
	snprintf(out->detail, sizeof out->detail, "%.*s", (int)from->detail.len, from->detail.ptr);
	snprintf(out->hint, sizeof out->hint, "%.*s", (int)from->hint.len, from->hint.ptr);
}

static bool is_shutdown(struct slice sqlstate)
{
	return slice_is(sqlstate, "57P01") || slice_is(sqlstate, "57P03");
}

static bool is_only_request(const struct server *s)
{
	size_t own = 0;

	for (uint32_t i = 0; i < s->replies.segment_count; i++) {
		uint32_t at = (s->replies.segment_head + i) & (s->replies.segment_cap - 1);

		own += !replies_is_internal(&s->replies.segments[at]);
	}
	return own == 1;
}

static bool is_repeatable(const struct client *c, const struct reply_segment *seg)
{
	return c->held && !seg->is_started && !c->had_error && !c->stream_left && c->server &&
	       is_only_request(c->server) && !track_has_lasted(c);
}

/* It is as if it had never been sent: what an error undoes may be sent again, a commit not. */
static bool is_undone(const struct client *c)
{
	return !c->has_inner_commit && !c->commits_inside;
}

static bool may_repeat(const struct client *c, const struct reply_segment *seg)
{
	return c->retries < CLIENT_RETRIES_MAX && is_repeatable(c, seg);
}

bool failure_is_outdated_plan(const struct client *c, const struct msg_error *e)
{
	return c->names && slice_is(e->sqlstate, "0A000") &&
	       slice_is(e->message, "cached plan must not change result type");
}

/*
 * What a replica may refuse and the primary not: recovery conflicts; names that have not arrived
 * there yet (class 42); unlogged relations and the like (0A, 55).
 */
static bool is_replicas_own_error(struct slice sqlstate)
{
	static const char *const classes[] = { "40", "42", "0A", "55", "26" };

	for (size_t i = 0; i < WEIR_COUNTOF(classes); i++)
		if (memcmp(sqlstate.ptr, classes[i], 2) == 0)
			return true;
	return false;
}

/*
 * A setting of the session that this server has no place for: its prefix is that of a library that
 * is loaded here and doesn't know it. PostgreSQL takes such a setting away when it loads the
 * library. ptr NULL: none. Found by its name, since the text around that is translated.
 */
static struct slice reserved_setting(const struct client *c, const struct reply_segment *seg,
				     const struct msg_error *e)
{
	struct slice found = slice_of(NULL, 0);

	if (seg->kind != REPLY_SYNC || !slice_is(e->sqlstate, "42602") || c->settings.client)
		return found;
	for (size_t i = 0; i < session_count(c->session); i++) {
		struct slice name = slice_str(session_name(c->session, i));

		if (memchr(name.ptr, '.', name.len) && name.len > found.len &&
		    memmem(e->message.ptr, e->message.len, name.ptr, name.len))
			found = name;
	}
	return found;
}

static void drop_setting(struct session_state **session, struct slice name)
{
	struct session_state *without = session_with(*session, name, NULL);

	if (!without)
		return;
	session_put(session);
	*session = without;
}

static void forget_reserved(struct client *c, struct slice name)
{
	char text[WARNING_MAX], *copy = mem_slicedup(name);

	c->retries++;
	snprintf(text, sizeof text, "invalid configuration parameter name \"%s\", removing it", copy);
	client_send_notice(c, "WARNING", "42602", text);
	drop_setting(&c->session, slice_str(copy));
	drop_setting(&c->startup, slice_str(copy));
	mem_free(copy);
}

bool failure_is_retryable(const struct client *c, const struct reply_segment *seg,
			  const struct msg_error *e)
{
	bool on_primary;

	if (failure_is_outdated_plan(c, e)) /* servers that end don't use these up */
		return c->heals < CLIENT_HEALS_MAX && is_repeatable(c, seg) && is_undone(c);
	if (!may_repeat(c, seg))
		return false;
	if (reserved_setting(c, seg, e).ptr)
		return true;
	on_primary = tenant_pool_of(c->server->pool)->is_primary;
	if (is_shutdown(e->sqlstate))
		return is_undone(c);
	/* SET of what hasn't arrived there yet, a new role. */
	if (!on_primary &&
	    (seg->kind == REPLY_SYNC || seg->kind == REPLY_NAMES || track_is_staged(c)))
		return true;
	if (slice_is(e->sqlstate, "25006")) {
		/* Of the client's own making when it asked for read only. */
		return !c->held->txn_before.is_read_only && (!on_primary || c->retries == 0) &&
		       !session_find(c->session, slice_str("default_transaction_read_only"));
	}
	return !on_primary && is_replicas_own_error(e->sqlstate);
}

static void on_residue_timeout(struct loop_timer *timer)
{
	backend_close(list_entry(timer, struct server, timer), CLOSE_SERVER_LOST);
}

/* The server finishes an answer that nobody wants any more, then is free. */
static void leave_residue(struct server *s)
{
	replies_disown(&s->replies);
	server_set_state(s, SERVER_TESTED);
	loop_timer_arm(backend_proxy(s)->loop, &s->timer, RESIDUE_BOUND_US, on_residue_timeout);
}

/* Back to where the request was about to be sent. */
static void request_rewind(struct client *c, bool is_avoided)
{
	uint32_t avoid = 1u << c->server->pool->node_id;

	rewrite_look_failed(c);
	rewrite_undo_all(c, c->server);
	cached_end(c);
	link_cut(c);
	track_lost(c);
	c->txn = c->held->txn_before;
	if (is_avoided)
		c->avoid_nodes |= avoid;
	c->is_retrying = true;
	client_set_state(c, CLIENT_IDLE);
}

/* Other servers may have the statements as outdated: under new ids all parse them anew. */
static void heal(struct client *c)
{
	c->heals++;
	prepared_names_renew(c->names, true);
}

static void go_elsewhere(struct client *c, struct server *from, bool is_node_failing)
{
	c->retries++;
	if (!is_node_failing && !tenant_pool_of(from->pool)->is_primary)
		c->must_use_primary = true;
	else
		tenant_suspect(c->tenant, from->pool->node_id);
}

void failure_retry(struct client *c, const struct msg_error *e)
{
	struct server *s = c->server;
	bool is_read_only = slice_is(e->sqlstate, "25006");
	bool is_outdated = failure_is_outdated_plan(c, e);
	struct slice reserved = reserved_setting(c, replies_current(&s->replies), e);
	enum reply_kind kind = (enum reply_kind)replies_current(&s->replies)->kind;
	/* After a failed sync nobody knows its settings; after BEGIN a query may have been skipped. */
	bool is_useless = slice_is(e->severity, "FATAL") || kind == REPLY_SYNC || kind == REPLY_BEGIN;

	stat_add(is_read_only ? &c->tenant->stats->retries_read_only :
				&c->tenant->stats->retries_other, 1);
	log_debug("request_retried", "id=%llu sqlstate=%.*s node=%u", (unsigned long long)c->id,
		  (int)e->sqlstate.len, e->sqlstate.ptr, s->pool->node_id);
	request_rewind(c, !is_outdated && !reserved.ptr);
	if (is_outdated)
		heal(c);
	else if (reserved.ptr)
		forget_reserved(c, reserved);
	else
		go_elsewhere(c, s, is_shutdown(e->sqlstate));
	if (is_useless)
		backend_close(s, CLOSE_SERVER_LOST);
	else
		leave_residue(s);
	link_make_ready(c);
}

static void lost_error(const struct client *c, const struct msg_error *from, struct pg_error *e)
{
	bool is_commit = c->is_commit_request;

	if (from)
		pg_error_set(e, is_commit ? "08007" : "08006",
			     "server connection was lost: %.*s",
			     (int)(from->message.len > 300 ? 300 : from->message.len),
			     from->message.ptr);
	else
		pg_error_set(e, is_commit ? "08007" : "08006", "server connection was lost");
	if (is_commit)
		snprintf(e->detail, sizeof e->detail,
			 "The outcome of the transaction is not known.");
}

/*
 * An error (`e`, or `raw` as a server sent it, in any memory) and its ReadyForQuery for every
 * request that was under way: one without an error would look as if it had been done.
 */
static void answer_requests(struct client *c, struct server *s, const struct pg_error *e,
			    struct slice raw)
{
	bool is_open_batch = false;
	struct reply_segment *seg;

	rewrite_undo_all(c, s);
	while ((seg = replies_current(&s->replies)) != NULL) {
		bool is_own = !replies_is_internal(seg), has_sync = seg->has_sync;

		replies_pop(&s->replies);
		if (!is_own)
			continue;
		if (e)
			client_send_error(c, "ERROR", e);
		else
			conn_send_copy(&c->conn, raw);
		if (has_sync)
			conn_send(&c->conn, c->is_txn_lost ? wire_ready_failed : wire_ready_idle);
		is_open_batch = !has_sync;
	}
	c->is_skipping = is_open_batch;
}

static void answer_lost_requests(struct client *c, struct server *s, const struct pg_error *e)
{
	bool was_open = c->txn.state == TXN_OPEN || c->txn.state == TXN_FAILED;
	/* Held are requests that begin one; BEGIN itself was answered here if it was deferred. */
	bool had_begun = c->held == NULL || c->held->txn_before.state == TXN_DEFERRED;
	bool stays_open = ((was_open && had_begun) || c->is_begin_request) &&
			  !c->is_commit_request && !c->is_rollback_request;

	track_lost(c);
	c->is_txn_lost = stays_open;
	answer_requests(c, s, e, slice_of(NULL, 0));
}

static void drop_server(struct server *s)
{
	replies_disown(&s->replies);
	backend_close(s, CLOSE_SERVER_LOST);
}

/* Told in the middle of a message, or bound to the server: the session can't go on. */
static bool must_close_client(const struct client *c, const struct server *s)
{
	return s->pass_left || c->pins || c->stream_left ||
	       c->tenant->pool_mode == POOL_MODE_SESSION;
}

static void own_words(const struct msg_error *error, struct pg_error *e)
{
	pg_error_set(e, "08006", "%.*s",
		     (int)(error->message.len > 400 ? 400 : error->message.len),
		     error->message.ptr);
	if (error->sqlstate.len == PG_SQLSTATE_LEN)
		memcpy(e->sqlstate, error->sqlstate.ptr, PG_SQLSTATE_LEN);
}

/* A message of the client's ended the session: that is no news of the node, and isn't repeated. */
static bool is_clients_fault(const struct msg_error *error)
{
	return error && slice_is(error->sqlstate, "08P01");
}

/* PostgreSQL's limits on one session's own time. */
static bool is_session_timeout(const struct msg_error *error)
{
	return error && (slice_is(error->sqlstate, "25P03") || slice_is(error->sqlstate, "25P04") ||
			 slice_is(error->sqlstate, "57P05"));
}

/* It gave up on what it was asked: so would the next session. No news of the node either. */
static bool is_internal_error(const struct msg_error *error)
{
	return error && slice_is(error->sqlstate, "XX000");
}

static void lost_with_client(struct server *s, struct client *c, const struct msg_error *error)
{
	struct reply_segment *seg = replies_current(&s->replies);
	struct pg_error e;

	if (seg && !is_clients_fault(error) && !is_internal_error(error) && may_repeat(c, seg) &&
	    (c->is_read_request || (error && is_shutdown(error->sqlstate) && is_undone(c)))) {
		stat_add(&c->tenant->stats->retries_other, 1);
		request_rewind(c, true);
		c->retries++;
		drop_server(s);
		link_make_ready(c);
		return;
	}
	lost_error(c, error, &e);
	link_cut(c);
	orphan_leave(c, s);
	cached_end(c);
	if (must_close_client(c, s) || is_clients_fault(error)) {
		if (error && !c->is_commit_request) /* as the session would end without us */
			own_words(error, &e);
		drop_server(s);
		client_close(c, CLOSE_SERVER_LOST, &e);
		return;
	}
	if (seg) {
		answer_lost_requests(c, s, &e);
		client_settle(c);
		client_set_state(c, CLIENT_IDLE);
	} else { /* idle inside a transaction: it hears with its next request */
		bool was_open = c->txn.state != TXN_IDLE;

		track_lost(c);
		c->is_txn_lost = c->is_loss_untold = was_open;
	}
	drop_server(s);
	link_make_ready(c);
}

void failure_server_lost(struct server *s, const struct msg_error *error)
{
	struct client *c = s->client;

	log_info("server_lost", "id=%llu host=%s port=%u state=%s sqlstate=%.*s",
		 (unsigned long long)s->id, s->host, s->port,
		 server_state_name(s->state), error ? (int)error->sqlstate.len : 1,
		 error ? error->sqlstate.ptr : "-");
	if (!is_clients_fault(error) && !is_session_timeout(error) && !is_internal_error(error))
		tenant_suspect(backend_tenant(s), s->pool->node_id);
	if (c && s->is_replication)
		replication_lost(c, s);
	else if (c)
		lost_with_client(s, c, error);
	else
		backend_close(s, CLOSE_SERVER_LOST);
}

void failure_protocol(struct server *s)
{
	struct client *c = s->client;

	log_warn("server_protocol", "id=%llu host=%s port=%u", (unsigned long long)s->id,
		 s->host, s->port);
	if (c) {
		link_cut(c);
		orphan_leave(c, s);
	}
	backend_close(s, CLOSE_SERVER_PROTOCOL);
	if (c)
		client_close(c, CLOSE_SERVER_PROTOCOL, NULL);
}

/* The server's error in its start-up settings, which there ends the session. */
static void refuse_log_in(struct client *c, struct slice error)
{
	struct msg_error m;
	struct pg_error e;

	backend_read_error(slice_of(error.ptr + FRAME_HEADER_BYTES,
				    error.len - FRAME_HEADER_BYTES), &m);
	failure_copy_error(&e, &m);
	client_close(c, CLOSE_LOGIN_FAILED, &e);
}

void failure_internal_error(struct client *c, const struct reply_segment *seg, struct slice error)
{
	bool is_sync = seg->kind == REPLY_SYNC;
	struct server *s = link_cut(c);

	log_warn("session_sync_failed", "id=%llu kind=%s", (unsigned long long)c->id,
		 is_sync ? "settings" : "begin");
	s->is_dirty = true;
	orphan_leave(c, s);
	c->is_txn_lost = c->txn.state != TXN_IDLE; /* its BEGIN was answered, and nothing ran since */
	track_lost(c);
	cached_end(c);
	client_settle(c);
	if (c->state == CLIENT_LOGIN) {
		backend_close(s, CLOSE_SERVER_DIRTY);
		refuse_log_in(c, error);
		return;
	}
	/* The client's requests were pipelined behind: their answer is this error. */
	answer_requests(c, s, NULL, error);
	backend_close(s, CLOSE_SERVER_DIRTY);
	client_set_state(c, CLIENT_IDLE);
	link_make_ready(c);
}

/* Binding a statement that never exists is an error. */
static void send_error_bind(struct server *s, const char *statement, bool has_sync)
{
	struct buf b;

	buf_init(&b, ABORT_MAX);
	build_bind_renamed(&b, slice_of("", 1), slice_str(statement), slice_of("\0\0\0\0\0", 6));
	if (has_sync)
		buf_append_slice(&b, wire_sync);
	conn_send_copy(&s->conn, buf_slice(&b));
	buf_fini(&b);
}

static void send_abort(struct client *c)
{
	struct server *s = c->server;

	replies_add(&s->replies, REPLY_ABORT, true);
	send_error_bind(s, REWRITE_NO_STATEMENT, true);
	s->txn_status = 'E';
	(void)txn_ready(&c->txn, 'E');
}

void failure_abort_txn(struct client *c)
{
	if (c->txn.state == TXN_OPEN && c->server) {
		send_abort(c);
	} else if (c->txn.state == TXN_DEFERRED) {
		track_lost(c);
		c->is_txn_lost = true;
	}
}

void failure_in_batch(struct client *c, const struct request *req, const char *statement)
{
	struct server *s = c->server;
	bool is_end = req->has_sync || req->kind != REQUEST_EXTENDED;

	held_release(c); /* what went before can't be repeated without it */
	replies_newest(&s->replies)->has_sync |= is_end;
	send_error_bind(s, statement, is_end);
}

/* ROLLBACK ends it without an error; so does COMMIT, as in PostgreSQL, if the client knows. */
static bool answer_lost_end(struct client *c, const struct request *req, const struct plan *plan)
{
	const struct txn_plan end = { .act = TXN_ANSWER_ROLLBACK };

	if ((c->is_loss_untold && (plan->txn.flags & STATEMENT_COMMIT)) ||
	    !local_can_answer(c, req, plan, &end))
		return false;
	c->is_txn_lost = c->is_loss_untold = false;
	local_answer(c, req, plan, &end);
	hear_flush(c);
	client_send_ready(c);
	return true;
}

bool failure_answer_lost(struct client *c, const struct request *req, const struct plan *plan)
{
	bool is_end = plan->txn.statement_count == 1 &&
		      (plan->txn.flags & (STATEMENT_COMMIT | STATEMENT_ROLLBACK));
	struct pg_error e;

	if (is_end && answer_lost_end(c, req, plan))
		return true;
	if (is_end && (req->kind == REQUEST_QUERY || req->has_sync))
		c->is_txn_lost = false;
	if (is_end || c->is_loss_untold)
		pg_error_set(&e, "08006", "the transaction was lost with its server connection");
	else
		pg_error_set(&e, "25P02", "current transaction is aborted, commands ignored until "
					  "end of transaction block");
	c->is_loss_untold = false;
	client_send_error(c, "ERROR", &e);
	if (req->kind == REQUEST_EXTENDED && !req->has_sync)
		c->is_skipping = true;
	else
		conn_send(&c->conn, c->is_txn_lost ? wire_ready_failed : wire_ready_idle);
	return true;
}
