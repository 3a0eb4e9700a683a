/* SPDX-License-Identifier: PostgreSQL */
/*
 * A descriptor that its owner waits for, level-triggered, whichever back end
 * the loop has: an entry of its epoll set, an operation of its ring that is
 * asked for again after each readiness, or an event of libevent. WATCH_CONN is
 * for connections: on a ring a plain one doesn't hear that it is readable but
 * gets its next bytes. So is WATCH_WRITE, beside it.
 * Zero-initialise before watch_init; the loop's thread only.
 */
#ifndef WEIR_NET_WATCH_H
#define WEIR_NET_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct event;
struct loop;

enum watch_for {
	WATCH_READ,
	WATCH_WRITE, /* arg is the struct conn */
	WATCH_CONN,  /* likewise */
};

typedef void watch_fn(int fd, short what, void *arg); /* what: not to be looked at */

struct watch_spec {
	int fd; /* borrowed: open until watch_stop */
	enum watch_for what;
	watch_fn *on_ready;
	void *arg; /* borrowed */
};

struct ring_wait {
	union {
		struct list_node node; /* in ring->arming: gets its operation with the next wait */
		struct event *event;   /* owned: libevent's; NULL: not started */
	};
	watch_fn *on_ready;
	void *arg;
	int fd;
	uint32_t slot; /* index + 1 of the operation under way; 0: none */
	uint8_t what;   /* enum watch_for */
	uint8_t polled; /* EPOLLIN, EPOLLOUT: what its entry of an epoll set asks for; see poll.h */
};

struct watch {
	struct ring_wait wait;
};

void watch_init(struct watch *w, struct loop *loop, struct watch_spec spec);
void watch_start(struct watch *w, struct loop *loop);
void watch_stop(struct watch *w, struct loop *loop); /* no call comes after it; idempotent */

#endif
