/* SPDX-License-Identifier: PostgreSQL */
/*
 * See transfer.h. Only an idle server travels: its connection is exported, the
 * server object goes along in a mail, and the receiver's pool adopts both. A
 * client that closes meanwhile is freed by the mail's arrival.
 */
#include "proxy/transfer.h"

#include "base/mem.h"
#include "proxy/backend.h"
#include "proxy/keep.h"
#include "proxy/keydata.h"
#include "proxy/link.h"
#include "proxy/tenant.h"

struct move_mail { /* an idle server, or NULL: choose again */
	struct mail mail;
	struct server *server; /* owned while under way */
	struct conn_moved moved;
	struct ledger_waiter *waiter; /* borrowed: its client waits for this mail */
	struct proxy *from;           /* borrowed */
	struct loop_deferred deferred;
};

struct steal_mail { /* also: open one, close one, give some up */
	struct mail mail;
	uint32_t count;
	struct ledger_entry *ledger; /* counted */
};

static void on_move_mail(struct mail *mail, void *receiver)
{
	struct move_mail *m = list_entry(mail, struct move_mail, mail);
	struct proxy *p = receiver;
	struct client *c = link_client_of(m->waiter);
	struct server *s = m->server;

	c->waiter.state = WAITER_NONE;
	if (s) {
		server_move(s, c->pool);
		backend_adopt(s, p, m->moved);
		pool_set_idle(s->pool, s, loop_now_us(p->loop));
	}
	mem_free(m);
	if (c->state == CLIENT_CLOSED) {
		c->tenant->in_flight--;
		client_release(c);
		if (s)
			link_serve_waiters(s->pool);
	} else if (s) {
		server_set_state(s, SERVER_ACTIVE);
		link_grant(c, s);
	} else {
		link_stop_waiting(c);
		link_make_ready(c);
	}
}

/* At the turn's end nothing of the connection is in use any more. */
static void on_departure(struct loop_deferred *deferred)
{
	struct move_mail *m = list_entry(deferred, struct move_mail, deferred);
	struct server *s = m->server;

	/* Bytes behind its last ReadyForQuery can't travel: it is closed, the waiter chooses again. */
	if (s && !conn_is_idle(&s->conn)) {
		backend_close(s, CLOSE_SERVER_PROTOCOL);
		s = NULL;
	}
	if (s) {
		s->departure = NULL;
		server_leave(s);
		m->moved = conn_export(&s->conn);
		metrics_add(m->from->metrics, METRIC_SERVER_MOVES, 1);
	}
	mailbox_post(m->from->shared->proxies[m->waiter->worker]->mailbox, &m->mail);
}

void transfer_post(struct proxy *from, struct server *s, struct ledger_waiter *w)
{
	struct move_mail *m = mem_zalloc(sizeof *m);

	m->mail.deliver = on_move_mail;
	m->waiter = w;
	m->from = from;
	m->server = s;
	if (s) {
		keydata_server_gone(s);
		server_set_state(s, SERVER_MOVING);
		s->departure = m;
	}
	m->deferred.run = on_departure;
	loop_defer(from->loop, &m->deferred);
}

void transfer_lost(struct server *s)
{
	struct move_mail *m = s->departure;

	s->departure = NULL;
	m->server = NULL; /* the waiter is told to choose again */
}

/* Closes one idle server of the pools that share a limit with `ledger`. */
static bool evict_one(struct proxy *p, const struct ledger_entry *ledger)
{
	map_foreach(&p->pools, n) {
		struct pool *pool = &map_entry(n, struct tenant_pool, by_ledger)->pool;
		struct list_node *idle = list_last(&pool->by_state[SERVER_IDLE]);

		if (!idle)
			idle = list_last(&pool->by_state[SERVER_KEPT]);
		if (!idle || pool->ledger == ledger || !ledger_share_limit(pool->ledger, ledger))
			continue;
		backend_close(list_entry(idle, struct server, node), CLOSE_SERVER_EXPIRED);
		return true;
	}
	return false;
}

static void about_done(struct steal_mail *m)
{
	ledger_entry_put(m->ledger);
	mem_free(m);
}

static void on_evict_mail(struct mail *mail, void *receiver)
{
	struct steal_mail *m = list_entry(mail, struct steal_mail, mail);

	if (ledger_is_starving(m->ledger))
		(void)evict_one(receiver, m->ledger);
	about_done(m);
}

static void on_open_mail(struct mail *mail, void *receiver)
{
	struct steal_mail *m = list_entry(mail, struct steal_mail, mail);
	struct pool *pool = tenant_pool_by_ledger(receiver, m->ledger);

	if (pool)
		backend_open(pool);
	else /* its last client has gone and the pool was freed meanwhile */
		(void)ledger_closed(m->ledger, true);
	about_done(m);
}

static void on_steal_mail(struct mail *mail, void *receiver)
{
	struct steal_mail *m = list_entry(mail, struct steal_mail, mail);
	struct pool *pool = tenant_pool_by_ledger(receiver, m->ledger);

	if (pool)
		link_serve_waiters(pool);
	about_done(m);
}

static void on_give_up_mail(struct mail *mail, void *receiver)
{
	struct steal_mail *m = list_entry(mail, struct steal_mail, mail);
	struct pool *pool = tenant_pool_by_ledger(receiver, m->ledger);

	if (pool)
		(void)keep_give_up(pool, m->count);
	about_done(m);
}

static void post_about(struct proxy *from, struct ledger_entry *ledger, unsigned worker,
		       uint32_t count, void (*deliver)(struct mail *mail, void *receiver))
{
	struct steal_mail *m = mem_zalloc(sizeof *m);

	m->mail.deliver = deliver;
	m->ledger = ledger_entry_get(ledger);
	m->count = count;
	mailbox_post(from->shared->proxies[worker]->mailbox, &m->mail);
}

static void tell_others(struct proxy *p, struct ledger_entry *ledger, uint32_t count,
			void (*deliver)(struct mail *mail, void *receiver))
{
	for (unsigned i = 0; i < p->shared->worker_count; i++)
		if (i != p->index)
			post_about(p, ledger, i, count, deliver);
}

static void make_room(struct proxy *p, struct ledger_entry *ledger)
{
	if (!evict_one(p, ledger))
		tell_others(p, ledger, 1, on_evict_mail);
}

void transfer_give_up_kept(struct pool *pool, uint32_t count)
{
	struct proxy *p = tenant_pool_of(pool)->tenant->proxy;

	count = keep_give_up(pool, count);
	if (count)
		tell_others(p, pool->ledger, count, on_give_up_mail);
}

void transfer_use_room(struct pool *pool)
{
	struct proxy *p = tenant_pool_of(pool)->tenant->proxy;
	struct ledger_advice advice;

	while ((advice = ledger_use_room(pool->ledger)).open)
		post_about(p, advice.open, advice.open_worker, 1, on_open_mail);
}

void transfer_follow(struct pool *pool, const struct ledger_advice *advice)
{
	struct proxy *p = tenant_pool_of(pool)->tenant->proxy;
	struct pool *target;

	if (advice->open) {
		target = advice->open_worker == p->index ? tenant_pool_by_ledger(p, advice->open) :
							   NULL;
		if (target)
			backend_open(target);
		else
			post_about(p, advice->open, advice->open_worker, 1, on_open_mail);
	} else if (advice->steal_from != LEDGER_NO_WORKER) {
		post_about(p, pool->ledger, (unsigned)advice->steal_from, 1, on_steal_mail);
	} else if (advice->evict) {
		make_room(p, pool->ledger);
	}
}
