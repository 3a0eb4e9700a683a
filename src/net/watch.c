/* SPDX-License-Identifier: PostgreSQL */
/*
 * Which back end a watch uses is the loop's: see watch.h.
 */
#include "net/watch.h"

#include <event2/event.h>

#include "net/loop_priv.h"
#include "net/ring.h"

void watch_init(struct watch *w, struct loop *loop, struct watch_spec spec)
{
	short what = spec.what == WATCH_WRITE ? EV_WRITE : EV_READ;

	if (!loop->ring) {
		event_assign(&w->event, loop->base, spec.fd, (short)(what | EV_PERSIST), spec.on_ready,
		             spec.arg);
		return;
	}
	w->wait = (struct ring_wait){
		.on_ready = spec.on_ready, .arg = spec.arg, .fd = spec.fd, .what = (uint8_t)spec.what
	};
}

void watch_start(struct watch *w, struct loop *loop)
{
	if (loop->ring) {
		ring_start(loop->ring, &w->wait);
		return;
	}
	event_add(&w->event, NULL);
	loop->stats.polls_changed++;
}

void watch_stop(struct watch *w, struct loop *loop)
{
	if (loop->ring) {
		ring_stop(loop->ring, &w->wait);
		return;
	}
	event_del(&w->event);
	loop->stats.polls_changed++;
}
