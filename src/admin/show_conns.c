/* SPDX-License-Identifier: PostgreSQL */
/*
 * SHOW CLIENTS, SERVERS, SOCKETS, ACTIVE_SOCKETS, USERS: one row per
 * connection, PgBouncer's columns first, then why a client is pinned, which
 * node a server is on and which worker has it.
 */
#include "admin/command.h"
#include "admin/names.h"
#include "admin/result.h"
#include "base/mem.h"

#define CONN_COLUMNS                                                                               \
	COLUMN_TEXT("type"), COLUMN_TEXT("user"), COLUMN_TEXT("database"), COLUMN_TEXT("replication"), \
		COLUMN_TEXT("state"), COLUMN_TEXT("addr"), COLUMN_INT("port"), COLUMN_TEXT("local_addr"),  \
		COLUMN_INT("local_port"), COLUMN_TEXT("connect_time"), COLUMN_TEXT("request_time"),        \
		COLUMN_INT("wait"), COLUMN_INT("wait_us"), COLUMN_INT("close_needed"), COLUMN_TEXT("ptr"), \
		COLUMN_TEXT("link"), COLUMN_INT("remote_pid"), COLUMN_TEXT("tls"),                         \
		COLUMN_TEXT("application_name"), COLUMN_INT("prepared_statements"), COLUMN_BIG("id")
#define SOCKET_COLUMNS                                                              \
	COLUMN_INT("recv_pos"), COLUMN_INT("pkt_pos"), COLUMN_INT("pkt_remain"),        \
		COLUMN_INT("send_pos"), COLUMN_INT("send_remain"), COLUMN_INT("pkt_avail"), \
		COLUMN_INT("send_avail")
#define OWN_COLUMNS COLUMN_TEXT("pinned"), COLUMN_TEXT("node"), COLUMN_INT("worker")

static const struct build_column conn_columns[] = { CONN_COLUMNS, OWN_COLUMNS };
static const struct build_column socket_columns[] = { CONN_COLUMNS, SOCKET_COLUMNS, OWN_COLUMNS };

enum { SOCKET_COLUMN_COUNT = 7 };

static void conn_values(struct result *r, const char *type, const struct admin_conn *c)
{
	result_text(r, type);
	result_text(r, c->user);
	result_text(r, c->database);
	result_text(r, c->replication);
	result_text(r, c->state);
	result_text(r, c->addr);
	result_number(r, c->port);
	result_text(r, c->local_addr);
	result_number(r, c->local_port);
	result_time(r, c->connect_time_us);
	result_time(r, c->request_time_us);
	result_number(r, c->wait_us / 1000000);
	result_number(r, c->wait_us % 1000000);
	result_bool(r, c->close_needed);
	result_hex(r, c->ptr);
	result_hex(r, c->link);
	result_number(r, c->remote_pid);
	result_text(r, c->tls);
	result_text(r, c->application_name);
	result_number(r, c->prepared_statements);
	result_number(r, c->id);
}

static void conn_row(struct result *r, const char *type, const struct admin_conn *c,
                     unsigned worker)
{
	conn_values(r, type, c);
	for (int i = 0; r->columns == WEIR_COUNTOF(socket_columns) && i < SOCKET_COLUMN_COUNT; i++)
		result_number(r, 0);
	result_text(r, c->pin);
	result_text(r, c->node);
	result_number(r, worker);
	result_row(r);
}

enum { LIST_CLIENTS = 1, LIST_SERVERS = 2, LIST_ACTIVE_ONLY = 4 };

static bool is_listed(const struct admin_conn *c, unsigned what)
{
	return !(what & LIST_ACTIVE_ONLY) ||
	       (strcmp(c->state, "idle") != 0 && strcmp(c->state, "used") != 0);
}

static void conn_rows(struct show *s, struct result *r, unsigned what)
{
	for (const struct admin_part *p = s->parts; p; p = p->next) {
		for (size_t i = 0; (what & LIST_CLIENTS) && i < p->client_count; i++)
			if (is_listed(&p->clients[i], what))
				conn_row(r, "C", &p->clients[i], p->worker);
		for (size_t i = 0; (what & LIST_SERVERS) && i < p->server_count; i++)
			if (is_listed(&p->servers[i], what))
				conn_row(r, "S", &p->servers[i], p->worker);
	}
	result_end(r, "SHOW");
}

void show_clients(struct show *s)
{
	struct result r;

	RESULT_BEGIN(&r, s->out, conn_columns);
	conn_rows(s, &r, LIST_CLIENTS);
}

void show_servers(struct show *s)
{
	struct result r;

	RESULT_BEGIN(&r, s->out, conn_columns);
	conn_rows(s, &r, LIST_SERVERS);
}

void show_sockets(struct show *s)
{
	struct result r;

	RESULT_BEGIN(&r, s->out, socket_columns);
	conn_rows(s, &r, LIST_CLIENTS | LIST_SERVERS);
}

void show_active_sockets(struct show *s)
{
	struct result r;

	RESULT_BEGIN(&r, s->out, socket_columns);
	conn_rows(s, &r, LIST_CLIENTS | LIST_SERVERS | LIST_ACTIVE_ONLY);
}

struct user_counts {
	uint64_t servers, clients;
};

/* One per name and one more, for those without. */
static struct user_counts *count_users(const struct admin_part *parts, const struct names *names)
{
	struct user_counts *counts = mem_zalloc((names->count + 1) * sizeof(*counts));

	for (; parts; parts = parts->next) {
		for (size_t i = 0; i < parts->server_count; i++)
			counts[names_find(names, slice_str(parts->servers[i].user))].servers++;
		for (size_t i = 0; i < parts->client_count; i++)
			counts[names_find(names, slice_str(parts->clients[i].user))].clients++;
	}
	return counts;
}

static bool user_gives(const struct config_user *u, const char *name)
{
	const struct option *o = option_find(OPTION_SCOPE_USER, slice_str(name));

	return u->given & (1ULL << option_index(OPTION_SCOPE_USER, o));
}

static void user_number(struct result *r, const struct config_user *u, const char *name, int value)
{
	if (user_gives(u, name))
		result_number(r, (uint64_t)value);
	else
		result_text(r, NULL);
}

static void user_row(struct show *s, struct result *r, struct slice name,
                     const struct user_counts *counts)
{
	const struct config_user stranger = { .name = "" };
	const struct config_user *u = config_user_find(s->cfg, name);

	if (!u)
		u = &stranger;
	result_slice(r, name);
	user_number(r, u, "pool_size", u->pool_size);
	user_number(r, u, "reserve_pool_size", u->reserve_pool_size);
	result_text(r, user_gives(u, "pool_mode") ? config_pool_mode_text(u->pool_mode) : NULL);
	result_number(r, (uint64_t)config_max_user_connections(s->cfg, u));
	result_number(r, counts->servers);
	result_number(r, (uint64_t)config_max_user_client_connections(s->cfg, u));
	result_number(r, counts->clients);
	result_row(r);
}

void show_users(struct show *s)
{
	static const struct build_column columns[] = {
		COLUMN_TEXT("name"),
		COLUMN_INT("pool_size"),
		COLUMN_INT("reserve_pool_size"),
		COLUMN_TEXT("pool_mode"),
		COLUMN_INT("max_user_connections"),
		COLUMN_INT("current_connections"),
		COLUMN_INT("max_user_client_connections"),
		COLUMN_INT("current_client_connections"),
	};
	struct user_counts *counts;
	struct names names;
	struct result r;

	names_of_users(&names, s);
	counts = count_users(s->parts, &names);
	RESULT_BEGIN(&r, s->out, columns);
	for (size_t i = 0; i < names.count; i++)
		user_row(s, &r, names.items[i], &counts[i]);
	result_end(&r, "SHOW");
	mem_free(counts);
	names_fini(&names);
}
