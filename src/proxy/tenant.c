/* SPDX-License-Identifier: PostgreSQL */
/*
 * Tenants and their pools. A tenant outlives its clients as upkeep.c says
 * (tenant_is_over), so there are not many more of them than clients.
 */
#include "proxy/tenant.h"

#include <stdio.h>

#include "auth/userlist.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "pool/ledger.h"
#include "pool/params.h"
#include "pool/session.h"
#include "proxy/backend.h"
#include "proxy/link.h"
#include "proxy/transfer.h"
#include "tier/catalog.h"

enum { FAILURE_PAUSE_US = 50000 }; /* doubled three times: a failover is noticed soon */

struct tenant_key {
	struct slice database, user;
};

static uint64_t tenant_hash(const struct tenant_key *k)
{
	return hash_combine(hash_bytes(k->database.ptr, k->database.len),
			    hash_bytes(k->user.ptr, k->user.len));
}

bool tenant_equal(const struct map_node *node, const void *key)
{
	const struct tenant *t = map_entry(node, struct tenant, map);
	const struct tenant_key *k = key;

	return slice_is(k->database, t->database) && slice_is(k->user, t->user);
}

bool tenant_pool_equal(const struct map_node *node, const void *key)
{
	return map_entry(node, struct tenant_pool, by_ledger)->pool.ledger == key;
}

static struct ledger_limits tenant_limits(const struct tenant *t)
{
	const struct config *cfg = t->proxy->settings->config;

	return (struct ledger_limits){
		.pool_size = (uint32_t)config_pool_size(cfg, t->db, t->user_cfg),
		.reserve_size = (uint32_t)config_reserve_pool_size(cfg, t->db, t->user_cfg),
		.max_db_connections = (uint32_t)t->db->max_db_connections,
		.max_user_connections = (uint32_t)config_max_user_connections(cfg, t->user_cfg),
	};
}

struct route_policy tenant_policy(const struct config_database *db)
{
	return (struct route_policy){
		.level = db->consistency,
		.max_lag_bytes = db->max_replica_lag_bytes,
		.max_lag_us = db->max_replica_lag_us,
		.wait_fresh_us = db->replica_wait_timeout_us,
		.has_split = db->split,
		.has_primary_reads = db->primary_reads,
	};
}

static void tenant_set_scope(struct tenant *t)
{
	struct slice dbname = tenant_server_dbname(t);
	struct buf b;

	if (t->scope)
		return;
	buf_init(&b, 4096);
	buf_appendf(&b, "%s/%.*s", t->db->cluster->name, (int)dbname.len, dbname.ptr);
	t->scope = mem_slicedup(buf_slice(&b));
	buf_fini(&b);
}

static void empty_pools(struct tenant *t)
{
	for (int i = 0; i < TOPOLOGY_NODES_MAX; i++)
		if (t->pools[i])
			link_empty_pool(&t->pools[i]->pool);
}

/*
 * Their servers aren't those of the entry any more: who waits is planned anew, and doesn't wait for
 * the log-in at a place that may never answer.
 */
static void move_pools(struct tenant *t)
{
	empty_pools(t);
	for (int i = 0; i < TOPOLOGY_NODES_MAX; i++) {
		struct list *logins = t->pools[i] ?
				      &t->pools[i]->pool.by_state[SERVER_LOGIN] : NULL;

		if (!logins)
			continue;
		list_foreach_safe (logins, n, tmp) {
			struct server *s = list_entry(n, struct server, node);

			if (!s->is_replication)
				backend_close(s, CLOSE_SERVER_EXPIRED);
		}
		link_recall_waiters(&t->pools[i]->pool);
	}
}

void tenant_leave_home(struct tenant *t)
{
	if (t->home && t->home != t)
		t->home->guest_count--;
	t->home = NULL;
}

void tenant_login_ok(struct tenant_pool *tp)
{
	mem_free(tp->refusal);
	tp->refusal = NULL;
	tp->is_refused_for_good = false;
	tp->retry_us = 0;
	tp->failures = 0;
}

void tenant_forget_failures(struct tenant *t)
{
	for (int i = 0; i < TOPOLOGY_NODES_MAX; i++)
		if (t->pools[i])
			tenant_login_ok(t->pools[i]);
}

void tenant_login_failed(struct tenant_pool *tp, const struct pg_error *error, bool is_for_good)
{
	struct proxy *p = tp->tenant->proxy;
	uint64_t pause_us = FAILURE_PAUSE_US << (tp->failures < 3 ? tp->failures : 3);

	tp->failures++;
	mem_free(tp->refusal);
	tp->refusal = error ? mem_alloc(sizeof *error) : NULL;
	tp->is_refused_for_good = is_for_good;
	if (error)
		*tp->refusal = *error;
	if (is_for_good)
		pause_us = p->settings->config->global.server_login_retry_us;
	tp->retry_us = loop_now_us(p->loop) + pause_us;
}

const struct pg_error *tenant_refusal(struct tenant *t)
{
	t = tenant_home(t);
	for (int i = 0; i < TOPOLOGY_NODES_MAX; i++)
		if (t->pools[i] && t->pools[i]->is_primary && t->pools[i]->refusal)
			return t->pools[i]->refusal;
	return NULL;
}

bool tenant_holds_off(struct tenant_pool *tp)
{
	return tp->retry_us && !pool_open_count(&tp->pool) &&
	       loop_now_us(tp->tenant->proxy->loop) < tp->retry_us;
}

void tenant_configure(struct tenant *t)
{
	const struct config *cfg = t->proxy->settings->config;
	const struct config_database *db = config_database_find(cfg, slice_str(t->database));
	struct ledger_limits limits;

	t->is_gone = db == NULL;
	if (!db) { /* the caller closes its clients; servers on their way still read the old entry */
		empty_pools(t);
		return;
	}
	if (t->db && !config_same_servers(t->settings->config, t->db, cfg, db))
		move_pools(t);
	settings_put(&t->settings);
	t->settings = settings_get(t->proxy->settings);
	t->db = db;
	tenant_leave_home(t);
	tenant_forget_failures(t);
	t->user_cfg = config_user_find(cfg, slice_str(t->user));
	t->cluster = proxy_cluster(t->proxy, db->cluster->name);
	if (!t->catalog && proxy_catalog(t->proxy, t->database))
		t->catalog = catalog_get(proxy_catalog(t->proxy, t->database));
	t->pool_mode = config_pool_mode(cfg, db, t->user_cfg);
	t->has_cache = t->proxy->cache != NULL;
	tenant_set_scope(t);
	t->max_prepared = (size_t)cfg->global.max_prepared_statements;
	t->policy = tenant_policy(db);
	limits = tenant_limits(t);
	for (int i = 0; i < TOPOLOGY_NODES_MAX; i++) {
		if (!t->pools[i])
			continue;
		ledger_set_limits(t->pools[i]->pool.ledger, &limits);
		transfer_use_room(&t->pools[i]->pool);
		t->pools[i]->pool.is_round_robin = cfg->global.server_round_robin;
	}
}

struct tenant *tenant_find(struct proxy *p, struct slice database, struct slice user)
{
	struct tenant_key key = { database, user };
	uint64_t hash = tenant_hash(&key);
	struct map_node *node = map_find(&p->tenants, hash, &key);
	struct tenant *t;

	if (node) {
		t = map_entry(node, struct tenant, map);
		return t->is_gone ? NULL : t;
	}
	if (!config_database_find(p->settings->config, database))
		return NULL;
	t = mem_zalloc(sizeof *t);
	t->proxy = p;
	t->database = mem_slicedup(database);
	t->user = mem_slicedup(user);
	t->stats = metrics_database(p->metrics, database);
	t->gate = gates_of(&p->gates, t->database);
	list_init(&t->held);
	map_insert(&p->tenants, &t->map, hash);
	tenant_configure(t);
	return t;
}

static void forget_secret(struct tenant *t)
{
	if (t->secret)
		mem_wipe(t->secret, strlen(t->secret));
	mem_free(t->secret);
	t->secret = NULL;
}

void tenant_keep_secret(struct tenant *t, const char *secret)
{
	if (t->secret && strcmp(t->secret, secret) == 0)
		return;
	forget_secret(t);
	tenant_forget_failures(t);
	t->secret = mem_strdup(secret);
}

void tenant_destroy(struct tenant *t)
{
	for (int i = 0; i < TOPOLOGY_NODES_MAX; i++) {
		if (!t->pools[i])
			continue;
		map_remove(&t->proxy->pools, &t->pools[i]->by_ledger);
		loop_timer_cancel(&t->pools[i]->patience);
		pool_fini(&t->pools[i]->pool);
		ledger_entry_put(t->pools[i]->pool.ledger);
		tenant_login_ok(t->pools[i]);
		mem_free(t->pools[i]);
	}
	tenant_unlearn(t);
	params_put(&t->defaults);
	map_remove(&t->proxy->tenants, &t->map);
	tenant_leave_home(t);
	catalog_put(&t->catalog);
	if (t->keys)
		mem_wipe(t->keys, sizeof *t->keys);
	mem_free(t->keys);
	forget_secret(t);
	settings_put(&t->settings);
	mem_free(t->database);
	mem_free(t->user);
	mem_free(t->scope);
	mem_free(t);
}

static struct tenant_pool *pool_create(struct tenant *t, const struct topology_node *node)
{
	struct proxy *p = t->proxy;
	struct tenant_pool *tp = mem_zalloc(sizeof *tp);
	struct ledger_limits limits = tenant_limits(t);
	struct ledger_entry *ledger = ledger_entry_find(p->shared->ledger, slice_str(t->database),
							slice_str(t->user), node->id);

	ledger_set_limits(ledger, &limits);
	pool_init(&tp->pool, ledger, p->index, node->id);
	tp->pool.is_round_robin = p->settings->config->global.server_round_robin;
	tp->tenant = t;
	map_insert(&p->pools, &tp->by_ledger, hash_combine((uintptr_t)ledger, 0));
	return tp;
}

struct tenant *tenant_home(struct tenant *t)
{
	if (t->home)
		return t->home;
	if (*t->db->user && strcmp(t->db->user, t->user) != 0)
		t->home = tenant_find(t->proxy, slice_str(t->database), slice_str(t->db->user));
	if (t->home)
		t->home->guest_count++;
	else /* the entry is gone, what runs ends on our own pools */
		t->home = t;
	return t->home;
}

struct pool *tenant_pool(struct tenant *t, const struct topology_node *node)
{
	struct tenant_pool *tp;

	t = tenant_home(t);
	tp = t->pools[node->id];
	if (!tp)
		tp = t->pools[node->id] = pool_create(t, node);
	if (!pool_is_at(&tp->pool, node->host, node->port)) {
		pool_set_address(&tp->pool, node->host, node->port);
		link_empty_pool(&tp->pool);
		tenant_login_ok(tp);
	}
	tp->is_primary = node->role == NODE_ROLE_PRIMARY;
	return &tp->pool;
}

struct pool *tenant_pool_by_ledger(struct proxy *p, const struct ledger_entry *ledger)
{
	struct map_node *node =
		map_find(&p->pools, hash_combine((uintptr_t)ledger, 0), ledger);

	return node ? &map_entry(node, struct tenant_pool, by_ledger)->pool : NULL;
}

const struct topology_node *tenant_node(const struct tenant *t, uint16_t node_id)
{
	const struct topology *topology = t->cluster->topology;

	for (uint16_t i = 0; topology && i < topology->node_count; i++)
		if (topology->nodes[i].id == node_id)
			return &topology->nodes[i];
	return NULL;
}

void tenant_suspect(struct tenant *t, uint16_t node_id)
{
	const struct config_globals *g = &t->proxy->settings->config->global;
	struct proxy_shared *sh = t->proxy->shared;
	const struct topology_node *node = tenant_node(t, node_id);

	sh->hooks->suspect(sh->hooks_ctx, t->cluster->name, node_id);
	if (node && node->role == NODE_ROLE_REPLICA)
		route_node_eject(node, clock_monotonic_us(), g->replica_eject_time_us,
				 g->replica_eject_max_us);
}

/*
 * What runs on a primary in doubt may still end well; once there is a successor
 * nothing that it says counts any more, and it may never say anything again.
 */
static bool is_lost_cause(const struct tenant *t, const struct tenant_pool *tp,
			  const struct topology_node *node)
{
	const struct topology *topology = t->cluster->topology;

	if (tp->is_deposed)
		return topology->primary >= 0;
	return !node;
}

void tenant_topology_changed(struct tenant *t)
{
	for (uint16_t id = 0; id < TOPOLOGY_NODES_MAX; id++) {
		struct tenant_pool *tp = t->pools[id];
		const struct topology_node *node;
		bool is_primary;

		if (!tp)
			continue;
		node = tenant_node(t, id);
		is_primary = node && node->role == NODE_ROLE_PRIMARY;
		/* A changed role or a node that is gone: what is connected may be the wrong thing. */
		if (!node || !node->is_running || is_primary != tp->is_primary) {
			tenant_login_ok(tp);
			link_empty_pool(&tp->pool);
			link_refuse_waiters(&tp->pool, NULL);
		}
		tp->is_deposed = !is_primary && (tp->is_primary || tp->is_deposed);
		tp->is_primary = is_primary;
		if (is_lost_cause(t, tp, node)) {
			tp->is_deposed = false;
			link_abandon_pool(&tp->pool);
		}
	}
}

void tenant_set_gate(struct tenant *t, struct gate_state gate)
{
	bool was_paused = t->gate.is_paused;

	t->gate = gate;
	for (uint16_t id = 0; id < TOPOLOGY_NODES_MAX && gate.is_paused; id++)
		if (t->pools[id])
			link_pause_pool(&t->pools[id]->pool);
	if (was_paused && !gate.is_paused)
		link_wake_held(t);
}

const struct tenant_welcome *tenant_welcome(const struct tenant *t,
					    const struct session_state *session)
{
	for (int i = 0; i < TENANT_WELCOMES_MAX; i++)
		if (t->welcomes[i].session == session)
			return &t->welcomes[i];
	return NULL;
}

void tenant_unlearn(struct tenant *t)
{
	for (int i = 0; i < TENANT_WELCOMES_MAX; i++) {
		session_put(&t->welcomes[i].session);
		params_put(&t->welcomes[i].params);
		params_put(&t->welcomes[i].defaults);
	}
}

void tenant_learn(struct tenant *t, struct session_state *session, const struct server *s)
{
	struct tenant_welcome *w = NULL;

	for (int i = 0; i < TENANT_WELCOMES_MAX && !w; i++)
		if (t->welcomes[i].session == session)
			w = &t->welcomes[i];
	if (!w) {
		w = &t->welcomes[t->next_welcome++ % TENANT_WELCOMES_MAX];
		session_put(&w->session);
		w->session = session_get(session);
	}
	params_put(&w->params);
	w->params = params_get(s->params);
	params_put(&w->defaults);
	w->defaults = params_get(s->defaults);
	t->server_major = params_server_major(s->params);
	/* The database exists: if only the fallback entry names it, the tier learns of it here. */
	if (t->db->is_fallback && !t->catalog)
		t->proxy->shared->hooks->catalog_stale(t->proxy->shared->hooks_ctx, t->database);
}

struct slice tenant_server_user(const struct tenant *t)
{
	return slice_str(*t->db->user ? t->db->user : t->user);
}

struct slice tenant_server_secret(const struct tenant *t)
{
	struct slice secret = slice_of("", 0);

	if (*t->db->password)
		return slice_str(t->db->password);
	if (userlist_find(t->settings->users, tenant_server_user(t), &secret) == WEIR_OK)
		return secret;
	return t->secret && !*t->db->user ? slice_str(t->secret) : slice_of("", 0);
}

struct slice tenant_server_dbname(const struct tenant *t)
{
	return config_dbname(t->db, slice_str(t->database));
}
