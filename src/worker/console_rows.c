/* SPDX-License-Identifier: PostgreSQL */
/*
 * A worker's rows for the console, copied out of its lists on its own thread.
 */
#include "base/clock.h"
#include "net/tls.h"
#include "pool/session.h"
#include "proxy/backend.h"
#include "proxy/client.h"
#include "proxy/replication.h"
#include "proxy/tenant.h"
#include "worker/console_source.h"
#include "worker/explain.h"

enum { ADDRESS_MAX = 256, MEMORY_ROWS = 6 };

struct rows {
	struct admin_part *part;
	const struct proxy *proxy;
	uint64_t now_us; /* monotonic */
	int64_t wall_us;
};

static const char *copy(struct rows *r, const char *text)
{
	return arena_strdup(&r->part->arena, slice_str(text));
}

static const char *copy_slice(struct rows *r, struct slice text)
{
	return arena_strdup(&r->part->arena, text);
}

static int64_t wall_of(const struct rows *r, uint64_t then_us)
{
	return then_us ? r->wall_us - (int64_t)(r->now_us - then_us) : 0;
}

static const char *pin_text(struct rows *r, uint32_t pins)
{
	char text[EXPLAIN_PINS_MAX] = "";

	explain_pins(pins, text, sizeof text);
	return *text ? copy(r, text) : "";
}

/* A setting's value as a session has it: raw text behind a mark, or SQL in quotes. */
static const char *setting_text(struct rows *r, const struct session_state *s, const char *name)
{
	const char *value = s ? session_find(s, slice_str(name)) : NULL;
	size_t len;

	if (!value)
		return "";
	if (value[0] == SESSION_RAW_VALUE)
		return copy(r, value + 1);
	len = strlen(value);
	if (len >= 2 && value[0] == '\'' && value[len - 1] == '\'')
		return arena_strdup(&r->part->arena, slice_of(value + 1, len - 2));
	return copy(r, value);
}

static const char *tls_text(struct rows *r, const struct conn *conn)
{
	const struct tls_session *tls = conn_tls(conn);
	struct buf text;
	const char *result;

	if (!tls)
		return "";
	buf_init(&text, 256);
	buf_appendf(&text, "%s/%s", tls_version(tls), tls_cipher(tls));
	result = arena_strdup(&r->part->arena, buf_slice(&text));
	buf_fini(&text);
	return result;
}

static uint16_t listen_port(const struct rows *r)
{
	return (uint16_t)r->proxy->settings->config->global.listen_port;
}

/* unix_port: what a Unix socket's name ends with, as PgBouncer shows it; it has no ports. */
static void addresses(struct rows *r, struct admin_conn *row, const struct conn *conn,
                      uint16_t unix_port)
{
	char name[ADDRESS_MAX] = "";

	row->addr = row->local_addr = "";
	row->tls = "";
	if (!conn_is_open(conn))
		return;
	conn_peer_name(conn, name, sizeof name, &row->port);
	row->addr = copy(r, name);
	conn_local_name(conn, name, sizeof name, &row->local_port);
	row->local_addr = copy(r, name);
	if (strcmp(name, "unix") == 0) {
		row->port = unix_port;
		row->local_port = listen_port(r);
	}
	row->tls = tls_text(r, conn);
}

static const char *client_state_text(const struct client *c)
{
	switch (c->state) {
	case CLIENT_WAIT_CACHE:
	case CLIENT_WAIT_HEARD:
	case CLIENT_WAIT_NODE:
	case CLIENT_WAIT_SERVER:
		return "waiting";
	case CLIENT_ACTIVE:
	case CLIENT_CONSOLE:
		return "active";
	default:
		return c->server ? "active" : "idle";
	}
}

static bool is_waiting(const struct client *c)
{
	return c->state == CLIENT_WAIT_SERVER || c->state == CLIENT_WAIT_NODE;
}

static void client_row(struct rows *r, struct admin_conn *row, const struct client *c)
{
	row->user = c->tenant ? copy(r, c->tenant->user) :
		    c->console_user ? copy(r, c->console_user) : "";
	row->database = c->tenant ? copy(r, c->tenant->database) :
			c->is_console_alias ? "pgbouncer" : "pgweir";
	row->replication = replication_text((enum replication_mode)c->replication);
	row->state = client_state_text(c);
	addresses(r, row, &c->conn, listen_port(r));
	row->connect_time_us = wall_of(r, c->connected_us);
	row->request_time_us = wall_of(r, c->request_us ? c->request_us : c->connected_us);
	row->wait_us = is_waiting(c) && c->wait_us ? r->now_us - c->wait_us : 0;
	row->ptr = (uint64_t)(uintptr_t)c;
	row->link = (uint64_t)(uintptr_t)c->server;
	row->remote_pid = conn_is_open(&c->conn) ? conn_peer_pid(&c->conn) : 0;
	row->id = c->id;
	row->application_name = setting_text(r, c->session, "application_name");
	row->prepared_statements = c->names ? (uint32_t)prepared_names_count(c->names) : 0;
	row->pins = c->pins;
	row->pin = c->replication ? "replication" : pin_text(r, c->pins);
	row->node = "";
}

static void client_rows(struct rows *r)
{
	struct admin_part *p = r->part;

	p->clients = arena_zalloc(&p->arena, r->proxy->clients.count * sizeof *p->clients + 1);
	list_foreach (&r->proxy->clients, n) {
		const struct client *c = list_entry(n, struct client, node);

		if (c->state == CLIENT_CLOSED)
			continue;
		if (c->state == CLIENT_LOGIN)
			p->login_clients++;
		else
			client_row(r, &p->clients[p->client_count++], c);
	}
}

/* PgBouncer's word for an idle one that is checked before its next use. */
static bool is_used(const struct server *s)
{
	return (s->state == SERVER_IDLE || s->state == SERVER_KEPT) && backend_wants_check(s);
}

static const char *server_state_text(const struct server *s)
{
	switch (s->state) {
	case SERVER_LOGIN:
		return "new";
	case SERVER_IDLE:
	case SERVER_KEPT:
	case SERVER_MOVING:
		return is_used(s) ? "used" : "idle";
	case SERVER_TESTED:
		return "tested";
	case SERVER_CANCELED:
		return "being_canceled";
	default:
		return "active";
	}
}

static const char *node_text(struct rows *r, const struct pool *pool)
{
	const struct tenant *t = tenant_pool_of((struct pool *)(uintptr_t)pool)->tenant;
	const struct topology_node *node = tenant_node(t, pool->node_id);

	return node ? copy(r, node->name) : "";
}

static enum replication_mode server_replication(const struct server *s)
{
	const struct client *c = s->client ? s->client : s->awaited_by;

	return s->is_replication && c ? (enum replication_mode)c->replication : REPLICATION_NONE;
}

/* When its last request began; of an idle one, when that ended. */
static uint64_t request_of_server(const struct server *s)
{
	const struct client *c = s->client;

	return c && c->request_us ? c->request_us : s->idle_since_us;
}

static void server_row(struct rows *r, struct admin_conn *row, const struct server *s)
{
	const struct tenant *t = tenant_pool_of(s->pool)->tenant;

	row->user = copy(r, t->user);
	row->database = copy(r, t->database);
	row->replication = replication_text(server_replication(s));
	row->state = server_state_text(s);
	addresses(r, row, &s->conn, s->pool->port);
	row->connect_time_us = wall_of(r, s->connected_us);
	row->request_time_us = wall_of(r, request_of_server(s));
	row->ptr = (uint64_t)(uintptr_t)s;
	row->link = (uint64_t)(uintptr_t)s->client;
	row->remote_pid = s->pid;
	row->id = s->id;
	row->close_needed = s->generation != s->pool->generation;
	row->application_name = setting_text(r, s->session, "application_name");
	row->prepared_statements = (uint32_t)prepared_set_count(&s->prepared);
	row->pin = "";
	row->node = node_text(r, s->pool);
}

static size_t server_room(const struct proxy *p)
{
	size_t count = 0;

	map_foreach(&p->pools, n)
		count += pool_open_count(&map_entry(n, struct tenant_pool, by_ledger)->pool);
	return count;
}

static void pool_servers(struct rows *r, const struct pool *pool)
{
	for (int state = 0; state < SERVER_CLOSED; state++)
		list_foreach (&pool->by_state[state], n)
			server_row(r, &r->part->servers[r->part->server_count++],
			           list_entry(n, struct server, node));
}

static void server_rows(struct rows *r)
{
	struct admin_part *part = r->part;
	const struct proxy *p = r->proxy;

	part->servers = arena_zalloc(&part->arena, server_room(p) * sizeof *part->servers + 1);
	map_foreach(&p->pools, n)
		pool_servers(r, &map_entry(n, struct tenant_pool, by_ledger)->pool);
}

/* Clients count where they are linked or wait; idle ones at no node. */
static struct admin_pool *pool_of_client(struct rows *r, const struct client *c)
{
	const struct pool *pool = c->server ? c->server->pool : c->pool;
	const char *node = pool ? node_text(r, pool) : "";

	for (size_t i = 0; i < r->part->pool_count; i++) {
		struct admin_pool *row = &r->part->pools[i];

		if (strcmp(row->database, c->tenant->database) == 0 &&
		    slice_is(tenant_server_user(c->tenant), row->user) && strcmp(row->node, node) == 0)
			return row;
	}
	return NULL;
}

static void count_idle(struct admin_pool *row, const struct pool *pool)
{
	static const enum server_state states[] = { SERVER_IDLE, SERVER_KEPT, SERVER_MOVING };

	for (size_t i = 0; i < WEIR_COUNTOF(states); i++) {
		list_foreach (&pool->by_state[states[i]], n) {
			bool used = is_used(list_entry(n, struct server, node));

			row->sv_used += used;
			row->sv_idle += !used;
		}
	}
}

static void pool_row(struct rows *r, const struct tenant *t, const struct pool *pool)
{
	struct admin_pool *row = &r->part->pools[r->part->pool_count++];

	row->database = copy(r, t->database);
	row->user = copy_slice(r, tenant_server_user(t)); /* a forced user has one pool */
	row->node = pool ? node_text(r, pool) : "";
	row->pool_mode = config_pool_mode_text(t->pool_mode);
	row->load_balance_hosts = config_load_balance_text(t->db);
	if (!pool)
		return;
	row->sv_active = (uint32_t)pool_count(pool, SERVER_ACTIVE);
	count_idle(row, pool);
	row->sv_login = (uint32_t)pool_count(pool, SERVER_LOGIN);
	row->sv_tested = (uint32_t)pool_count(pool, SERVER_TESTED);
	row->sv_being_canceled = (uint32_t)pool_count(pool, SERVER_CANCELED);
}

static void count_client(struct rows *r, const struct client *c)
{
	struct admin_pool *row = c->tenant ? pool_of_client(r, c) : NULL;
	uint64_t waited;

	r->part->console_clients += c->is_console;
	if (!row)
		return;
	if (!is_waiting(c)) {
		row->cl_active++;
		return;
	}
	row->cl_waiting++;
	waited = c->wait_us ? r->now_us - c->wait_us : 0;
	if (waited > row->maxwait_us)
		row->maxwait_us = waited;
}

static void pool_rows(struct rows *r)
{
	struct admin_part *part = r->part;
	const struct proxy *p = r->proxy;

	part->pools =
		arena_zalloc(&part->arena, (p->pools.count + p->tenants.count) * sizeof *part->pools + 1);
	map_foreach(&p->tenants, n)
		pool_row(r, map_entry(n, struct tenant, map), NULL);
	map_foreach(&p->pools, n) {
		struct tenant_pool *tp = map_entry(n, struct tenant_pool, by_ledger);

		pool_row(r, tp->tenant, &tp->pool);
	}
	list_foreach (&p->clients, n) {
		const struct client *c = list_entry(n, struct client, node);

		if (c->state != CLIENT_LOGIN && c->state != CLIENT_CLOSED)
			count_client(r, c);
	}
}

static void memory_rows(struct rows *r)
{
	const struct statement_cache_stats *s = statement_cache_stats(r->proxy->statements);
	struct loop_buffers b = loop_buffers(r->proxy->loop);
	struct admin_part *part = r->part;
	uint32_t unnamed = r->proxy->unnamed_count;

	part->memory = arena_zalloc(&part->arena, MEMORY_ROWS * sizeof *part->memory);
	part->memory[part->memory_count++] =
		(struct admin_memory){ "statements", s->count ? s->bytes / s->count : 0, s->count, 0,
		                       s->bytes };
	part->memory[part->memory_count++] =
		(struct admin_memory){ "prepared", 0, prepared_table_count(r->proxy->prepared), 0,
		                       prepared_table_bytes(r->proxy->prepared) };
	part->memory[part->memory_count++] =
		(struct admin_memory){ "unnamed", unnamed ? r->proxy->unnamed_bytes / unnamed : 0, unnamed,
		                       0, r->proxy->unnamed_bytes };
	part->memory[part->memory_count++] =
		(struct admin_memory){ "clients", sizeof(struct client), r->proxy->clients.count, 0,
		                       r->proxy->clients.count * sizeof(struct client) };
	part->memory[part->memory_count++] =
		(struct admin_memory){ "servers", sizeof(struct server), server_room(r->proxy), 0,
		                       server_room(r->proxy) * sizeof(struct server) };
	if (b.count)
		part->memory[part->memory_count++] = (struct admin_memory){
			"io_uring", b.size_bytes, b.used, b.count - b.used, b.total_bytes
		};
}

struct admin_part *console_rows(struct proxy *p, unsigned want)
{
	struct rows r = {
		.part = admin_part_create(p->index),
		.proxy = p,
		.now_us = clock_monotonic_us(),
		.wall_us = clock_wall_us(),
	};

	if (want & ADMIN_WANT_POOLS)
		pool_rows(&r);
	if (want & ADMIN_WANT_CLIENTS)
		client_rows(&r);
	if (want & ADMIN_WANT_SERVERS)
		server_rows(&r);
	if (want & ADMIN_WANT_MEMORY)
		memory_rows(&r);
	return r.part;
}
