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

static void tell_ddl(struct cache *c, struct slice scope)
{
	atomic_store(&c->ddl_us, clock_monotonic_us());
	if (c->options.on_ddl)
		c->options.on_ddl(c->options.ctx, scope);
}

/* Anything may have changed unheard. */
static void change_all(struct cache *c)
{
	tables_change_all(c->tables, clock_monotonic_us());
	tell_ddl(c, slice_of("", 0));
}

static void on_ready(struct link *link)
{
	struct cache *c = worker_of(link)->cache;

	/* First void, then hear: what is stored for long was asked for after the void, or is void. */
	change_all(c);
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
	uint32_t oid = item->kind == GENERATION_TABLE ? item->oid : 0;

	if (item->kind == GENERATION_ALL) {
		tables_token_seen(c->all, token, now_us);
		change_all(c);
		return;
	}
	tables_token_seen(tables_slot(c->tables, item->kind, item->scope, oid), token, now_us);
	if (item->kind == GENERATION_DATABASE && item->oid == CHANGE_DDL)
		tell_ddl(c, item->scope);
}

static void on_message(struct link *link, struct slice payload)
{
	struct cache_worker *w = worker_of(link);
	struct change_message m;

	if (!change_decode(payload, &m)) {
		worker_count(w, COUNT_REDIS_ERRORS);
		change_all(w->cache);
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
