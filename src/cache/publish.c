/* SPDX-License-Identifier: PostgreSQL */
/*
 * Changes of this process, told to Redis: a new token per thing that changed,
 * then one message to everybody who listens. Changes are collected while a
 * batch is on its way, each thing once, so that a hot table costs one token per
 * round trip however often it is written.
 *
 * From the change until Redis has acknowledged it the thing is pending: this
 * process neither reads it from Redis nor stores it there. A change that
 * couldn't be delivered is owed: Redis isn't used at all until one worker has
 * set the token that voids everything under the prefix. Coarse, but it needs
 * no memory however long Redis is away.
 *
 * The worker's thread; owed and paid are atomics of the process.
 */
#include "base/mem.h"
#include "cache/shared.h"

enum { WAITING_MAX = 4096 };

struct change {
	struct map_node map_node;
	struct list_node node;
	enum generation_kind kind;
	uint32_t oid;
	struct tables_slot *slot; /* holds one pending */
	size_t scope_len;
	char scope[];
};

static struct change *change_of(struct list_node *n)
{
	return list_entry(n, struct change, node);
}

static bool change_equal(const struct map_node *node, const void *key)
{
	const struct change *c = map_entry(node, const struct change, map_node);
	const struct change_item *k = key;

	return c->kind == k->kind && c->oid == k->oid &&
	       slice_equal(slice_of(c->scope, c->scope_len), k->scope);
}

void publish_init(struct cache_worker *w)
{
	map_init(&w->publisher.dirty, change_equal);
	list_init(&w->publisher.waiting);
	list_init(&w->publisher.flying);
}

void publish_fini(struct cache_worker *w)
{
	WEIR_ASSERT(w->publisher.flying.count == 0 && w->publisher.waiting.count == 0);
	map_fini(&w->publisher.dirty);
}

void publish_owe(struct cache *c)
{
	atomic_fetch_add(&c->owed, 1);
}

/* Acknowledged, or owed by now. */
static void release(struct list *changes)
{
	struct list_node *n;

	while ((n = list_pop(changes))) {
		tables_pending_remove(change_of(n)->slot);
		mem_free(change_of(n));
	}
}

static void release_waiting(struct publisher *p)
{
	list_foreach (&p->waiting, n)
		map_remove(&p->dirty, &change_of(n)->map_node);
	release(&p->waiting);
}

static void send_batch(struct cache_worker *w);

static void on_batch_reply(struct link_request *self, const struct redis_reply *reply)
{
	struct publisher *p = list_entry(self, struct publisher, request);
	struct cache_worker *w = list_entry(p, struct cache_worker, publisher);

	if (!reply || reply->value.type == REDIS_TYPE_ERROR) {
		p->has_failed = true;
		worker_count(w, COUNT_REDIS_ERRORS);
	}
	if (reply && self->remaining > 0)
		return;
	if (p->has_failed)
		publish_owe(w->cache);
	release(&p->flying);
	if (!reply)
		release_waiting(p); /* covered by what is owed */
	else
		send_batch(w);
}

/* What names the generation: a database's oid only says more about its change. */
static uint32_t table_of(enum generation_kind kind, uint32_t oid)
{
	return kind == GENERATION_TABLE ? oid : 0;
}

/* Moves what waits into a message and sets the tokens; the number of things. */
static unsigned collect(struct cache_worker *w, struct change_message *m)
{
	struct publisher *p = &w->publisher;

	while (p->waiting.count > 0 && m->count < CHANGE_ITEMS_MAX) {
		struct change *c = change_of(list_pop(&p->waiting));
		struct slice scope = slice_of(c->scope, c->scope_len);

		map_remove(&p->dirty, &c->map_node);
		list_append(&p->flying, &c->node);
		tables_token_set(c->slot, shared_token_hash(m->token));
		shared_set_token(w, generation_name(c->kind, scope, table_of(c->kind, c->oid)), m->token,
		                 false);
		m->items[m->count++] = (struct change_item){ c->kind, c->oid, scope };
	}
	return m->count;
}

static void add_publish(struct cache_worker *w, const struct change_message *m)
{
	struct buf text;
	struct slice argv[3] = { slice_str("PUBLISH"), slice_str(w->cache->channel) };

	buf_init(&text, 64 + (size_t)CHANGE_ITEMS_MAX * (CHANGE_SCOPE_MAX + 8));
	change_encode(m, &text);
	argv[2] = buf_slice(&text);
	link_add(&w->commands, 3, argv);
	buf_fini(&text);
}

static void send_batch(struct cache_worker *w)
{
	struct publisher *p = &w->publisher;
	uint8_t token[SHARED_TOKEN_BYTES];
	struct change_message m = { .sender = w->cache->nonce };

	if (p->waiting.count == 0 || p->flying.count > 0)
		return;
	m.token = shared_token_new(w->cache, token);
	p->has_failed = false;
	p->request.on_reply = on_batch_reply;
	collect(w, &m);
	add_publish(w, &m);
	if (!link_send(&w->commands, &p->request, m.count + 1))
		on_batch_reply(&p->request, NULL);
}

void publish_flush(struct cache_worker *w)
{
	send_batch(w);
	publish_ready(w);
}

void publish_change(struct cache_worker *w, enum generation_kind kind, struct slice scope,
                    uint32_t oid)
{
	struct publisher *p = &w->publisher;
	struct change_item key = { kind, oid, scope };
	uint64_t hash = hash_combine(hash_bytes(scope.ptr, scope.len), (uint64_t)kind << 32 | oid);
	struct change *c;

	if (!link_is_ready(&w->commands) || p->waiting.count >= WAITING_MAX ||
	    scope.len > CHANGE_SCOPE_MAX) {
		publish_owe(w->cache);
		return;
	}
	if (map_find(&p->dirty, hash, &key))
		return;
	c = mem_zalloc(sizeof *c + scope.len);
	c->kind = kind;
	c->oid = oid;
	c->scope_len = scope.len;
	memcpy(c->scope, scope.ptr, scope.len);
	c->slot = tables_slot(w->cache->tables, kind, scope, table_of(kind, oid));
	tables_pending_add(c->slot);
	map_insert(&p->dirty, &c->map_node, hash);
	list_append(&p->waiting, &c->node);
}

static void on_payment_reply(struct link_request *self, const struct redis_reply *reply)
{
	struct publisher *p = list_entry(self, struct publisher, payment);
	struct cache_worker *w = list_entry(p, struct cache_worker, publisher);
	uint64_t paid = atomic_load(&w->cache->paid);

	if (!reply || reply->value.type == REDIS_TYPE_ERROR)
		p->payment_failed = true;
	if (reply && self->remaining > 0)
		return;
	if (p->payment_failed) {
		worker_count(w, COUNT_REDIS_ERRORS);
		return; /* the next beat tries again */
	}
	while (paid < p->payment_debt &&
	       !atomic_compare_exchange_weak(&w->cache->paid, &paid, p->payment_debt))
		;
	publish_ready(w);
}

void publish_ready(struct cache_worker *w)
{
	struct publisher *p = &w->publisher;
	struct cache *c = w->cache;
	uint64_t debt = atomic_load(&c->owed);
	uint8_t bytes[SHARED_TOKEN_BYTES];
	struct change_message m = { .sender = c->nonce, .count = 1 };

	if (debt == atomic_load(&c->paid) || list_node_linked(&p->payment.node) ||
	    !link_is_ready(&w->commands))
		return;
	m.token = shared_token_new(c, bytes);
	m.items[0] = (struct change_item){ GENERATION_ALL, 0, slice_of("", 0) };
	p->payment_debt = debt;
	p->payment_failed = false;
	p->payment.on_reply = on_payment_reply;
	tables_token_set(c->all, shared_token_hash(m.token));
	shared_set_token(w, generation_name(GENERATION_ALL, slice_of("", 0), 0), m.token, false);
	add_publish(w, &m);
	link_send(&w->commands, &p->payment, 2);
}
