/* SPDX-License-Identifier: PostgreSQL */
/*
 * Which back end a watch uses is the loop's: see watch.h. libevent's event is
 * large and lives only while it is started; the loops of workers have none.
 */
#include "net/watch.h"

#include <event2/event.h>

#include "net/loop_priv.h"
#include "net/poll.h"
#include "net/ring.h"

void watch_init(struct watch *w, struct loop *loop, struct watch_spec spec)
{
	(void)loop;
	w->wait = (struct ring_wait){
		.on_ready = spec.on_ready, .arg = spec.arg, .fd = spec.fd, .what = (uint8_t)spec.what
	};
}

static void event_start(struct ring_wait *w, struct loop *loop)
{
	short what = w->what == WATCH_WRITE ? EV_WRITE : EV_READ;

	if (w->event)
		return;
	w->event = event_new(loop->base, w->fd, (short)(what | EV_PERSIST), w->on_ready, w->arg);
	WEIR_ASSERT(w->event != NULL);
	event_add(w->event, NULL);
}

static void event_stop(struct ring_wait *w)
{
	if (w->event)
		event_free(w->event);
	w->event = NULL;
}

void watch_start(struct watch *w, struct loop *loop)
{
	if (loop->ring) {
		ring_start(loop->ring, &w->wait);
		return;
	}
	if (loop->poll)
		poll_start(loop->poll, &w->wait);
	else
		event_start(&w->wait, loop);
	loop->stats.polls_changed++;
}

void watch_stop(struct watch *w, struct loop *loop)
{
	if (loop->ring) {
		ring_stop(loop->ring, &w->wait);
		return;
	}
	if (loop->poll)
		poll_stop(loop->poll, &w->wait);
	else
		event_stop(&w->wait);
	loop->stats.polls_changed++;
}
