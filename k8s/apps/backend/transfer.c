/* SPDX-License-Identifier: PostgreSQL */
/*
 * A transfer: two batches in one transaction.
 *
 *   1  BEGIN; lock both accounts in the order of their numbers; look for the key
 *   2  move the balance; write the transfer; COMMIT
 *
 * The key is looked for behind the locks, by a statement with a snapshot of its
 * own (read committed): so a repeat that was waiting for the first try's COMMIT
 * finds what that has written, and answers the same. What rules.h decides
 * between the two ends the transaction; the pool rolls it back. Owns nothing.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/amount.h"
#include "backend/answer.h"
#include "backend/call.h"

static const struct refusal other_transfer = { 422, "Idempotency-Key used before",
	                                           "This Idempotency-Key belongs to another transfer.",
	                                           NULL };

static const struct refusal bad_account = { 500, "Internal error",
	                                        "An account's balance is no amount.", NULL };

enum { BATCH_LOCK, BATCH_MOVE };

static struct link_query query(const struct call *c, enum statement statement)
{
	return (struct link_query){ .statement = statement, .comment = c->comment };
}

static int fill(struct call *c, struct link_query *q)
{
	const struct transfer_request *r = &c->transfer;
	char *from = c->texts[0], *to = c->texts[1], *amount = c->texts[2];

	snprintf(from, CALL_TEXT_MAX, "%" PRId64, r->from);
	snprintf(to, CALL_TEXT_MAX, "%" PRId64, r->to);
	amount_format(r->amount, amount);
	if (c->step == BATCH_LOCK) {
		q[0] = (struct link_query){ .statement = STATEMENT_BEGIN, .comment = "" };
		q[1] = query(c, STATEMENT_LOCK);
		q[1].params[q[1].param_count++] = from;
		q[1].params[q[1].param_count++] = to;
		q[2] = query(c, STATEMENT_FIND_KEY);
		q[2].params[q[2].param_count++] = r->key;
		return 3;
	}
	c->may_be_done = true;
	q[0] = query(c, STATEMENT_MOVE);
	q[0].params[q[0].param_count++] = from;
	q[0].params[q[0].param_count++] = to;
	q[0].params[q[0].param_count++] = amount;
	q[1] = query(c, STATEMENT_INSERT);
	const char *values[] = { r->key, from, to, amount, c->texts[3], r->note };
	memcpy(q[1].params, values, sizeof values);
	q[1].param_count = WEIR_COUNTOF(values);
	q[2] = (struct link_query){ .statement = STATEMENT_COMMIT, .comment = "" };
	return 3;
}

static int64_t number_at(const PGresult *rows, int row, const char *column)
{
	return strtoll(PQgetvalue(rows, row, PQfnumber(rows, column)), NULL, 10);
}

static const char *text_at(const PGresult *rows, int row, const char *column)
{
	return PQgetvalue(rows, row, PQfnumber(rows, column));
}

/* numeric(18,2) holds NaN too, which is no amount. */
static bool amount_at(const PGresult *rows, int row, const char *column, int64_t *hundredths)
{
	return amount_parse_balance(text_at(rows, row, column), hundredths);
}

/* The key's transfer is there: is it this one? */
static void reply_known(struct call *c, const PGresult *known)
{
	const struct transfer_request *r = &c->transfer;
	int64_t amount;
	bool is_same = number_at(known, 0, "from_account") == r->from &&
	               number_at(known, 0, "to_account") == r->to &&
	               amount_at(known, 0, "amount", &amount) && amount == r->amount &&
	               strcmp(text_at(known, 0, "note"), r->note) == 0;

	if (is_same) {
		metrics_transfer(&c->app->metrics, TRANSFER_REPLAYED, 0, "");
		reply_json(&c->exchange, 200, answer_row(known, 0), "Idempotent-Replayed: true\r\n");
		return;
	}
	metrics_transfer(&c->app->metrics, TRANSFER_REFUSED, 0, "");
	reply_problem(&c->exchange, &other_transfer, NULL);
}

static enum call_next decide(struct call *c, const PGresult *locked)
{
	struct account_row rows[2];
	const struct refusal *no = NULL;
	int count = PQntuples(locked) < 2 ? PQntuples(locked) : 2;

	for (int i = 0; i < count; i++) {
		rows[i].id = number_at(locked, i, "id");
		if (!amount_at(locked, i, "balance", &rows[i].balance) ||
		    !amount_at(locked, i, "overdraft", &rows[i].overdraft))
			no = &bad_account;
		snprintf(rows[i].currency, sizeof rows[i].currency, "%s", text_at(locked, i, "currency"));
	}
	c->may_be_done = false; /* the locks were granted and the key isn't there */
	if (!no)
		no = rules_decide(&c->transfer, rows, count);
	if (!no) {
		snprintf(c->texts[3], CALL_TEXT_MAX, "%s", rows[0].currency);
		return CALL_NEXT_BATCH;
	}
	metrics_transfer(&c->app->metrics, TRANSFER_REFUSED, 0, "");
	reply_problem(&c->exchange, no, NULL);
	return CALL_ANSWERED;
}

static enum call_next take(struct call *c, const struct link_outcome *outcome)
{
	const PGresult *written = outcome->results[1];

	if (c->step == BATCH_LOCK) {
		if (PQntuples(outcome->results[2]) == 0)
			return decide(c, outcome->results[1]);
		reply_known(c, outcome->results[2]);
		return CALL_ANSWERED;
	}
	/* A COMMIT that couldn't be says ROLLBACK, and that is no error. */
	if (strcmp(PQcmdStatus((PGresult *)outcome->results[2]), "COMMIT") != 0)
		return CALL_AGAIN;
	metrics_transfer(&c->app->metrics, TRANSFER_DONE, c->transfer.amount,
	                 text_at(written, 0, "currency"));
	reply_json(&c->exchange, 201, answer_row(written, 0), NULL);
	return CALL_ANSWERED;
}

const struct call_kind call_transfer = { fill, take, true };
