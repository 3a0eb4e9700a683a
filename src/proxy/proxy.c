/* SPDX-License-Identifier: PostgreSQL */
/*
 * A worker's proxy: made once, fed with snapshots, closed in the reverse
 * order. Housekeeping runs once a second over servers and clients, so that no
 * timer is armed per query.
 */
#include "proxy/proxy.h"

#include <unistd.h>

#include "auth/key_cache.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "cache/cache.h"
#include "net/socket.h"
#include "pool/ledger.h"
#include "pool/session.h"
#include "proxy/backend.h"
#include "proxy/cancel.h"
#include "proxy/client.h"
#include "proxy/held.h"
#include "proxy/gauges.h"
#include "proxy/hosts.h"
#include "proxy/keydata.h"
#include "proxy/link.h"
#include "proxy/listen.h"
#include "proxy/login.h"
#include "proxy/orphan.h"
#include "proxy/replication.h"
#include "proxy/tenant.h"
#include "sql/statement.h"
#include "tier/catalog.h"

enum {
	HOUSEKEEPING_US = 1000000,
	TRIM_CALM = 100, /* fewer of all these since the last look: it is over */
	TRIM_DUE = 200,  /* so many leave enough behind */
};

static bool client_id_equal(const struct map_node *node, const void *key)
{
	return map_entry(node, struct client, by_id)->id == *(const uint64_t *)key;
}

static void set_limits(struct proxy *p)
{
	const struct config_globals *g = &p->settings->config->global;
	struct socket_options tuning;

	p->client_limits = (struct conn_limits){
		.max_kept_bytes = g->client_buffer_bytes,
		.high_water_bytes = g->client_high_water_bytes,
		.low_water_bytes = g->client_low_water_bytes,
	};
	p->server_limits = p->client_limits;
	settings_tuning(p->settings, &tuning);
	loop_set_tuning(p->loop, &tuning);
}

static bool is_past(uint64_t since_us, uint64_t now_us, uint64_t bound_us)
{
	return bound_us && since_us && now_us > since_us && now_us - since_us >= bound_us;
}

/* A session pool's server that should be replaced, between two transactions. */
static bool is_outlived_session(const struct client *c)
{
	return c->tenant->pool_mode == POOL_MODE_SESSION && c->state == CLIENT_IDLE &&
	       c->txn.state == TXN_IDLE && c->server &&
	       c->server->generation != c->server->pool->generation;
}

/* Time-outs that need no precision. */
static void check_client(struct proxy *p, struct client *c, uint64_t now)
{
	const struct config *cfg = p->settings->config;
	const struct config_user *u = c->tenant->user_cfg;
	bool in_txn = c->txn.state != TXN_IDLE && c->state == CLIENT_IDLE;

	if (c->state == CLIENT_ACTIVE &&
	    is_past(c->request_us, now, config_query_timeout_us(cfg, u)))
		client_close(c, CLOSE_QUERY_TIMEOUT, NULL);
	else if (in_txn && is_past(c->idle_us, now, config_idle_transaction_timeout_us(cfg, u)))
		client_close(c, CLOSE_IDLE_TRANSACTION, NULL);
	else if (c->txn.state != TXN_IDLE &&
		 is_past(c->txn_us, now, config_transaction_timeout_us(cfg, u)))
		client_close(c, CLOSE_TRANSACTION_TIMEOUT, NULL);
	else if (c->state == CLIENT_IDLE && !in_txn &&
		 is_past(c->idle_us, now, config_client_idle_timeout_us(cfg, u)))
		client_close(c, CLOSE_CLIENT_IDLE, NULL);
	else if (cfg->global.server_fast_close && is_outlived_session(c))
		client_close(c, CLOSE_SERVER_OUTLIVED, NULL);
}

/* Who sits before psql sees why nothing happens. A waiting client is inside no answer. */
static void notify_waiting(struct proxy *p, struct client *c, uint64_t now)
{
	if (c->is_wait_told ||
	    !is_past(c->wait_us, now, p->settings->config->global.query_wait_notify_us))
		return;
	c->is_wait_told = true;
	client_send_notice(c, "NOTICE", "00000",
			   "no server connection is free, the query waits for one");
}

/* Forced users whose pools are kept filled need no client; one worker sees to them. */
static void make_filled_tenants(struct proxy *p)
{
	const struct config *cfg = p->settings->config;

	for (size_t i = 0; p->index == 0 && i < cfg->database_count; i++) {
		const struct config_database *db = &cfg->databases[i];

		if (db->min_pool_size && *db->user && !db->is_fallback)
			(void)tenant_find(p, slice_str(db->name), slice_str(db->user));
	}
}

static void free_unused_tenants(struct proxy *p, uint64_t now)
{
	struct map_node *next;

	for (struct map_node *n = map_next(&p->tenants, NULL); n; n = next) {
		struct tenant *t = map_entry(n, struct tenant, map);

		next = map_next(&p->tenants, n);
		if (tenant_is_over(t, now))
			tenant_destroy(t);
	}
}

/*
 * A burst of log-ins, of clients that leave or that wait with half a request frees much at once. It
 * is given back when the burst is over, since that costs a walk over the heap.
 */
static void trim_memory(struct proxy *p)
{
	uint64_t freed = p->client_slab.freed + p->login_slab.freed + loop_stats(p->loop)->retired;
	bool is_calm = freed - p->freed_seen < TRIM_CALM;

	p->freed_seen = freed;
	if (!is_calm || freed - p->freed_trimmed < TRIM_DUE)
		return;
	p->freed_trimmed = freed;
	held_free_spares(p);
	loop_trim(p->loop);
}

static void on_housekeeping(struct loop_timer *timer)
{
	struct proxy *p = list_entry(timer, struct proxy, housekeeping);
	uint64_t now = loop_now_us(p->loop);

	make_filled_tenants(p);
	map_foreach(&p->tenants, n)
		tenant_keep_pools(map_entry(n, struct tenant, map), now);
	list_foreach_safe(&p->clients, n, tmp) {
		struct client *c = list_entry(n, struct client, node);

		if (c->tenant && c->state != CLIENT_LOGIN && !c->replication)
			check_client(p, c, now);
		if (c->state == CLIENT_WAIT_SERVER || c->state == CLIENT_WAIT_NODE)
			notify_waiting(p, c, now);
	}
	hosts_follow(p);
	free_unused_tenants(p, now);
	if (p->is_draining) /* who logged in or became idle since */
		proxy_drain(p);
	gauges_publish(p);
	trim_memory(p);
	loop_timer_arm(p->loop, &p->housekeeping, HOUSEKEEPING_US, on_housekeeping);
}

struct proxy *proxy_create(struct proxy_shared *shared, unsigned index, struct loop *loop,
			   struct settings *settings)
{
	struct proxy *p = mem_zalloc(sizeof *p);
	const struct config_globals *g = &settings->config->global;

	p->shared = shared;
	p->index = index;
	p->loop = loop;
	p->settings = settings_get(settings);
	p->metrics = metrics_block(shared->metrics, index);
	p->mailbox = mailbox_create(loop, p);
	list_init(&p->clients);
	slab_init(&p->client_slab, sizeof(struct client));
	slab_init(&p->login_slab, login_bytes());
	list_init(&p->ready);
	list_init(&p->clusters);
	list_init(&p->catalogs);
	list_init(&p->spare_requests);
	list_init(&p->cancelers);
	list_init(&p->orphans);
	gates_init(&p->gates);
	map_init(&p->clients_by_id, client_id_equal);
	map_init(&p->channels, listen_channel_equal);
	map_init(&p->clients_by_key, keydata_equal);
	map_init(&p->tenants, tenant_equal);
	map_init(&p->pools, tenant_pool_equal);
	p->statements = statement_cache_create(g->statement_cache_bytes, g->statement_max_bytes);
	p->prepared = prepared_table_create();
	p->login_keys = key_cache_create();
	if (shared->cache)
		p->cache = cache_worker_create(shared->cache, loop);
	set_limits(p);
	loop_timer_arm(loop, &p->housekeeping, HOUSEKEEPING_US, on_housekeeping);
	return p;
}

static void close_servers(struct pool *pool)
{
	for (int state = 0; state < SERVER_CLOSED; state++) {
		struct list_node *n;

		while ((n = list_first(&pool->by_state[state])) != NULL) {
			struct server *s = list_entry(n, struct server, node);

			if (state == SERVER_MOVING) { /* never arrived anywhere */
				server_set_state(s, SERVER_CLOSED);
				server_destroy(s);
			} else {
				backend_close(s, CLOSE_SHUTDOWN);
			}
		}
	}
}

/* Step one of the end: nobody is served any more. The loop must turn once before the rest. */
void proxy_close_all(struct proxy *p)
{
	struct list_node *n;

	while ((n = list_first(&p->clients)) != NULL)
		client_close(list_entry(n, struct client, node), CLOSE_SHUTDOWN, NULL);
	map_foreach(&p->pools, m)
		close_servers(&map_entry(m, struct tenant_pool, by_ledger)->pool);
	cancel_close_all(p);
	orphan_close_all(p);
}

void proxy_destroy(struct proxy *p)
{
	struct list_node *n;
	struct map_node *node;

	loop_timer_cancel(&p->housekeeping);
	mailbox_destroy(p->mailbox);
	map_foreach(&p->tenants, m)
		tenant_leave_home(map_entry(m, struct tenant, map));
	while ((node = map_next(&p->tenants, NULL)) != NULL)
		tenant_destroy(map_entry(node, struct tenant, map));
	while ((n = list_pop(&p->clusters)) != NULL) {
		struct cluster_view *v = list_entry(n, struct cluster_view, node);

		loop_timer_cancel(&v->retry);
		topology_put(&v->topology);
		mem_free(v->name);
		mem_free(v);
	}
	while ((n = list_pop(&p->catalogs)) != NULL) {
		struct catalog_view *v = list_entry(n, struct catalog_view, node);

		catalog_put(&v->catalog);
		mem_free(v->database);
		mem_free(v);
	}
	if (p->cache)
		cache_worker_destroy(p->cache);
	prepared_table_destroy(p->prepared);
	key_cache_destroy(p->login_keys);
	statement_cache_destroy(p->statements);
	held_free_spares(p);
	WEIR_ASSERT(p->channels.count == 0);
	slab_fini(&p->login_slab);
	slab_fini(&p->client_slab);
	map_fini(&p->channels);
	map_fini(&p->tenants);
	map_fini(&p->pools);
	map_fini(&p->clients_by_id);
	map_fini(&p->clients_by_key);
	gates_fini(&p->gates);
	settings_put(&p->settings);
	mem_free(p);
}

struct cluster_view *proxy_cluster(struct proxy *p, const char *name)
{
	struct cluster_view *v;

	list_foreach(&p->clusters, n) {
		v = list_entry(n, struct cluster_view, node);
		if (strcmp(v->name, name) == 0)
			return v;
	}
	v = mem_zalloc(sizeof *v);
	v->name = mem_strdup(name);
	list_init(&v->waiting);
	list_append(&p->clusters, &v->node);
	return v;
}

struct client *proxy_client_by_id(struct proxy *p, uint64_t id)
{
	struct map_node *node = map_find(&p->clients_by_id, hash_combine(id, 0), &id);

	return node ? map_entry(node, struct client, by_id) : NULL;
}

static void close_clients_of(struct proxy *p, const struct tenant *t)
{
	list_foreach_safe(&p->clients, n, tmp) {
		struct client *c = list_entry(n, struct client, node);

		if (c->tenant == t)
			client_close(c, CLOSE_DATABASE_GONE, NULL);
	}
}

static void apply_gates(struct proxy *p)
{
	map_foreach(&p->tenants, n) {
		struct tenant *t = map_entry(n, struct tenant, map);

		tenant_set_gate(t, gates_of(&p->gates, t->database));
	}
}

void proxy_set_settings(struct proxy *p, struct settings *settings)
{
	struct settings *old = p->settings;

	p->settings = settings_get(settings);
	set_limits(p);
	link_hold_ready(p); /* who is served may add to the maps */
	map_foreach(&p->tenants, n) {
		struct tenant *t = map_entry(n, struct tenant, map);
		bool was_gone = t->is_gone;

		if (!config_database_find(settings->config, slice_str(t->database)) && !was_gone)
			close_clients_of(p, t);
		tenant_configure(t);
	}
	settings_put(&old);
	if (gates_keep(&p->gates, settings->config))
		apply_gates(p);
	link_serve_ready(p);
}

void proxy_set_topology(struct proxy *p, const char *cluster, struct topology *topology)
{
	struct cluster_view *v = proxy_cluster(p, cluster);

	topology_put(&v->topology);
	v->topology = topology_get(topology);
	map_foreach(&p->tenants, n) {
		struct tenant *t = map_entry(n, struct tenant, map);

		if (t->cluster == v)
			tenant_topology_changed(t);
	}
	link_wake_cluster(p, v);
}

static struct catalog_view *find_catalog(const struct proxy *p, const char *database)
{
	list_foreach(&p->catalogs, n) {
		struct catalog_view *v = list_entry(n, struct catalog_view, node);

		if (strcmp(v->database, database) == 0)
			return v;
	}
	return NULL;
}

struct catalog *proxy_catalog(const struct proxy *p, const char *database)
{
	struct catalog_view *v = find_catalog(p, database);

	return v ? v->catalog : NULL;
}

static void keep_catalog(struct proxy *p, const char *database, struct catalog *catalog)
{
	struct catalog_view *v = find_catalog(p, database);

	if (!v) {
		v = mem_zalloc(sizeof *v);
		v->database = mem_strdup(database);
		list_append(&p->catalogs, &v->node);
	}
	catalog_put(&v->catalog);
	v->catalog = catalog_get(catalog);
}

void proxy_set_catalog(struct proxy *p, const char *database, struct catalog *catalog)
{
	keep_catalog(p, database, catalog);
	map_foreach(&p->tenants, n) {
		struct tenant *t = map_entry(n, struct tenant, map);

		if (t->is_gone || strcmp(t->database, database) != 0)
			continue;
		catalog_put(&t->catalog);
		t->catalog = catalog_get(catalog);
		t->catalog_pause_us = 0;
	}
}

void proxy_expect_client(struct proxy *p)
{
	atomic_fetch_add(&p->shared->client_count, 1);
	atomic_fetch_add(&p->client_load, 1);
}

void proxy_accept(struct proxy *p, int fd, bool is_unix)
{
	struct client *c = client_create(p, fd, is_unix);

	metrics_add(p->metrics, METRIC_CLIENTS_ACCEPTED, 1);
	if (!is_unix && p->settings->config->global.tcp_defer_accept)
		conn_read_now(&c->conn); /* the kernel has waited for its first bytes */
}

/* Waits for a RESUME that nobody will give any more. */
static bool is_held(const struct client *c)
{
	const struct tenant *t = c->tenant;

	return t && c->wait_list &&
	       (c->wait_list == &t->held || (t->home && c->wait_list == &t->home->held));
}

void proxy_drain(struct proxy *p)
{
	p->is_draining = true;
	list_foreach_safe(&p->clients, n, tmp) {
		struct client *c = list_entry(n, struct client, node);

		if (client_may_leave(c) || is_held(c) ||
		    (c->replication && replication_may_leave(c)))
			client_close(c, CLOSE_SHUTDOWN, NULL);
	}
}

void proxy_set_gate(struct proxy *p, const char *database, struct gate_state state)
{
	gates_set(&p->gates, database, state);
	apply_gates(p);
}

void proxy_resume_all(struct proxy *p)
{
	gates_resume_all(&p->gates);
	apply_gates(p);
}
