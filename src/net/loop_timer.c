/* SPDX-License-Identifier: PostgreSQL */
/*
 * Coarse timers: a hashed wheel of lists, and a time limit for the loop's wait. A
 * loop of libevent has one timer of it instead.
 *
 * A timer lies in the slot of its tick modulo the wheel's size; those due a
 * rotation later stay when their slot is looked at. The limit is set
 * for the earliest busy slot and never cleared: a timer that is armed and
 * cancelled per query costs two list operations, and at worst one idle wake-up
 * much later. The loop's thread only.
 */
#include <event2/event.h>

#include "base/assert.h"
#include "net/loop_priv.h"

enum { US_PER_SECOND = 1000000, US_PER_MS = 1000 };

static size_t slot_of(uint64_t tick)
{
	return (size_t)(tick % WHEEL_SLOTS);
}

static void slot_mark(struct loop_wheel *w, size_t slot, bool is_busy)
{
	uint64_t bit = 1ull << (slot % WHEEL_WORD_BITS);

	if (is_busy)
		w->busy[slot / WHEEL_WORD_BITS] |= bit;
	else
		w->busy[slot / WHEEL_WORD_BITS] &= ~bit;
}

static bool slot_is_marked(const struct loop_wheel *w, size_t slot)
{
	return (w->busy[slot / WHEEL_WORD_BITS] >> (slot % WHEEL_WORD_BITS)) & 1u;
}

static void wake_at(struct loop *loop, uint64_t tick)
{
	struct loop_wheel *w = &loop->wheel;
	uint64_t delay_us;
	struct timeval tv;

	w->wake_tick = tick;
	if (!loop->base)
		return;
	delay_us = loop_wheel_wait_us(loop);
	tv = (struct timeval){ .tv_sec = (time_t)(delay_us / US_PER_SECOND),
		                   .tv_usec = (suseconds_t)(delay_us % US_PER_SECOND) };
	event_add(&w->event, &tv);
}

uint64_t loop_wheel_wait_us(struct loop *loop)
{
	uint64_t due_us = loop->wheel.wake_tick * loop->wheel.tick_us, now_us;

	if (!loop->wheel.wake_tick)
		return UINT64_MAX;
	now_us = loop_now_us(loop);
	return due_us > now_us ? due_us - now_us : 0;
}

/* The first tick after done_tick whose slot holds a timer. */
static uint64_t next_busy_tick(const struct loop_wheel *w)
{
	uint64_t tick = w->done_tick + 1;

	for (unsigned i = 0; i < WHEEL_SLOTS; tick++, i++) {
		if (slot_is_marked(w, slot_of(tick)))
			break;
	}
	return tick;
}

static void take_due(struct loop_wheel *w, size_t slot, uint64_t now_us)
{
	struct list *list = &w->slots[slot];

	list_foreach_safe (list, n, next) {
		struct loop_timer *timer = list_entry(n, struct loop_timer, node);

		if (timer->due_us > now_us)
			continue;
		list_remove(list, n);
		timer->due_us = 0;
		list_append(&w->due, n);
	}
	if (list->count == 0)
		slot_mark(w, slot, false);
}

static void run_due(struct loop_wheel *w)
{
	struct list_node *n;

	while ((n = list_pop(&w->due))) {
		struct loop_timer *timer = list_entry(n, struct loop_timer, node);

		timer->loop = NULL;
		w->armed--;
		timer->on_due(timer);
	}
}

static void wheel_turn(struct loop *loop)
{
	struct loop_wheel *w = &loop->wheel;
	uint64_t now_us = loop_now_us(loop), now_tick = now_us / w->tick_us;
	uint64_t first = w->done_tick + 1;

	if (now_tick >= first + WHEEL_SLOTS)
		first = now_tick + 1 - WHEEL_SLOTS;
	for (uint64_t tick = first; tick <= now_tick; tick++)
		take_due(w, slot_of(tick), now_us);
	if (now_tick > w->done_tick)
		w->done_tick = now_tick;
	w->wake_tick = 0;
	run_due(w);
	if (w->armed)
		wake_at(loop, next_busy_tick(w));
}

static void on_wheel_event(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	wheel_turn(arg);
}

void loop_wheel_run(struct loop *loop)
{
	if (loop_wheel_wait_us(loop) == 0)
		wheel_turn(loop);
}

void loop_wheel_init(struct loop *loop)
{
	struct loop_wheel *w = &loop->wheel;

	for (size_t i = 0; i < WHEEL_SLOTS; i++)
		list_init(&w->slots[i]);
	list_init(&w->due);
	w->tick_us = (uint64_t)loop->options.tick_ms * US_PER_MS;
	if (loop->base)
		event_assign(&w->event, loop->base, -1, 0, on_wheel_event, loop);
}

static void list_disarm(struct list *list)
{
	struct list_node *n;

	while ((n = list_pop(list)))
		list_entry(n, struct loop_timer, node)->loop = NULL;
}

/* Timers still armed are forgotten: cancelling them later is a no-op. */
void loop_wheel_fini(struct loop *loop)
{
	for (size_t i = 0; i < WHEEL_SLOTS; i++)
		list_disarm(&loop->wheel.slots[i]);
	list_disarm(&loop->wheel.due);
	if (loop->base)
		event_del(&loop->wheel.event);
}

void loop_timer_arm(struct loop *loop, struct loop_timer *timer, uint64_t delay_us,
                    void (*on_due)(struct loop_timer *))
{
	struct loop_wheel *w = &loop->wheel;
	uint64_t now_us = loop_now_us(loop);
	uint64_t tick = (now_us + delay_us + w->tick_us - 1) / w->tick_us;

	loop_timer_cancel(timer);
	if (w->armed == 0)
		w->done_tick = now_us / w->tick_us;
	if (tick <= w->done_tick)
		tick = w->done_tick + 1;
	timer->due_us = tick * w->tick_us;
	timer->on_due = on_due;
	timer->loop = loop;
	list_append(&w->slots[slot_of(tick)], &timer->node);
	slot_mark(w, slot_of(tick), true);
	w->armed++;
	if (!w->wake_tick || tick < w->wake_tick)
		wake_at(loop, tick);
}

void loop_timer_cancel(struct loop_timer *timer)
{
	struct loop_wheel *w;
	size_t slot;

	if (!timer->loop)
		return;
	w = &timer->loop->wheel;
	timer->loop = NULL;
	w->armed--;
	if (!timer->due_us) {
		list_remove(&w->due, &timer->node);
		return;
	}
	slot = slot_of(timer->due_us / w->tick_us);
	list_remove(&w->slots[slot], &timer->node);
	if (w->slots[slot].count == 0)
		slot_mark(w, slot, false);
}
