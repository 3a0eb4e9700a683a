/* SPDX-License-Identifier: PostgreSQL */
/*
 * Opening: resolve, connect, TLS, startup, authentication, parameters, ready.
 * Linear, so there is no machine: each message moves on or fails. What a failed
 * log-in means for those who wait depends on who is to blame: wrong credentials
 * or a missing database are the clients' to hear, anything else is the node's.
 */
#include "proxy/backend.h"

#include "auth/server_login.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "config/hostlist.h"
#include "net/resolver.h"
#include "net/tls.h"
#include "pool/ledger.h"
#include "pool/params.h"
#include "pool/session.h"
#include "proxy/answer.h"
#include "proxy/cancel.h"
#include "proxy/defaults.h"
#include "proxy/failure.h"
#include "proxy/keep.h"
#include "proxy/keydata.h"
#include "proxy/link.h"
#include "proxy/login_priv.h"
#include "proxy/replication.h"
#include "proxy/tenant.h"
#include "proxy/transfer.h"
#include "wire/backend.h"
#include "wire/build.h"
#include "wire/frame.h"
#include "wire/startup.h"

enum {
	LOGIN_MESSAGE_MAX = 64 * 1024,
	RESET_BOUND_US = 5000000,
	STARTUP_PAIRS_MAX = STARTUP_MAX_PARAMS + 2,
};

struct backend_login {
	struct settings *settings;      /* counted: secrets are borrowed from it */
	struct resolver_query *query;   /* pending look-up; NULL: none */
	uint32_t turn;                  /* among the hosts */
	struct server_login auth;
	bool has_auth;
	bool waits_for_tls;             /* SSLRequest sent, one byte is due */
	bool runs_connect_query;        /* sent; its answer is read and dropped */
	bool is_direct;                 /* the handshake came first, unasked */
	struct pg_error error;
};

struct proxy *backend_proxy(const struct server *s)
{
	return backend_tenant(s)->proxy;
}

struct tenant *backend_tenant(const struct server *s)
{
	return tenant_pool_of(s->pool)->tenant;
}

static struct server *server_of(struct conn *conn)
{
	struct server *s = list_entry(conn, struct server, conn);

	WEIR_CHECK_MAGIC(s, SERVER_MAGIC);
	return s;
}

static void login_free(struct server *s)
{
	struct backend_login *l = s->login;

	s->login = NULL;
	if (!l)
		return;
	if (l->query)
		resolver_cancel(l->query);
	if (l->has_auth)
		server_login_fini(&l->auth);
	settings_put(&l->settings);
	mem_free(l);
}

static void on_deferred_destroy(struct loop_deferred *deferred)
{
	server_destroy(list_entry(deferred, struct server, deferred));
}

void backend_checked(struct server *s)
{
	if (!s->is_checked)
		return;
	ledger_connected(s->pool->ledger);
	s->is_checked = false;
	s->checked_us = loop_now_us(backend_proxy(s)->loop);
}

void backend_close(struct server *s, enum close_reason reason)
{
	struct pool *pool = s->pool;
	bool was_connecting = s->state == SERVER_LOGIN;
	struct client *awaiting = keydata_server_gone(s);
	struct ledger_advice advice;

	WEIR_ASSERT(s->client == NULL);
	log_debug("server_closed", "id=%llu host=%s port=%u state=%s reason=\"%s\"",
		  (unsigned long long)s->id, s->host, s->port, server_state_name(s->state),
		  close_reason_info(reason)->text);
	metrics_closed(backend_proxy(s)->metrics, reason);
	loop_timer_cancel(&s->timer);
	if (conn_is_open(&s->conn))
		conn_close(&s->conn);
	login_free(s);
	if (s->departure)
		transfer_lost(s);
	keep_forget(s);
	if (s->cancels)
		cancel_forget_server(backend_proxy(s), s);
	backend_checked(s);
	server_set_state(s, SERVER_CLOSED);
	s->deferred.run = on_deferred_destroy;
	loop_defer(backend_proxy(s)->loop, &s->deferred);
	if (s->is_replaced)
		return;
	if (s->is_replication && was_connecting) { /* says nothing of those who wait in the pool */
		ledger_connected(pool->ledger);
		was_connecting = false;
	}
	advice = ledger_closed(pool->ledger, was_connecting);
	transfer_follow(pool, &advice);
	if (awaiting)
		link_make_ready(awaiting);
}

/* Who waits for this node hears of it or goes elsewhere. */
static void login_failed(struct server *s, enum close_reason reason)
{
	struct backend_login *l = s->login;
	struct pool *pool = s->pool;
	struct tenant *t = backend_tenant(s);
	struct pg_error error = l->error;
	/* A database or role that is new may not have come to a replica yet. */
	bool is_refused = failure_is_final_login_error(error.sqlstate);
	bool is_final = is_refused && tenant_pool_of(pool)->is_primary;
	bool is_full = strncmp(error.sqlstate, "53", 2) == 0; /* may pass; told to who waits in vain */

	log_warn("server_login_failed", "db=%s user=%s host=%s port=%u sqlstate=%s message=\"%s\"",
		 t->database, t->user, s->host, s->port, *error.sqlstate ? error.sqlstate : "-",
		 *error.message ? error.message : close_reason_info(reason)->text);
	metrics_add(t->proxy->metrics, METRIC_SERVER_CONNECT_FAILURES, 1);
	ledger_turn_over(pool->ledger, l->turn);
	if (!is_refused)
		tenant_suspect(t, pool->node_id);
	if (s->is_replication) {
		replication_failed(s, reason, slice_of(NULL, 0));
		return;
	}
	tenant_login_failed(tenant_pool_of(pool), is_final || is_full ? &error : NULL, is_final);
	backend_close(s, reason);
	link_refuse_waiters(pool, is_final ? &error : NULL);
}

static void fail_text(struct server *s, const char *text)
{
	struct backend_login *l = s->login;

	if (!*l->error.message)
		pg_error_set(&l->error, "08006", "%s", text);
	login_failed(s, CLOSE_SERVER_LOGIN);
}

static void on_timeout(struct loop_timer *timer)
{
	struct server *s = list_entry(timer, struct server, timer);

	if (s->state == SERVER_LOGIN)
		fail_text(s, "server_connect_timeout");
	else
		backend_close(s, CLOSE_SERVER_LOST);
}

static size_t startup_pairs(const struct tenant *t, struct slice *pairs)
{
	const struct { const char *name, *value; } extra[] = {
		{ "client_encoding", t->db->client_encoding },
		{ "datestyle", t->db->datestyle },
		{ "timezone", t->db->timezone },
		{ "application_name", t->db->application_name },
	};
	size_t n = 0;

	pairs[n++] = slice_str("user");
	pairs[n++] = tenant_server_user(t);
	pairs[n++] = slice_str("database");
	pairs[n++] = tenant_server_dbname(t);
	for (size_t i = 0; i < WEIR_COUNTOF(extra); i++) {
		if (!*extra[i].value)
			continue;
		pairs[n++] = slice_str(extra[i].name);
		pairs[n++] = slice_str(extra[i].value);
	}
	return n / 2;
}

/* The channel's data for SCRAM-SHA-256-PLUS; len 0: no TLS, or not wanted. */
static void channel_binding(const struct server *s, struct scram_cbind *out)
{
	const struct backend_login *l = s->login;
	const struct tls_session *tls = conn_tls(&s->conn);

	_Static_assert((int)TLS_ENDPOINT_MAX_BYTES <= (int)SCRAM_CBIND_MAX_BYTES, "it fits");
	out->len = 0;
	if (tls && l->settings->config->global.server_channel_binding != CHANNEL_BINDING_DISABLE)
		out->len = tls_endpoint(tls, out->data);
}

static uint32_t protocol_of(const struct config *cfg)
{
	return cfg->global.server_max_protocol_version == PROTOCOL_3_2 ? PG_PROTOCOL_3_2 :
									 PG_PROTOCOL_3_0;
}

static void send_startup(struct server *s)
{
	struct tenant *t = backend_tenant(s);
	struct backend_login *l = s->login;
	struct slice pairs[2 * STARTUP_PAIRS_MAX];
	struct scram_cbind cbind;
	struct server_login_input in = {
		.user = tenant_server_user(t),
		.secret = tenant_server_secret(t),
		.keys = t->keys,
		.allowed = SERVER_AUTH_ANY,
		.max_iterations = (unsigned)l->settings->config->global.scram_max_iterations,
		.cbind = &cbind,
		.require_cbind = l->settings->config->global.server_channel_binding ==
				 CHANNEL_BINDING_REQUIRE,
		.cache = backend_proxy(s)->login_keys,
	};
	struct buf b;

	/* A reload may have come since the connection was begun: keep what `in` borrows from. */
	settings_put(&l->settings);
	l->settings = settings_get(t->settings);
	channel_binding(s, &cbind);
	server_login_init(&l->auth, &in);
	l->has_auth = true;
	buf_init(&b, LOGIN_MESSAGE_MAX);
	build_startup(&b, protocol_of(l->settings->config), pairs,
		      s->is_replication ? replication_pairs(s, pairs, STARTUP_PAIRS_MAX) :
				      startup_pairs(t, pairs));
	conn_send_copy(&s->conn, buf_slice(&b));
	buf_fini(&b);
}

static void start_tls(struct server *s)
{
	struct backend_login *l = s->login;

	if (conn_start_tls(&s->conn, l->settings->server_tls, s->host) != WEIR_OK)
		fail_text(s, "TLS could not be started");
}

static void on_connected(struct conn *conn)
{
	struct server *s = server_of(conn);
	struct backend_login *l = s->login;
	struct tls_context *tls = l->settings->server_tls;

	if (!tls || tls_context_mode(tls) <= TLS_MODE_ALLOW || *s->host == '/' || *s->host == '@') {
		send_startup(s);
		return;
	}
	l->is_direct = l->settings->config->global.server_tls_negotiation == TLS_NEGOTIATION_DIRECT;
	if (l->is_direct) {
		start_tls(s);
		return;
	}
	l->waits_for_tls = true;
	conn_send(conn, wire_ssl_request);
}

static size_t take_tls_answer(struct server *s, struct slice bytes)
{
	struct backend_login *l = s->login;
	struct tls_context *tls = l->settings->server_tls;

	l->waits_for_tls = false;
	if (bytes.ptr[0] == 'N' && tls_context_mode(tls) <= TLS_MODE_PREFER) {
		if (bytes.len > 1)
			fail_text(s, "bytes behind the answer to SSLRequest");
		else
			send_startup(s);
	} else if (bytes.ptr[0] != 'S' || bytes.len != 1) {
		fail_text(s, bytes.ptr[0] == 'N' ? "server doesn't offer TLS" :
						   "unexpected answer to SSLRequest");
	} else {
		start_tls(s);
	}
	return bytes.len;
}

/* Without ALPN the peer of a direct handshake may speak anything (PostgreSQL 17, 55.2.10). */
static void on_tls_ready(struct conn *conn)
{
	struct server *s = server_of(conn);
	const struct backend_login *l = s->login;

	if (l->is_direct && !tls_has_alpn(conn_tls(conn)))
		fail_text(s, "the server didn't agree to speak PostgreSQL over direct TLS");
	else
		send_startup(s);
}

static void learn(struct server *s, struct slice name, struct slice value)
{
	struct params *changed;

	if (slice_equal(params_find(s->params, name), value) && value.len)
		return;
	changed = params_with(s->params, name, value);
	if (!changed)
		return;
	params_put(&s->params);
	s->params = changed;
}

bool backend_learn_parameter(struct server *s, struct slice body)
{
	struct msg_name_value m;

	if (backend_read_parameter(body, &m) != WEIR_OK)
		return true;
	if (slice_is(m.name, "in_hot_standby")) { /* one server that takes writes is what clients see */
		learn(s, m.name, slice_str("off"));
		return false;
	}
	learn(s, m.name, m.value);
	return true;
}

static void login_done(struct server *s)
{
	struct tenant *t = backend_tenant(s);
	struct proxy *p = t->proxy;
	struct session_state *empty = session_empty(p->shared->sessions);
	struct client *awaiting;
	struct pool *pool = s->pool;

	login_free(s);
	loop_timer_cancel(&s->timer);
	server_set_session(s, empty);
	if (!s->is_replication) {
		defaults_opened(s);
		tenant_learn(t, empty, s);
	}
	session_put(&empty);
	s->connected_us = loop_now_us(p->loop);
	ledger_connected(s->pool->ledger);
	tenant_login_ok(tenant_pool_of(s->pool));
	if (s->is_replication) {
		replication_opened(s);
		return;
	}
	server_set_state(s, SERVER_IDLE);
	s->idle_since_us = s->connected_us;
	if (s->generation != pool->generation) {
		backend_close(s, CLOSE_SERVER_EXPIRED);
		return;
	}
	awaiting = keydata_opened(s);
	if (awaiting)
		link_make_ready(awaiting);
	link_serve_waiters(pool);
}

static void take_first_ready(struct server *s)
{
	struct backend_login *l = s->login;
	const char *sql = backend_tenant(s)->db->connect_query;

	if (!*sql || l->runs_connect_query || s->is_replication) {
		login_done(s);
		return;
	}
	l->runs_connect_query = true;
	backend_send_query(s, slice_str(sql));
}

static void take_auth(struct server *s, struct slice body)
{
	struct backend_login *l = s->login;
	enum server_login_step step;
	struct buf out;

	buf_init(&out, LOGIN_MESSAGE_MAX);
	step = server_login_message(&l->auth, body, &out);
	if (out.len)
		conn_send_copy(&s->conn, buf_slice(&out));
	buf_fini(&out);
	if (step == SERVER_LOGIN_FAILED) {
		l->error = l->auth.error;
		login_failed(s, CLOSE_SERVER_LOGIN);
	}
}

static void take_error(struct server *s, const struct frame *frame)
{
	struct backend_login *l = s->login;
	struct msg_error m;

	backend_read_error(frame->body, &m);
	if (l->runs_connect_query && !slice_is(m.severity, "FATAL")) {
		log_warn("connect_query_failed", "db=%s host=%s port=%u sqlstate=%.5s message=\"%.*s\"",
			 backend_tenant(s)->database, s->host, s->port, m.sqlstate.ptr,
			 (int)(m.message.len > 400 ? 400 : m.message.len), m.message.ptr);
		return;
	}
	if (s->is_replication && !slice_is(m.sqlstate, "57P03")) {
		replication_failed(s, CLOSE_SERVER_LOGIN, frame->whole);
		return;
	}
	failure_copy_error(&l->error, &m);
	login_failed(s, CLOSE_SERVER_LOGIN);
}

static void take_key(struct server *s, struct slice body)
{
	struct msg_key_data key;

	if (backend_read_key_data(body, &key) == WEIR_OK)
		server_set_key(s, key.pid, key.key);
}

static bool is_result_message(char type)
{
	return type == BE_ROW_DESCRIPTION || type == BE_DATA_ROW || type == BE_COMMAND_COMPLETE ||
	       type == BE_EMPTY_QUERY;
}

static void take_login_message(struct server *s, const struct frame *frame)
{
	const struct backend_login *l = s->login;

	switch (frame->type) {
	case BE_AUTHENTICATION:
		take_auth(s, frame->body);
		break;
	case BE_ERROR:
		take_error(s, frame);
		break;
	case BE_PARAMETER_STATUS:
		backend_learn_parameter(s, frame->body);
		break;
	case BE_BACKEND_KEY_DATA:
		take_key(s, frame->body);
		break;
	case BE_READY:
		take_first_ready(s);
		break;
	case BE_NOTICE:
	case BE_NEGOTIATE_VERSION:
		break;
	default:
		if (!l->runs_connect_query || !is_result_message(frame->type))
			fail_text(s, "unexpected message during log-in");
		break;
	}
}

static size_t login_bytes(struct server *s, struct slice bytes)
{
	size_t at = 0;
	struct frame frame;
	size_t used;

	if (((struct backend_login *)s->login)->waits_for_tls)
		return take_tls_answer(s, bytes);
	while (s->login && at < bytes.len) {
		enum weir_err err = frame_next(slice_of(bytes.ptr + at, bytes.len - at),
					       LOGIN_MESSAGE_MAX, &frame, &used);

		if (err == WEIR_ERR_AGAIN)
			break;
		if (err) {
			fail_text(s, "malformed message during log-in");
			return bytes.len;
		}
		at += used;
		take_login_message(s, &frame);
	}
	return s->state == SERVER_CLOSED ? bytes.len : at;
}

static size_t session_bytes(struct server *s, struct slice bytes)
{
	return s->is_replication ? replication_server_bytes(s, bytes) : answer_bytes(s, bytes);
}

static size_t on_bytes(struct conn *conn, struct slice bytes)
{
	struct server *s = server_of(conn);

	if (s->login) {
		size_t used = login_bytes(s, bytes);

		if (s->login || s->state == SERVER_CLOSED || used == bytes.len)
			return used;
		/* It has more to say behind its first ReadyForQuery. */
		return used + session_bytes(s, slice_of(bytes.ptr + used, bytes.len - used));
	}
	return session_bytes(s, bytes);
}

static void on_drained(struct conn *conn)
{
	struct client *c = server_of(conn)->client;

	if (c)
		conn_resume_read(&c->conn);
}

/* Waiting changes nothing about the primary's certificate; a replica's work others can do. */
static void note_refused_certificate(struct server *s)
{
	struct backend_login *l = s->login;

	if (tenant_pool_of(s->pool)->is_primary)
		pg_error_set(&l->error, "08001", "the server's certificate is not trusted");
}

static void on_closed(struct conn *conn, enum weir_err why)
{
	struct server *s = server_of(conn);

	if (s->login) {
		if (why == WEIR_ERR_TLS && conn_tls_is_refused(conn))
			note_refused_certificate(s);
		fail_text(s, conn_error_text(conn, why));
		return;
	}
	if (s->is_replication && !s->client)
		backend_close(s, CLOSE_SERVER_REPLICATION);
	else
		failure_server_lost(s, NULL);
}

static const struct conn_ops server_ops = {
	.on_bytes = on_bytes,
	.on_drained = on_drained,
	.on_connected = on_connected,
	.on_tls_ready = on_tls_ready,
	.on_closed = on_closed,
};

static void connect_to(struct server *s, const struct resolved *resolved)
{
	struct proxy *p = backend_proxy(s);
	unsigned i = p->rotation++ % resolved->count;

	if (conn_connect(&s->conn, p->loop, (const struct sockaddr *)&resolved->at[i].addr,
			 resolved->at[i].len, &server_ops, &p->server_limits) != WEIR_OK)
		fail_text(s, "the socket could not be made");
}

static void on_resolved(void *arg, enum weir_err err, const struct resolved *resolved)
{
	struct server *s = arg;
	struct backend_login *l = s->login;

	l->query = NULL;
	if (err || !resolved->count)
		fail_text(s, "host name not found");
	else
		connect_to(s, resolved);
}

/* Of several hosts the next one, or with load_balance_hosts=disable the one that last answered. */
static void choose_host(struct server *s)
{
	struct backend_login *l = s->login;
	const struct pool *pool = s->pool;
	bool is_kept = backend_tenant(s)->db->load_balance_hosts == LOAD_BALANCE_DISABLE;
	struct hostlist_item item;

	l->turn = is_kept ? ledger_turn(pool->ledger) : ledger_take_turn(pool->ledger);
	hostlist_pick(pool->host, pool->port, l->turn, &item);
	server_set_address(s, item.host, item.port);
}

static struct server *open_server(struct pool *pool, struct client *c)
{
	struct tenant *t = tenant_pool_of(pool)->tenant;
	struct proxy *p = t->proxy;
	struct server *s = server_create(pool);
	struct backend_login *l = mem_zalloc(sizeof *l);
	uint64_t bound = p->settings->config->global.server_connect_timeout_us;
	struct resolved resolved;
	enum weir_err err;

	metrics_add(p->metrics, METRIC_SERVER_CONNECTS, 1);
	s->login = l;
	s->params = params_empty();
	s->is_replication = c != NULL;
	if (c) {
		s->awaited_by = c;
		c->awaited = s;
	}
	l->settings = settings_get(p->settings);
	if (bound)
		loop_timer_arm(p->loop, &s->timer, bound, on_timeout);
	choose_host(s);
	err = resolver_try(p->shared->resolver, s->host, s->port, &resolved);
	if (err == WEIR_OK)
		connect_to(s, &resolved);
	else if (err == WEIR_ERR_AGAIN)
		l->query = resolver_ask(p->shared->resolver, p->mailbox, s->host, s->port,
					on_resolved, s);
	else
		fail_text(s, "host name not found");
	return s->state == SERVER_LOGIN ? s : NULL;
}

struct server *backend_open(struct pool *pool)
{
	return open_server(pool, NULL);
}

void backend_open_for(struct pool *pool, struct client *c)
{
	(void)open_server(pool, c);
}

void backend_adopt(struct server *s, struct proxy *p, struct conn_moved moved)
{
	conn_adopt(&s->conn, p->loop, moved, &server_ops, &p->server_limits);
	defaults_moved(s);
}

void backend_send_query(struct server *s, struct slice sql)
{
	struct buf b;

	buf_init(&b, FRAME_HEADER_BYTES + sql.len + 1);
	build_query(&b, sql);
	conn_send_copy(&s->conn, buf_slice(&b));
	buf_fini(&b);
}

bool backend_wants_check(const struct server *s)
{
	const struct proxy *p = backend_proxy(s);
	const struct config_globals *g = &p->settings->config->global;
	uint64_t now = loop_now_us(p->loop);

	return *g->server_check_query && s->checked_us != now && now >= s->idle_since_us &&
	       now - s->idle_since_us >= g->server_check_delay_us;
}

void backend_check(struct server *s)
{
	struct proxy *p = backend_proxy(s);
	const char *sql = p->settings->config->global.server_check_query;

	ledger_check_begun(s->pool->ledger);
	s->is_checked = true;
	server_set_state(s, SERVER_TESTED);
	loop_timer_arm(p->loop, &s->timer, RESET_BOUND_US, on_timeout);
	replies_push(&s->replies, REPLY_RESET, true);
	backend_send_query(s, slice_str(strcmp(sql, "<empty>") == 0 ? "" : sql));
}

void backend_reset(struct server *s)
{
	struct proxy *p = backend_proxy(s);
	const char *reset = p->settings->config->global.server_reset_query;

	server_set_state(s, SERVER_TESTED);
	loop_timer_arm(p->loop, &s->timer, RESET_BOUND_US, on_timeout);
	if (s->txn_status != 'I') {
		replies_add(&s->replies, REPLY_RESET, true);
		backend_send_query(s, slice_str("ROLLBACK"));
	}
	if (s->is_listening) {
		s->is_listening = false;
		replies_add(&s->replies, REPLY_RESET, true);
		backend_send_query(s, slice_str("UNLISTEN *"));
	}
	if (s->is_dirty) {
		struct session_state *empty = session_empty(p->shared->sessions);

		s->is_dirty = false;
		metrics_add(p->metrics, METRIC_SERVER_RESETS, 1);
		s->unsure_client = 0;
		plain_names_doubt_all(&s->plain);
		prepared_set_doubt_all(&s->prepared); /* the reset query is the operator's */
		server_set_session(s, empty);
		session_put(&empty);
		replies_add(&s->replies, REPLY_RESET, true);
		backend_send_query(s, slice_str(*reset ? reset : "DISCARD ALL"));
	}
}
