/* SPDX-License-Identifier: PostgreSQL */
/*
 * One request at a time, except that a pipelining client's next request may
 * follow to the same server at once when nothing about it depends on the
 * outcome of those before.
 */
#include "proxy/serve.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "pool/session.h"
#include "proxy/bring.h"
#include "proxy/cached.h"
#include "proxy/failure.h"
#include "proxy/forward.h"
#include "proxy/held.h"
#include "proxy/keep.h"
#include "proxy/link.h"
#include "proxy/hear.h"
#include "proxy/listen.h"
#include "proxy/local.h"
#include "proxy/pins.h"
#include "proxy/track.h"
#include "proxy/unnamed.h"
#include "tier/catalog.h"
#include "wire/build.h"
#include "wire/frame.h"
#include "wire/frontend.h"

enum {
	CONSOLE_ERROR_MAX = 4096,
	BATCH_PATIENCE_US = 100 * 1000, /* for the Sync or Flush of messages that are there */
};

void serve_error(struct client *c, const struct request *req, const struct pg_error *e)
{
	client_send_error(c, "ERROR", e);
	failure_abort_txn(c);
	if (req->kind == REQUEST_EXTENDED && !req->has_sync)
		c->is_skipping = true;
	else
		client_send_ready(c);
}

static struct txn_defaults session_defaults(const struct client *c)
{
	struct txn_defaults d = { 0 };
	const char *value;

	if (session_count(c->session) == 0)
		return d;
	value = session_find(c->session, slice_str("default_transaction_read_only"));
	d.is_read_only = value && (strstr(value, "on") || strstr(value, "true"));
	value = session_find(c->session, slice_str(SESSION_ISOLATION));
	d.is_isolated = value && !strstr(value, "committed");
	return d;
}

/* May this one follow the requests that are still being answered? */
static bool may_pipeline(struct client *c, const struct request *req, const struct plan *plan)
{
	struct server *s = c->server;
	struct reply_segment *last = replies_newest(&s->replies);
	bool on_primary = tenant_pool_of(s->pool)->is_primary;
	bool has_effects = plan->effect_count || plan->pins ||
			   (plan->txn.flags &
			    (STATEMENT_BEGIN | STATEMENT_COMMIT | STATEMENT_ROLLBACK));

	if (last && last->kind == REPLY_EXTENDED && !last->has_sync) /* the rest of the same batch */
		return !has_effects || replies_count(&s->replies) == 1;
	if (!replies_has_room(&s->replies) || link_is_wanted_back(c))
		return false;
	/* Until settings and BEGIN are known to be there, nothing follows the request behind them. */
	if (last && (replies_current(&s->replies)->kind == REPLY_SYNC ||
		     replies_current(&s->replies)->kind == REPLY_BEGIN))
		return false;
	if (plan->shows_channels)
		return false;
	if (c->listening && c->has_notified) /* its own notifications come before the next answer */
		return false;
	if (track_is_staged(c) || cached_is_busy(c) || s->is_copy_in || req->kind != REQUEST_EXTENDED)
		return false;
	/* If the Close is skipped by an error, the name still means what it did. */
	if (plan->must_rewrite && prepared_names_is_closing(c->names))
		return false;
	/* What the client is told now decides whether its next request may run. */
	if (plan->must_rewrite && prepared_names_is_asking(c->names))
		return false;
	if ((plan->name_count || plan->shows_prepared) && bring_is_due(c, plan))
		return false;
	if (plan->makes_statements && bring_is_over_limit(c, req))
		return false;
	return !has_effects && !forward_takes_sequences_over(c, plan) &&
	       (on_primary || !(plan->txn.needs_primary || plan->txn.is_unfinished));
}

static bool serve_pipelined(struct client *c, const struct request *req, struct plan *plan)
{
	if (!may_pipeline(c, req, plan))
		return false;
	if (plan->pins && pins_refuse_in_batch(c, req, plan))
		return true;
	if (plan->pins)
		pins_warn(c, plan);
	forward_request(c, req, plan);
	return true;
}

enum config_consistency serve_level(const struct client *c)
{
	const char *value = NULL;

	if (session_count(c->session) > 0)
		value = session_find(c->session, slice_str("pgweir.consistency"));
	for (int level = CONSISTENCY_EVENTUAL; value && level <= CONSISTENCY_STRONG; level++)
		if (strstr(value, config_consistency_text((enum config_consistency)level)))
			return (enum config_consistency)level;
	return c->tenant->policy.level;
}

static struct route_choice choose(struct client *c, const struct plan *plan, enum txn_node node)
{
	struct tenant *t = c->tenant;
	struct route_policy policy = t->policy;
	uint64_t now = loop_now_us(c->proxy->loop);
	enum config_consistency level = serve_level(c);
	bool is_strong = level == CONSISTENCY_STRONG;
	struct route_ask ask = {
		.node = node == TXN_NODE_SAME || c->must_use_primary ? TXN_NODE_PRIMARY : node,
		.hint = plan->hint,
		.reads = &c->reads,
		.now_us = now,
		.arrived_us = is_strong && !c->wait_us ? clock_monotonic_us() : c->wait_us,
		.waited_us = c->wait_us && now > c->wait_us ? now - c->wait_us : 0,
		.rotation = c->proxy->rotation++,
		.avoid = c->avoid_nodes,
	};

	policy.level = level;
	return route_choose(t->cluster->topology, &policy, &ask);
}

/* True: linked. False: it waits, or was refused (then *is_answered). */
static bool acquire(struct client *c, const struct request *req, const struct plan *plan,
		    enum txn_node txn_node, bool *is_answered)
{
	struct topology *topology = c->tenant->cluster->topology;
	const struct proxy_hooks *hooks = c->proxy->shared->hooks;
	struct route_choice choice;
	const struct topology_node *node;
	struct pg_error e;

	if (c->tenant->gate.is_paused) {
		link_wait_held(c);
		return false;
	}
	if (!topology) {
		link_wait_node(c);
		return false;
	}
	choice = choose(c, plan, keep_wants_primary(c) ? TXN_NODE_PRIMARY : txn_node);
	switch (choice.what) {
	case ROUTE_NODE:
		break;
	case ROUTE_WAIT_FRESH:
		hooks->probe(c->proxy->shared->hooks_ctx, c->tenant->cluster->name);
		link_wait_fresh(c);
		return false;
	case ROUTE_WAIT_PRIMARY:
		link_wait_node(c);
		return false;
	case ROUTE_FAIL:
		pg_error_set(&e, "57P03", "no replica may serve this request");
		serve_error(c, req, &e);
		*is_answered = true;
		return false;
	}
	node = &topology->nodes[choice.node_index];
	if (c->avoid_nodes & (1u << node->id)) { /* it just failed and nothing else is there */
		link_wait_node(c);
		return false;
	}
	if (choice.reason == ROUTE_REASON_NONE_FRESH)
		stat_add(&c->tenant->stats->not_fresh, 1);
	return link_acquire(c, node);
}

static void log_query(const struct client *c, const struct plan *plan)
{
	const struct topology_node *node = tenant_node(c->tenant, c->server->pool->node_id);

	log_info("query", "id=%llu db=%s user=%s node=%s tag=%s", (unsigned long long)c->id,
		 c->tenant->database, c->tenant->user, node ? node->name : "-",
		 plan->only ? plan->only->tag : "-");
}

/* Its own value is on a server that isn't its any more, and not of this very request. */
static bool is_lost_sequence(const struct client *c, const struct plan *plan)
{
	return forward_reads_foreign_sequence(c, plan) && c->has_moved_sequence &&
	       (!plan->moves_sequence || plan->code_reads_sequence);
}

static void refuse_sequence(struct client *c, const struct request *req)
{
	struct pg_error e;

	pg_error_set(&e, "55000", "the sequence's value is not yet defined in this session");
	snprintf(e.hint, sizeof e.hint,
		 "The session was on another server connection then; from now on sessions of this "
		 "database and user keep theirs once they move a sequence. Repeat both statements.");
	serve_error(c, req, &e);
	if (client_is_free(c))
		link_release(c);
	client_settle(c);
}

/* It is still on the replica of its last request, since more of its was there. */
static bool is_on_wrong_node(const struct client *c, enum txn_node node)
{
	return c->server && node == TXN_NODE_PRIMARY && client_is_free(c) &&
	       !tenant_pool_of(c->server->pool)->is_primary;
}

/* Request on a linked server, or on one that is to be had. False: it must wait. */
static bool serve_forward(struct client *c, const struct request *req, const struct plan *plan,
			  enum txn_node node)
{
	bool is_answered = false;

	if (plan->pins && pins_refuse(c, req, plan))
		return true;
	if (is_on_wrong_node(c, node))
		link_release(c);
	if (!c->server) {
		switch (cached_begin(c, req, plan)) {
		case CACHED_ANSWERED:
			return true;
		case CACHED_WAITING:
			return false;
		case CACHED_FORWARD:
			break;
		}
		c->wants_own_server = plan->moves_sequence || (plan->pins & PIN_SEQUENCE_VALUE);
		if (!acquire(c, req, plan, node, &is_answered))
			return is_answered;
	}
	if (is_lost_sequence(c, plan)) {
		ledger_keep_always(c->server->pool->ledger);
		refuse_sequence(c, req);
		return true;
	}
	if (__builtin_expect(c->proxy->settings->config->global.log_queries, 0))
		log_query(c, plan);
	if (plan->pins)
		pins_warn(c, plan);
	forward_request(c, req, plan);
	return true;
}

static bool is_txn_block(const struct plan *plan)
{
	return (plan->txn.flags & (STATEMENT_BEGIN | STATEMENT_TXN_INSIDE_MULTI)) != 0;
}

static bool refuse_txn_block(struct client *c, const struct request *req)
{
	struct pg_error e;

	pg_error_set(&e, "0A000", "transaction blocks are not allowed in statement pooling mode");
	serve_error(c, req, &e);
	return true;
}

static bool refuse_statements(struct client *c, const struct request *req)
{
	struct pg_error e;

	pg_error_set(&e, "53400", "too many prepared statements");
	snprintf(e.hint, sizeof e.hint,
		 "DEALLOCATE those that aren't needed, or raise prepared_session_max or "
		 "prepared_total_max of pgweir.");
	serve_error(c, req, &e);
	return true;
}

/*
 * On a replica what comes behind the transaction's end couldn't write. As it has read only and
 * left nothing behind but settings, it ends there by ROLLBACK, and is begun once more where it is
 * to end.
 */
static void leave_replica(struct client *c, const struct plan *plan)
{
	struct server *s = c->server;

	if (!s || tenant_pool_of(s->pool)->is_primary || c->pins || track_is_staged(c) ||
	    replies_count(&s->replies) || !txn_writes_behind_end(&c->txn, &plan->txn) ||
	    !track_settle_early(c, plan->txn.commits_first))
		return;
	txn_begin_anew(&c->txn);
	forward_begin_anew(c);
	link_release(c);
}

static bool serve_planned(struct client *c, const struct request *req, struct plan *plan)
{
	struct txn_defaults defaults = session_defaults(c);
	struct txn_plan tp;

	if (c->state == CLIENT_ACTIVE)
		return serve_pipelined(c, req, plan);
	if (c->is_txn_lost)
		return failure_answer_lost(c, req, plan);
	if (c->tenant->pool_mode == POOL_MODE_STATEMENT && is_txn_block(plan))
		return refuse_txn_block(c, req);
	if (plan->makes_statements && bring_is_over_limit(c, req))
		return refuse_statements(c, req);
	leave_replica(c, plan);
	tp = txn_plan(&c->txn, &plan->txn, &defaults);
	if (plan->effect_count && listen_is_ours(c, req, plan))
		return listen_serve(c, req, plan);
	if (local_can_answer(c, req, plan, &tp)) {
		local_answer(c, req, plan, &tp);
		txn_answered(&c->txn, &tp, &plan->txn, &defaults);
		if (c->listening && tp.act != TXN_ANSWER_BEGIN)
			track_answered_end(c, tp.act == TXN_ANSWER_COMMIT);
		if (tp.act == TXN_ANSWER_BEGIN)
			forward_defer_begin(c, req, plan);
		hear_flush(c);
		client_send_ready(c);
		return true;
	}
	if ((plan->pins & PIN_LISTEN) && !listen_follow(c, plan))
		return false;
	if (plan->shows_lsn && req->kind == REQUEST_QUERY) {
		struct request token = local_token_request(c);

		return serve_forward(c, &token, plan, TXN_NODE_PRIMARY);
	}
	if (plan->deallocate.ptr && local_deallocate(c, plan))
		return true;
	if (plan->has_named_parse && local_parse(c, req))
		return true;
	return serve_forward(c, req, plan, tp.node);
}

/* Answered here: the unnamed statement ends, or is another, as it would be on a server. */
static void note_unnamed(struct client *c, const struct request *req, const struct plan *plan)
{
	if (req->kind == REQUEST_QUERY)
		unnamed_end(c);
	else if (plan->unnamed_parses)
		unnamed_parsed(c, plan->unnamed_parse);
	else
		return;
	c->is_unnamed_live = false;
}

static bool serve_query(struct client *c, const struct request *req)
{
	struct plan plan;
	bool is_done;

	if (c->is_canceled && c->state == CLIENT_IDLE) {
		struct pg_error e;

		pg_error_set(&e, "57014", "canceling statement due to user request");
		serve_error(c, req, &e);
		cached_end(c); /* what was looked up for it may be old when the same request comes again */
		client_settle(c);
		if (c->listening)
			hear_served(c);
		return true;
	}

	if (c->listening && hear_first(c))
		return false;
	plan_make(&plan, c, req);
	is_done = serve_planned(c, req, &plan);
	if (is_done && c->state == CLIENT_IDLE)
		note_unnamed(c, req, &plan);
	plan_fini(&plan);
	if (is_done && c->listening)
		hear_served(c);
	return is_done;
}

/* One ends the COPY that runs; a pipelining client's others are ahead of CopyInResponse. */
static void note_copy_ends(struct server *s, uint16_t ends)
{
	struct reply_segment *seg = replies_newest(&s->replies);

	if (ends && s->is_copy_in) {
		s->is_copy_in = false;
		ends--;
	}
	if (seg && seg->kind == REPLY_EXTENDED && seg->has_sync && seg->late_ends < INT16_MAX)
		seg->late_ends = (uint16_t)(seg->late_ends + ends);
	else if (seg && seg->early_ends < INT16_MAX)
		seg->early_ends = (uint16_t)(seg->early_ends + ends);
}

static bool serve_copy(struct client *c, const struct request *req)
{
	struct server *s = c->server;

	if (!s || c->state != CLIENT_ACTIVE)
		return true; /* PostgreSQL drops COPY data outside COPY too */
	forward_bytes(c, req->bytes);
	c->stream_left = req->missing;
	note_copy_ends(s, req->copy_ends);
	return true;
}

/* The simple protocol only; COPY data is dropped, as PostgreSQL does outside COPY. */
static void console_refuse(struct client *c, const struct request *req)
{
	bool is_end = req->kind != REQUEST_EXTENDED || req->has_sync;
	struct buf b;

	c->stream_left = req->missing;
	if (req->kind == REQUEST_COPY)
		return;
	if (!req->has_sync || req->bytes.len > wire_sync.len) {
		buf_init(&b, CONSOLE_ERROR_MAX);
		c->proxy->shared->hooks->console_refuse_extended(&b);
		client_send_buf(c, &b);
	}
	c->is_skipping = !is_end;
	if (is_end)
		client_send_ready(c);
}

static bool serve_console(struct client *c, const struct request *req)
{
	const struct proxy_hooks *hooks = c->proxy->shared->hooks;
	struct slice sql;
	struct pg_error e;

	if (req->kind != REQUEST_QUERY) {
		console_refuse(c, req);
		return true;
	}
	if (req->missing ||
	    frontend_read_query(slice_of(req->bytes.ptr + FRAME_HEADER_BYTES,
					 req->bytes.len - FRAME_HEADER_BYTES), &sql) != WEIR_OK) {
		c->stream_left = req->missing;
		pg_error_set(&e, "08P01", "the query isn't well-formed, or too long for the console");
		serve_error(c, req, &e);
		return true;
	}
	if (c->state != CLIENT_IDLE)
		return false;
	client_set_state(c, CLIENT_CONSOLE);
	c->request_us = loop_now_us(c->proxy->loop);
	hooks->console(c->proxy->shared->hooks_ctx, c->proxy, c, sql);
	return true;
}

/* After an error that pgweir answered, an extended batch is dropped up to its Sync. */
static bool skip_to_sync(struct client *c, const struct request *req)
{
	if (req->kind == REQUEST_EXTENDED && req->has_sync) {
		c->is_skipping = false;
		client_send_ready(c);
	}
	return true;
}

static void refuse_pqexec(struct client *c)
{
	struct pg_error e;

	pg_error_set(&e, "08P01", "the simple query protocol is switched off (disable_pqexec)");
	client_close(c, CLOSE_PROTOCOL, &e);
}

/* Do answers come that end by themselves? Not those of a batch without Sync, or of a COPY. */
static bool is_being_answered(const struct client *c)
{
	const struct reply_segment *last;

	if (c->state != CLIENT_ACTIVE || !c->server || c->server->is_copy_in)
		return false;
	last = replies_newest(&c->server->replies);
	return last && (last->has_sync || replies_count(&c->server->replies) > 1);
}

/* PostgreSQL reads it when it has answered what came before. */
static bool serve_terminate(struct client *c)
{
	if (is_being_answered(c))
		return false;
	client_close(c, CLOSE_CLIENT_QUIT, NULL);
	return true;
}

/* True: consumed. False: it waits. */
static bool serve_request(struct client *c, const struct request *req)
{
	if (req->kind == REQUEST_TERMINATE)
		return serve_terminate(c);
	if (c->is_skipping)
		return skip_to_sync(c, req);
	if (c->is_console)
		return serve_console(c, req);
	if (req->kind == REQUEST_COPY)
		return serve_copy(c, req);
	if (req->kind == REQUEST_QUERY && c->proxy->settings->config->global.disable_pqexec) {
		refuse_pqexec(c);
		return true;
	}
	return serve_query(c, req);
}

static void refuse_bytes(struct client *c, enum weir_err err, char type)
{
	struct pg_error e;

	if (err == WEIR_ERR_LIMIT)
		pg_error_set(&e, "08P01", "invalid message length: longer than max_packet_size, or than "
					  "PostgreSQL takes of its type");
	else
		pg_error_set(&e, "08P01", "invalid frontend message type %d",
			     (int)(unsigned char)type);
	client_close(c, CLOSE_PROTOCOL, &e);
}

/*
 * The rest of a message whose start left: its server gets it even if the answer came before. If
 * the start was dropped the rest is too: it must never be taken for messages.
 */
static size_t serve_stream(struct client *c, struct slice bytes)
{
	size_t n = bytes.len < c->stream_left ? bytes.len : (size_t)c->stream_left;
	bool is_dropped = c->is_stream_dropped;

	c->stream_left -= n;
	if (!c->stream_left)
		c->is_stream_dropped = false;
	if (!c->server)
		return n;
	if (!is_dropped)
		forward_bytes(c, slice_of(bytes.ptr, n));
	if (c->state == CLIENT_IDLE && client_is_free(c) && c->server->txn_status == 'I')
		link_release(c);
	return n;
}

/* A request was served; what is still to come of it goes where its start went. */
static size_t request_served(struct client *c, const struct request *req)
{
	if (req->missing && !c->stream_left) {
		c->stream_left = req->missing;
		c->is_stream_dropped = true;
	}
	return req->bytes.len;
}

/*
 * While a server takes COPY data it ignores Sync and Flush, and any other message ends the COPY
 * with an error: that very message is passed on, what follows is served as usual. 0: not such.
 */
static size_t serve_in_copy(struct client *c, struct slice bytes)
{
	struct frame_header head;
	size_t total;

	if (!c->server || !c->server->is_copy_in || c->state != CLIENT_ACTIVE ||
	    frame_peek(bytes, &head) != WEIR_OK || !frontend_type_is_known(head.type))
		return 0;
	total = FRAME_HEADER_BYTES + (size_t)head.body_len;
	if (head.type == FE_COPY_DATA || head.type == FE_COPY_DONE || head.type == FE_COPY_FAIL ||
	    head.type == FE_TERMINATE || head.type == FE_PASSWORD || total > bytes.len ||
	    (head.body_len > FRONTEND_SMALL_MAX_BYTES && !frontend_type_is_large(head.type)))
		return 0;
	if (head.type != FE_SYNC && head.type != FE_FLUSH)
		c->server->is_copy_in = false;
	forward_bytes(c, slice_of(bytes.ptr, total));
	return total;
}

static bool is_serveable(const struct client *c)
{
	return (c->state == CLIENT_IDLE || c->state == CLIENT_ACTIVE) && !c->is_retrying &&
	       !c->look && conn_is_open(&c->conn);
}

static bool is_draining_away(struct client *c)
{
	if (!c->proxy->is_draining || !client_may_leave(c))
		return false;
	client_close(c, CLOSE_SHUTDOWN, NULL);
	return true;
}

static bool starts_with_whole_message(struct slice bytes)
{
	struct frame_header head;

	return frame_peek(bytes, &head) == WEIR_OK &&
	       FRAME_HEADER_BYTES + (size_t)head.body_len <= bytes.len;
}

static void on_batch_patience(struct loop_timer *timer)
{
	struct client *c = list_entry(timer, struct client, timer);

	if (!is_serveable(c))
		return;
	c->is_batch_cut = true;
	conn_redeliver(&c->conn);
	c->is_batch_cut = false;
}

/*
 * Nothing comes behind messages that have no Sync or Flush yet: PostgreSQL would have run them,
 * and told of an error. They go on without.
 */
static void await_batch_end(struct client *c, struct slice rest)
{
	if (!c->timer.loop && is_serveable(c) && starts_with_whole_message(rest))
		loop_timer_arm(c->proxy->loop, &c->timer, BATCH_PATIENCE_US, on_batch_patience);
}

/* Up to so many bytes of a request without an end are waited for. */
static size_t kept_bound(const struct client *c, struct slice rest)
{
	return c->is_batch_cut && starts_with_whole_message(rest) ?
		       0 :
		       c->proxy->settings->config->global.client_buffer_bytes;
}

size_t serve_bytes(struct client *c, struct slice bytes)
{
	size_t max_message = c->proxy->settings->config->global.max_packet_size_bytes;
	size_t used = 0;

	c->is_serving = true;
	while (used < bytes.len && is_serveable(c) && !is_draining_away(c)) {
		struct slice rest = slice_of(bytes.ptr + used, bytes.len - used);
		struct request req;
		enum weir_err err;
		char bad_type;
		size_t taken = c->stream_left ? serve_stream(c, rest) : serve_in_copy(c, rest);

		if (taken) {
			used += taken;
			continue;
		}
		err = request_next(rest, kept_bound(c, rest), max_message, &req, &bad_type);
		if (err == WEIR_ERR_AGAIN) {
			await_batch_end(c, rest);
			break;
		}
		loop_timer_cancel(&c->timer);
		if (err) {
			refuse_bytes(c, err, bad_type);
			break;
		}
		if (serve_request(c, &req))
			used += request_served(c, &req);
		else if (c->state != CLIENT_IDLE)
			break;
	}
	c->is_serving = false;
	if (c->listening)
		hear_flush(c);
	return c->state == CLIENT_CLOSED ? bytes.len : used;
}

void serve_held(struct client *c)
{
	struct request req = held_request(c);

	c->is_serving = true;
	c->is_retrying = false;
	do {
		if (serve_query(c, &req))
			break;
		c->is_retrying = c->state != CLIENT_IDLE;
	} while (c->state == CLIENT_IDLE);
	c->is_serving = false;
	if (c->listening)
		hear_flush(c);
	if (c->state == CLIENT_CLOSED)
		c->is_retrying = false;
	else if (!c->is_retrying && c->state == CLIENT_IDLE)
		link_make_ready(c);
}
