/* SPDX-License-Identifier: PostgreSQL */
/*
 * A notification goes to its listeners when they are idle outside a transaction, and
 * is kept for them until then.
 *
 * The pid in a notification is the server's. What a client knows as its own pid,
 * or another's, is the one that pgweir told at log-in; so it is given the pid told
 * to whoever wrote last on that server, or 0 if that has just changed hands: better
 * nobody's than a wrong one, since clients leave out what is their own.
 */
#include "proxy/hear.h"

#include "base/clock.h"
#include "base/log.h"
#include "proxy/link.h"
#include "proxy/listen_priv.h"
#include "wire/build.h"

enum {
	NOTIFICATION_MAX = 16384,
	HANDS_CHANGED_US = 100 * 1000,
	CATCH_UP_BOUND_US = 1000 * 1000, /* the listening session may be lost */
};

void hear_keep(struct listening *l, struct slice messages)
{
	buf_append_slice(&l->queue, messages);
	l->is_full |= l->queue.err != WEIR_OK;
}

static bool is_outside(const struct client *c)
{
	return c->txn.state == TXN_IDLE && !c->is_txn_lost;
}

/* As PostgreSQL delivers: idle, and not inside a transaction. */
static bool may_hear(const struct client *c)
{
	return c->state == CLIENT_IDLE && is_outside(c) && !c->is_skipping &&
	       !c->stream_left && !conn_is_congested(&c->conn);
}

void hear_flush(struct client *c)
{
	struct listening *l = c->listening;

	if (!l || !l->queue.len || !may_hear(c))
		return;
	conn_send_copy(&c->conn, buf_slice(&l->queue));
	buf_clear(&l->queue);
	if (!l->subscriptions.count && !l->count)
		listen_forget_if_idle(c);
}

/* ---- before an answer: what was there before the request; its own before its end ---- */

bool hear_holds_ready(struct client *c, char status)
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
	if (l->queue.len && is_outside(c)) {
		conn_send_copy(&c->conn, buf_slice(&l->queue));
		buf_clear(&l->queue);
	}
	l->own_pid = 0;
	l->is_ready_due = false;
	l->has_heard = !is_ready_due;
	if (!l->count)
		listen_forget_if_idle(c);
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

bool hear_first(struct client *c)
{
	struct listening *l = c->listening;

	l->was_inside = c->txn.state == TXN_OPEN || c->txn.state == TXN_FAILED;
	if (!l->subscriptions.count || l->has_heard || l->was_inside || c->state != CLIENT_IDLE)
		return false;
	catch_up(c);
	return true;
}

void hear_served(struct client *c)
{
	c->listening->has_heard = false;
}

bool hear_is_before_request(const struct client *c)
{
	return !c->listening->is_ready_due;
}

void hear_end_request(struct client *c)
{
	hear_flush(c);
	if (c->listening && c->listening->is_ready_due)
		catch_up(c);
}

void hear_caught_up(struct proxy *p, uint64_t client_id)
{
	struct client *c = proxy_client_by_id(p, client_id);

	if (c && c->state == CLIENT_WAIT_HEARD)
		heard(c);
}

static struct notifier *notifier_of(struct proxy_shared *shared, uint32_t pid)
{
	return &shared->notifiers[pid % NOTIFIERS];
}

void hear_note_writer(struct client *c)
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
	hear_keep(l, message);
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

void hear_notified(struct proxy *p, const char *database, const struct notification *n)
{
	struct listen_channel *ch = listen_channel_find(p, database, n->channel);
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
	while ((ch = listen_channel_find(p, database, n->channel)) != NULL &&
	       (full = full_client(ch)) != NULL)
		overflow(full);
}
