/* SPDX-License-Identifier: PostgreSQL */
/*
 * See link.h. Who waits is in one list at a time, client->wait_list, and in the
 * ledger's line when it waits for a server; what leads out of a list also ends
 * its timer. Other workers' part in it is transfer.h's.
 */
#include "proxy/link.h"

#include "base/clock.h"
#include "base/mem.h"
#include "pool/session.h"
#include "proxy/backend.h"
#include "proxy/failure.h"
#include "proxy/keep.h"
#include "proxy/keydata.h"
#include "proxy/login.h"
#include "proxy/orphan.h"
#include "proxy/replication.h"
#include "proxy/rewrite.h"
#include "proxy/serve.h"
#include "proxy/transfer.h"
#include "wire/build.h"

enum { NODE_RETRY_US = 50000, FRESH_RETRY_US = 5000 };

struct client *link_client_of(struct ledger_waiter *w)
{
	struct client *c = list_entry(w, struct client, waiter);

	WEIR_CHECK_MAGIC(c, CLIENT_MAGIC);
	return c;
}

static struct proxy *proxy_of(struct pool *pool)
{
	return tenant_pool_of(pool)->tenant->proxy;
}

/* A linked client counts as load of its node, also while it idles in a transaction. */
static void link_counted(struct client *c)
{
	const struct topology *topology = c->tenant->cluster->topology;
	const struct topology_node *node;

	if (!topology || topology->node_count < 2)
		return;
	node = tenant_node(c->tenant, c->server->pool->node_id);
	if (!node)
		return;
	c->server->live = node->live;
	route_node_start(node);
}

static void link_uncounted(struct server *s)
{
	struct node_live *live = s->live;

	if (live)
		atomic_fetch_sub_explicit(&live->active, 1, memory_order_relaxed);
	s->live = NULL;
}

struct server *link_cut(struct client *c)
{
	struct server *s = c->server;

	c->is_unnamed_live = false;
	if (c->look)
		rewrite_forget(c);
	conn_resume_read(&c->conn); /* whom a full server made wait */
	c->server = NULL;
	if (!s)
		return NULL;
	link_uncounted(s);
	s->client = NULL;
	s->is_counted = false;
	s->watch = 0;
	return s;
}

void link_send_query(struct client *c, struct slice sql)
{
	c->is_unnamed_live = false;
	backend_send_query(c->server, sql);
}

static void join(struct client *c, struct server *s)
{
	WEIR_ASSERT(c->server == NULL && s->client == NULL && s->state == SERVER_ACTIVE);
	c->server = s;
	s->client = c;
	link_counted(c);
	stat_add(&c->tenant->stats->server_assignment_count, 1);
}

void link_stop_waiting(struct client *c)
{
	client_wait_leave(c);
	loop_timer_cancel(&c->timer);
	if (c->state != CLIENT_LOGIN && c->state != CLIENT_IDLE)
		client_set_state(c, CLIENT_IDLE);
}

static void count_wait(struct client *c)
{
	uint64_t waited = c->wait_us ? clock_monotonic_us() - c->wait_us : 0;

	if (waited) {
		stat_add(&c->tenant->stats->wait_time, waited);
		metrics_observe(c->proxy->metrics, HISTOGRAM_WAIT_TIME, waited);
	}
	c->wait_us = 0;
}

void link_grant(struct client *c, struct server *s)
{
	c->waiter.state = WAITER_NONE;
	link_stop_waiting(c);
	count_wait(c);
	join(c, s);
	link_make_ready(c);
}

static void after_redelivery(struct client *c)
{
	if (c->state == CLIENT_IDLE && c->server && replies_count(&c->server->replies) == 0 &&
	    client_is_free(c))
		link_release(c);
}

static void drain_ready(struct proxy *p)
{
	struct list_node *n;

	p->is_draining_ready = true;
	while ((n = list_first(&p->ready)) != NULL) {
		struct client *c = list_entry(n, struct client, wait_node);

		client_wait_leave(c);
		if (c->state == CLIENT_LOGIN) {
			login_granted(c);
			continue;
		}
		if (c->is_retrying && c->state == CLIENT_IDLE)
			serve_held(c);
		else
			conn_redeliver(&c->conn);
		after_redelivery(c);
	}
	p->is_draining_ready = false;
}

void link_make_ready(struct client *c)
{
	struct proxy *p = c->proxy;

	if (c->is_serving || c->wait_list) /* its own loop goes on, or it is in line already */
		return;
	client_wait_join(c, &p->ready);
	if (!p->is_draining_ready)
		drain_ready(p);
}

/*
 * An idle server for this client; NULL: none. Where servers take turns nobody has a favourite, but
 * who was promised a true process id has its server.
 */
static struct server *take_for(const struct client *c, struct pool *pool)
{
	bool has_favourite = !pool->is_round_robin ||
			     c->proxy->settings->config->global.true_backend_pid;
	struct server *s = NULL;

	if (c->wants_own_server)
		s = pool_take_own(pool, c->session, c->id);
	else if (has_favourite)
		s = keydata_take(c, pool);
	return s ? s : pool_take(pool, c->session);
}

/* The one that would be next was idle for long: its check brings it back here. */
static bool check_first(struct pool *pool)
{
	struct list_node *n = list_first(&pool->by_state[SERVER_IDLE]);
	struct server *s = n ? list_entry(n, struct server, node) : NULL;

	if (!s || !ledger_has_waiters(pool->ledger) || !backend_wants_check(s))
		return false;
	server_set_state(s, SERVER_ACTIVE);
	backend_check(s);
	return true;
}

void link_serve_waiters(struct pool *pool)
{
	struct proxy *p = proxy_of(pool);
	struct list *idle = &pool->by_state[SERVER_IDLE];
	struct ledger_waiter *w;

	if (check_first(pool))
		return;
	while (idle->count && (w = ledger_next(pool->ledger)) != NULL) {
		if (w->worker == p->index) {
			struct client *c = link_client_of(w);

			link_grant(c, take_for(c, pool));
		} else {
			transfer_post(p, list_entry(list_first(idle), struct server, node), w);
		}
	}
}

static void on_wait_timeout(struct loop_timer *timer)
{
	client_close(list_entry(timer, struct client, timer), CLOSE_QUERY_WAIT_TIMEOUT, NULL);
}

static uint64_t query_wait_timeout_us(const struct client *c)
{
	return config_query_wait_timeout_us(c->proxy->settings->config, c->tenant->db,
					    c->tenant->user_cfg);
}

static void wait_in(struct client *c, struct list *list)
{
	struct proxy *p = c->proxy;
	uint64_t bound = query_wait_timeout_us(c);

	if (c->state != CLIENT_LOGIN)
		client_set_state(c, CLIENT_WAIT_SERVER);
	if (!c->wait_us)
		c->wait_us = loop_now_us(p->loop);
	client_wait_join(c, list);
	if (bound)
		loop_timer_arm(p->loop, &c->timer, bound, on_wait_timeout);
}

static void wait_for_server(struct client *c, struct pool *pool)
{
	struct ledger_advice advice;

	c->pool = pool;
	wait_in(c, &pool->waiting);
	advice = ledger_wait(pool->ledger, &c->waiter);
	keep_watch(pool);
	transfer_follow(pool, &advice);
	link_serve_waiters(pool);
}

/*
 * A refusal for good is told again until server_login_retry is over, a primary that doesn't answer
 * is tried again after a short pause.
 */
static bool is_held_off(struct client *c, struct pool *pool)
{
	struct tenant_pool *tp = tenant_pool_of(pool);

	if (!tenant_holds_off(tp))
		return false;
	if (tp->is_refused_for_good)
		client_close(c, CLOSE_SERVER_LOGIN, tp->refusal);
	else if (tp->is_primary)
		link_wait_node(c);
	return tp->is_refused_for_good || tp->is_primary;
}

bool link_acquire(struct client *c, const struct topology_node *node)
{
	struct pool *pool = tenant_pool(c->tenant, node);
	struct server *s;

	if (is_held_off(c, pool))
		return false;
	s = keep_take(c, pool);
	if (!s && !ledger_has_waiters(pool->ledger)) {
		s = take_for(c, pool);
		if (s && backend_wants_check(s)) {
			backend_check(s);
			s = NULL;
		}
	}
	if (s) {
		count_wait(c);
		join(c, s);
	} else {
		wait_for_server(c, pool);
	}
	return c->server != NULL;
}

void link_release(struct client *c)
{
	struct server *s = c->server;

	WEIR_ASSERT(s != NULL && s->client == c);
	link_cut(c);
	if (conn_is_open(&s->conn))
		conn_resume_read(&s->conn);
	if (keep_server(c, s))
		return;
	s->is_dirty |= c->proxy->settings->config->global.server_reset_query_always;
	link_server_free(s);
}

/* 0: used once. */
static bool is_worn_out(const struct server *s, uint64_t now_us)
{
	uint64_t lifetime_us = backend_tenant(s)->db->server_lifetime_us;

	return !lifetime_us || pool_is_expired(s, now_us, lifetime_us, 0);
}

bool link_is_wanted_back(const struct client *c)
{
	const struct server *s = c->server;
	const struct ledger_entry *ledger = s->pool->ledger;

	return client_is_free(c) &&
	       (ledger_has_waiters(ledger) || ledger_is_starving(ledger) ||
		c->tenant->gate.is_paused || is_worn_out(s, loop_now_us(c->proxy->loop)));
}

void link_server_free(struct server *s)
{
	struct pool *pool = s->pool;
	struct proxy *p = proxy_of(pool);

	backend_checked(s);
	if (s->cancels) {
		server_set_state(s, SERVER_CANCELED);
		return;
	}
	if (s->is_dirty || s->is_listening || s->txn_status != 'I') {
		backend_reset(s);
		return;
	}
	s->idle_since_us = loop_now_us(p->loop);
	if (p->is_draining || is_worn_out(s, s->idle_since_us)) {
		backend_close(s, CLOSE_SERVER_EXPIRED);
		return;
	}
	pool_set_idle(pool, s, s->idle_since_us);
	if (ledger_is_starving(pool->ledger) &&
	    (!ledger_has_waiters(pool->ledger) || ledger_must_yield(pool->ledger)))
		backend_close(s, CLOSE_SERVER_EXPIRED);
	else if (ledger_has_waiters(pool->ledger))
		link_serve_waiters(pool);
}

void link_client_gone(struct client *c)
{
	struct server *s = link_cut(c);
	bool is_busy;

	keep_client_gone(c);
	if (!s)
		return;
	if (s->is_replication) {
		replication_client_gone(s);
		return;
	}
	is_busy = replies_count(&s->replies) || s->pass_left || s->is_copy_in || c->stream_left;
	if (is_busy) {
		conn_push(&s->conn); /* PostgreSQL runs what it was sent, whoever waits for that */
		orphan_leave(c, s);
		backend_close(s, CLOSE_SERVER_DIRTY);
		return;
	}
	conn_resume_read(&s->conn);
	s->is_dirty = c->pins || c->tenant->pool_mode == POOL_MODE_SESSION;
	link_server_free(s);
}

void link_empty_pool(struct pool *pool)
{
	struct list_node *n;

	pool->generation++;
	while ((n = list_first(&pool->by_state[SERVER_IDLE])) != NULL)
		backend_close(list_entry(n, struct server, node), CLOSE_SERVER_EXPIRED);
	while ((n = list_first(&pool->by_state[SERVER_KEPT])) != NULL)
		backend_close(list_entry(n, struct server, node), CLOSE_SERVER_EXPIRED);
}

void link_refuse_waiters(struct pool *pool, const struct pg_error *error)
{
	struct proxy *p = proxy_of(pool);
	struct ledger_waiter *w;

	for (size_t left = pool->waiting.count + 1; left && (w = ledger_next(pool->ledger)); left--) {
		struct client *c;

		if (w->worker != p->index) {
			transfer_post(p, NULL, w);
			continue;
		}
		c = link_client_of(w);
		c->waiter.state = WAITER_NONE;
		link_stop_waiting(c);
		if (error) {
			client_close(c, CLOSE_SERVER_LOGIN, error);
			continue;
		}
		c->avoid_nodes |= 1u << pool->node_id;
		link_make_ready(c);
	}
}

void link_abandon_pool(struct pool *pool)
{
	static const enum server_state states[] = { SERVER_LOGIN, SERVER_TESTED, SERVER_CANCELED,
						    SERVER_ACTIVE };

	link_empty_pool(pool);
	link_refuse_waiters(pool, NULL);
	for (size_t i = 0; i < WEIR_COUNTOF(states); i++) {
		struct list *servers = &pool->by_state[states[i]];

		for (size_t left = servers->count; left && servers->count; left--) {
			struct server *s = list_entry(list_first(servers), struct server, node);

			if (s->client)
				failure_server_lost(s, NULL);
			else
				backend_close(s, CLOSE_SERVER_LOST);
		}
	}
}

void link_recall_waiters(struct pool *pool)
{
	struct proxy *p = proxy_of(pool);

	list_foreach_safe (&pool->waiting, n, tmp) {
		struct client *c = list_entry(n, struct client, wait_node);

		if (!ledger_unwait(pool->ledger, &c->waiter))
			continue; /* a server is on its way */
		link_stop_waiting(c);
		client_wait_join(c, &p->ready);
	}
}

void link_hold_ready(struct proxy *p)
{
	WEIR_ASSERT(!p->is_draining_ready);
	p->is_draining_ready = true;
}

void link_serve_ready(struct proxy *p)
{
	drain_ready(p);
}

static void on_node_wait_timeout(struct loop_timer *timer)
{
	struct client *c = list_entry(timer, struct client, timer);
	const struct pg_error *refusal = tenant_refusal(c->tenant);

	if (refusal) {
		client_close(c, CLOSE_SERVER_LOGIN, refusal);
		return;
	}
	metrics_add(c->proxy->metrics, METRIC_FAILOVER_TIMEOUTS, 1);
	client_close(c, CLOSE_NO_PRIMARY, NULL);
}

static void on_node_retry(struct loop_timer *timer)
{
	struct cluster_view *view = list_entry(timer, struct cluster_view, retry);
	struct list_node *n = list_first(&view->waiting);

	if (n)
		link_wake_cluster(list_entry(n, struct client, wait_node)->proxy, view);
}

static void wait_on_cluster(struct client *c, uint64_t retry_us)
{
	struct proxy *p = c->proxy;
	struct cluster_view *view = c->tenant->cluster;

	if (c->state != CLIENT_LOGIN)
		client_set_state(c, CLIENT_WAIT_NODE);
	client_wait_join(c, &view->waiting);
	if (view->waiting.count > 1 && retry_us == NODE_RETRY_US)
		return;
	loop_timer_cancel(&view->retry);
	loop_timer_arm(p->loop, &view->retry, retry_us, on_node_retry);
}

void link_wait_fresh(struct client *c)
{
	if (!c->wait_us)
		c->wait_us = clock_monotonic_us(); /* not the turn's: see CLOCK in route/consistency.h */
	wait_on_cluster(c, FRESH_RETRY_US);
}

/* query_wait_timeout is the longest wait for a server whatever keeps it from being there. */
static uint64_t node_wait_us(const struct client *c)
{
	uint64_t failover_us = c->tenant->db->failover_wait_timeout_us;
	uint64_t query_us = query_wait_timeout_us(c);

	return query_us && query_us < failover_us ? query_us : failover_us;
}

void link_wait_node(struct client *c)
{
	struct proxy *p = c->proxy;
	uint64_t bound = node_wait_us(c);
	uint64_t now = loop_now_us(p->loop);
	uint64_t waited;

	if (!c->wait_us) {
		c->wait_us = now;
		stat_add(&c->tenant->stats->waits_primary, 1);
	}
	waited = now > c->wait_us ? now - c->wait_us : 0;
	c->avoid_nodes = 0;
	wait_on_cluster(c, NODE_RETRY_US);
	loop_timer_arm(p->loop, &c->timer, waited < bound ? bound - waited : 1,
		       on_node_wait_timeout);
}

void link_pause_pool(struct pool *pool)
{
	struct tenant *t = tenant_pool_of(pool)->tenant;

	list_foreach_safe(&pool->waiting, n, tmp) {
		struct client *c = list_entry(n, struct client, wait_node);

		if (!ledger_unwait(pool->ledger, &c->waiter))
			continue; /* a server is on its way */
		client_wait_leave(c);
		client_wait_join(c, &t->held);
	}
	link_empty_pool(pool);
}

void link_wait_held(struct client *c)
{
	wait_in(c, &c->tenant->held);
}

void link_wake_held(struct tenant *t)
{
	for (size_t count = t->held.count; count && t->held.count; count--) {
		struct client *c = list_entry(list_first(&t->held), struct client, wait_node);

		link_stop_waiting(c);
		link_make_ready(c);
	}
}

void link_cancel_wait(struct client *c)
{
	c->is_canceled = true;
	if (c->waiter.state != WAITER_NONE && !ledger_unwait(c->pool->ledger, &c->waiter))
		return; /* a server is on its way: it is told then */
	link_stop_waiting(c);
	c->wait_us = 0;
	link_make_ready(c);
}

void link_wake_cluster(struct proxy *p, struct cluster_view *view)
{
	size_t count = view->waiting.count;

	loop_timer_cancel(&view->retry);
	while (count-- && view->waiting.count) {
		struct client *c =
			list_entry(list_first(&view->waiting), struct client, wait_node);

		link_stop_waiting(c);
		link_make_ready(c);
	}
	if (view->waiting.count)
		loop_timer_arm(p->loop, &view->retry, NODE_RETRY_US, on_node_retry);
}
