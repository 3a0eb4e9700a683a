/* SPDX-License-Identifier: PostgreSQL */
/*
 * A name is looked up when a connection is opened and its addresses are older
 * than dns_max_ttl, and every dns_zone_check_period where that is set. When
 * a look-up brings other addresses, connections to those that are gone close
 * as they become free. The work is done only when the resolver saw a change.
 */
#include "proxy/hosts.h"

#include "config/hostlist.h"
#include "net/resolver.h"
#include "proxy/backend.h"
#include "proxy/tenant.h"

enum { ROUNDS = 2 }; /* the second finds servers that were between two workers */

static bool is_current(struct proxy *p, const struct server *s)
{
	struct sockaddr_storage addr;

	return !conn_is_open(&s->conn) || !conn_peer_address(&s->conn, &addr) ||
	       resolver_has(p->shared->resolver, s->host, &addr);
}

/* No pool's generation reaches it: it closes when it becomes free. */
static void retire(struct server *s)
{
	s->generation = UINT64_MAX;
	if (s->state == SERVER_IDLE || s->state == SERVER_KEPT)
		backend_close(s, CLOSE_SERVER_EXPIRED);
}

static void check_pool(struct proxy *p, struct pool *pool)
{
	for (int state = 0; state < SERVER_CLOSED; state++) {
		if (state == SERVER_MOVING)
			continue;
		list_foreach_safe(&pool->by_state[state], n, tmp) {
			struct server *s = list_entry(n, struct server, node);

			if (!is_current(p, s))
				retire(s);
		}
	}
}

static void refresh_pool(struct proxy *p, const struct pool *pool, uint64_t age_us)
{
	struct hostlist_item item;
	unsigned count = hostlist_count(pool->host);

	for (unsigned i = 0; i < count; i++) {
		hostlist_pick(pool->host, pool->port, i, &item);
		resolver_refresh(p->shared->resolver, item.host, age_us);
	}
}

void hosts_follow(struct proxy *p)
{
	uint64_t period_us = p->settings->config->global.dns_zone_check_period_us;
	uint64_t changes = resolver_changes(p->shared->resolver);

	if (changes != p->name_changes) {
		p->name_changes = changes;
		p->name_rounds = ROUNDS;
	}
	map_foreach(&p->pools, n) {
		struct pool *pool = &map_entry(n, struct tenant_pool, by_ledger)->pool;

		if (p->name_rounds)
			check_pool(p, pool);
		if (period_us && pool_open_count(pool))
			refresh_pool(p, pool, period_us);
	}
	if (p->name_rounds)
		p->name_rounds--;
}
