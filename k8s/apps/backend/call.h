/* SPDX-License-Identifier: PostgreSQL */
/*
 * A request that needs the database, from the queue to its answer: waits for a
 * connection, runs one batch of statements or two, begins again where that is
 * right, and ends at its deadline at the latest. What is asked and what is made
 * of the result is its kind's. Loop's thread.
 */
#ifndef FINAI_CALL_H
#define FINAI_CALL_H

#include <event2/event.h>

#include "backend/app.h"
#include "backend/link.h"
#include "backend/pool.h"
#include "backend/reply.h"
#include "backend/route.h"
#include "backend/rules.h"
#include "backend/trace.h"

struct call;

enum call_next { CALL_ANSWERED, CALL_NEXT_BATCH, CALL_AGAIN };

enum { CALL_TEXT_MAX = 24 };

struct call_kind {
	/* The statements of batch number call->step; their count. */
	int (*fill)(struct call *call, struct link_query *queries);
	/* All of the batch went well: answer, go on to the next batch, or begin anew. */
	enum call_next (*take)(struct call *call, const struct link_outcome *outcome);
	bool is_transfer;
};

struct call {
	unsigned magic;
	struct list_node node; /* in app->calls */
	struct app *app;       /* borrowed */
	struct exchange exchange;
	const struct call_kind *kind;
	struct route_match match;
	struct page page;
	struct transfer_request transfer;
	enum read_from from;
	char comment[TRACE_COMMENT_MAX];
	char texts[4][CALL_TEXT_MAX]; /* parameters of the batch being sent */
	struct pool_waiter waiter;
	struct link *link;              /* borrowed while a batch runs */
	struct event *deadline, *pause; /* owned */
	unsigned attempt;               /* from 0 */
	int step;                       /* batch within the attempt, from 0 */
	bool may_be_done;               /* a COMMIT was sent, and its end isn't known */
};

/* A copy of what is set in `from` up to comment; answers in its own time, or at once. */
void call_start(const struct call *from);
/* Ends all without an answer: the process stops. */
void call_abandon_all(struct app *app);

extern const struct call_kind call_read, call_transfer;

#endif
