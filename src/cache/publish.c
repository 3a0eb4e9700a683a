/* SPDX-License-Identifier: PostgreSQL */
/*
 * Changes of this process, told to Redis: a new token per thing that changed,
 * then one message to everybody who listens, both on the master that has the
 * thing. Changes are collected while a batch is on its way there, each thing
 * once, so that a hot table costs one token per round trip however often it is
 * written. One that is redirected goes again, with another token, to whom the
 * redirection names.
 *
 * From the change until Redis has acknowledged it the thing is pending: this
 * process neither reads it from Redis nor stores it there. A change that
 * couldn't be delivered is owed: Redis isn't used at all until one worker has
 * set the token that voids everything under the prefix. Coarse, but it needs
 * no memory however long Redis is away. While that can't be paid, whoever
 * listens on any master is told once a second that everything has changed.
 *
 * The worker's thread; owed and paid are atomics of the process.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "cache/shared.h"

enum {
	WAITING_MAX = 4096, /* for one node */
	REDIRECTS_MAX = 5,
	ANNOUNCE_US = 1000 * 1000,
};

struct change {
	struct map_node map_node;
	struct list_node node;
	enum generation_kind kind;
	uint32_t oid;
	struct tables_slot *slot; /* holds one pending */
	unsigned redirects;
	bool is_asking; /* ASKING goes in front */
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

void publish_init(struct publisher *p)
{
	map_init(&p->dirty, change_equal);
	list_init(&p->waiting);
	list_init(&p->flying);
}

void publish_fini(struct node *n)
{
	WEIR_ASSERT(n->publisher.flying.count == 0 && n->publisher.waiting.count == 0);
	map_fini(&n->publisher.dirty);
}

void publish_owe(struct cache *c)
{
	atomic_fetch_add(&c->owed, 1);
}

/* What names the generation: a database's oid only says more about its change. */
static uint32_t table_of(enum generation_kind kind, uint32_t oid)
{
	return kind == GENERATION_TABLE ? oid : 0;
}

static struct slice key_of(const struct cache *c, const struct change_item *i, char *out)
{
	struct hash128 name = generation_name(i->kind, i->scope, table_of(i->kind, i->oid));
	struct hash128 database;

	if (!c->is_cluster || (i->kind != GENERATION_TABLE && i->kind != GENERATION_DATABASE))
		return shared_token_key(c, NULL, name, out);
	database = generation_name(GENERATION_DATABASE, i->scope, 0);
	return shared_token_key(c, &database, name, out);
}

static struct change_item item_of(const struct change *c)
{
	return (struct change_item){ c->kind, c->oid, slice_of(c->scope, c->scope_len) };
}

static uint64_t hash_of(const struct change_item *i)
{
	return hash_combine(hash_bytes(i->scope.ptr, i->scope.len), (uint64_t)i->kind << 32 | i->oid);
}

static void forget(struct change *c)
{
	tables_pending_remove(c->slot);
	mem_free(c);
}

/* Acknowledged, or owed by now. */
static void release(struct list *changes)
{
	struct list_node *n;

	while ((n = list_pop(changes)))
		forget(change_of(n));
}

static void release_waiting(struct publisher *p)
{
	list_foreach (&p->waiting, n)
		map_remove(&p->dirty, &change_of(n)->map_node);
	release(&p->waiting);
}

static void send_batch(struct node *n);

static void wait_at(struct node *n, struct change *c, uint64_t hash)
{
	map_insert(&n->publisher.dirty, &c->map_node, hash);
	list_append(&n->publisher.waiting, &c->node);
}

/* False: it can't go anywhere. Else it waits at another node, or is waited for there already. */
static bool redirect(struct node *n, struct change *c, const struct redis_value *v)
{
	struct change_item item = item_of(c);
	uint64_t hash = hash_of(&item);
	struct redirect r;
	struct node *to;

	if (!shared_take_redirect(n->worker, v, &r) || ++c->redirects > REDIRECTS_MAX)
		return false;
	to = node_of_redirect(n, &r);
	if (!to || (!link_is_ready(&to->link) && !link_is_coming(&to->link)))
		return false;
	c->is_asking = r.is_ask;
	list_remove(&n->publisher.flying, &c->node);
	if (map_find(&to->publisher.dirty, hash, &item))
		forget(c);
	else
		wait_at(to, c, hash);
	send_batch(to);
	return true;
}

/* One reply of a batch: of an ASKING, a token or, at the end, the message. */
static void take_reply(struct node *n, const struct redis_value *v)
{
	struct publisher *p = &n->publisher;
	struct change *c = p->cursor ? change_of(p->cursor) : NULL;

	if (c && c->is_asking && !p->is_asked) {
		p->is_asked = true;
		return;
	}
	p->is_asked = false;
	if (c)
		p->cursor = c->node.next == &p->flying.head ? NULL : c->node.next;
	if (v->type != REDIS_TYPE_ERROR || (c && redirect(n, c, v)))
		return;
	p->has_failed = true;
	worker_count(n->worker, COUNT_REDIS_ERRORS);
}

static void on_batch_reply(struct link_request *self, const struct redis_reply *reply)
{
	struct publisher *p = list_entry(self, struct publisher, request);
	struct node *n = list_entry(p, struct node, publisher);

	if (!reply) {
		publish_owe(n->worker->cache);
		worker_count(n->worker, COUNT_REDIS_ERRORS);
		release(&p->flying);
		release_waiting(p); /* covered by what is owed */
		return;
	}
	take_reply(n, &reply->value);
	if (self->remaining > 0)
		return;
	if (p->has_failed)
		publish_owe(n->worker->cache);
	release(&p->flying);
	send_batch(n);
}

/* Moves what waits into a message and sets the tokens; the number of replies to come. */
static unsigned collect(struct node *n, struct change_message *m)
{
	struct publisher *p = &n->publisher;
	struct slice asking = slice_str("ASKING");
	uint64_t now_us = clock_monotonic_us();
	unsigned replies = 0;
	char key[SHARED_KEY_MAX];

	while (p->waiting.count > 0 && m->count < CHANGE_ITEMS_MAX) {
		struct change *c = change_of(list_pop(&p->waiting));
		struct change_item *item = &m->items[m->count++];

		*item = item_of(c);
		map_remove(&p->dirty, &c->map_node);
		list_append(&p->flying, &c->node);
		tables_token_set(c->slot, shared_token_hash(m->token), now_us);
		if (c->is_asking)
			link_add(&n->link, 1, &asking);
		shared_set_token(n, key_of(n->worker->cache, item, key), m->token, false);
		replies += c->is_asking ? 2 : 1;
	}
	return replies;
}

static void add_publish(struct node *n, const struct change_message *m)
{
	const struct cache *c = n->worker->cache;
	struct buf text;
	struct slice argv[3] = { slice_str("PUBLISH"), slice_str(c->channel) };

	buf_init(&text, 64 + (size_t)CHANGE_ITEMS_MAX * (CHANGE_SCOPE_MAX + 8));
	change_encode(m, &text);
	argv[2] = buf_slice(&text);
	link_add(&n->link, 3, argv);
	buf_fini(&text);
}

static void send_batch(struct node *n)
{
	struct publisher *p = &n->publisher;
	uint8_t token[SHARED_TOKEN_BYTES];
	struct change_message m = { .sender = n->worker->cache->nonce };
	unsigned replies;

	if (p->waiting.count == 0 || p->flying.count > 0 || list_node_linked(&p->request.node) ||
	    link_is_coming(&n->link))
		return;
	m.token = shared_token_new(n->worker->cache, token);
	p->has_failed = p->is_asked = false;
	p->request.on_reply = on_batch_reply;
	replies = collect(n, &m) + 1;
	p->cursor = list_first(&p->flying);
	add_publish(n, &m);
	if (!link_send(&n->link, &p->request, replies))
		on_batch_reply(&p->request, NULL);
}

void publish_node_ready(struct node *n)
{
	send_batch(n);
	publish_settle(n->worker);
}

void publish_node_down(struct node *n)
{
	if (n->publisher.waiting.count == 0)
		return;
	publish_owe(n->worker->cache);
	release_waiting(&n->publisher);
}

void publish_flush(struct cache_worker *w)
{
	list_foreach_safe(&w->nodes, l, next)
		send_batch(list_entry(l, struct node, list_node));
	publish_settle(w);
}

void publish_change(struct cache_worker *w, enum generation_kind kind, struct slice scope,
                    uint32_t oid)
{
	struct change_item item = { kind, oid, scope };
	uint64_t hash = hash_of(&item);
	char key[SHARED_KEY_MAX];
	struct node *n = NULL;
	struct change *c;

	if (w->slots)
		n = node_of_key(w, w->slots->is_cluster ? key_of(w->cache, &item, key) : slice_str(""));
	if (!n || (!link_is_ready(&n->link) && !link_is_coming(&n->link)) ||
	    n->publisher.waiting.count >= WAITING_MAX || scope.len > CHANGE_SCOPE_MAX) {
		publish_owe(w->cache);
		return;
	}
	if (map_find(&n->publisher.dirty, hash, &item))
		return;
	c = mem_zalloc(sizeof *c + scope.len);
	c->kind = kind;
	c->oid = oid;
	c->scope_len = scope.len;
	memcpy(c->scope, scope.ptr, scope.len);
	c->slot = tables_slot(w->cache->tables, kind, scope, table_of(kind, oid));
	tables_pending_add(c->slot);
	wait_at(n, c, hash);
}

/* --- what is owed ------------------------------------------------------------------- */

static void on_payment_reply(struct link_request *self, const struct redis_reply *reply)
{
	struct payment *p = list_entry(self, struct payment, request);
	struct cache_worker *w = list_entry(p, struct cache_worker, payment);
	uint64_t paid = atomic_load(&w->cache->paid);
	struct redirect moved;

	if (!reply || reply->value.type == REDIS_TYPE_ERROR)
		p->has_failed = true;
	if (reply)
		shared_take_redirect(w, &reply->value, &moved); /* the next try knows better */
	if (reply && self->remaining > 0)
		return;
	if (p->has_failed) {
		worker_count(w, COUNT_REDIS_ERRORS);
		return; /* the next beat tries again */
	}
	while (paid < p->debt && !atomic_compare_exchange_weak(&w->cache->paid, &paid, p->debt))
		;
	publish_settle(w);
}

/* Tells whoever listens anywhere but on `but` that everything has changed. */
static void announce(struct cache_worker *w, const struct change_message *m, const struct node *but)
{
	list_foreach (&w->nodes, l) {
		struct node *n = list_entry(l, struct node, list_node);

		if (n == but || n->index == SLOTS_NONE || !link_has_room(&n->link))
			continue;
		add_publish(n, m);
		shared_send_and_forget(n);
	}
}

static void pay(struct node *n, const struct change_message *m, struct slice key)
{
	struct cache_worker *w = n->worker;
	struct payment *p = &w->payment;

	p->has_failed = false;
	p->request.on_reply = on_payment_reply;
	tables_token_set(w->cache->all, shared_token_hash(m->token), clock_monotonic_us());
	shared_set_token(n, key, m->token, false);
	add_publish(n, m);
	link_send(&n->link, &p->request, 2);
}

void publish_settle(struct cache_worker *w)
{
	struct cache *c = w->cache;
	uint64_t debt = atomic_load(&c->owed), now_us = loop_now_us(w->loop);
	uint8_t bytes[SHARED_TOKEN_BYTES];
	struct change_message m = { .sender = c->nonce, .count = 1 };
	char name[SHARED_KEY_MAX];
	struct slice key;
	struct node *n;
	bool can_pay;

	if (debt == atomic_load(&c->paid) || list_node_linked(&w->payment.request.node) ||
	    w->is_closing)
		return;
	m.items[0] = (struct change_item){ GENERATION_ALL, 0, slice_of("", 0) };
	key = key_of(c, &m.items[0], name);
	n = node_of_key(w, key);
	can_pay = n && link_is_ready(&n->link);
	if (!can_pay && now_us - w->payment.announced_us < ANNOUNCE_US)
		return;
	w->payment.announced_us = now_us;
	w->payment.debt = debt;
	m.token = shared_token_new(c, bytes);
	announce(w, &m, n);
	if (can_pay)
		pay(n, &m, key);
}
