/* SPDX-License-Identifier: PostgreSQL */
/*
 * A table of three tasks over one timer and one waiter each. A task that hasn't
 * ended within a request's time loses its connection. Owns its events.
 */
#include "backend/tasks.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "backend/app.h"
#include "backend/journal.h"
#include "backend/pool.h"
#include "backend/timer.h"
#include "base/clock.h"
#include "base/mem.h"

enum { PING_MS = 2000, COUNT_MS = 30000, TEXT_MAX = 24 };

enum task_kind { TASK_PING, TASK_COUNT, TASK_FEED, TASK_KINDS };

struct task {
	struct tasks *tasks; /* borrowed */
	enum task_kind kind;
	uint32_t period_ms;
	struct event *timer, *bound; /* owned */
	struct pool_waiter waiter;
	struct link *link; /* borrowed while it runs */
	bool is_failing;   /* the last round failed: another failure is told at level debug */
	uint64_t round;    /* differs between pods and rounds: the feed's random walk */
};

struct tasks {
	struct app *app; /* borrowed */
	struct task all[TASK_KINDS];
};

static void on_good(struct task *t, const PGresult *result)
{
	struct app *app = t->tasks->app;

	if (t->kind == TASK_COUNT)
		app->metrics.accounts = strtoull(PQgetvalue(result, 0, 0), NULL, 10);
	else if (t->kind == TASK_FEED)
		app->metrics.feed_rounds++;
	health_answered(&app->health, clock_monotonic_us());
}

static void on_done(void *arg, struct link *link, const struct link_outcome *outcome)
{
	struct task *t = arg;

	t->link = NULL;
	evtimer_del(t->bound);
	if (*outcome->sqlstate)
		journal(t->is_failing ? JOURNAL_DEBUG : JOURNAL_WARN, "task_failed", "{s:i s:s s:s}",
		        "task", t->kind, "sqlstate", outcome->sqlstate, "message", outcome->message);
	else
		on_good(t, outcome->results[0]);
	t->is_failing = *outcome->sqlstate != '\0';
	pool_put(t->tasks->app->pool, link);
}

static void on_link(void *arg, struct link *link)
{
	static const enum statement statements[TASK_KINDS] = { STATEMENT_PING, STATEMENT_COUNT_ACCOUNTS,
		                                                   STATEMENT_FEED };
	struct task *t = arg;
	struct link_query q = { .statement = statements[t->kind], .comment = "" };
	char round[TEXT_MAX], period[TEXT_MAX];

	if (t->kind == TASK_FEED) {
		snprintf(round, sizeof round, "%" PRIu64, t->round);
		snprintf(period, sizeof period, "%" PRIu32, t->period_ms);
		q.params[q.param_count++] = round;
		q.params[q.param_count++] = period;
	}
	t->link = link;
	link_run(link, &q, 1, on_done, t);
}

static void on_bound(evutil_socket_t fd, short what, void *arg)
{
	struct task *t = arg;
	struct link *link = t->link;

	(void)fd, (void)what;
	t->link = NULL;
	pool_cancel(t->tasks->app->pool, &t->waiter);
	if (link)
		pool_give_up(t->tasks->app->pool, link);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct task *t = arg;
	struct app *app = t->tasks->app;

	(void)fd, (void)what;
	timer_set(t->timer, t->period_ms);
	if (evtimer_pending(t->bound, NULL))
		return; /* the last round isn't over */
	t->round = clock_monotonic_us();
	timer_set(t->bound, app->options.request_timeout_ms);
	if (pool_wait(app->pool, &t->waiter) < 0)
		evtimer_del(t->bound);
}

struct tasks *tasks_create(struct app *app)
{
	const uint32_t periods[TASK_KINDS] = { PING_MS, COUNT_MS, app->options.quote_feed_ms };
	struct tasks *tasks = mem_zalloc(sizeof *tasks);

	tasks->app = app;
	for (int i = 0; i < TASK_KINDS; i++) {
		struct task *t = &tasks->all[i];

		t->tasks = tasks;
		t->kind = (enum task_kind)i;
		t->period_ms = periods[i];
		t->waiter = (struct pool_waiter){ .on_link = on_link, .arg = t };
		t->timer = evtimer_new(app->base, on_timer, t);
		t->bound = evtimer_new(app->base, on_bound, t);
		if (t->period_ms)
			timer_set(t->timer, 0);
	}
	return tasks;
}

void tasks_destroy(struct tasks *tasks)
{
	if (!tasks)
		return;
	for (int i = 0; i < TASK_KINDS; i++) {
		struct task *t = &tasks->all[i];
		struct link *link = t->link;

		pool_cancel(tasks->app->pool, &t->waiter);
		t->link = NULL;
		if (link)
			pool_give_up(tasks->app->pool, link);
		event_free(t->timer);
		event_free(t->bound);
	}
	mem_free(tasks);
}
