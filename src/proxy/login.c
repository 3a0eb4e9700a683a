/* SPDX-License-Identifier: PostgreSQL */
/*
 * Linear: first packet (perhaps after TLS), authentication (authenticate.c),
 * welcome. The identity is fixed by the one startup message; a second one is a
 * protocol violation by construction, since it has no message type.
 */
#include "proxy/login.h"

#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/tls.h"
#include "pool/ledger.h"
#include "pool/params.h"
#include "pool/session.h"
#include "proxy/authenticate.h"
#include "proxy/cancel.h"
#include "proxy/client_log.h"
#include "proxy/forward.h"
#include "proxy/keydata.h"
#include "proxy/link.h"
#include "proxy/login_priv.h"
#include "proxy/options.h"
#include "proxy/replication.h"
#include "wire/build.h"
#include "wire/frame.h"
#include "wire/startup.h"

enum { APPLICATION_NAME_MAX = 512, MINOR_MAX = 2, CONSOLE_SEATS = 10 };

void login_refuse(struct client *c, const char *sqlstate, const char *text)
{
	struct pg_error e;

	pg_error_set(&e, sqlstate, "%s", text);
	client_log_refused(c, sqlstate, e.message);
	client_close(c, CLOSE_LOGIN_FAILED, &e);
}

static void refuse_database(struct client *c)
{
	char text[PG_ERROR_MESSAGE_MAX];

	snprintf(text, sizeof text, "database \"%s\" does not exist", c->login->database);
	login_refuse(c, "3D000", text);
}

static void refuse_too_many(struct client *c)
{
	const struct close_reason_info *info = close_reason_info(CLOSE_TOO_MANY_CLIENTS);

	client_log_refused(c, info->sqlstate, info->text);
	client_close(c, CLOSE_TOO_MANY_CLIENTS, NULL);
}

static void on_login_timeout(struct loop_timer *timer)
{
	client_close(list_entry(timer, struct client, timer), CLOSE_LOGIN_TIMEOUT, NULL);
}

size_t login_bytes(void)
{
	return sizeof(struct login);
}

void login_begin(struct client *c, bool is_unix)
{
	struct proxy *p = c->proxy;
	uint64_t bound = p->settings->config->global.client_login_timeout_us;

	c->login = slab_zalloc(&p->login_slab);
	c->login->is_unix = is_unix;
	c->login->settings = settings_get(p->settings);
	if (p->settings->client_tls && !is_unix)
		conn_expect_tls(&c->conn);
	if (bound)
		loop_timer_arm(p->loop, &c->timer, bound, on_login_timeout);
}

void login_end(struct client *c)
{
	struct login *l = c->login;

	c->login = NULL;
	if (!l)
		return;
	authenticate_forget(l);
	session_put(&l->startup);
	settings_put(&l->settings);
	mem_free(l->params);
	slab_free(&c->proxy->login_slab, l);
}

static void append_login_notice(struct buf *b, const char *text)
{
	struct pg_error e;

	if (!*text)
		return;
	pg_error_set(&e, "00000", "%s", text);
	build_notice(b, "NOTICE", &e);
}

static void send_welcome(struct client *c, const struct params *params)
{
	struct login *l = c->login;
	uint32_t pid;
	struct buf b;

	buf_init(&b, LOGIN_OUT_MAX);
	buf_append_slice(&b, wire_auth_ok);
	buf_append_slice(&b, params_messages(params));
	pid = keydata_publish(c);
	build_backend_key_data(&b, pid, keydata_secret(c));
	append_login_notice(&b, l->settings->config->global.login_notify_message);
	buf_append_slice(&b, wire_ready_idle);
	client_send_buf(c, &b);
	stat_add(&c->tenant->stats->client_login_count, 1);
	client_log_login(c);
}

static void finish(struct client *c, const struct params *params, struct params *defaults)
{
	send_welcome(c, params);
	c->defaults = params_get(defaults);
	login_end(c);
	loop_timer_cancel(&c->timer);
	c->wait_us = 0;
	client_set_state(c, CLIENT_IDLE);
	c->idle_us = loop_now_us(c->proxy->loop);
	if (c->server && client_is_free(c))
		link_release(c);
	link_make_ready(c);
}

static void acquire_server(struct client *c)
{
	struct topology *topology = c->tenant->cluster->topology;
	struct route_ask ask = {
		.node = TXN_NODE_PRIMARY,
		.reads = &c->reads,
		.now_us = loop_now_us(c->proxy->loop),
		.rotation = c->proxy->rotation++,
	};
	struct route_choice choice = { .what = ROUTE_WAIT_PRIMARY };

	if (c->tenant->gate.is_paused) {
		link_wait_held(c);
		return;
	}
	if (topology)
		choice = route_choose(topology, &c->tenant->policy, &ask);
	if (choice.what != ROUTE_NODE || (c->avoid_nodes & (1u << choice.node_id))) {
		link_wait_node(c);
		return;
	}
	if (c->replication)
		replication_open(c, &topology->nodes[choice.node_index]);
	else if (link_acquire(c, &topology->nodes[choice.node_index]) && c->server)
		login_granted(c);
	else if (c->state == CLIENT_LOGIN && !c->server && !c->wait_list &&
		 c->waiter.state == WAITER_NONE)
		link_wait_node(c); /* the connect failed at once: later again */
}

/* In session mode the server is the client's from the start, if there is one for it. */
static bool takes_server(const struct client *c)
{
	return c->tenant->pool_mode == POOL_MODE_SESSION && keydata_is_idle(c) &&
	       !ledger_has_waiters(c->told->pool->ledger);
}

/* How depends on the server's version: at once if that is known, or when a server is there. */
static void clean_name(struct client *c, unsigned server_major)
{
	if (!server_major)
		return;
	options_clean_name(&c->session, server_major);
	session_put(&c->startup);
	c->startup = session_get(c->session);
}

static void welcome_or_acquire(struct client *c)
{
	const struct tenant_welcome *known =
		c->replication ? NULL : tenant_welcome(c->tenant, c->session);

	if (known && !takes_server(c))
		finish(c, known->params, known->defaults);
	else
		acquire_server(c);
}

void login_granted(struct client *c)
{
	if (c->login->stage != STAGE_WELCOME)
		return;
	if (!c->server)
		welcome_or_acquire(c);
	else if (c->replication) {
		if (replication_granted(c))
			finish(c, c->server->params, NULL);
	} else {
		clean_name(c, params_server_major(c->server->params));
		if (!forward_session_sync(c))
			login_synced(c);
	}
}

void login_synced(struct client *c)
{
	struct params *params = params_get(c->server->params);
	struct params *defaults = params_get(c->server->defaults);

	if (!c->told) /* the first of its pool, perhaps */
		(void)keydata_choose(c, c->server->pool, false);
	tenant_learn(c->tenant, c->session, c->server);
	finish(c, params, defaults);
	params_put(&params);
	params_put(&defaults);
}

static void welcome(struct client *c)
{
	const struct topology *topology = c->tenant->cluster->topology;
	bool may_open = c->tenant->pool_mode == POOL_MODE_SESSION ||
			c->login->settings->config->global.true_backend_pid;
	struct pool *pool;

	c->login->stage = STAGE_WELCOME;
	if (!c->replication && topology && topology->primary >= 0 && !c->tenant->gate.is_paused) {
		pool = tenant_pool(c->tenant, &topology->nodes[topology->primary]);
		may_open = may_open && !tenant_holds_off(tenant_pool_of(pool));
		if (!keydata_choose(c, pool, may_open))
			return;
	}
	welcome_or_acquire(c);
}

static void welcome_console(struct client *c)
{
	const struct proxy_hooks *hooks = c->proxy->shared->hooks;
	struct login *l = c->login;
	uint32_t pid;
	struct buf b;

	c->is_admin = l->is_owner || l->settings->config->global.auth_type == AUTH_TYPE_ANY ||
		      config_is_admin_user(l->settings->config, slice_str(l->user));
	if (!c->is_admin && !config_is_stats_user(l->settings->config, slice_str(l->user))) {
		login_refuse(c, "42501", "user is not allowed to use the console");
		return;
	}
	c->is_console = true;
	c->is_console_alias = strcmp(l->database, "pgbouncer") == 0;
	c->console_user = mem_strdup(l->user);
	c->session = session_get(l->startup); /* for SHOW CLIENTS: its application_name */
	buf_init(&b, LOGIN_OUT_MAX);
	buf_append_slice(&b, wire_auth_ok);
	hooks->console_greeting(&b);
	pid = keydata_publish(c);
	build_backend_key_data(&b, pid, keydata_secret(c));
	buf_append_slice(&b, wire_ready_idle);
	client_send_buf(c, &b);
	client_log_login(c);
	login_end(c);
	loop_timer_cancel(&c->timer);
	client_set_state(c, CLIENT_IDLE);
}

static void keep_keys(struct client *c)
{
	struct login *l = c->login;
	struct tenant *t = c->tenant;

	if (!l->auth.has_keys || (t->keys && memcmp(t->keys, &l->auth.keys, sizeof *t->keys) == 0))
		return;
	if (secret_classify(tenant_server_secret(t)) == SECRET_PLAIN)
		return;
	if (!t->keys)
		t->keys = mem_alloc(sizeof *t->keys);
	*t->keys = l->auth.keys;
	tenant_forget_failures(t);
}

/* False: refused already. Counted over all workers. */
static bool take_seat(struct client *c)
{
	struct tenant *t = c->tenant;
	const struct config *cfg = t->settings->config;
	struct ledger_bounds bounds = {
		.max_database = (uint32_t)t->db->max_db_client_connections,
		.max_user = (uint32_t)config_max_user_client_connections(cfg, t->user_cfg),
	};

	c->is_seated = ledger_sit(c->proxy->shared->ledger, slice_str(t->database),
				  slice_str(t->user), &bounds, &t->seats) == LEDGER_HAS_ROOM;
	if (!c->is_seated) {
		c->tenant = NULL;
		refuse_too_many(c);
	}
	return c->is_seated;
}

void login_authenticated(struct client *c)
{
	struct login *l = c->login;

	if (config_is_admin_database(slice_str(l->database)) && c->replication) {
		login_refuse(c, "0A000", "the console takes no replication connections");
		return;
	}
	if (config_is_admin_database(slice_str(l->database))) {
		welcome_console(c);
		return;
	}
	c->tenant = tenant_find(c->proxy, slice_str(l->database), slice_str(l->user));
	if (!c->tenant) {
		refuse_database(c);
		return;
	}
	if (c->tenant->gate.is_disabled) {
		c->tenant = NULL;
		login_refuse(c, "55000", "the database is not currently accepting connections");
		return;
	}
	if (!take_seat(c))
		return;
	c->tenant->client_count++;
	if (l->secret)
		tenant_keep_secret(c->tenant, l->secret);
	keep_keys(c);
	c->session = session_get(l->startup);
	c->startup = session_get(l->startup);
	clean_name(c, c->tenant->server_major);
	welcome(c);
}

/* Who is to find out why there are too many clients must get in. */
static bool is_full(const struct client *c)
{
	const struct login *l = c->login;
	uint32_t max = (uint32_t)l->settings->config->global.max_client_conn;

	if (config_is_admin_database(slice_str(l->database)))
		max += CONSOLE_SEATS;
	return atomic_load(&c->proxy->shared->client_count) > max;
}

/* A longer name is cut, as PostgreSQL cuts it at this place. */
static bool copy_name(char out[IDENTITY_BYTES_MAX], struct slice name)
{
	size_t len = name.len < IDENTITY_BYTES_MAX ? name.len : IDENTITY_BYTES_MAX - 1;

	memcpy(out, name.ptr, len);
	out[len] = '\0';
	return len > 0;
}

/*
 * Newer than 3.2, or unknown options: say what is spoken. 3.1 was never used: it is 3.0 by another
 * name (PostgreSQL 18, section 54.1).
 */
static void negotiate(struct client *c, const struct startup *s)
{
	struct slice unknown[STARTUP_MAX_PARAMS], rest = s->params;
	struct startup_param param;
	uint16_t minor = s->minor < MINOR_MAX ? s->minor : MINOR_MAX;
	size_t count = 0;
	struct buf b;

	c->secret_len = minor == MINOR_MAX ? CANCEL_SECRET_MAX : CANCEL_SECRET_SHORT;
	while (startup_param_next(&rest, &param))
		if (param.is_protocol_option)
			unknown[count++] = param.name;
	if (s->minor <= MINOR_MAX && count == 0)
		return;
	buf_init(&b, LOGIN_OUT_MAX);
	build_negotiate_version(&b, PG_PROTOCOL(3, minor), unknown, count);
	client_send_buf(c, &b);
}

/* Who comes by the Unix socket has neither address nor port: the process tells them apart. */
static void unix_peer_name(const struct client *c, char *out, size_t size, uint16_t *port)
{
	char node[65] = "";

	(void)gethostname(node, sizeof node - 1);
	snprintf(out, size, "unix(%u@%s)", conn_peer_pid(&c->conn), node);
	*port = (uint16_t)c->login->settings->config->global.listen_port;
}

/* "name - address:port", as PgBouncer writes it. */
static void add_host(struct client *c, const struct startup *s)
{
	char text[APPLICATION_NAME_MAX], host[256] = "";
	struct slice name = slice_str("app");
	uint16_t port;

	(void)startup_param_find(s, "application_name", &name);
	if (c->login->is_unix)
		unix_peer_name(c, host, sizeof host, &port);
	else
		conn_peer_name(&c->conn, host, sizeof host, &port);
	snprintf(text, sizeof text, "%.*s - %s:%u", (int)(name.len < 64 ? name.len : 64), name.ptr,
		 host, port);
	options_set(&c->login->startup, "application_name", text);
}

/* PostgreSQL checks what a replication connection is started with. False: refused already. */
static bool take_replication(struct client *c, const struct startup *s)
{
	const struct config *cfg = c->login->settings->config;
	struct login *l = c->login;
	enum replication_mode mode;
	struct pg_error e;

	if (!replication_mode_of(s, &mode)) {
		pg_error_set(&e, "22023", "invalid value for parameter \"replication\"");
		snprintf(e.hint, sizeof e.hint,
			 "Valid values are: \"false\", 0, \"true\", 1, \"database\".");
		client_close(c, CLOSE_LOGIN_FAILED, &e);
		return false;
	}
	c->replication = (uint8_t)mode;
	if (mode == REPLICATION_NONE)
		return true;
	l->params = mem_slicedup(s->params);
	l->params_len = s->params.len;
	if (mode == REPLICATION_PHYSICAL && replication_entry(cfg) &&
	    !config_database_find(cfg, slice_str(l->database)))
		(void)copy_name(l->database, slice_str(replication_entry(cfg)));
	return true;
}

static void take_startup(struct client *c, const struct startup *s)
{
	struct login *l = c->login;
	struct slice user = slice_of("", 0), database;
	const struct config_globals *g = &l->settings->config->global;
	struct pg_error e;

	if (!startup_param_find(s, "user", &user) || !copy_name(l->user, user)) {
		login_refuse(c, "28000", "no PostgreSQL user name specified in startup packet");
		return;
	}
	if (!startup_param_find(s, "database", &database) || !database.len)
		database = user;
	if (!copy_name(l->database, database)) {
		refuse_database(c);
	} else if (is_full(c)) {
		refuse_too_many(c);
	} else if (g->client_tls_sslmode >= SSLMODE_REQUIRE && !c->is_tls && !l->is_unix) {
		login_refuse(c, "28000", "pgweir requires TLS");
	} else if (!take_replication(c, s)) {
		return;
	} else if (options_take(c->proxy, s, g->ignore_startup_parameters, &l->startup, &e) !=
		   WEIR_OK) {
		client_close(c, CLOSE_LOGIN_FAILED, &e);
	} else {
		if (g->application_name_add_host)
			add_host(c, s);
		negotiate(c, s);
		authenticate(c);
	}
}

/* Returns false when bytes behind the request make it an attack or a mistake. */
static void take_tls_request(struct client *c, bool has_more)
{
	struct tls_context *tls = c->login->settings->client_tls;
	struct pg_error e;

	if (has_more) {
		pg_error_set(&e, "08P01", "received unencrypted data after SSL request");
		client_close(c, CLOSE_PROTOCOL, &e);
		return;
	}
	if (!tls || c->is_tls || c->login->is_unix) {
		conn_send(&c->conn, slice_of("N", 1));
		return;
	}
	conn_send(&c->conn, slice_of("S", 1));
	if (conn_start_tls(&c->conn, tls, NULL) != WEIR_OK)
		client_close(c, CLOSE_TLS, NULL);
}

void login_tls_hello(struct client *c)
{
	struct login *l = c->login;

	l->is_direct = true;
	if (conn_start_tls(&c->conn, l->settings->client_tls, NULL) != WEIR_OK)
		client_close(c, CLOSE_TLS, NULL);
}

void login_tls_ready(struct client *c)
{
	c->is_tls = true;
	if (c->login->is_direct && !tls_has_alpn(conn_tls(&c->conn))) {
		client_log_refused(c, "08P01", "direct TLS without ALPN");
		client_close(c, CLOSE_TLS, NULL);
	}
}

static size_t take_first_packet(struct client *c, struct slice bytes)
{
	struct startup s;
	size_t used = 0;
	enum weir_err err = startup_next(bytes, &s, &used);
	struct pg_error e;

	if (err == WEIR_ERR_AGAIN)
		return 0;
	if (err && !startup_has_length(bytes)) { /* as in PostgreSQL, without a word */
		client_close(c, CLOSE_LOGIN_FAILED, NULL);
		return bytes.len;
	}
	if (err) {
		pg_error_set(&e, "08P01", "invalid startup packet layout");
		client_close(c, CLOSE_PROTOCOL, &e);
		return bytes.len;
	}
	switch (s.kind) {
	case STARTUP_SSL:
		take_tls_request(c, bytes.len > used);
		break;
	case STARTUP_GSSENC:
		if (bytes.len > used)
			take_tls_request(c, true);
		else
			conn_send(&c->conn, slice_of("N", 1));
		break;
	case STARTUP_CANCEL:
		cancel_request(c->proxy, s.cancel_pid, s.cancel_key);
		client_close(c, CLOSE_CANCEL_DONE, NULL);
		break;
	case STARTUP_SESSION:
		take_startup(c, &s);
		break;
	case STARTUP_UNSUPPORTED:
		login_refuse(c, "0A000", "unsupported frontend protocol");
		break;
	}
	return c->state == CLIENT_CLOSED ? bytes.len : used;
}

size_t login_on_bytes(struct client *c, struct slice bytes)
{
	size_t at = 0;

	c->is_serving = true;
	while (c->state == CLIENT_LOGIN && at < bytes.len) {
		struct slice rest = slice_of(bytes.ptr + at, bytes.len - at);
		size_t used = 0;

		if (c->login->stage == STAGE_STARTUP)
			used = take_first_packet(c, rest);
		else if (c->login->stage == STAGE_AUTH)
			used = authenticate_bytes(c, rest);
		if (!used)
			break;
		at += used;
	}
	c->is_serving = false;
	return c->state == CLIENT_CLOSED ? bytes.len : at;
}
