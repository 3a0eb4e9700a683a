/* SPDX-License-Identifier: PostgreSQL */
/*
 * The reading routes: one statement each, and its rows as the answer. Which
 * node answers, and whether pgweir's cache does, is said by the statement's
 * hint (statement.c). Loop's thread; owns nothing.
 */
#include <inttypes.h>
#include <stdio.h>

#include "backend/answer.h"
#include "backend/call.h"

static const struct refusal no_account = { 404, "Unknown account", "There is no such account.",
	                                       NULL };
static const struct refusal no_quote = { 404, "Unknown symbol",
	                                     "There is no quote for this symbol.", NULL };

static void add_number(struct call *c, struct link_query *q, int64_t number)
{
	char *text = c->texts[q->param_count];

	snprintf(text, CALL_TEXT_MAX, "%" PRId64, number);
	q->params[q->param_count++] = text;
}

static int fill(struct call *c, struct link_query *q)
{
	int64_t beyond = c->page.beyond;

	q->from = c->from;
	switch (c->match.route) {
	case ROUTE_QUOTES:
		q->statement = STATEMENT_QUOTES;
		break;
	case ROUTE_QUOTE:
		q->statement = STATEMENT_QUOTE;
		q->params[q->param_count++] = c->match.symbol;
		break;
	case ROUTE_ACCOUNTS:
		q->statement = STATEMENT_ACCOUNTS;
		add_number(c, q, beyond);
		add_number(c, q, c->page.limit + 1);
		break;
	case ROUTE_ACCOUNT:
		q->statement = STATEMENT_ACCOUNT;
		add_number(c, q, c->match.id);
		break;
	default:
		WEIR_ASSERT(c->match.route == ROUTE_TRANSFERS);
		q->statement = c->page.account ? STATEMENT_TRANSFERS_OF : STATEMENT_TRANSFERS;
		add_number(c, q, beyond ? beyond : INT64_MAX);
		add_number(c, q, c->page.limit + 1);
		if (c->page.account)
			add_number(c, q, c->page.account);
	}
	/* A comment of its own would make each cached read a miss. */
	q->comment = statement_kind(q->statement) == STATEMENT_KIND_CACHED && c->from == READ_ANYWHERE
	                 ? ""
	                 : c->comment;
	return 1;
}

static void reply_one(struct call *c, const PGresult *rows, const struct refusal *absent)
{
	if (PQntuples(rows) == 0)
		reply_problem(&c->exchange, absent, NULL);
	else if (absent == &no_quote)
		reply_tagged(&c->exchange, answer_row(rows, 0));
	else
		reply_json(&c->exchange, 200, answer_row(rows, 0), NULL);
}

static enum call_next take(struct call *c, const struct link_outcome *outcome)
{
	const PGresult *rows = outcome->results[0];

	switch (c->match.route) {
	case ROUTE_QUOTES:
		reply_tagged(&c->exchange,
		             json_pack("{s:o}", "quotes", answer_rows(rows, PQntuples(rows))));
		break;
	case ROUTE_QUOTE:
		reply_one(c, rows, &no_quote);
		break;
	case ROUTE_ACCOUNT:
		reply_one(c, rows, &no_account);
		break;
	case ROUTE_ACCOUNTS:
		reply_json(&c->exchange, 200, answer_page("accounts", rows, ROUTE_ACCOUNTS, &c->page),
		           NULL);
		break;
	default:
		reply_json(&c->exchange, 200, answer_page("transfers", rows, ROUTE_TRANSFERS, &c->page),
		           NULL);
	}
	return CALL_ANSWERED;
}

const struct call_kind call_read = { fill, take, false };
