/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a tenant and its pools need once a second: see tenant_keep_pools and
 * tenant_is_over. Connections are opened one per pool and second, so that a
 * start doesn't storm a server.
 */
#include "pool/ledger.h"
#include "proxy/backend.h"
#include "proxy/client.h"
#include "proxy/tenant.h"
#include "proxy/transfer.h"

static bool is_past(uint64_t since_us, uint64_t now_us, uint64_t bound_us)
{
	return now_us > since_us && now_us - since_us >= bound_us;
}

/* Idle servers that min_pool_size wants stay, however long they idle. */
static void close_expired(struct tenant *t, struct pool *pool, enum server_state state,
			  uint64_t now_us)
{
	const struct config_globals *g = &t->settings->config->global;

	list_foreach_safe(&pool->by_state[state], n, tmp) {
		struct server *s = list_entry(n, struct server, node);
		bool is_spare = ledger_open_count(pool->ledger) > (uint32_t)t->db->min_pool_size;

		if (ledger_is_over(pool->ledger) ||
		    pool_is_expired(s, now_us, t->db->server_lifetime_us,
				    is_spare ? g->server_idle_timeout_us : 0))
			backend_close(s, CLOSE_SERVER_EXPIRED);
	}
}

static void use_reserve(struct tenant *t, struct pool *pool, uint64_t now_us)
{
	const struct config_globals *g = &t->settings->config->global;
	const struct list_node *first = list_first(&pool->waiting);
	struct ledger_advice advice;

	if (!first || !g->reserve_pool_timeout_us ||
	    !is_past(list_entry(first, struct client, wait_node)->wait_us, now_us,
		     g->reserve_pool_timeout_us))
		return;
	advice = ledger_wait_long(pool->ledger);
	transfer_follow(pool, &advice);
}

/* PgBouncer's rule: a forced user's pool is kept filled always, others while a client is there. */
static bool wants_least(const struct tenant *t)
{
	if (!t->db->min_pool_size || t->is_gone || t->gate.is_paused || t->proxy->is_draining)
		return false;
	return *t->db->user ? strcmp(t->db->user, t->user) == 0 : t->client_count > 0;
}

static void fill_least(struct tenant *t, struct pool *pool)
{
	const struct topology_node *node = tenant_node(t, pool->node_id);

	if (node && node->is_running && !pool->by_state[SERVER_LOGIN].count &&
	    ledger_reserve_least(pool->ledger, (uint32_t)t->db->min_pool_size))
		backend_open(pool);
}

/* Nobody has asked for a server of the primary yet. */
static void make_primary_pool(struct tenant *t)
{
	const struct topology *topology = t->cluster->topology;

	if (topology && topology->primary >= 0)
		(void)tenant_pool(t, &topology->nodes[topology->primary]);
}

static bool is_unused(const struct tenant *t)
{
	if (t->client_count || t->guest_count || t->in_flight || t->held.count || wants_least(t))
		return false;
	for (uint16_t id = 0; id < TOPOLOGY_NODES_MAX; id++) {
		const struct pool *pool = t->pools[id] ? &t->pools[id]->pool : NULL;

		if (pool && (pool_open_count(pool) || pool->waiting.count ||
			     pool_count(pool, SERVER_CLOSED)))
			return false;
	}
	return true;
}

/* 0: for ever, up to as many as there may be clients: user names are a stranger's to choose. */
static uint64_t unused_bound_us(const struct tenant *t)
{
	const struct config_globals *g = &t->proxy->settings->config->global;

	if (t->is_gone || t->proxy->tenants.count > (size_t)g->max_client_conn)
		return 1;
	return t->db->is_fallback ? g->autodb_idle_timeout_us : g->pool_idle_timeout_us;
}

bool tenant_is_over(struct tenant *t, uint64_t now_us)
{
	uint64_t bound_us = unused_bound_us(t);

	if (!is_unused(t)) {
		t->unused_us = 0;
		return false;
	}
	if (!t->unused_us)
		t->unused_us = now_us;
	return bound_us && is_past(t->unused_us, now_us, bound_us);
}

void tenant_keep_pools(struct tenant *t, uint64_t now_us)
{
	bool is_filling = wants_least(t);

	if (is_filling)
		make_primary_pool(t);
	for (uint16_t id = 0; id < TOPOLOGY_NODES_MAX; id++) {
		struct pool *pool = t->pools[id] ? &t->pools[id]->pool : NULL;

		if (!pool)
			continue;
		close_expired(t, pool, SERVER_IDLE, now_us);
		close_expired(t, pool, SERVER_KEPT, now_us);
		use_reserve(t, pool, now_us);
		if (is_filling)
			fill_least(t, pool);
	}
}
