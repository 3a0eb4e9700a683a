/* SPDX-License-Identifier: PostgreSQL */
/*
 * A slot is in the list of its state: CLOSED, OPENING, IDLE, USED or CLEANING
 * (rolling back). After a failed log-in no further one begins before a pause,
 * which grows, so that a database that is down isn't hammered. Loop's thread.
 */
#include "backend/pool.h"
#include "backend/journal.h"
#include "backend/timer.h"

#include <event2/event.h>

#include "base/err.h"
#include "base/mem.h"

enum slot_state { SLOT_CLOSED, SLOT_OPENING, SLOT_IDLE, SLOT_USED, SLOT_CLEANING, SLOT_STATES };

enum { PAUSE_FIRST_MS = 50, PAUSE_MAX_MS = 1000 };

struct slot {
	struct list_node node; /* in pool->slots[state] */
	enum slot_state state;
	struct link *link; /* owned */
};

struct pool {
	struct pool_settings settings;
	struct slot *all; /* owned: settings.size of them */
	struct list slots[SLOT_STATES];
	struct list waiters;
	struct event *pause; /* owned; pending: no log-in begins */
	uint32_t pause_ms;   /* 0: the last log-in worked */
};

static void on_change(void *arg, struct link *link, bool is_up);

static void set_state(struct pool *p, struct slot *s, enum slot_state state)
{
	list_remove(&p->slots[s->state], &s->node);
	s->state = state;
	/* The one used last goes first, so that the others may be closed as idle by pgweir. */
	list_prepend(&p->slots[state], &s->node);
}

static struct slot *slot_of(struct pool *p, const struct link *link)
{
	for (uint32_t i = 0; i < p->settings.size; i++) {
		if (p->all[i].link == link)
			return &p->all[i];
	}
	WEIR_ASSERT(!"a link of this pool");
	return NULL;
}

static struct slot *first(struct pool *p, enum slot_state state)
{
	struct list_node *n = list_first(&p->slots[state]);

	return n ? list_entry(n, struct slot, node) : NULL;
}

/* Hands idle connections out, and opens as many as the rest of the queue needs. */
static void serve(struct pool *p)
{
	while (p->waiters.count && p->slots[SLOT_IDLE].count) {
		struct slot *s = first(p, SLOT_IDLE);
		struct pool_waiter *w = list_entry(list_pop(&p->waiters), struct pool_waiter, node);

		set_state(p, s, SLOT_USED);
		w->on_link(w->arg, s->link);
	}
	while (p->waiters.count > p->slots[SLOT_OPENING].count + p->slots[SLOT_CLEANING].count &&
	       p->slots[SLOT_CLOSED].count && !evtimer_pending(p->pause, NULL)) {
		struct slot *s = first(p, SLOT_CLOSED);

		set_state(p, s, SLOT_OPENING);
		link_open(s->link, p->pause_ms > 0);
	}
}

static void on_pause_over(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	serve(arg);
}

static void begin_pause(struct pool *p)
{
	p->pause_ms = p->pause_ms ? p->pause_ms * 2 : PAUSE_FIRST_MS;
	if (p->pause_ms > PAUSE_MAX_MS)
		p->pause_ms = PAUSE_MAX_MS;
	timer_set(p->pause, p->pause_ms);
}

static void on_change(void *arg, struct link *link, bool is_up)
{
	struct pool *p = arg;
	struct slot *s = slot_of(p, link);

	if (is_up) {
		if (p->pause_ms)
			journal(JOURNAL_INFO, "database_reached", NULL);
		p->pause_ms = 0;
		set_state(p, s, SLOT_IDLE);
	} else {
		if (s->state == SLOT_OPENING)
			begin_pause(p);
		if (s->state != SLOT_USED) /* then its user gives it back */
			set_state(p, s, SLOT_CLOSED);
	}
	serve(p);
}

struct pool *pool_create(const struct pool_settings *settings)
{
	struct pool *p = mem_zalloc(sizeof *p);

	p->settings = *settings;
	p->settings.link.on_change = on_change;
	p->settings.link.arg = p;
	for (int i = 0; i < SLOT_STATES; i++)
		list_init(&p->slots[i]);
	list_init(&p->waiters);
	p->pause = evtimer_new(settings->link.base, on_pause_over, p);
	p->all = mem_zalloc(settings->size * sizeof *p->all);
	for (uint32_t i = 0; i < settings->size; i++) {
		p->all[i].link = link_create(&p->settings.link);
		list_append(&p->slots[SLOT_CLOSED], &p->all[i].node);
	}
	return p;
}

void pool_destroy(struct pool *p)
{
	if (!p)
		return;
	for (uint32_t i = 0; i < p->settings.size; i++)
		link_destroy(p->all[i].link);
	event_free(p->pause);
	mem_free(p->all);
	mem_free(p);
}

int pool_wait(struct pool *p, struct pool_waiter *w)
{
	if (!p->slots[SLOT_IDLE].count) {
		size_t coming = p->slots[SLOT_CLOSED].count + p->slots[SLOT_OPENING].count;

		/* Those for whom a connection is being opened aren't the queue. */
		if (p->waiters.count >= coming + p->settings.queue_max)
			return WEIR_ERR_LIMIT;
	}
	list_append(&p->waiters, &w->node);
	serve(p);
	return WEIR_OK;
}

void pool_cancel(struct pool *p, struct pool_waiter *w)
{
	if (list_node_linked(&w->node))
		list_remove(&p->waiters, &w->node);
}

static void on_cleaned(void *arg, struct link *link, const struct link_outcome *outcome)
{
	struct pool *p = arg;
	struct slot *s = slot_of(p, link);

	if (link_is_up(link) && (*outcome->sqlstate || link_in_transaction(link)))
		link_drop(link);
	set_state(p, s, link_is_up(link) ? SLOT_IDLE : SLOT_CLOSED);
	serve(p);
}

void pool_put(struct pool *p, struct link *link)
{
	static const struct link_query rollback = { .statement = STATEMENT_ROLLBACK, .comment = "" };
	struct slot *s = slot_of(p, link);

	WEIR_ASSERT(s->state == SLOT_USED);
	if (link_in_transaction(link)) {
		set_state(p, s, SLOT_CLEANING);
		link_run(link, &rollback, 1, on_cleaned, p);
		return;
	}
	set_state(p, s, link_is_up(link) ? SLOT_IDLE : SLOT_CLOSED);
	serve(p);
}

void pool_give_up(struct pool *p, struct link *link)
{
	struct slot *s = slot_of(p, link);

	WEIR_ASSERT(s->state == SLOT_USED);
	link_drop(link);
	set_state(p, s, SLOT_CLOSED);
	serve(p);
}

size_t pool_open_count(const struct pool *p)
{
	return p->slots[SLOT_IDLE].count + p->slots[SLOT_USED].count + p->slots[SLOT_CLEANING].count;
}

size_t pool_used_count(const struct pool *p)
{
	return p->slots[SLOT_USED].count;
}

size_t pool_queue_length(const struct pool *p)
{
	return p->waiters.count;
}
