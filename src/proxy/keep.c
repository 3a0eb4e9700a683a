/* SPDX-License-Identifier: PostgreSQL */
/*
 * See keep.h. Only servers with nobody else's values are kept: forward.c has them
 * discarded in front of the first request that moves a sequence there. Whether to
 * keep at all is the ledger's to know, since the workers share the limits.
 */
#include "proxy/keep.h"

#include "base/log.h"
#include "pool/ledger.h"
#include "proxy/link.h"
#include "proxy/transfer.h"

/* So long others wait before what is kept is given up. */
enum { KEEP_PATIENCE_US = 500 * 1000 };

bool keep_may(const struct client *c, const struct pool *pool)
{
	return c->tenant->pool_mode != POOL_MODE_SESSION &&
	       c->tenant->db->pin_sequence_value != PIN_POLICY_REFUSE &&
	       ledger_keeping(pool->ledger) != LEDGER_KEEPS_NONE;
}

/* Clean, and not wanted for anything else. */
static bool is_keepable(const struct client *c, const struct server *s)
{
	uint64_t now_us = loop_now_us(c->proxy->loop);

	return conn_is_open(&s->conn) && s->txn_status == 'I' && !s->is_dirty && !s->cancels &&
	       !c->proxy->is_draining && !ledger_is_starving(s->pool->ledger) &&
	       c->tenant->db->server_lifetime_us &&
	       !pool_is_expired(s, now_us, c->tenant->db->server_lifetime_us, 0);
}

static void part(struct server *s)
{
	struct client *c = s->owner;

	s->owner = NULL;
	c->kept = NULL;
}

static void set_free(struct server *s)
{
	part(s);
	s->is_dirty |= tenant_pool_of(s->pool)->tenant->proxy->settings->config->global
			       .server_reset_query_always;
	link_server_free(s);
}

bool keep_server(struct client *c, struct server *s)
{
	if (!c->has_moved_sequence || s->sequence_client != c->id || !keep_may(c, s->pool) ||
	    !is_keepable(c, s))
		return false;
	if (c->kept) /* of a node that isn't the primary any more */
		set_free(c->kept);
	c->kept = s;
	s->owner = c;
	s->idle_since_us = loop_now_us(c->proxy->loop);
	server_set_state(s, SERVER_KEPT);
	return true;
}

struct server *keep_take(struct client *c, const struct pool *pool)
{
	struct server *s = c->kept;

	if (!s || s->pool != pool)
		return NULL;
	part(s);
	server_set_state(s, SERVER_ACTIVE);
	return s;
}

bool keep_wants_primary(const struct client *c)
{
	return c->kept && c->txn.state == TXN_DEFERRED &&
	       ledger_keeping(c->kept->pool->ledger) == LEDGER_KEEPS_ALWAYS;
}

/* Clients of this worker that have waited for long. */
static uint32_t impatient(const struct pool *pool, uint64_t now_us)
{
	uint32_t count = 0;

	list_foreach(&pool->waiting, n) {
		if (now_us < list_entry(n, struct client, wait_node)->wait_us + KEEP_PATIENCE_US)
			break; /* in order: nor have the others */
		count++;
	}
	return count;
}

static void on_patience(struct loop_timer *timer)
{
	struct tenant_pool *tp = list_entry(timer, struct tenant_pool, patience);
	const struct tenant *t = tp->tenant;
	uint32_t count = impatient(&tp->pool, loop_now_us(t->proxy->loop));

	if (tp->pool.waiting.count)
		keep_watch(&tp->pool);
	if (!count || !ledger_kept_count(tp->pool.ledger))
		return;
	if (ledger_keep_no_longer(tp->pool.ledger))
		count = UINT32_MAX; /* all */
	log_info("kept_servers_given_up", "db=%s user=%s node=%u", t->database, t->user,
		 tp->pool.node_id);
	transfer_give_up_kept(&tp->pool, count);
}

void keep_watch(struct pool *pool)
{
	struct tenant_pool *tp = tenant_pool_of(pool);

	if (!tp->patience.loop && ledger_keeping(pool->ledger) != LEDGER_KEEPS_NONE)
		loop_timer_arm(tp->tenant->proxy->loop, &tp->patience, KEEP_PATIENCE_US,
			       on_patience);
}

uint32_t keep_give_up(struct pool *pool, uint32_t count)
{
	struct list_node *n;

	while (count && (n = list_last(&pool->by_state[SERVER_KEPT])) != NULL) {
		set_free(list_entry(n, struct server, node));
		count--;
	}
	return count;
}

void keep_forget(struct server *s)
{
	if (s->owner)
		part(s);
}

void keep_client_gone(struct client *c)
{
	if (c->kept)
		set_free(c->kept);
}
