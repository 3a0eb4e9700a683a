/* SPDX-License-Identifier: PostgreSQL */
/*
 * See replication.h. The slot in the ledger is reserved at once where there is room; otherwise the
 * client stands in the pool's line like any other, and its connection takes the place of the one
 * that it is granted. Bodies are never kept: a slow side pauses the other. Whatever isn't a message
 * is the server's to judge. The worker's thread.
 */
#include "proxy/replication.h"

#include <strings.h>

#include "base/log.h"
#include "base/mem.h"
#include "proxy/backend.h"
#include "proxy/keydata.h"
#include "proxy/link.h"
#include "proxy/login_priv.h"
#include "wire/backend.h"
#include "wire/build.h"
#include "wire/frame.h"
#include "wire/frontend.h"

/* ---- what is asked for ---- */

/* A beginning of the word that can't be another's: how PostgreSQL reads a boolean. */
static bool begins(struct slice value, const char *word, size_t least)
{
	return value.len >= least && value.len <= strlen(word) &&
	       strncasecmp(value.ptr, word, value.len) == 0;
}

bool replication_mode_of(const struct startup *s, enum replication_mode *out)
{
	struct slice v;

	*out = REPLICATION_NONE;
	if (!startup_param_find(s, "replication", &v))
		return true;
	if (slice_is(v, "database"))
		*out = REPLICATION_LOGICAL;
	else if (begins(v, "true", 1) || begins(v, "yes", 1) || begins(v, "on", 2) || slice_is(v, "1"))
		*out = REPLICATION_PHYSICAL;
	else
		return begins(v, "false", 1) || begins(v, "no", 1) || begins(v, "off", 2) ||
		       slice_is(v, "0");
	return true;
}

const char *replication_text(enum replication_mode mode)
{
	static const char *const texts[] = { "none", "physical", "logical" };

	return texts[mode];
}

const char *replication_entry(const struct config *cfg)
{
	for (size_t i = 1; i < cfg->database_count; i++)
		if (cfg->databases[i].cluster != cfg->databases[0].cluster)
			return NULL;
	return cfg->database_count ? cfg->databases[0].name : NULL;
}

/* ---- its own connection ---- */

void replication_open(struct client *c, const struct topology_node *node)
{
	struct pool *pool = tenant_pool(c->tenant, node);

	if (!ledger_has_waiters(pool->ledger) && ledger_reserve(pool->ledger))
		backend_open_for(pool, c);
	else if (link_acquire(c, node))
		(void)replication_granted(c);
}

bool replication_granted(struct client *c)
{
	struct server *s = c->server;
	struct pool *pool = s->pool;

	if (s->is_replication)
		return true;
	link_cut(c);
	ledger_replace(pool->ledger);
	s->is_replaced = true;
	backend_close(s, CLOSE_SERVER_EXPIRED);
	backend_open_for(pool, c);
	return false;
}

static size_t add_pair(struct slice *pairs, size_t n, struct slice name, struct slice value)
{
	pairs[2 * n] = name;
	pairs[2 * n + 1] = value;
	return n + 1;
}

size_t replication_pairs(const struct server *s, struct slice *pairs, size_t room)
{
	const struct client *c = s->awaited_by;
	const struct tenant *t = c->tenant;
	const char *ignored = t->settings->config->global.ignore_startup_parameters;
	struct slice rest = slice_of(c->login->params, c->login->params_len);
	struct startup_param param;
	size_t n = add_pair(pairs, 0, slice_str("user"), tenant_server_user(t));

	n = add_pair(pairs, n, slice_str("database"), tenant_server_dbname(t));
	while (n < room && startup_param_next(&rest, &param)) {
		if (param.is_protocol_option || slice_is(param.name, "user") ||
		    slice_is(param.name, "database") || config_list_has(ignored, param.name))
			continue;
		n = add_pair(pairs, n, param.name, param.value);
	}
	return n;
}

void replication_opened(struct server *s)
{
	struct client *c = keydata_opened(s);

	server_set_state(s, SERVER_ACTIVE);
	link_grant(c, s);
}

/* What a server says is its client's to hear; a node that can't be had may be there soon. */
void replication_failed(struct server *s, enum close_reason reason, struct slice error)
{
	struct client *c = keydata_server_gone(s);

	backend_close(s, reason);
	if (!error.len) {
		link_wait_node(c);
		return;
	}
	conn_send_copy(&c->conn, error);
	client_close(c, CLOSE_LOGIN_FAILED, NULL);
}

/* ---- the client's messages ---- */

static void note_request(struct client *c, char type)
{
	struct server *s = c->server;

	if (type != FE_QUERY && type != FE_FUNCTION_CALL && (type != FE_SYNC || s->is_copy_in))
		return;
	if (replies_push(&s->replies, REPLY_SIMPLE, true) != WEIR_OK)
		return; /* it counts for SHOW and for draining alone */
	c->request_us = loop_now_us(c->proxy->loop);
	if (c->state == CLIENT_IDLE)
		client_set_state(c, CLIENT_ACTIVE);
}

static void pass_to_server(struct client *c, struct slice bytes)
{
	conn_send(&c->server->conn, bytes);
	stat_add(&c->tenant->stats->received, bytes.len);
	if (conn_is_congested(&c->server->conn))
		conn_pause_read(&c->conn);
}

/* How much of it is passed on as the rest of a message that has begun. */
static size_t take_rest(uint64_t *left, size_t len)
{
	size_t n = len < *left ? len : (size_t)*left;

	*left -= n;
	return n;
}

size_t replication_client_bytes(struct client *c, struct slice bytes)
{
	struct frame_header head;
	size_t at = 0;
	bool is_end = false;

	if (!c->server || c->is_leaving)
		return bytes.len;
	while (at < bytes.len && !is_end) {
		enum weir_err err;

		if (c->stream_left) {
			at += take_rest(&c->stream_left, bytes.len - at);
			continue;
		}
		err = frame_peek(slice_of(bytes.ptr + at, bytes.len - at), &head);
		if (err == WEIR_ERR_AGAIN && bytes.len - at < FRAME_HEADER_BYTES)
			break;
		c->stream_left = err ? UINT64_MAX : FRAME_HEADER_BYTES + (uint64_t)head.body_len;
		is_end = !err && head.type == FE_TERMINATE;
		if (!err)
			note_request(c, head.type);
	}
	if (at)
		pass_to_server(c, slice_of(bytes.ptr, at));
	if (is_end && c->state == CLIENT_ACTIVE && !c->server->is_copy_in) {
		c->is_leaving = true; /* its answer comes first: the server ends behind that */
		conn_send(&c->server->conn, wire_terminate);
	} else if (is_end) {
		client_close(c, CLOSE_CLIENT_QUIT, NULL);
	}
	return is_end ? bytes.len : at;
}

void replication_client_gone(struct server *s)
{
	server_set_state(s, SERVER_TESTED);
	if (conn_is_open(&s->conn)) {
		conn_send(&s->conn, wire_terminate);
		conn_close_after_flush(&s->conn);
	} else {
		backend_close(s, CLOSE_SERVER_REPLICATION);
	}
}

/* ---- the server's messages ---- */

static void note_answer(struct server *s, struct client *c, char type, char status)
{
	c->had_error = type == BE_ERROR;
	if (type == BE_COPY_BOTH || type == BE_COPY_IN)
		s->is_copy_in = true;
	if (type != BE_READY)
		return;
	s->is_copy_in = false;
	s->txn_status = status;
	if (replies_count(&s->replies))
		replies_pop(&s->replies);
	if (replies_count(&s->replies) == 0 && c->state == CLIENT_ACTIVE) {
		client_set_state(c, CLIENT_IDLE);
		c->idle_us = loop_now_us(c->proxy->loop);
	}
}

static bool is_idle(const struct client *c)
{
	return c->state == CLIENT_IDLE && c->server->txn_status == 'I';
}

bool replication_may_leave(const struct client *c)
{
	const struct server *s = c->server;

	return s && !s->pass_left && !conn_kept_bytes(&s->conn) && (is_idle(c) || s->is_copy_in);
}

static void pass_to_client(struct server *s, struct client *c, struct slice bytes)
{
	conn_send(&c->conn, bytes);
	stat_add(&c->tenant->stats->sent, bytes.len);
	if (conn_is_congested(&c->conn))
		conn_pause_read(&s->conn);
}

/* Where a message begins at `at`. False: more bytes are needed, or the server is closed. */
static bool take_header(struct server *s, struct client *c, struct slice bytes, size_t at)
{
	struct slice rest = slice_of(bytes.ptr + at, bytes.len - at);
	struct frame_header head;
	enum weir_err err = frame_peek(rest, &head);
	bool is_ready = !err && head.type == BE_READY;

	if (rest.len < FRAME_HEADER_BYTES || (is_ready && rest.len == FRAME_HEADER_BYTES))
		return false;
	/* What isn't a message, and where the next would begin, is the client's to judge. */
	s->pass_left = err ? UINT64_MAX : FRAME_HEADER_BYTES + (uint64_t)head.body_len;
	if (!err)
		note_answer(s, c, head.type, is_ready ? rest.ptr[FRAME_HEADER_BYTES] : 0);
	return true;
}

size_t replication_server_bytes(struct server *s, struct slice bytes)
{
	struct client *c = s->client;
	bool is_draining = c && c->proxy->is_draining;
	size_t at = 0, boundary = SIZE_MAX;

	if (!c) /* its last words are being sent */
		return bytes.len;
	while (at < bytes.len) {
		if (!s->pass_left) {
			if (is_draining && (is_idle(c) || s->is_copy_in))
				boundary = at;
			if (!take_header(s, c, bytes, at))
				break;
		}
		at += take_rest(&s->pass_left, bytes.len - at);
	}
	if (boundary != SIZE_MAX) { /* a stream ends between two messages */
		pass_to_client(s, c, slice_of(bytes.ptr, boundary));
		client_close(c, CLOSE_SHUTDOWN, NULL);
		return bytes.len;
	}
	if (at)
		pass_to_client(s, c, slice_of(bytes.ptr, at));
	return at;
}

/* The server said why, or stopped inside a message: nothing may follow that. */
void replication_lost(struct client *c, struct server *s)
{
	bool is_told = c->had_error || s->pass_left || conn_kept_bytes(&s->conn);

	link_cut(c);
	backend_close(s, CLOSE_SERVER_LOST);
	client_close(c, c->is_leaving ? CLOSE_CLIENT_QUIT :
		     is_told ? CLOSE_REPLICATION : CLOSE_SERVER_LOST, NULL);
}
