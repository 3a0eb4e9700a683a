/* SPDX-License-Identifier: PostgreSQL */
/*
 * The transaction tracker, see txn.h for the diagram. Pure state, no clock, no
 * server. What the server says in ReadyForQuery always wins over what the
 * text promised.
 */
#include "route/txn.h"

#include "base/assert.h"
#include "base/sm.h"
#include "route/judge.h"

static const char *const state_names[] = { "idle", "deferred", "open", "failed" };

static const uint32_t edges[] = {
	[TXN_IDLE] = SM_TO(TXN_IDLE) | SM_TO(TXN_DEFERRED) | SM_TO(TXN_OPEN) | SM_TO(TXN_FAILED),
	[TXN_DEFERRED] = SM_TO(TXN_IDLE) | SM_TO(TXN_OPEN),
	[TXN_OPEN] = SM_TO(TXN_IDLE) | SM_TO(TXN_DEFERRED) | SM_TO(TXN_OPEN) | SM_TO(TXN_FAILED),
	[TXN_FAILED] = SM_TO(TXN_IDLE) | SM_TO(TXN_OPEN) | SM_TO(TXN_FAILED),
};

static const struct sm_spec spec = { "txn", state_names, WEIR_COUNTOF(state_names), edges };

static const char warning_no_txn[] = "there is no transaction in progress";

static void txn_set_state(struct txn *txn, enum txn_state state)
{
	sm_check(&spec, txn->state, state);
	txn->state = state;
}

static void txn_reset(struct txn *txn)
{
	txn_set_state(txn, TXN_IDLE);
	*txn = (struct txn){ .state = TXN_IDLE };
}

void txn_request_add(struct txn_request *request, const struct statement *s, uint32_t verdict)
{
	if (request->statement_count == 0) {
		request->opens_read_only = (s->flags & STATEMENT_BEGIN_READ_ONLY) &&
					   !(s->flags & STATEMENT_BEGIN_ISOLATED);
		request->commits_first = (s->flags & STATEMENT_COMMIT) != 0;
		request->ends_first = request->commits_first || (s->flags & STATEMENT_ROLLBACK);
	}
	request->statement_count++;
	request->flags |= s->flags;
	if (s->class > request->class)
		request->class = s->class;
	request->needs_primary |= !(verdict & VERDICT_REPLICA_OK);
	request->may_write |= (verdict & VERDICT_MAY_WRITE) != 0;
}

static bool is_single(const struct txn_request *request, uint32_t flag)
{
	return request->statement_count == 1 && (request->flags & flag) &&
	       !(request->flags & STATEMENT_MULTI);
}

/* Controls transactions other than by one statement that pgweir can answer. */
static bool has_txn_control(const struct txn_request *request)
{
	return request->class == STATEMENT_TXN ||
	       (request->flags &
		(STATEMENT_BEGIN | STATEMENT_TXN_INSIDE_MULTI | STATEMENT_CHAIN |
		 STATEMENT_SAVEPOINT | STATEMENT_ROLLBACK_TO | STATEMENT_TWO_PHASE));
}

static enum txn_node node_when_idle(const struct txn_request *request,
				    const struct txn_defaults *defaults)
{
	bool is_alone = request->statement_count <= 1 && !(request->flags & STATEMENT_MULTI);

	if (request->needs_primary || request->class == STATEMENT_WRITE || defaults->is_isolated)
		return TXN_NODE_PRIMARY;
	/* BEGIN READ ONLY and its statements in one go, as some drivers send it. */
	if (request->opens_read_only && !(request->flags & STATEMENT_TXN_INSIDE_MULTI))
		return TXN_NODE_REPLICA_OK;
	if (has_txn_control(request) || request->is_unfinished) /* what comes may write */
		return TXN_NODE_PRIMARY;
	if (is_alone && request->class != STATEMENT_READ)
		return TXN_NODE_ANY;
	return TXN_NODE_REPLICA_OK;
}

/* The deferred BEGIN fixes the node for the whole transaction. */
static enum txn_node node_when_deferred(const struct txn *txn, const struct txn_request *request)
{
	/* SET TRANSACTION may still turn it into a writing or serializable one. */
	if (!txn->is_read_only || txn->is_isolated || request->needs_primary ||
	    has_txn_control(request) || (request->flags & STATEMENT_LOCAL_SET))
		return TXN_NODE_PRIMARY;
	return TXN_NODE_REPLICA_OK;
}

static enum txn_act act_of(const struct txn *txn, const struct txn_request *request)
{
	bool is_open = txn->state == TXN_OPEN || txn->state == TXN_FAILED;

	if (is_open || (request->flags & STATEMENT_CHAIN))
		return TXN_FORWARD;
	if (is_single(request, STATEMENT_BEGIN))
		return txn->state == TXN_IDLE ? TXN_ANSWER_BEGIN : TXN_FORWARD;
	if (is_single(request, STATEMENT_COMMIT))
		return TXN_ANSWER_COMMIT;
	if (is_single(request, STATEMENT_ROLLBACK))
		return TXN_ANSWER_ROLLBACK;
	return TXN_FORWARD;
}

struct txn_plan txn_plan(const struct txn *txn, const struct txn_request *request,
			 const struct txn_defaults *defaults)
{
	struct txn_plan plan = { .act = act_of(txn, request), .node = TXN_NODE_SAME };
	bool is_end = plan.act == TXN_ANSWER_COMMIT || plan.act == TXN_ANSWER_ROLLBACK;

	if (txn->state == TXN_IDLE) { /* the caller may have to forward any of them */
		plan.node = node_when_idle(request, defaults);
		plan.warning = is_end ? warning_no_txn : NULL;
	} else if (txn->state == TXN_DEFERRED && !is_end) {
		plan.needs_begin = true;
		plan.node = node_when_deferred(txn, request);
	}
	return plan;
}

void txn_answered(struct txn *txn, const struct txn_plan *plan, const struct txn_request *request,
		  const struct txn_defaults *defaults)
{
	WEIR_ASSERT(plan->act != TXN_FORWARD);
	if (plan->act != TXN_ANSWER_BEGIN) {
		txn_reset(txn);
		return;
	}
	txn_set_state(txn, TXN_DEFERRED);
	txn->is_read_only = (request->flags & STATEMENT_BEGIN_READ_ONLY) ||
			    (defaults->is_read_only &&
			     !(request->flags & STATEMENT_BEGIN_READ_WRITE));
	txn->is_isolated = (request->flags & STATEMENT_BEGIN_ISOLATED) || defaults->is_isolated;
}

bool txn_writes_behind_end(const struct txn *txn, const struct txn_request *request)
{
	return txn->state == TXN_OPEN && txn->is_read_only && !txn->may_have_written &&
	       request->ends_first && !(request->flags & STATEMENT_CHAIN) &&
	       (request->is_unfinished || request->needs_primary || request->may_write ||
		request->class == STATEMENT_WRITE);
}

void txn_begin_anew(struct txn *txn)
{
	txn_set_state(txn, TXN_DEFERRED);
}

void txn_sent(struct txn *txn, const struct txn_request *request)
{
	if (txn->state == TXN_IDLE)
		txn->is_read_only = request->opens_read_only;
	if (txn->state == TXN_DEFERRED)
		txn_set_state(txn, TXN_OPEN);
	txn->may_have_written |= request->may_write;
}

struct txn_end txn_ready(struct txn *txn, char status)
{
	/* Also inside a transaction: COMMIT AND CHAIN commits and stays in one. */
	struct txn_end end = { .is_over = status == 'I', .has_written = txn->may_have_written };

	if (txn->state == TXN_DEFERRED)
		return (struct txn_end){ 0 };
	if (status == 'I')
		txn_reset(txn);
	else
		txn_set_state(txn, status == 'T' ? TXN_OPEN : TXN_FAILED);
	return end;
}

bool txn_lost(struct txn *txn)
{
	bool has_written = txn->may_have_written;

	txn_reset(txn);
	return has_written;
}

char txn_status(const struct txn *txn)
{
	switch (txn->state) {
	case TXN_IDLE:
		return 'I';
	case TXN_DEFERRED:
	case TXN_OPEN:
		return 'T';
	case TXN_FAILED:
		break;
	}
	return 'E';
}
