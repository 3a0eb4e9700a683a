/* SPDX-License-Identifier: PostgreSQL */
/*
 * The console's orders, on the control thread. Most are done when they are
 * posted. PAUSE and WAIT_CLOSE are answered when no server connection is left
 * that they wait for: rounds of one task per worker count those, with a pause
 * between, until the count is nothing. KILL_CLIENT takes one round, to know
 * whether anybody had that client.
 */
#include <stdio.h>

#include "base/mem.h"
#include "cache/cache.h"
#include "proxy/backend.h"
#include "proxy/client.h"
#include "proxy/link.h"
#include "worker/console_source.h"
#include "worker/control_priv.h"

enum { ROUND_PAUSE_US = 20000 };

struct order_wait { /* control thread; in control->order_waits */
	struct list_node node;
	struct control *control;
	enum admin_action action;
	char *database;          /* owned; "": all. Tasks of a round read it */
	uint64_t id;             /* KILL_CLIENT */
	unsigned left;           /* workers whose count is under way */
	uint64_t count;          /* servers, or clients that were killed, in this round */
	struct loop_timer timer; /* to the next round */
	admin_error_fn *done;
	void *done_ctx;
};

struct count_mail {
	struct mail mail;
	struct order_wait *wait;
	uint64_t count;
};

/* --- on workers -------------------------------------------------------------------- */

static bool is_meant(const struct tenant *t, const char *database)
{
	return !*database || strcmp(t->database, database) == 0;
}

static struct tenant_pool *next_pool(struct proxy *p, struct tenant_pool *after,
                                     const char *database)
{
	struct map_node *n = map_next(&p->pools, after ? &after->by_ledger : NULL);

	while (n && !is_meant(map_entry(n, struct tenant_pool, by_ledger)->tenant, database))
		n = map_next(&p->pools, n);
	return n ? map_entry(n, struct tenant_pool, by_ledger) : NULL;
}

static void run_reconnect(struct task *t, struct proxy *p)
{
	for (struct tenant_pool *tp = NULL; (tp = next_pool(p, tp, t->text)) != NULL;) {
		tenant_login_ok(tp);
		link_empty_pool(&tp->pool);
	}
}

/* A moving one belongs to its mail; no client is left that could hold another. */
static void kill_servers(struct pool *pool)
{
	for (int state = 0; state < SERVER_CLOSED; state++) {
		if (state == SERVER_MOVING)
			continue;
		list_foreach_safe (&pool->by_state[state], n, tmp)
			backend_close(list_entry(n, struct server, node), CLOSE_ADMIN);
	}
}

static void run_kill(struct task *t, struct proxy *p)
{
	list_foreach_safe (&p->clients, n, tmp) {
		struct client *c = list_entry(n, struct client, node);

		if (c->tenant && is_meant(c->tenant, t->text))
			client_close(c, CLOSE_ADMIN, NULL);
	}
	for (struct tenant_pool *tp = NULL; (tp = next_pool(p, tp, t->text)) != NULL;)
		kill_servers(&tp->pool);
}

static uint64_t kill_client(struct proxy *p, uint64_t id)
{
	struct client *c = proxy_client_by_id(p, id);

	if (!c)
		return 0;
	client_close(c, CLOSE_ADMIN, NULL);
	return 1;
}

static uint64_t count_marked(const struct pool *pool)
{
	uint64_t count = 0;

	for (int state = 0; state < SERVER_CLOSED; state++)
		list_foreach (&pool->by_state[state], n)
			count += list_entry(n, struct server, node)->generation != pool->generation;
	return count;
}

/* PAUSE also closes what became idle meanwhile for a waiter of another worker. */
static uint64_t count_paused(struct tenant_pool *tp)
{
	if (tp->tenant->gate.is_paused)
		link_pause_pool(&tp->pool);
	return pool_open_count(&tp->pool);
}

static uint64_t count_servers(const struct order_wait *wait, struct proxy *p)
{
	uint64_t count = 0;

	for (struct tenant_pool *tp = NULL; (tp = next_pool(p, tp, wait->database)) != NULL;)
		count += wait->action == ADMIN_PAUSE ? count_paused(tp) : count_marked(&tp->pool);
	return count;
}

static void on_count(struct mail *mail, void *receiver);

static void run_count(struct task *t, struct proxy *p)
{
	struct order_wait *wait = t->ptr;
	struct count_mail *m = mem_zalloc(sizeof *m);

	m->mail.deliver = on_count;
	m->wait = wait;
	m->count = wait->action == ADMIN_KILL_CLIENT ? kill_client(p, wait->id) :
						       count_servers(wait, p);
	mailbox_post(wait->control->mailbox, &m->mail);
}

/* --- waiting ------------------------------------------------------------------------- */

static void wait_free(struct order_wait *wait)
{
	loop_timer_cancel(&wait->timer);
	list_remove(&wait->control->order_waits, &wait->node);
	mem_free(wait->database);
	mem_free(wait);
}

static void wait_abandon(struct order_wait *wait)
{
	console_abandon(wait->done_ctx);
	wait_free(wait);
}

static void wait_end(struct order_wait *wait, const struct pg_error *err)
{
	wait->done(wait->done_ctx, err);
	wait_free(wait);
}

static void begin_round(struct order_wait *wait)
{
	struct control *c = wait->control;

	wait->count = 0;
	wait->left = c->worker_count;
	for (unsigned i = 0; i < c->worker_count; i++) {
		struct task *t = task_create(run_count);

		t->ptr = wait;
		worker_post(c->workers[i], t);
	}
}

static void on_next_round(struct loop_timer *timer)
{
	begin_round(list_entry(timer, struct order_wait, timer));
}

static void end_round(struct order_wait *wait)
{
	struct control *c = wait->control;
	bool is_kill = wait->action == ADMIN_KILL_CLIENT;
	struct pg_error err;

	if (!c->admin) {
		wait_abandon(wait);
	} else if (wait->action == ADMIN_PAUSE && !gates_of(&c->gates, wait->database).is_paused) {
		pg_error_set(&err, "55000", "RESUME came before PAUSE was complete");
		wait_end(wait, &err);
	} else if (is_kill && wait->count == 0) {
		pg_error_set(&err, "42704", "client not found");
		wait_end(wait, &err);
	} else if (is_kill || wait->count == 0) {
		wait_end(wait, NULL);
	} else {
		loop_timer_arm(c->loop, &wait->timer, ROUND_PAUSE_US, on_next_round);
	}
}

static void on_count(struct mail *mail, void *receiver)
{
	struct count_mail *m = list_entry(mail, struct count_mail, mail);
	struct order_wait *wait = m->wait;

	(void)receiver;
	wait->count += m->count;
	mem_free(m);
	if (--wait->left == 0)
		end_round(wait);
}

void console_orders_abandon(struct control *c)
{
	list_foreach_safe (&c->order_waits, n, tmp) {
		struct order_wait *wait = list_entry(n, struct order_wait, node);

		if (wait->left == 0) /* else its last count does it */
			wait_abandon(wait);
	}
}

static void wait_begin(struct control *c, const struct admin_order *order, admin_error_fn *done,
                       void *done_ctx)
{
	struct order_wait *wait = mem_zalloc(sizeof *wait);

	wait->control = c;
	wait->action = order->action;
	wait->id = order->id;
	wait->database = mem_strdup(order->database);
	wait->done = done;
	wait->done_ctx = done_ctx;
	list_append(&c->order_waits, &wait->node);
	begin_round(wait);
}

/* --- orders ---------------------------------------------------------------------------- */

static void post_all(struct control *c, void (*run)(struct task *, struct proxy *),
                     const struct admin_order *order)
{
	for (unsigned i = 0; i < c->worker_count; i++) {
		struct task *t = task_create(run);

		t->text = mem_strdup(order->database);
		t->number = order->id;
		worker_post(c->workers[i], t);
	}
}

static void cache_clear(struct control *c)
{
	const struct config *cfg = c->settings->config;

	for (size_t i = 0; c->shared.cache && i < cfg->cluster_count; i++)
		cache_void_cluster(c->shared.cache, slice_str(cfg->clusters[i].name));
}

static void set_paused(struct control *c, const char *database)
{
	struct gate_state gate = gates_own(&c->gates, database);

	gate.is_paused = true;
	control_set_gate(c, database, gate);
}

static bool order_pause(struct control *c, const char *database, struct pg_error *err)
{
	if (!c->gates.all.is_paused) {
		set_paused(c, database);
		return true;
	}
	pg_error_set(err, "55000", "already suspended/paused");
	return false;
}

static void set_disabled(struct control *c, const char *database, bool is_disabled)
{
	struct gate_state gate = gates_own(&c->gates, database);

	gate.is_disabled = is_disabled;
	control_set_gate(c, database, gate);
}

static bool order_resume(struct control *c, const char *database, struct pg_error *err)
{
	struct gate_state gate = gates_own(&c->gates, database);

	if (!*database) {
		if (control_resume_all(c))
			return true;
		pg_error_set(err, "55000", "pooler is not paused/suspended");
	} else if (gate.is_paused) {
		gate.is_paused = false;
		control_set_gate(c, database, gate);
		return true;
	} else if (c->gates.all.is_paused) {
		pg_error_set(err, "55000", "all databases are paused: RESUME without a name");
	} else {
		pg_error_set(err, "55000", "database %.100s is not paused", database);
	}
	return false;
}

static bool order_reload(struct control *c, struct pg_error *err)
{
	char why[512];

	if (control_reload(c, why, sizeof why) == 0)
		return true;
	pg_error_set(err, "F0000", "the configuration is refused: %s", why);
	return false;
}

static bool order_do(struct control *c, const struct admin_order *order, struct pg_error *err)
{
	switch (order->action) {
	case ADMIN_RELOAD:
		return order_reload(c, err);
	case ADMIN_PAUSE:
		return order_pause(c, order->database, err);
	case ADMIN_RESUME:
		return order_resume(c, order->database, err);
	case ADMIN_DISABLE:
	case ADMIN_ENABLE:
		set_disabled(c, order->database, order->action == ADMIN_DISABLE);
		break;
	case ADMIN_RECONNECT:
		post_all(c, run_reconnect, order);
		break;
	case ADMIN_KILL:
		set_paused(c, order->database);
		post_all(c, run_kill, order);
		break;
	case ADMIN_KILL_CLIENT:
	case ADMIN_WAIT_CLOSE:
		break;
	case ADMIN_SHUTDOWN:
		control_stop(c);
		break;
	case ADMIN_SHUTDOWN_CLIENTS:
		control_drain(c, DRAIN_CLIENTS);
		break;
	case ADMIN_SHUTDOWN_SERVERS:
		control_drain(c, DRAIN_SERVERS);
		break;
	case ADMIN_CACHE_CLEAR:
		cache_clear(c);
		break;
	}
	return true;
}

void console_order(void *ctx, const struct admin_order *order, admin_error_fn *done, void *done_ctx)
{
	struct pg_error err;
	bool is_answered_later = order->action == ADMIN_PAUSE || order->action == ADMIN_WAIT_CLOSE ||
				 order->action == ADMIN_KILL_CLIENT;

	if (!order_do(ctx, order, &err))
		done(done_ctx, &err);
	else if (is_answered_later)
		wait_begin(ctx, order, done, done_ctx);
	else
		done(done_ctx, NULL);
}
