/* SPDX-License-Identifier: PostgreSQL */
/*
 * Effects are applied to two states at once: what the client's session becomes
 * and what the server then has. They differ where a RESET leads: the client's
 * start-up value here, the server's own default there; the next sync heals it.
 */
#include "proxy/track.h"

#include "base/clock.h"
#include "base/log.h"
#include "pool/session.h"
#include "proxy/cached.h"

/* Taken also by a transaction that is rolled back, or by a statement that fails later. */
static const uint32_t PINS_LASTING =
	PIN_ADVISORY_LOCK | PIN_SEQUENCE_VALUE | PIN_LOAD | PIN_SQL_PREPARE;

/* In doubt about the catalog: how soon it is read again, while that is in vain. */
enum { CATALOG_ASK_MIN_US = 250 * 1000, CATALOG_ASK_MAX_US = 30 * 1000 * 1000 };

static struct session_state *base_state(struct client *c)
{
	return c->pending ? c->pending : c->session;
}

static struct session_state *base_server_state(struct client *c)
{
	return c->pending_server ? c->pending_server : c->session;
}

static void stage(struct client *c, struct session_state *client, struct session_state *server)
{
	session_put(&c->pending);
	session_put(&c->pending_server);
	c->pending = client;
	c->pending_server = server;
	c->is_staged = true;
	c->has_set_in_txn = true;
}

static void stage_opaque(struct client *c)
{
	c->staged_pins |= PIN_SESSION_STATE;
	c->is_staged = true;
}

static void stage_named(struct client *c, const struct statement_effect *e)
{
	struct slice name = slice_str(e->name);
	const char *client_value = e->value, *server_value = e->value;
	struct session_state *client, *server;

	if (e->kind == EFFECT_SET_DEFAULT) {
		client_value = session_find(c->startup, name);
		server_value = NULL;
	} else if (!e->value) {
		stage_opaque(c);
		return;
	}
	client = session_with(base_state(c), name, client_value);
	server = session_with(base_server_state(c), name, server_value);
	if (client && server) {
		stage(c, client, server);
		return;
	}
	session_put(&client);
	session_put(&server);
	stage_opaque(c);
}

static void stage_set(struct client *c, const struct statement_effect *e)
{
	/* A token of another session: what it wrote was acknowledged before now. */
	if (strcmp(e->name, "pgweir.after_lsn") == 0)
		session_write_done(&c->reads, clock_monotonic_us());
	stage_named(c, e);
}

static void stage_reset_all(struct client *c)
{
	stage(c, session_get(c->startup), session_empty(c->proxy->shared->sessions));
}

static void stage_effect(struct client *c, const struct statement_effect *e)
{
	switch (e->kind) {
	case EFFECT_SET:
	case EFFECT_SET_DEFAULT:
		stage_set(c, e);
		break;
	case EFFECT_DISCARD_ALL:
		c->has_clear_statements = true;
		c->is_unpinned_by_request = true;
		stage_reset_all(c);
		break;
	case EFFECT_RESET_ALL:
		stage_reset_all(c);
		break;
	case EFFECT_DEALLOCATE_ALL:
		c->has_clear_statements = true;
		c->is_staged = true;
		break;
	case EFFECT_OPAQUE:
		stage_opaque(c);
		break;
	case EFFECT_UNPIN:
	case EFFECT_UNLISTEN_ALL:
	case EFFECT_DISCARD_TEMP:
	case EFFECT_DISCARD_SEQUENCES:
		c->unpin_staged |= e->kind == EFFECT_UNPIN        ? e->pins :
				   e->kind == EFFECT_UNLISTEN_ALL  ? (uint32_t)PIN_LISTEN :
				   e->kind == EFFECT_DISCARD_TEMP  ? (uint32_t)PIN_TEMP_TABLE :
								     (uint32_t)PIN_SEQUENCE_VALUE;
		break;
	case EFFECT_SET_LOCAL: /* what these change ends with the transaction, or is a pin */
	case EFFECT_DISCARD_PLANS:
	case EFFECT_DEALLOCATE:
	case EFFECT_SHOW:
	case EFFECT_LISTEN:
	case EFFECT_UNLISTEN:
	case EFFECT_SAVEPOINT:
	case EFFECT_RELEASE:
	case EFFECT_ROLLBACK_TO:
		break;
	}
}

/* A part of the request may end a transaction, and another part fail or change settings. */
static bool has_inner_end(const struct client *c, const struct txn_request *txn)
{
	uint32_t ends = STATEMENT_COMMIT | STATEMENT_ROLLBACK | STATEMENT_CHAIN;

	if (txn->flags & STATEMENT_TXN_INSIDE_MULTI)
		return true;
	return (txn->flags & ends) && (txn->statement_count > 1 || c->is_staged_request);
}

void track_request_sent(struct client *c, const struct plan *plan)
{
	c->has_inner_commit |= has_inner_end(c, &plan->txn);
	c->has_ddl |= plan->is_ddl;
	c->wants_catalog |= plan->wants_catalog;
	c->staged_pins |= plan->pins;
	c->tenant->keeps_sequences |= (plan->pins & PIN_SEQUENCE_VALUE) != 0;
	if (plan->moves_sequence && c->tenant->keeps_sequences)
		c->staged_pins |= PIN_SEQUENCE_VALUE;
	c->is_read_request = !plan->txn.may_write;
	for (uint32_t i = 0; i < plan->effect_count; i++)
		for (uint16_t k = 0; k < plan->effects[i]->effect_count; k++)
			stage_effect(c, &plan->effects[i]->effects[k]);
	/* What can't be followed step by step is kept on its server. */
	if (plan->has_too_many_effects ||
	    (c->has_set_in_txn &&
	     (c->has_inner_commit ||
	      (plan->txn.flags & (STATEMENT_ROLLBACK_TO | STATEMENT_CHAIN)))))
		stage_opaque(c);
	c->has_set_in_txn |= (plan->txn.flags & STATEMENT_LOCAL_SET) != 0;
	c->is_rollback_request = (plan->txn.flags & STATEMENT_ROLLBACK) != 0;
	c->is_commit_request = (plan->txn.flags & STATEMENT_COMMIT) != 0;
	c->is_begin_request = (plan->txn.flags & STATEMENT_BEGIN) != 0;
	c->is_staged_request = plan->effect_count || c->is_rollback_request || c->staged_pins;
}

void track_hidden_change(struct client *c)
{
	if (!c->is_staged_request && !c->has_set_in_txn)
		stage_opaque(c);
}

bool track_is_staged(const struct client *c)
{
	return c->is_staged_request;
}

static void drop_pending(struct client *c)
{
	session_put(&c->pending);
	session_put(&c->pending_server);
	c->is_staged = false;
}

static void request_forget(struct client *c)
{
	c->staged_pins = c->unpin_staged = 0;
	c->has_clear_statements = c->is_unpinned_by_request = false;
	c->is_staged_request = c->is_rollback_request = c->is_commit_request = false;
	c->is_begin_request = false;
	c->had_error = c->has_inner_commit = false;
}

static void add_pins(struct client *c, uint32_t pins)
{
	if (!(pins & ~c->pins))
		return;
	c->pins |= pins;
	stat_add(&c->tenant->stats->pins, 1);
	log_debug("client_pinned", "id=%llu reasons=%#x", (unsigned long long)c->id, c->pins);
}

static void adopt_pins(struct client *c)
{
	add_pins(c, c->staged_pins);
	c->pins &= ~c->unpin_staged;
	if (c->is_unpinned_by_request)
		c->pins = 0;
}

/* What no rollback undoes, and what a part of the request may have committed. */
static void adopt_pins_of_failed(struct client *c)
{
	add_pins(c, c->has_inner_commit ? c->staged_pins : c->staged_pins & PINS_LASTING);
}

static void clear_statements(struct client *c, struct server *s)
{
	prepared_set_clear(&s->prepared);
	if (c->names)
		prepared_names_clear(c->names);
	prepared_put(&c->unnamed);
}

static void commit_pending(struct client *c, struct server *s)
{
	if (c->pending) {
		server_set_session(s, c->pending_server);
		session_put(&c->session);
		c->session = c->pending;
		c->pending = NULL;
		session_put(&c->pending_server);
	}
	c->is_staged = false;
	c->has_set_in_txn = false;
}

static void request_succeeded(struct client *c, struct server *s)
{
	adopt_pins(c);
	if (c->has_clear_statements)
		clear_statements(c, s);
}

static void request_failed(struct client *c)
{
	adopt_pins_of_failed(c);
	if (c->is_staged)
		drop_pending(c);
}

/* At most now and then, less often while no newer catalog comes of it. */
static bool may_doubt_catalog(struct tenant *t, uint64_t now_us)
{
	if (now_us < t->catalog_ask_us)
		return false;
	t->catalog_pause_us = t->catalog_pause_us ? t->catalog_pause_us * 2 : CATALOG_ASK_MIN_US;
	if (t->catalog_pause_us > CATALOG_ASK_MAX_US)
		t->catalog_pause_us = CATALOG_ASK_MAX_US;
	t->catalog_ask_us = now_us + t->catalog_pause_us;
	return true;
}

/* DDL is committed now, or the request names what the catalog lacks: the tier reads it again. */
static void ask_for_catalog(struct client *c)
{
	const struct proxy_hooks *hooks = c->proxy->shared->hooks;
	struct tenant *t = c->tenant;
	bool is_due = c->has_ddl || may_doubt_catalog(t, loop_now_us(c->proxy->loop));

	c->has_ddl = false;
	c->wants_catalog = false;
	if (is_due)
		hooks->catalog_stale(c->proxy->shared->hooks_ctx, t->database);
}

void track_ready(struct client *c, struct server *s, char status)
{
	struct txn_end end = txn_ready(&c->txn, status);

	if (!c->had_error)
		request_succeeded(c, s);
	else
		request_failed(c);
	if (status == 'E' || c->is_rollback_request)
		drop_pending(c);
	if (end.is_over)
		commit_pending(c, s);
	if (end.has_written) {
		session_write_done(&c->reads, clock_monotonic_us());
		cached_invalidate(c);
	}
	if (end.is_over && (c->has_ddl || c->wants_catalog))
		ask_for_catalog(c);
	request_forget(c);
}

static void count_times(struct client *c)
{
	struct db_stats *st = c->tenant->stats;
	uint64_t now = loop_now_us(c->proxy->loop);

	stat_add(&st->query_count, 1);
	stat_add(&st->query_time, now - c->request_us);
	metrics_observe(c->proxy->metrics, HISTOGRAM_QUERY_TIME, now - c->request_us);
	if (c->txn.state == TXN_IDLE) {
		stat_add(&st->xact_count, 1);
		stat_add(&st->xact_time, now - c->txn_us);
		metrics_observe(c->proxy->metrics, HISTOGRAM_TXN_TIME, now - c->txn_us);
		c->txn_us = 0;
	}
}

void track_request_done(struct client *c, struct server *s)
{
	count_times(c);
	if (c->is_read_request && c->txn.state == TXN_IDLE) {
		const struct topology *topology = c->tenant->cluster->topology;
		const struct topology_node *node;

		if (!topology || topology->node_count < 2)
			return;
		node = tenant_node(c->tenant, s->pool->node_id);
		if (node)
			session_read_done(&c->reads, node, clock_monotonic_us());
	}
}

void track_lost(struct client *c)
{
	if (txn_lost(&c->txn)) { /* it may have been committed all the same */
		session_write_done(&c->reads, clock_monotonic_us());
		cached_invalidate(c);
	}
	drop_pending(c);
	c->has_set_in_txn = false;
	request_forget(c);
}
