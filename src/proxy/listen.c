/* SPDX-License-Identifier: PostgreSQL */
/*
 * A worker has one listen_channel per channel that one of its clients listens on,
 * or is about to. A client's actions of a transaction are kept in order, and come
 * true at its end; until then a subscription may be there that isn't in effect.
 */
#include "proxy/listen.h"

#include "base/hash.h"
#include "base/mem.h"
#include "proxy/backend.h"
#include "proxy/link.h"
#include "proxy/listen_priv.h"
#include "proxy/local.h"
#include "sql/quote.h"

enum {
	CHANNEL_NAME_MAX = 63,
	SHOW_SQL_MAX = 1 << 20,
};

struct channel_key {
	const char *database, *name;
};

struct action {
	enum effect_kind kind; /* LISTEN, UNLISTEN, UNLISTEN_ALL */
	char *name;            /* owned; NULL for all */
};

bool listen_channel_equal(const struct map_node *node, const void *key)
{
	const struct listen_channel *ch = map_entry(node, struct listen_channel, map);
	const struct channel_key *k = key;

	return strcmp(ch->name, k->name) == 0 && strcmp(ch->database, k->database) == 0;
}

static uint64_t key_hash(const struct channel_key *k)
{
	return hash_combine(hash_bytes(k->name, strlen(k->name)),
			    hash_bytes(k->database, strlen(k->database)));
}

struct listen_channel *listen_channel_find(struct proxy *p, const char *database, const char *name)
{
	struct channel_key key = { database, name };
	struct map_node *n = map_find(&p->channels, key_hash(&key), &key);

	return n ? map_entry(n, struct listen_channel, map) : NULL;
}

static void tell_tier(struct proxy *p, const struct listen_channel *ch, bool is_on)
{
	const struct proxy_hooks *hooks = p->shared->hooks;

	hooks->listen(p->shared->hooks_ctx, ch->database, ch->name, is_on);
}

static struct listen_channel *channel_get(struct client *c, const char *name)
{
	struct channel_key key = { c->tenant->database, name };
	struct listen_channel *ch = listen_channel_find(c->proxy, key.database, name);

	if (ch)
		return ch;
	ch = mem_zalloc(sizeof *ch);
	ch->database = mem_strdup(key.database);
	ch->name = mem_strdup(name);
	list_init(&ch->subscriptions);
	map_insert(&c->proxy->channels, &ch->map, key_hash(&key));
	tell_tier(c->proxy, ch, true);
	return ch;
}

static struct listening *listening_of(struct client *c)
{
	if (!c->listening) {
		c->listening = mem_zalloc(sizeof *c->listening);
		list_init(&c->listening->subscriptions);
		buf_init(&c->listening->queue,
			 c->proxy->settings->config->global.listen_queue_bytes);
		buf_init(&c->listening->early,
			 c->proxy->settings->config->global.listen_queue_bytes);
		atomic_fetch_add(&c->proxy->shared->listener_count, 1);
	}
	return c->listening;
}

static struct subscription *subscription_find(const struct client *c, const char *name)
{
	if (!c->listening)
		return NULL;
	list_foreach(&c->listening->subscriptions, n) {
		struct subscription *s = list_entry(n, struct subscription, of_client);

		if (strcmp(s->channel->name, name) == 0)
			return s;
	}
	return NULL;
}

static struct subscription *subscribe(struct client *c, const char *name)
{
	struct subscription *s = subscription_find(c, name);

	if (s)
		return s;
	s = mem_zalloc(sizeof *s);
	s->client = c;
	s->channel = channel_get(c, name);
	list_append(&s->channel->subscriptions, &s->of_channel);
	list_append(&listening_of(c)->subscriptions, &s->of_client);
	return s;
}

static void unsubscribe(struct subscription *s)
{
	struct listen_channel *ch = s->channel;
	struct proxy *p = s->client->proxy;

	list_remove(&ch->subscriptions, &s->of_channel);
	list_remove(&s->client->listening->subscriptions, &s->of_client);
	mem_free(s);
	if (ch->subscriptions.count)
		return;
	tell_tier(p, ch, false);
	map_remove(&p->channels, &ch->map);
	mem_free(ch->database);
	mem_free(ch->name);
	mem_free(ch);
}

/* ---- requests ---- */

static bool is_listen_effect(const struct statement_effect *e)
{
	return (e->kind == EFFECT_LISTEN && e->name && *e->name &&
		strlen(e->name) <= CHANNEL_NAME_MAX) ||
	       e->kind == EFFECT_UNLISTEN || e->kind == EFFECT_UNLISTEN_ALL;
}

static const struct statement *only_text(const struct plan *plan)
{
	return plan->effect_count == 1 ? plan->effects[0].statement : NULL;
}

bool listen_is_ours(const struct client *c, const struct request *req, const struct plan *plan)
{
	const struct statement *s = only_text(plan);

	if (!s || c->tenant->pool_mode != POOL_MODE_TRANSACTION || !c->tenant->catalog ||
	    c->txn.state == TXN_FAILED || s->effect_count != s->statement_count ||
	    plan->txn.statement_count != 1)
		return false;
	for (uint16_t i = 0; i < s->effect_count; i++)
		if (!is_listen_effect(&s->effects[i]))
			return false;
	return req->kind == REQUEST_QUERY || local_is_plain_batch(req, plan);
}

static bool are_live(struct client *c, const struct statement *s)
{
	bool is_live = true;

	for (uint16_t i = 0; i < s->effect_count; i++)
		if (s->effects[i].kind == EFFECT_LISTEN)
			is_live &= subscribe(c, s->effects[i].name)->channel->is_live;
	return is_live;
}

static void add_action(struct client *c, enum effect_kind kind, const char *name)
{
	struct listening *l = listening_of(c);

	while (l->count > c->settings.marks) /* a ROLLBACK TO took them back */
		mem_free(l->actions[--l->count].name);
	if (l->count == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 4;
		l->actions = mem_realloc(l->actions, l->cap * sizeof l->actions[0]);
	}
	l->actions[l->count++] = (struct action){ kind, name ? mem_strdup(name) : NULL };
	c->settings.marks = l->count;
	c->settings.has_changed = true; /* savepoints matter from here */
}

bool listen_serve(struct client *c, const struct request *req, const struct plan *plan)
{
	const struct statement *s = only_text(plan);

	if (!are_live(c, s)) {
		link_wait_node(c); /* and again and again until it is, or failover_wait_timeout */
		return false;
	}
	for (uint16_t i = 0; i < s->effect_count; i++) {
		const struct statement_effect *e = &s->effects[i];

		add_action(c, e->kind, e->name);
		if (req->kind == REQUEST_QUERY)
			local_complete(c, e->kind == EFFECT_LISTEN ? "LISTEN" : "UNLISTEN");
	}
	if (req->kind != REQUEST_QUERY)
		local_answer_batch(c, req, s->effects[0].kind == EFFECT_LISTEN ? "LISTEN" :
										 "UNLISTEN");
	c->wait_us = 0;
	if (c->txn.state == TXN_IDLE) {
		listen_commit(c);
		session_txn_end(&c->settings);
	}
	client_send_ready(c);
	return true;
}

static bool are_ours(const struct client *c, const struct plan *plan)
{
	if (c->tenant->pool_mode == POOL_MODE_SESSION || !c->tenant->catalog)
		return false;
	for (uint32_t i = 0; i < plan->effect_count; i++) {
		const struct statement *s = plan->effects[i].statement;

		for (uint16_t k = 0; k < s->effect_count; k++)
			if (s->effects[k].kind == EFFECT_LISTEN && !is_listen_effect(&s->effects[k]))
				return false;
	}
	return true;
}

bool listen_follow(struct client *c, struct plan *plan)
{
	bool is_live = true;

	if (!are_ours(c, plan))
		return true;
	for (uint32_t i = 0; i < plan->effect_count; i++)
		is_live &= are_live(c, plan->effects[i].statement);
	if (!is_live) {
		link_wait_node(c);
		return false;
	}
	c->wait_us = 0;
	plan->pins &= ~(uint32_t)PIN_LISTEN;
	plan->listens = true;
	return true;
}

void listen_listen(struct client *c, const char *name)
{
	add_action(c, EFFECT_LISTEN, name);
}

void listen_show(struct client *c)
{
	struct server *s = c->server;
	struct buf sql;

	if (s->txn_status != 'I' || (c->pins & PIN_LISTEN) || (!c->listening && !s->is_listening))
		return;
	buf_init(&sql, SHOW_SQL_MAX);
	buf_append_str(&sql, "UNLISTEN *");
	if (c->listening)
		list_foreach(&c->listening->subscriptions, n) {
			const struct subscription *one =
				list_entry(n, struct subscription, of_client);

			if (!one->is_in_effect)
				continue;
			buf_append_str(&sql, ";LISTEN ");
			quote_identifier(&sql, slice_str(one->channel->name));
		}
	replies_add(&s->replies, REPLY_SYNC, true);
	link_send_query(c, buf_slice(&sql));
	s->is_listening = c->listening != NULL;
	buf_fini(&sql);
}

void listen_unlisten(struct client *c, const char *name)
{
	if (c->listening)
		add_action(c, name ? EFFECT_UNLISTEN : EFFECT_UNLISTEN_ALL, name);
}

/* ---- the end of a transaction ---- */

static void drop_actions(struct listening *l)
{
	while (l->count)
		mem_free(l->actions[--l->count].name);
}

static void unsubscribe_where(struct client *c, bool is_in_effect)
{
	list_foreach_safe(&c->listening->subscriptions, n, next) {
		struct subscription *s = list_entry(n, struct subscription, of_client);

		if (s->is_in_effect == is_in_effect)
			unsubscribe(s);
	}
}

static void carry_out(struct client *c, const struct action *a)
{
	struct subscription *s = a->name ? subscription_find(c, a->name) : NULL;

	if (a->kind == EFFECT_LISTEN)
		subscribe(c, a->name)->is_in_effect = true;
	else if (a->kind == EFFECT_UNLISTEN_ALL)
		unsubscribe_where(c, true);
	else if (s)
		unsubscribe(s);
}

void listen_forget_if_idle(struct client *c)
{
	struct listening *l = c->listening;

	if (l->subscriptions.count || l->queue.len || l->is_ready_due)
		return;
	c->listening = NULL;
	atomic_fetch_sub(&c->proxy->shared->listener_count, 1);
	buf_fini(&l->queue);
	buf_fini(&l->early);
	mem_free(l->actions);
	mem_free(l);
}

void listen_commit(struct client *c)
{
	struct listening *l = c->listening;

	if (!l)
		return;
	for (uint32_t i = 0; i < l->count && i < c->settings.marks; i++)
		carry_out(c, &l->actions[i]);
	l->is_full |= l->early.err != WEIR_OK;
	if (l->early.len)
		hear_keep(l, buf_slice(&l->early));
	listen_rollback(c);
}

void listen_rollback(struct client *c)
{
	if (!c->listening)
		return;
	drop_actions(c->listening);
	buf_clear(&c->listening->early);
	unsubscribe_where(c, false);
	listen_forget_if_idle(c);
}

void listen_fini(struct client *c)
{
	if (!c->listening)
		return;
	drop_actions(c->listening);
	c->listening->is_ready_due = false;
	unsubscribe_where(c, false);
	unsubscribe_where(c, true);
	buf_clear(&c->listening->queue);
	listen_forget_if_idle(c);
}

size_t listen_count(const struct client *c)
{
	return c->listening ? c->listening->subscriptions.count : 0;
}

void listen_is_live(struct proxy *p, const char *database, const char *name)
{
	struct listen_channel *ch = listen_channel_find(p, database, name);
	struct list_node *first;

	if (!ch || ch->is_live)
		return;
	ch->is_live = true;
	first = list_first(&ch->subscriptions);
	if (first) /* who waits for it is among those who wait for the cluster */
		link_wake_cluster(p, list_entry(first, struct subscription, of_channel)
					     ->client->tenant->cluster);
}
