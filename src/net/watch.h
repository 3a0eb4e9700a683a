/* SPDX-License-Identifier: PostgreSQL */
/*
 * A descriptor that its owner waits for, level-triggered, whichever back end
 * the loop has: an event of libevent, or an operation of the loop's ring that
 * is asked for again after each readiness. WATCH_CONN is for connections: on a
 * ring a plain one doesn't hear that it is readable but gets its next bytes.
 * Zero-initialise before watch_init; the loop's thread only.
 */
#ifndef WEIR_NET_WATCH_H
#define WEIR_NET_WATCH_H

#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct loop;

enum watch_for {
	WATCH_READ,
	WATCH_WRITE,
	WATCH_CONN, /* arg is the struct conn */
};

typedef void watch_fn(int fd, short what, void *arg); /* what: libevent's, not to be looked at */

struct watch_spec {
	int fd; /* borrowed: open until watch_stop */
	enum watch_for what;
	watch_fn *on_ready;
	void *arg; /* borrowed */
};

/* The ring's part of a watch: see ring.h. */
struct ring_wait {
	struct list_node node; /* in ring->arming: gets its operation with the next wait */
	watch_fn *on_ready;
	void *arg;
	int fd;
	uint32_t slot; /* index + 1 of the operation under way; 0: none */
	uint8_t what;  /* enum watch_for */
};

struct watch {
	union {
		struct event event;
		struct ring_wait wait;
	};
};

void watch_init(struct watch *w, struct loop *loop, struct watch_spec spec);
void watch_start(struct watch *w, struct loop *loop);
void watch_stop(struct watch *w, struct loop *loop); /* no call comes after it; idempotent */

#endif
