/* SPDX-License-Identifier: PostgreSQL */
/*
 * What other pgweir processes changed, heard through a subscription to every
 * master, that one worker of a process holds. Whoever changes something tells
 * it on the master that has the thing, so it is heard without the cluster's
 * bus, whose messages may get lost unnoticed. What the bus brings is a copy,
 * told by its token. While any of the subscriptions is down something may pass
 * unheard, so:
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
#include "base/mem.h"
#include "cache/shared.h"

#include <stdio.h>

/* The subscription to one master. */
struct ear {
	struct list_node node; /* in worker.ears */
	struct cache_worker *worker; /* borrowed: owns us */
	struct link link;
	struct link_options options;
	struct loop_deferred deferred;
	char host[SLOTS_HOST_MAX + 1], name[SLOTS_HOST_MAX + 1];
};

static struct ear *ear_of(struct link *link)
{
	return (struct ear *)(void *)((char *)link - offsetof(struct ear, link));
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

static void mark(const struct ear *e, bool is_heard)
{
	struct slots *slots = e->worker->slots;
	unsigned i = slots ? slots_find(slots, slice_str(e->host), e->options.port) : SLOTS_NONE;

	if (i != SLOTS_NONE)
		atomic_store_explicit(&slots->nodes[i].is_heard, is_heard, memory_order_relaxed);
}

static bool hears_all(const struct cache_worker *w)
{
	bool is_ready = w->ears.count > 0;

	list_foreach (&w->ears, n)
		is_ready &= link_is_ready(&list_entry(n, struct ear, node)->link);
	return is_ready;
}

static void on_ready(struct link *link)
{
	struct cache_worker *w = ear_of(link)->worker;

	mark(ear_of(link), true);
	if (!hears_all(w))
		return;
	/* First void, then hear: what is stored for long was asked for after the void, or is void. */
	change_all(w->cache);
	atomic_store(&w->cache->is_hearing, true);
}

static void become_deaf(struct cache *c)
{
	atomic_store(&c->is_hearing, false);
	tables_change_all(c->tables, clock_monotonic_us());
}

static void on_down(struct link *link, bool was_ready)
{
	struct ear *e = ear_of(link);

	mark(e, false);
	if (was_ready)
		become_deaf(e->worker->cache);
	discover_want(e->worker);
}

static void apply(struct cache *c, const struct change_item *item, uint64_t token)
{
	uint64_t now_us = clock_monotonic_us();
	uint32_t oid = item->kind == GENERATION_TABLE ? item->oid : 0;

	if (item->kind == GENERATION_ALL) {
		tables_token_told(c->all, token, now_us);
		change_all(c);
		return;
	}
	tables_token_told(tables_slot(c->tables, item->kind, item->scope, oid), token, now_us);
	if (item->kind == GENERATION_DATABASE && item->oid == CHANGE_DDL)
		tell_ddl(c, item->scope);
}

/* True: this message has come by another way already. */
static bool is_copy(struct cache_worker *w, uint64_t token)
{
	uint64_t *heard = &w->heard[token % HEARD_MAX];

	if (*heard == token)
		return true;
	*heard = token;
	return false;
}

static void on_message(struct link *link, struct slice payload)
{
	struct cache_worker *w = ear_of(link)->worker;
	struct change_message m;
	uint64_t token;

	if (!change_decode(payload, &m)) {
		worker_count(w, COUNT_REDIS_ERRORS);
		change_all(w->cache);
		return;
	}
	token = shared_token_hash(m.token);
	if (m.sender == w->cache->nonce || is_copy(w, token))
		return;
	for (unsigned i = 0; i < m.count; i++)
		apply(w->cache, &m.items[i], token);
}

static const struct link_ops ear_ops = {
	.on_ready = on_ready,
	.on_down = on_down,
	.on_message = on_message,
};

static void ear_open(struct cache_worker *w, const struct slots_node *master)
{
	struct ear *e = mem_zalloc(sizeof *e);

	e->worker = w;
	e->options = w->cache->link;
	e->options.greet.channel = w->cache->channel;
	snprintf(e->host, sizeof e->host, "%s", master->host);
	snprintf(e->name, sizeof e->name, "%s", master->name);
	node_set_host(&e->options, e->host, master->port);
	if (e->name[0])
		e->options.tls_name = e->name;
	list_append(&w->ears, &e->node);
	link_open(&e->link, w->mailbox, w->loop, &e->options, &ear_ops);
}

static struct ear *find(struct cache_worker *w, const char *host, uint16_t port)
{
	list_foreach (&w->ears, n) {
		struct ear *e = list_entry(n, struct ear, node);

		if (e->options.port == port && strcmp(e->host, host) == 0)
			return e;
	}
	return NULL;
}

static void on_ear_freed(struct loop_deferred *deferred)
{
	mem_free(list_entry(deferred, struct ear, deferred));
}

static void close_gone(struct cache_worker *w, const struct slots *slots)
{
	list_foreach_safe(&w->ears, n, next)
	{
		struct ear *e = list_entry(n, struct ear, node);

		if (slots_find(slots, slice_str(e->host), e->options.port) != SLOTS_NONE)
			continue;
		list_remove(&w->ears, n);
		link_close(&e->link);
		e->deferred.run = on_ear_freed;
		loop_defer(w->loop, &e->deferred);
	}
}

void listen_adopt(struct cache_worker *w, const struct slots *slots)
{
	bool was_hearing = atomic_load(&w->cache->is_hearing);

	close_gone(w, slots);
	for (unsigned i = 0; i < slots->node_count; i++) {
		const struct slots_node *master = &slots->nodes[i];
		struct ear *e = find(w, master->host, master->port);

		if (e)
			mark(e, link_is_ready(&e->link));
		else
			ear_open(w, master);
	}
	if (was_hearing && !hears_all(w))
		become_deaf(w->cache);
	else if (!was_hearing && hears_all(w)) {
		change_all(w->cache);
		atomic_store(&w->cache->is_hearing, true);
	}
}

void listen_restart(struct cache_worker *w, const char *host, uint16_t port)
{
	struct ear *e = find(w, host, port);

	if (e)
		link_restart(&e->link, "its server isn't a master");
}

void listen_close(struct cache_worker *w)
{
	struct list_node *n;

	while ((n = list_pop(&w->ears))) {
		struct ear *e = list_entry(n, struct ear, node);

		link_close(&e->link);
		mem_free(e);
	}
}
