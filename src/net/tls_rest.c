/* SPDX-License-Identifier: PostgreSQL */
/*
 * Who is awake is in a list in the order of having been looked at. A timer
 * takes everyone in it once per second, some hundred at a time, so that ten
 * thousand who fall silent together don't hold up the others. Who is away
 * costs no time: without anyone awake there is no timer.
 */
#include "net/tls_rest.h"

#include "net/loop_priv.h"
#include "net/tls_store.h"

enum { REST_AFTER_US = 1000000, REST_STEP_US = 10000, REST_AT_ONCE = 256 };

static struct loop *loop_of(struct loop_timer *timer)
{
	return (struct loop *)(void *)((char *)timer - offsetof(struct loop, rest_timer));
}

static bool put_away(struct tls_rest *r)
{
	if (r->was_used) {
		r->was_used = false;
		return false;
	}
	r->away = tls_store_put_away(r->object);
	return r->away != NULL;
}

void tls_rest_look(struct loop *loop, size_t count)
{
	for (; count > 0 && loop->awake.count > 0; count--) {
		struct tls_rest *r = list_entry(list_pop(&loop->awake), struct tls_rest, node);

		if (!put_away(r))
			list_append(&loop->awake, &r->node);
	}
}

static void on_due(struct loop_timer *timer)
{
	struct loop *loop = loop_of(timer);
	size_t count;

	if (loop->rest_left == 0 || loop->rest_left > loop->awake.count)
		loop->rest_left = loop->awake.count;
	count = loop->rest_left < REST_AT_ONCE ? loop->rest_left : REST_AT_ONCE;
	loop->rest_left -= count;
	tls_rest_look(loop, count);
	if (loop->awake.count > 0)
		loop_timer_arm(loop, timer, loop->rest_left ? REST_STEP_US : REST_AFTER_US, on_due);
}

static void awake_add(struct tls_rest *r)
{
	list_append(&r->loop->awake, &r->node);
	if (!r->loop->rest_timer.loop)
		loop_timer_arm(r->loop, &r->loop->rest_timer, REST_AFTER_US, on_due);
}

void tls_rest_begin(struct tls_rest *r, struct loop *loop, void *object)
{
	WEIR_ASSERT(!r->loop && !r->away);
	if (!tls_store_holds(object))
		return;
	r->loop = loop;
	r->object = object;
	r->was_used = true;
	awake_add(r);
}

void tls_rest_return(struct tls_rest *r)
{
	tls_store_bring_back(r->object, &r->away);
	awake_add(r);
}

void tls_rest_end(struct tls_rest *r)
{
	if (!r->loop)
		return;
	tls_rest_wake(r);
	list_remove(&r->loop->awake, &r->node);
	r->loop = NULL;
}

void tls_rest_stop(struct loop *loop)
{
	loop_timer_cancel(&loop->rest_timer);
}
