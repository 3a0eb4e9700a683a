/* SPDX-License-Identifier: PostgreSQL */
/*
 * libevent's timers in milliseconds, as the options are. Loop's thread.
 */
#ifndef FINAI_TIMER_H
#define FINAI_TIMER_H

#include <event2/event.h>
#include <stdint.h>

/* Fires once, ms from now; a pending one is set anew. */
static inline void timer_set(struct event *timer, uint32_t ms)
{
	struct timeval tv = { ms / 1000, (suseconds_t)(ms % 1000 * 1000) };

	event_add(timer, &tv);
}

#endif
