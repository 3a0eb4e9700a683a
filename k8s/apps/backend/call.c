/* SPDX-License-Identifier: PostgreSQL */
/*
 * A call is in one of four places: in the pool's queue, running a batch (link
 * is set), in the pause before a repeat, or gone. The deadline can strike in
 * each; in a running batch it closes the connection, since what would come of it
 * is no longer awaited. A transfer may then still have happened: its key tells.
 */
#include "backend/call.h"

#include <string.h>

#include "backend/journal.h"
#include "backend/timer.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"

enum { CALL_MAGIC = 0x6643616c };

static const struct refusal queue_full = { 503, "Busy", "Too many requests are waiting.", NULL };
static const struct refusal not_reached = { 503, "Busy",
	                                        "The database couldn't be reached in time.", NULL };
static const struct refusal no_answer = { 504, "Timed out", "The database didn't answer in time.",
	                                      NULL };
static const struct refusal not_known = { 504, "Timed out",
	                                      "Whether the transfer was done isn't known. Sent again "
	                                      "with the same Idempotency-Key it is done once.",
	                                      NULL };
static const struct refusal not_now = { 503, "Busy", "The database can't do this now.", NULL };
static const struct refusal broken = { 500, "Internal error", "The request failed.", NULL };

static void wait_for_link(struct call *c);

/* After the answer. */
static void finish(struct call *c)
{
	struct pool *pool = c->app->pool;
	struct link *link = c->link;

	pool_cancel(pool, &c->waiter);
	list_remove(&c->app->calls, &c->node);
	event_free(c->deadline);
	event_free(c->pause);
	c->magic = 0;
	mem_free(c);
	if (link)
		pool_put(pool, link);
}

static void refuse(struct call *c, const struct refusal *refusal)
{
	if (c->kind->is_transfer)
		metrics_transfer(&c->app->metrics,
		                 refusal->status < 500 ? TRANSFER_REFUSED : TRANSFER_FAILED, 0, "");
	reply_problem(&c->exchange, refusal, NULL);
	finish(c);
}

static void begin_again(struct call *c)
{
	struct link *link = c->link;

	c->link = NULL;
	c->attempt++;
	c->app->metrics.retries++;
	timer_set(c->pause,
	          rules_pause_ms(c->attempt, (uint32_t)hash_combine(c->exchange.began_us, c->attempt)));
	pool_put(c->app->pool, link);
}

static void on_error(struct call *c, const struct link_outcome *outcome)
{
	enum next_step next = rules_after_error(outcome->sqlstate);

	if (c->step > 0 && rules_is_rolled_back(outcome->sqlstate))
		c->may_be_done = false;
	if (next == NEXT_RETRY && c->attempt < c->app->options.retry_max) {
		begin_again(c);
		return;
	}
	journal(next == NEXT_BUG ? JOURNAL_ERROR : JOURNAL_WARN, "request_failed", "{s:s s:s s:s s:i}",
	        "route", route_label(c->exchange.route), "sqlstate", outcome->sqlstate, "message",
	        outcome->message, "attempt", (int)c->attempt);
	if (next == NEXT_REFUSED && c->kind->is_transfer)
		refuse(c, &rules_insufficient);
	else if (c->may_be_done)
		refuse(c, &not_known);
	else
		refuse(c, next == NEXT_BUSY || next == NEXT_RETRY ? &not_now : &broken);
}

static void on_batch(void *arg, struct link *link, const struct link_outcome *outcome);

static void run_batch(struct call *c)
{
	struct link_query queries[LINK_QUERIES_MAX] = { 0 };
	int count = c->kind->fill(c, queries);

	link_run(c->link, queries, count, on_batch, c);
}

static void on_batch(void *arg, struct link *link, const struct link_outcome *outcome)
{
	struct call *c = arg;

	WEIR_CHECK_MAGIC(c, CALL_MAGIC);
	WEIR_ASSERT(c->link == link);
	if (*outcome->sqlstate) {
		on_error(c, outcome);
		return;
	}
	health_answered(&c->app->health, clock_monotonic_us());
	switch (c->kind->take(c, outcome)) {
	case CALL_ANSWERED:
		finish(c);
		break;
	case CALL_NEXT_BATCH:
		c->step++;
		run_batch(c);
		break;
	case CALL_AGAIN:
		on_error(c, &(struct link_outcome){ .sqlstate = "40000", .message = "not committed" });
	}
}

static void on_link(void *arg, struct link *link)
{
	struct call *c = arg;

	WEIR_CHECK_MAGIC(c, CALL_MAGIC);
	c->link = link;
	c->step = 0;
	run_batch(c);
}

static void wait_for_link(struct call *c)
{
	if (pool_wait(c->app->pool, &c->waiter) < 0) {
		c->app->metrics.queue_refused++;
		refuse(c, c->may_be_done ? &not_known : &queue_full);
	}
}

static void on_pause_over(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	wait_for_link(arg);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct call *c = arg;
	bool has_begun = c->link || c->attempt > 0;

	(void)fd, (void)what;
	WEIR_CHECK_MAGIC(c, CALL_MAGIC);
	c->app->metrics.timeouts++;
	if (c->link)
		pool_give_up(c->app->pool, c->link);
	c->link = NULL;
	if (!has_begun)
		refuse(c, &not_reached);
	else
		refuse(c, c->may_be_done ? &not_known : &no_answer);
}

void call_start(const struct call *from)
{
	struct call *c = mem_alloc(sizeof *c);
	struct app *app = from->app;

	*c = *from;
	c->magic = CALL_MAGIC;
	c->waiter.on_link = on_link;
	c->waiter.arg = c;
	c->deadline = evtimer_new(app->base, on_deadline, c);
	c->pause = evtimer_new(app->base, on_pause_over, c);
	list_append(&app->calls, &c->node);
	timer_set(c->deadline, app->options.request_timeout_ms);
	wait_for_link(c);
}

void call_abandon_all(struct app *app)
{
	list_foreach_safe (&app->calls, n, next) {
		struct call *c = list_entry(n, struct call, node);

		if (c->link)
			pool_give_up(app->pool, c->link);
		c->link = NULL;
		refuse(c, c->may_be_done ? &not_known : &not_now);
	}
}
