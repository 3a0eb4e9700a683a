/* SPDX-License-Identifier: PostgreSQL */
/*
 * A worker has one listen_channel per channel that one of its clients listens on,
 * or is about to. A client's actions of a transaction are kept in order, and come
 * true at its end; until then a subscription may be there that isn't in effect.
 *
 * The pid in a notification is the server's. What a client knows as its own pid,
 * or another's, is the one that pgweir told at log-in; so it is given the pid told
 * to whoever wrote last on that server, or 0 if that has just changed hands: better
 * nobody's than a wrong one, since clients leave out what is their own.
 */
#include "proxy/listen.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "proxy/backend.h"
#include "proxy/link.h"
#include "proxy/local.h"
#include "sql/quote.h"
#include "wire/build.h"

enum {
	NOTIFICATION_MAX = 16384,
	CHANNEL_NAME_MAX = 63,
	SHOW_SQL_MAX = 1 << 20,
	HANDS_CHANGED_US = 100 * 1000,
	CATCH_UP_BOUND_US = 1000 * 1000, /* the listening session may be lost */
};

struct listen_channel {
	struct map_node map;
	struct list subscriptions;
	bool is_live;      /* the tier's session listens */
	char *database;    /* owned */
	char *name;        /* owned */
};

struct channel_key {
	const char *database, *name;
};

struct subscription {
	struct list_node of_channel;
	struct list_node of_client;
	struct listen_channel *channel; /* borrowed: lives while it has subscriptions */
	struct client *client;          /* borrowed: owns us */
	bool is_in_effect;
};

struct action {
	enum effect_kind kind; /* LISTEN, UNLISTEN, UNLISTEN_ALL */
	char *name;            /* owned; NULL for all */
};

struct listening {
	struct list subscriptions;
	struct action *actions; /* owned: of the open transaction */
	uint32_t count, cap;
	struct buf queue;       /* messages for when the client is idle */
	struct buf early;       /* its own ones on channels that its open transaction listens on */
	bool is_ready_due;      /* ReadyForQuery, once all is heard */
	uint32_t own_pid;       /* ... of its own, too: from the server that ran it; else 0 */
	bool has_heard;         /* all that was notified before the request that is served now */
	bool was_inside;        /* a transaction, as that request came: it hears at its end */
	bool is_full;           /* it ran over: the client is about to be closed */
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

static struct listen_channel *channel_find(struct proxy *p, const char *database, const char *name)
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
	struct listen_channel *ch = channel_find(c->proxy, key.database, name);

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

static void forget_if_idle(struct client *c)
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

static void keep(struct listening *l, struct slice messages)
{
	buf_append_slice(&l->queue, messages);
	l->is_full |= l->queue.err != WEIR_OK;
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
		keep(l, buf_slice(&l->early));
	listen_rollback(c);
}

void listen_rollback(struct client *c)
{
	if (!c->listening)
		return;
	drop_actions(c->listening);
	buf_clear(&c->listening->early);
	unsubscribe_where(c, false);
	forget_if_idle(c);
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
	forget_if_idle(c);
}

size_t listen_count(const struct client *c)
{
	return c->listening ? c->listening->subscriptions.count : 0;
}

/* ---- notifications ---- */

/* As PostgreSQL delivers: idle, and not inside a transaction. */
static bool may_hear(const struct client *c)
{
	return c->state == CLIENT_IDLE && c->txn.state == TXN_IDLE && !c->is_skipping &&
	       !c->stream_left && !conn_is_congested(&c->conn);
}

void listen_flush(struct client *c)
{
	struct listening *l = c->listening;

	if (!l || !l->queue.len || !may_hear(c))
		return;
	conn_send_copy(&c->conn, buf_slice(&l->queue));
	buf_clear(&l->queue);
	if (!l->subscriptions.count && !l->count)
		forget_if_idle(c);
}

/* ---- what comes before an answer: all that was there before the request, its own before its end ---- */

static void catch_up(struct client *c);

bool listen_must_hear(struct client *c)
{
	struct listening *l = c->listening;

	l->was_inside = c->txn.state == TXN_OPEN || c->txn.state == TXN_FAILED;
	if (!l->subscriptions.count || l->has_heard || l->was_inside || c->state != CLIENT_IDLE)
		return false;
	catch_up(c);
	return true;
}

void listen_served(struct client *c)
{
	c->listening->has_heard = false;
}

bool listen_holds_ready(struct client *c, char status)
{
	struct listening *l = c->listening;
	bool has_own = c->has_notified && !c->had_error;

	if (__builtin_expect(!c->has_notified && !l, 1) || status != 'I')
		return false;
	c->has_notified = false;
	if (!l || !l->subscriptions.count || !(has_own || l->was_inside) ||
	    (c->pins & PIN_LISTEN) || c->tenant->pool_mode == POOL_MODE_SESSION ||
	    replies_count(&c->server->replies) != 1)
		return false;
	l->was_inside = false;
	l->is_ready_due = true;
	l->own_pid = has_own ? c->server->pid : 0;
	return true;
}

static void heard(struct client *c)
{
	struct listening *l = c->listening;
	bool is_ready_due = l->is_ready_due;

	loop_timer_cancel(&c->timer);
	client_set_state(c, CLIENT_IDLE);
	if (l->queue.len && c->txn.state == TXN_IDLE) {
		conn_send_copy(&c->conn, buf_slice(&l->queue));
		buf_clear(&l->queue);
	}
	l->own_pid = 0;
	l->is_ready_due = false;
	l->has_heard = !is_ready_due;
	if (!l->count)
		forget_if_idle(c);
	if (is_ready_due)
		client_send_ready(c);
	if (c->proxy->is_draining && client_may_leave(c))
		client_close(c, CLOSE_SHUTDOWN, NULL);
	else
		link_make_ready(c);
}

static void on_catch_up_late(struct loop_timer *timer)
{
	heard(list_entry(timer, struct client, timer));
}

static void catch_up(struct client *c)
{
	const struct proxy_hooks *hooks = c->proxy->shared->hooks;

	client_set_state(c, CLIENT_WAIT_HEARD);
	loop_timer_arm(c->proxy->loop, &c->timer, CATCH_UP_BOUND_US, on_catch_up_late);
	hooks->catch_up(c->proxy->shared->hooks_ctx, c->tenant->database, c->id);
}

void listen_end_request(struct client *c)
{
	listen_flush(c);
	if (c->listening && c->listening->is_ready_due)
		catch_up(c);
}

void listen_caught_up(struct proxy *p, uint64_t client_id)
{
	struct client *c = proxy_client_by_id(p, client_id);

	if (c && c->state == CLIENT_WAIT_HEARD)
		heard(c);
}

static struct notifier *notifier_of(struct proxy_shared *shared, uint32_t pid)
{
	return &shared->notifiers[pid % NOTIFIERS];
}

void listen_note_writer(struct client *c)
{
	struct proxy_shared *shared = c->proxy->shared;
	uint32_t pid = c->server->pid;
	uint64_t who = (uint64_t)pid << 32 | c->told_pid;
	struct notifier *n = notifier_of(shared, pid);

	uint64_t now, last;

	if (!atomic_load_explicit(&shared->listener_count, memory_order_relaxed))
		return;
	now = clock_monotonic_us();
	last = atomic_exchange_explicit(&n->last_us, now, memory_order_relaxed);
	if (atomic_load_explicit(&n->who, memory_order_relaxed) == who)
		return;
	atomic_store_explicit(&n->since_us, now - last < HANDS_CHANGED_US ? now : 0,
			      memory_order_relaxed);
	atomic_store_explicit(&n->who, who, memory_order_relaxed);
}

static uint32_t told_pid(struct proxy_shared *shared, uint32_t pid)
{
	struct notifier *n = notifier_of(shared, pid);
	uint64_t who = atomic_load_explicit(&n->who, memory_order_relaxed);
	uint64_t since = atomic_load_explicit(&n->since_us, memory_order_relaxed);

	if (who >> 32 != pid)
		return pid; /* not through this pgweir */
	return clock_monotonic_us() < since + HANDS_CHANGED_US ? 0 : (uint32_t)who;
}

static void build_notification(struct buf *b, uint32_t pid, const struct notification *n)
{
	size_t start = build_begin(b, 'A');

	buf_append_u32(b, pid);
	build_cstring(b, slice_str(n->channel));
	build_cstring(b, slice_str(n->payload));
	build_end(b, start);
}

static struct client *full_client(const struct listen_channel *ch)
{
	list_foreach(&ch->subscriptions, n) {
		struct client *c = list_entry(n, struct subscription, of_channel)->client;

		if (c->listening->is_full)
			return c;
	}
	return NULL;
}

/* More than may be kept: better an end that is seen than a notification that isn't. */
static void overflow(struct client *c)
{
	log_warn("listen_queue_full", "id=%llu db=%s user=%s", (unsigned long long)c->id,
		 c->tenant->database, c->tenant->user);
	client_close(c, CLOSE_LISTEN_QUEUE, NULL);
}

static void deliver(struct client *c, struct slice message)
{
	struct listening *l = c->listening;

	stat_add(&c->tenant->stats->notifications, 1);
	if (may_hear(c) && !l->queue.len) {
		conn_send_copy(&c->conn, message);
		return;
	}
	keep(l, message);
}

/* By its server's process in a transaction that it has open, or whose end it waits to hear of. */
static bool is_own(const struct client *c, uint32_t pid)
{
	return c->server ? c->server->pid == pid : c->listening->own_pid == pid;
}

static void deliver_own(struct subscription *s, const struct notification *n)
{
	struct buf b;

	buf_init(&b, NOTIFICATION_MAX);
	build_notification(&b, s->client->told_pid, n);
	if (s->is_in_effect)
		deliver(s->client, buf_slice(&b));
	else
		buf_append_slice(&s->client->listening->early, buf_slice(&b));
	buf_fini(&b);
}

void listen_notified(struct proxy *p, const char *database, const struct notification *n)
{
	struct listen_channel *ch = channel_find(p, database, n->channel);
	struct client *full;
	struct buf b;

	if (!ch)
		return;
	buf_init(&b, NOTIFICATION_MAX);
	build_notification(&b, told_pid(p->shared, n->pid), n);
	list_foreach(&ch->subscriptions, node) {
		struct subscription *s = list_entry(node, struct subscription, of_channel);

		if (is_own(s->client, n->pid))
			deliver_own(s, n);
		else if (s->is_in_effect)
			deliver(s->client, buf_slice(&b));
	}
	buf_fini(&b);
	while ((ch = channel_find(p, database, n->channel)) != NULL &&
	       (full = full_client(ch)) != NULL)
		overflow(full);
}

void listen_is_live(struct proxy *p, const char *database, const char *name)
{
	struct listen_channel *ch = channel_find(p, database, name);
	struct list_node *first;

	if (!ch || ch->is_live)
		return;
	ch->is_live = true;
	first = list_first(&ch->subscriptions);
	if (first) /* who waits for it is among those who wait for the cluster */
		link_wake_cluster(p, list_entry(first, struct subscription, of_channel)
					     ->client->tenant->cluster);
}
