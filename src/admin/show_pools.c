/* SPDX-License-Identifier: PostgreSQL */
/*
 * SHOW POOLS, NODE_POOLS, LISTS: rows of all workers added up. Columns and
 * their order are PgBouncer's; what pgweir adds stands at the end. As there, the
 * console has a pool, though it is at no node.
 */
#include "admin/command.h"
#include "admin/names.h"
#include "admin/result.h"
#include "base/mem.h"

#include <stdlib.h>

struct pool_sums {
	struct admin_pool *rows; /* owned */
	size_t count;
	bool by_node;
};

static size_t pools_room(const struct admin_part *parts)
{
	size_t room = 0;

	for (; parts; parts = parts->next)
		room += parts->pool_count;
	return room;
}

static bool same_pool(const struct pool_sums *sums, const struct admin_pool *a,
                      const struct admin_pool *b)
{
	return strcmp(a->database, b->database) == 0 && strcmp(a->user, b->user) == 0 &&
	       (!sums->by_node || strcmp(a->node, b->node) == 0);
}

static void pool_add(struct admin_pool *to, const struct admin_pool *p)
{
	to->cl_active += p->cl_active;
	to->cl_waiting += p->cl_waiting;
	to->cl_active_cancel_req += p->cl_active_cancel_req;
	to->cl_waiting_cancel_req += p->cl_waiting_cancel_req;
	to->sv_active += p->sv_active;
	to->sv_active_cancel += p->sv_active_cancel;
	to->sv_being_canceled += p->sv_being_canceled;
	to->sv_idle += p->sv_idle;
	to->sv_used += p->sv_used;
	to->sv_tested += p->sv_tested;
	to->sv_login += p->sv_login;
	if (p->maxwait_us > to->maxwait_us)
		to->maxwait_us = p->maxwait_us;
}

static void pool_sums_take(struct pool_sums *sums, const struct admin_pool *p)
{
	for (size_t i = 0; i < sums->count; i++) {
		if (same_pool(sums, &sums->rows[i], p)) {
			pool_add(&sums->rows[i], p);
			return;
		}
	}
	sums->rows[sums->count++] = *p;
}

static int compare_pools(const void *a, const void *b)
{
	const struct admin_pool *x = a, *y = b;
	int order = strcmp(x->database, y->database);

	if (order == 0)
		order = strcmp(x->user, y->user);
	return order ? order : strcmp(x->node, y->node);
}

static struct admin_pool console_pool(const struct admin_part *parts)
{
	return (struct admin_pool){
		.database = CONSOLE_NAME,
		.user = CONSOLE_NAME,
		.node = "",
		.cl_active = (uint32_t)console_client_count(parts),
		.pool_mode = config_pool_mode_text(POOL_MODE_STATEMENT),
	};
}

static void pool_sums_init(struct pool_sums *sums, const struct admin_part *parts, bool by_node)
{
	sums->rows = mem_alloc((pools_room(parts) + 1) * sizeof(*sums->rows));
	sums->count = 0;
	sums->by_node = by_node;
	if (!by_node)
		sums->rows[sums->count++] = console_pool(parts);
	for (; parts; parts = parts->next)
		for (size_t i = 0; i < parts->pool_count; i++)
			pool_sums_take(sums, &parts->pools[i]);
	if (sums->count)
		qsort(sums->rows, sums->count, sizeof(*sums->rows), compare_pools);
}

static void pool_row(struct result *r, const struct admin_pool *p)
{
	result_text(r, p->database);
	result_text(r, p->user);
	result_number(r, p->cl_active);
	result_number(r, p->cl_waiting);
	result_number(r, p->cl_active_cancel_req);
	result_number(r, p->cl_waiting_cancel_req);
	result_number(r, p->sv_active);
	result_number(r, p->sv_active_cancel);
	result_number(r, p->sv_being_canceled);
	result_number(r, p->sv_idle);
	result_number(r, p->sv_used);
	result_number(r, p->sv_tested);
	result_number(r, p->sv_login);
	result_number(r, p->maxwait_us / 1000000);
	result_number(r, p->maxwait_us % 1000000);
	result_text(r, p->pool_mode);
	result_text(r, p->load_balance_hosts);
}

#define POOL_COLUMNS                                                                            \
	COLUMN_TEXT("database"), COLUMN_TEXT("user"), COLUMN_INT("cl_active"),                      \
		COLUMN_INT("cl_waiting"), COLUMN_INT("cl_active_cancel_req"),                           \
		COLUMN_INT("cl_waiting_cancel_req"), COLUMN_INT("sv_active"),                           \
		COLUMN_INT("sv_active_cancel"), COLUMN_INT("sv_being_canceled"), COLUMN_INT("sv_idle"), \
		COLUMN_INT("sv_used"), COLUMN_INT("sv_tested"), COLUMN_INT("sv_login"),                 \
		COLUMN_INT("maxwait"), COLUMN_INT("maxwait_us"), COLUMN_TEXT("pool_mode"),              \
		COLUMN_TEXT("load_balance_hosts")

static const struct build_column pool_columns[] = { POOL_COLUMNS };
static const struct build_column node_pool_columns[] = { POOL_COLUMNS, COLUMN_TEXT("node") };

void show_pools(struct show *s)
{
	struct pool_sums sums;
	struct result r;

	pool_sums_init(&sums, s->parts, false);
	RESULT_BEGIN(&r, s->out, pool_columns);
	for (size_t i = 0; i < sums.count; i++) {
		pool_row(&r, &sums.rows[i]);
		result_row(&r);
	}
	result_end(&r, "SHOW");
	mem_free(sums.rows);
}

void show_node_pools(struct show *s)
{
	struct pool_sums sums;
	struct result r;

	pool_sums_init(&sums, s->parts, true);
	RESULT_BEGIN(&r, s->out, node_pool_columns);
	for (size_t i = 0; i < sums.count; i++) {
		pool_row(&r, &sums.rows[i]);
		result_text(&r, sums.rows[i].node);
		result_row(&r);
	}
	result_end(&r, "SHOW");
	mem_free(sums.rows);
}

static void list_row(struct result *r, const char *name, uint64_t items)
{
	result_text(r, name);
	result_number(r, items);
	result_row(r);
}

struct list_sums {
	uint64_t clients, logins, servers;
};

static void list_sums_take(struct list_sums *sums, const struct admin_part *part)
{
	sums->clients += part->client_count;
	sums->logins += part->login_clients;
	sums->servers += part->server_count;
}

void show_lists(struct show *s)
{
	static const struct build_column columns[] = { COLUMN_TEXT("list"), COLUMN_INT("items") };
	struct list_sums sums = { 0 };
	struct host_counts hosts = hosts_count(s);
	struct names databases, users;
	struct pool_sums pools;
	struct result r;

	for (const struct admin_part *part = s->parts; part; part = part->next)
		list_sums_take(&sums, part);
	pool_sums_init(&pools, s->parts, false);
	names_of_databases(&databases, s);
	names_of_users(&users, s);
	RESULT_BEGIN(&r, s->out, columns);
	list_row(&r, "databases", databases.count);
	list_row(&r, "users", users.count);
	list_row(&r, "peers", 0);
	list_row(&r, "pools", pools.count);
	list_row(&r, "peer_pools", 0);
	list_row(&r, "free_clients", 0);
	list_row(&r, "used_clients", sums.clients);
	list_row(&r, "login_clients", sums.logins);
	list_row(&r, "free_servers", 0); /* PgBouncer's: memory kept for later, not idle connections */
	list_row(&r, "used_servers", sums.servers);
	list_row(&r, "dns_names", hosts.names);
	list_row(&r, "dns_zones", 0);
	list_row(&r, "dns_queries", 0);
	list_row(&r, "dns_pending", hosts.pending);
	result_end(&r, "SHOW");
	names_fini(&databases);
	names_fini(&users);
	mem_free(pools.rows);
}
