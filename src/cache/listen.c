/* SPDX-License-Identifier: PostgreSQL */
/*
 * What other pgweir processes changed, heard through the subscription that one
 * worker of a process holds. While it is down nothing is heard, so:
 *
 *   lost   everything stored so far is void, and what is stored from now on
 *          lives a second at most (shared_expiry_us)
 *   back   again everything is void, and counts as changed now, so that a
 *          replica that is behind this moment fills nothing
 *
 * A message that isn't understood may come from a newer pgweir: it voids
 * everything too. The listener's thread; the generations are shared atomics.
 */
#include "base/clock.h"
#include "cache/shared.h"

static struct cache_worker *worker_of(struct link *link)
{
	return (struct cache_worker *)(void *)((char *)link -
	                                       offsetof(struct cache_worker, subscription));
}

static void on_ready(struct link *link)
{
	struct cache *c = worker_of(link)->cache;

	/* First void, then hear: what is stored for long was asked for after the void, or is void. */
	tables_change_all(c->tables, clock_monotonic_us());
	atomic_store(&c->is_hearing, true);
}

static void on_down(struct link *link)
{
	struct cache *c = worker_of(link)->cache;

	atomic_store(&c->is_hearing, false);
	tables_change_all(c->tables, clock_monotonic_us());
}

static void apply(struct cache *c, const struct change_item *item, uint64_t token)
{
	uint64_t now_us = clock_monotonic_us();

	if (item->kind != GENERATION_ALL)
		tables_token_seen(tables_slot(c->tables, item->kind, item->scope, item->oid), token,
		                  now_us);
	else if (tables_token_seen(c->all, token, now_us))
		tables_change_all(c->tables, now_us);
}

static void on_message(struct link *link, struct slice payload)
{
	struct cache_worker *w = worker_of(link);
	struct change_message m;

	if (!change_decode(payload, &m)) {
		worker_count(w, COUNT_REDIS_ERRORS);
		tables_change_all(w->cache->tables, clock_monotonic_us());
		return;
	}
	if (m.sender == w->cache->nonce)
		return;
	for (unsigned i = 0; i < m.count; i++)
		apply(w->cache, &m.items[i], shared_token_hash(m.token));
}

const struct link_ops listen_ops = {
	.on_ready = on_ready,
	.on_down = on_down,
	.on_message = on_message,
};
