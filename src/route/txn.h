/* SPDX-License-Identifier: PostgreSQL */
/*
 * The transaction tracker: a client's transaction as pgweir sees it. Pure.
 *
 *            BEGIN (answered here)          first statement sent
 *   IDLE ------------------------> DEFERRED -------------------> OPEN
 *    ^ ^                            | ^                          | |  | error
 *    | +--- COMMIT/ROLLBACK --------+ +--- txn_begin_anew -------+ |  v
 *    +------ ReadyForQuery 'I' ------------------------------------+ FAILED
 *
 * The caller folds a request (a Query, or extended messages up to Sync) into a
 * txn_request, asks txn_plan, then reports txn_answered (answered here) or
 * txn_sent and, at ReadyForQuery, txn_ready.
 */
#ifndef WEIR_ROUTE_TXN_H
#define WEIR_ROUTE_TXN_H

#include <stdbool.h>
#include <stdint.h>

#include "sql/statement.h"

enum txn_state { TXN_IDLE, TXN_DEFERRED, TXN_OPEN, TXN_FAILED };

enum txn_node {
	TXN_NODE_SAME,       /* the server that runs the transaction */
	TXN_NODE_PRIMARY,
	TXN_NODE_REPLICA_OK, /* route_choose decides */
	TXN_NODE_ANY,        /* the server at hand, else route_choose as for a read */
};

struct txn { /* zero-initialise: idle */
	enum txn_state state;
	bool is_read_only;  /* DEFERRED: may go to a replica; OPEN: was begun so */
	bool is_isolated;   /* repeatable read or serializable */
	bool may_have_written; /* since the last ReadyForQuery 'I' */
};

/* The session's own defaults (default_transaction_*), from its settings. */
struct txn_defaults {
	bool is_read_only;
	bool is_isolated;
};

struct txn_request { /* zero-initialise, then txn_request_add for each statement */
	uint32_t statement_count;
	uint32_t flags;             /* union of STATEMENT_* */
	enum statement_class class; /* the strongest */
	bool needs_primary;         /* one of them isn't VERDICT_REPLICA_OK */
	bool may_write;             /* one of them is VERDICT_MAY_WRITE */
	bool opens_read_only;       /* the first is BEGIN READ ONLY, not isolated */
	bool ends_first;            /* the first is COMMIT or ROLLBACK: */
	bool commits_first;         /* COMMIT */
	bool is_unfinished;         /* the rest of its batch, one transaction with it, comes later */
};

enum txn_act {
	TXN_FORWARD,
	TXN_ANSWER_BEGIN,    /* tag BEGIN, then 'T' in ReadyForQuery */
	TXN_ANSWER_COMMIT,   /* tag COMMIT, then 'I' */
	TXN_ANSWER_ROLLBACK, /* tag ROLLBACK, then 'I' */
};

struct txn_plan {
	enum txn_act act;
	enum txn_node node;   /* FORWARD, and outside a transaction what can't be answered here */
	bool needs_begin;     /* FORWARD: the deferred BEGIN goes first */
	const char *warning;  /* ANSWER_*: NULL or the text of a WARNING with SQLSTATE 25P01 */
};

/* What a ReadyForQuery ended. */
struct txn_end {
	bool is_over;   /* no transaction is open: the server may go back */
	bool has_written; /* call session_write_done: what was written may be committed now */
};

void txn_request_add(struct txn_request *request, const struct statement *s, uint32_t verdict);

struct txn_plan txn_plan(const struct txn *txn, const struct txn_request *request,
			 const struct txn_defaults *defaults);
/* An ANSWER_* plan was carried out. */
void txn_answered(struct txn *txn, const struct txn_plan *plan, const struct txn_request *request,
		  const struct txn_defaults *defaults);
/*
 * A read-only transaction is open, the request ends it, and what comes behind the end may write:
 * on a replica that would be refused, so it is to be begun anew, and ended, on the primary.
 */
bool txn_writes_behind_end(const struct txn *txn, const struct txn_request *request);
void txn_begin_anew(struct txn *txn);
/* The request went to a server. */
void txn_sent(struct txn *txn, const struct txn_request *request);
/* status: 'I', 'T', 'E' (from the server; anything else counts as 'E'). */
struct txn_end txn_ready(struct txn *txn, char status);
/* The server died or was dropped. True: it may have written, so session_write_done is due. */
bool txn_lost(struct txn *txn);

/* The status byte that the client is to see: 'I', 'T' or 'E'. */
char txn_status(const struct txn *txn);

#endif
