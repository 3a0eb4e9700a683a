/* SPDX-License-Identifier: PostgreSQL */
/*
 * Effects come true in order as their statements complete (track_completed), or
 * all at once at ReadyForQuery where there is only one statement to complete.
 * What PostgreSQL undoes with a transaction is in the session_txn; pins and
 * prepared statements aren't undone by it.
 */
#include "proxy/track.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "pool/session.h"
#include "proxy/bring.h"
#include "proxy/cached.h"
#include "proxy/listen.h"
#include "proxy/pins.h"
#include "sql/prepare.h"
#include "sql/quote.h"
#include "wire/frontend.h"

/* Taken also by a transaction that is rolled back, or by a statement that fails later. */
static const uint32_t PINS_LASTING =
	PIN_ADVISORY_LOCK | PIN_SEQUENCE_VALUE | PIN_LOAD | PIN_SQL_PREPARE;

/* In doubt about the catalog: how soon it is read again, while that is in vain. */
enum { CATALOG_ASK_MIN_US = 250 * 1000, CATALOG_ASK_MAX_US = 30 * 1000 * 1000 };

enum { TRACK_STEPS_MIN = 4, PARAM_VALUE_MAX = 16384 };

static struct session_base base_of(const struct client *c)
{
	return (struct session_base){ .committed = c->session, .startup = c->startup };
}

/* ---- what a step does ---- */

static void clear_statements(struct client *c, struct server *s)
{
	prepared_set_clear(&s->prepared);
	plain_names_clear(&s->plain);
	if (c->names)
		prepared_names_clear(c->names);
}

static void do_prepare(struct client *c, struct server *s, const struct statement_effect *e)
{
	struct proxy *p = c->proxy;
	struct slice name = slice_str(e->name), text = slice_str(e->value);
	struct prepared *made = prepared_intern_sql(
		p->prepared, text, statement_cache_lookup(p->statements, prepare_body(text)));

	plain_names_set(&s->plain, name, made->id);
	if (!c->names)
		c->names = prepared_names_create();
	prepared_names_put(c->names, name, &made);
}

static void do_deallocate(struct client *c, struct server *s, const struct statement_effect *e)
{
	struct prepared_name *n = prepared_names_find(c->names, slice_str(e->name));

	plain_names_set(&s->plain, slice_str(e->name), PLAIN_NONE);
	if (n)
		prepared_names_remove(c->names, n);
}

static void adopt_settings(struct client *c)
{
	if (!c->settings.client)
		return;
	session_put(&c->session);
	c->session = c->settings.client;
	c->settings.client = NULL;
}

static void commit_settings(struct client *c, struct server *s)
{
	struct session_txn *t = &c->settings;

	listen_commit(c);
	if (t->client)
		server_set_session(s, t->server);
	adopt_settings(c);
	session_txn_end(t);
}

static void rollback_settings(struct client *c)
{
	listen_rollback(c);
	session_txn_end(&c->settings);
}

static void do_set(struct client *c, const struct track_step *step)
{
	const struct statement_effect *e = step->effect;
	const char *value = step->value ? step->value : e->value;

	/* A token of another session: what it wrote was acknowledged before now. */
	if (strcmp(e->name, "pgweir.after_lsn") == 0)
		session_write_done(&c->reads, clock_monotonic_us());
	if (step->is_unknown || !session_txn_set(&c->settings, base_of(c), e->name, value))
		pins_add(c, PIN_SESSION_STATE);
}

static void do_end(struct client *c, struct server *s, bool is_commit)
{
	bool is_rollback = !is_commit || c->track->was_failed;

	c->track->was_failed = false;
	if (is_rollback)
		rollback_settings(c);
	else
		commit_settings(c, s);
}

static void do_unpin(struct client *c, const struct statement_effect *e)
{
	c->pins &= (uint16_t)~(e->kind == EFFECT_UNPIN        ? e->pins :
		     e->kind == EFFECT_UNLISTEN_ALL  ? (uint32_t)PIN_LISTEN :
						       (uint32_t)PIN_SEQUENCE_VALUE);
}

/* Another statement of the same text may have moved one since. */
static void do_discard_sequences(struct client *c, struct server *s, const struct track_step *step)
{
	if (step->statement->flags & STATEMENT_MULTI)
		return;
	c->has_moved_sequence = s->has_sequences = false;
	s->sequence_client = 0;
}

static void do_listen(struct client *c, const struct statement_effect *e)
{
	if (e->kind == EFFECT_UNLISTEN)
		listen_unlisten(c, e->name);
	else if (e->kind == EFFECT_UNLISTEN_ALL) {
		listen_unlisten(c, NULL);
		do_unpin(c, e);
	} else if (!((c->pins | c->staged_pins) & PIN_LISTEN))
		listen_listen(c, e->name);
}

/* long: flat dispatch */
static void do_step(struct client *c, struct server *s, const struct track_step *step)
{
	const struct statement_effect *e = step->effect;

	switch (e->kind) {
	case EFFECT_SET:
	case EFFECT_SET_DEFAULT:
		do_set(c, step);
		break;
	case EFFECT_SET_LOCAL: /* ends with the transaction */
		c->settings.has_changed = true;
		break;
	case EFFECT_DISCARD_ALL:
		clear_statements(c, s);
		do_discard_sequences(c, s, step);
		session_txn_discard_all(&c->settings, base_of(c));
		listen_unlisten(c, NULL);
		c->pins = 0;
		break;
	case EFFECT_RESET_ALL:
		session_txn_reset_all(&c->settings, base_of(c));
		break;
	case EFFECT_DEALLOCATE_ALL:
		clear_statements(c, s);
		break;
	case EFFECT_PREPARE:
		do_prepare(c, s, e);
		break;
	case EFFECT_DEALLOCATE:
		do_deallocate(c, s, e);
		break;
	case EFFECT_OPAQUE:
		pins_add(c, PIN_SESSION_STATE);
		break;
	case EFFECT_COMMIT:
	case EFFECT_ROLLBACK:
		do_end(c, s, e->kind == EFFECT_COMMIT);
		break;
	case EFFECT_SAVEPOINT:
		if (!session_txn_savepoint(&c->settings, e->name))
			pins_add(c, PIN_SESSION_STATE);
		break;
	case EFFECT_RELEASE:
		session_txn_release(&c->settings, e->name);
		break;
	case EFFECT_ROLLBACK_TO:
		session_txn_rollback_to(&c->settings, e->name);
		c->track->was_failed = false;
		break;
	case EFFECT_LISTEN:
	case EFFECT_UNLISTEN:
	case EFFECT_UNLISTEN_ALL:
		do_listen(c, e);
		break;
	case EFFECT_DISCARD_SEQUENCES:
		do_discard_sequences(c, s, step);
		do_unpin(c, e);
		break;
	case EFFECT_UNPIN:
		do_unpin(c, e);
		break;
	case EFFECT_DISCARD_TEMP:  /* may be rolled back: see unpin.h */
	case EFFECT_DISCARD_PLANS: /* nothing, or a pin of the statement's */
	case EFFECT_EXECUTE:
	case EFFECT_SHOW_PREPARED:
	case EFFECT_SHOW:
	case EFFECT_VACATE:
		break;
	}
}

/* ---- lining up ---- */

/* The parameter's value; *is_null; false: not told by the Bind. */
static bool bind_value(const struct plan_effects *p, uint16_t number, struct slice *value,
		       bool *is_null)
{
	struct msg_bind m;
	struct slice rest;

	if (!p->bind.len || frontend_read_bind(p->bind, &m) != WEIR_OK)
		return false;
	rest = m.params;
	for (uint16_t i = 0; i < number; i++)
		if (!bind_param_next(&rest, value, is_null))
			return false;
	return true;
}

/* Its bytes are the text that set_config gets: no other type is cast to it. */
static bool is_text_param(const struct plan_effects *p, uint16_t number)
{
	/* Not given, name, text, unknown, varchar. */
	static const uint32_t types[] = { 0, 19, 25, 705, 1043 };
	size_t at = ((size_t)number - 1) * 4;
	uint32_t oid = 0;

	for (size_t i = 0; i < 4 && at + 4 <= p->types.len; i++)
		oid = oid << 8 | (uint8_t)p->types.ptr[at + i];
	for (size_t i = 0; i < WEIR_COUNTOF(types); i++)
		if (oid == types[i])
			return true;
	return false;
}

/* A schema of temporary tables in front: what is created without a schema is temporary. */
static bool is_temporary_path(const char *name, const struct buf *b)
{
	return strcmp(name, "search_path") == 0 && b->len >= 8 &&
	       memcmp(b->data, "'pg_temp", 8) == 0;
}

/* set_config's value from the Bind; NULL resets. */
static void take_param(struct track_step *step, const struct plan_effects *p)
{
	const struct statement_effect *e = step->effect;
	struct slice value;
	bool is_null = false;
	struct buf b;

	step->is_unknown = !bind_value(p, e->value_param, &value, &is_null) ||
			   !is_text_param(p, e->value_param);
	if (step->is_unknown || is_null)
		return;
	buf_init(&b, PARAM_VALUE_MAX);
	quote_config_value(&b, e->name, value);
	step->is_unknown = b.err != WEIR_OK || memchr(value.ptr, '\0', value.len) != NULL ||
			   is_temporary_path(e->name, &b);
	if (!step->is_unknown)
		step->value = mem_slicedup(buf_slice(&b));
	buf_fini(&b);
}

static void add_step(struct track *t, const struct plan_effects *p,
		     const struct statement_effect *e)
{
	struct track_step *step;

	if (t->count == t->cap) {
		t->cap = t->cap ? 2 * t->cap : TRACK_STEPS_MIN;
		t->steps = mem_realloc(t->steps, t->cap * sizeof t->steps[0]);
	}
	step = &t->steps[t->count++];
	*step = (struct track_step){
		.statement = statement_get(p->statement),
		.effect = e,
		.at = t->sent + p->at + e->at,
	};
	if (e->value_param)
		take_param(step, p);
	else
		step->is_unknown = e->kind == EFFECT_SET && !e->value;
}

static struct track *track_of(struct client *c)
{
	if (!c->track)
		c->track = mem_zalloc(sizeof *c->track);
	return c->track;
}

/* Nothing comes of it that would have to wait for its success. */
static bool is_idle_effect(enum effect_kind kind)
{
	return kind == EFFECT_EXECUTE || kind == EFFECT_SHOW_PREPARED || kind == EFFECT_SHOW ||
	       kind == EFFECT_DISCARD_PLANS || kind == EFFECT_VACATE;
}

static void add_steps(struct track *t, const struct plan_effects *p)
{
	for (uint16_t i = 0; i < p->statement->effect_count; i++)
		if (!is_idle_effect(p->statement->effects[i].kind))
			add_step(t, p, &p->statement->effects[i]);
}

static void line_up(struct client *c, const struct plan *plan)
{
	struct track *t = track_of(c);
	struct reply_segment *seg = replies_newest(&c->server->replies);

	t->was_failed |= c->txn.state == TXN_FAILED;
	/* Parts of a batch that went before without being counted. */
	t->is_irregular |= plan->is_irregular || (c->state == CLIENT_ACTIVE && !t->count);
	for (uint32_t i = 0; i < plan->effect_count; i++)
		add_steps(t, &plan->effects[i]);
	c->server->is_counted = !t->is_irregular &&
				(t->sent + plan->completions > 1 || (seg && !seg->has_sync));
}

/* ---- the life of a request ---- */

/* A part of the request may end a transaction, and another part fail. */
static bool has_inner_end(const struct client *c, const struct txn_request *txn)
{
	uint32_t ends = STATEMENT_COMMIT | STATEMENT_ROLLBACK | STATEMENT_CHAIN;

	if (txn->flags & STATEMENT_TXN_INSIDE_MULTI)
		return true;
	return (txn->flags & ends) && (txn->statement_count > 1 || track_is_staged(c));
}

/* Transaction control in a text that isn't understood: what became of settings isn't known. */
static bool is_unclear(const struct client *c, const struct txn_request *txn)
{
	return (txn->flags & (STATEMENT_UNPARSED | STATEMENT_LARGE)) &&
	       (txn->flags & STATEMENT_TXN_INSIDE_MULTI) && c->settings.has_changed;
}

/* The reason of a pin may go with it, or with the transaction that it ends. */
static bool may_unpin(uint32_t flags)
{
	return (flags & (STATEMENT_MAY_UNPIN | STATEMENT_ROLLBACK | STATEMENT_ROLLBACK_TO |
			 STATEMENT_CHAIN | STATEMENT_TXN_INSIDE_MULTI | STATEMENT_UNPARSED |
			 STATEMENT_LARGE)) != 0;
}

/* Outside a transaction, or it may end one; what follows that in the same go counts too. */
static bool may_commit(const struct client *c, uint32_t flags)
{
	return c->txn.state != TXN_OPEN ||
	       (flags & (STATEMENT_COMMIT | STATEMENT_ROLLBACK | STATEMENT_CHAIN | STATEMENT_TWO_PHASE |
			 STATEMENT_TXN_INSIDE_MULTI | STATEMENT_UNPARSED | STATEMENT_LARGE));
}

void track_request_sent(struct client *c, const struct plan *plan)
{
	uint32_t flags = plan->txn.flags;

	c->may_commit |= may_commit(c, flags);
	c->has_inner_commit |= has_inner_end(c, &plan->txn);
	c->commits_inside |= plan->commits_inside;
	c->has_run_code |= plan->runs_code || !c->tenant->catalog;
	c->has_ddl |= plan->is_ddl;
	c->wants_catalog |= plan->wants_catalog;
	c->staged_pins |= (uint16_t)plan->pins;
	if (plan->pins & PIN_SEQUENCE_VALUE)
		ledger_keep_always(c->server->pool->ledger);
	if (is_unclear(c, &plan->txn))
		c->staged_pins |= PIN_SESSION_STATE;
	if (c->pins || c->staged_pins)
		c->pins_in_doubt |= may_unpin(flags);
	c->is_read_request = !plan->txn.may_write;
	if (plan->effect_count)
		line_up(c, plan);
	if (c->track)
		c->track->sent += plan->completions;
	c->is_rollback_request = (flags & (STATEMENT_ROLLBACK | STATEMENT_MULTI_ROLLS_BACK)) != 0;
	c->is_commit_request = (flags & (STATEMENT_COMMIT | STATEMENT_MULTI_COMMITS)) != 0;
	c->is_begin_request = (flags & (STATEMENT_BEGIN | STATEMENT_MULTI_OPENS)) != 0;
}

void track_completed(struct client *c)
{
	struct track *t = c->track;

	t->done++;
	while (t->next < t->count && t->steps[t->next].at < t->done)
		do_step(c, c->server, &t->steps[t->next++]);
}

bool track_hidden_change(struct client *c)
{
	bool has_steps = c->track && c->track->count;

	if (has_steps || c->settings.has_changed)
		return false;
	if (c->has_run_code) {
		c->staged_pins |= PIN_SESSION_STATE;
		return false;
	}
	c->server->unsure_client = c->id;
	return true;
}

bool track_is_staged(const struct client *c)
{
	return (c->track && c->track->count) || c->staged_pins;
}

bool track_has_lasted(const struct client *c)
{
	for (uint32_t i = 0; c->track && i < c->track->next; i++)
		if (effect_changes_names(c->track->steps[i].effect->kind))
			return true;
	return false;
}

static void steps_drop(struct track *t)
{
	for (uint32_t i = 0; i < t->count; i++) {
		statement_put(&t->steps[i].statement);
		mem_free(t->steps[i].value);
	}
	t->count = t->next = t->sent = t->done = 0;
	t->is_irregular = t->was_failed = false;
}

void track_fini(struct client *c)
{
	struct track *t = c->track;

	session_txn_fini(&c->settings);
	c->track = NULL;
	if (!t)
		return;
	steps_drop(t);
	mem_free(t->steps);
	mem_free(t);
}

static void request_forget(struct client *c)
{
	c->staged_pins = 0;
	c->is_rollback_request = c->is_commit_request = c->is_begin_request = false;
	c->had_error = c->has_inner_commit = c->commits_inside = false;
	bring_forget(c);
	if (c->server)
		c->server->is_counted = false;
	if (c->track)
		steps_drop(c->track);
}

static void request_succeeded(struct client *c, struct server *s)
{
	struct track *t = c->track;

	while (t && t->next < t->count)
		do_step(c, s, &t->steps[t->next++]);
	pins_add(c, c->staged_pins);
}

static void request_failed(struct client *c, struct server *s)
{
	struct track *t = c->track;

	/* What no rollback undoes, and what a part of the request may have committed. */
	pins_add(c, c->has_inner_commit ? c->staged_pins : c->staged_pins & PINS_LASTING);
	c->pins_in_doubt |= c->staged_pins != 0; /* perhaps it didn't get that far */
	if (!t || !t->is_irregular || t->next == t->count)
		return;
	pins_add(c, PIN_SESSION_STATE);
	plain_names_doubt_all(&s->plain);
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
static void ask_for_catalog(struct client *c, bool has_more)
{
	const struct proxy_hooks *hooks = c->proxy->shared->hooks;
	struct tenant *t = c->tenant;
	bool is_due = c->has_ddl || may_doubt_catalog(t, loop_now_us(c->proxy->loop));

	c->has_ddl &= has_more;
	c->wants_catalog = false;
	if (is_due)
		hooks->catalog_stale(c->proxy->shared->hooks_ctx, t->database);
}

void track_ready(struct client *c, struct server *s, char status)
{
	struct txn_end end = txn_ready(&c->txn, status);
	bool has_more = replies_count(&s->replies) > 0;

	if (has_more) /* perhaps it was one of those: see cached_invalidate */
		c->txn.may_have_written |= end.has_written;
	if (!c->had_error)
		request_succeeded(c, s);
	else
		request_failed(c, s);
	if (end.is_over && c->had_error)
		rollback_settings(c);
	else if (end.is_over)
		commit_settings(c, s);
	if (end.has_written) {
		session_write_done(&c->reads, clock_monotonic_us());
		cached_invalidate(c);
	}
	if (end.is_over && (c->has_ddl || c->wants_catalog))
		ask_for_catalog(c, has_more);
	request_forget(c);
	c->may_commit &= has_more;
	c->has_run_code &= has_more || c->txn.state != TXN_IDLE;
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

void track_answered_end(struct client *c, bool is_commit)
{
	if (is_commit)
		listen_commit(c);
	rollback_settings(c);
}

bool track_settle_early(struct client *c, bool is_commit)
{
	if (!c->settings.has_changed)
		return true;
	if (!is_commit || c->settings.marks)
		return false;
	adopt_settings(c);
	session_txn_end(&c->settings);
	return true;
}

void track_lost(struct client *c)
{
	if (txn_lost(&c->txn)) { /* it may have been committed all the same */
		session_write_done(&c->reads, clock_monotonic_us());
		cached_invalidate(c);
	}
	rollback_settings(c);
	request_forget(c);
	c->may_commit = c->has_run_code = false;
}
