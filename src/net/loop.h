/* SPDX-License-Identifier: PostgreSQL */
/*
 * One event loop per thread. A *turn* is one wait plus everything it woke:
 * bytes read in a turn land in turn memory, spans queued for sending point
 * into turn memory, and at the turn's end each dirty connection is written
 * once. Owned by its thread; only loop_stop_post and mailboxes cross threads.
 */
#ifndef WEIR_NET_LOOP_H
#define WEIR_NET_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

struct event_base;
struct loop;

enum loop_backend {
	LOOP_EPOLL,
	LOOP_RING,     /* io_uring */
	LOOP_LIBEVENT, /* the control plane, for tier/ */
};

struct loop_options {
	enum loop_backend backend;
	unsigned ring_buffers;    /* buffers for receives on a ring, default 256 when 0 */
	size_t ring_buffer_bytes; /* size of each, default 16 KiB when 0 */
	size_t scratch_bytes;     /* size of one read chunk, default 256 KiB when 0 */
	size_t read_bytes;        /* most read from one socket at once, default 64 KiB when 0 */
	unsigned tick_ms;         /* resolution of coarse timers, default 10 when 0 */
};

struct loop *loop_create(const struct loop_options *options); /* NULL and errno: refused */
/* Can a loop have io_uring here? False: why not. */
bool loop_ring_probe(char *why, size_t why_size);
const char *loop_ring_refusal(int err); /* of a loop_create with LOOP_RING that failed; static */
void loop_destroy(struct loop *loop);
void loop_run(struct loop *loop);       /* returns after loop_stop */
void loop_stop(struct loop *loop);      /* own thread: after this turn */
void loop_stop_post(struct loop *loop); /* any thread */

struct socket_options;
/* For connections that are made here; copied. Until then the system's defaults. */
void loop_set_tuning(struct loop *loop, const struct socket_options *options);

uint64_t loop_now_us(const struct loop *loop); /* monotonic, read once per turn */

/* Turn memory: valid until every span queued in this turn has been written or copied. */
void *loop_turn_alloc(struct loop *loop, size_t size); /* never NULL; size <= 1 MiB */

/* At the end of this turn all turn memory goes, and free pages of the ring's buffers and heap. */
void loop_trim(struct loop *loop);

/* Runs once at the end of this turn, after the writes; freeing of closed objects goes here. */
struct loop_deferred {
	struct list_node node;
	void (*run)(struct loop_deferred *self);
};
void loop_defer(struct loop *loop, struct loop_deferred *deferred);

/*
 * Coarse timer: rounded up to the tick, one shared event per loop, so arming
 * is a list operation without a system call. Zero-initialise before use.
 */
struct loop_timer {
	struct list_node node;
	uint64_t due_us;
	void (*on_due)(struct loop_timer *self);
	struct loop *loop; /* borrowed: NULL while not armed */
};
void loop_timer_arm(struct loop *loop, struct loop_timer *timer, uint64_t delay_us,
                    void (*on_due)(struct loop_timer *));
void loop_timer_cancel(struct loop_timer *timer); /* no-op when not armed */

struct loop_stats {                               /* counted by the loop, read by its own thread */
	uint64_t turns, reads, writes, polls_changed; /* system calls by kind */
	uint64_t submits;                             /* of the ring: it sends, asks and waits in one */
	uint64_t retired;                             /* buffers of what connections had kept, freed */
};
const struct loop_stats *loop_stats(const struct loop *loop);

enum loop_backend loop_backend(const struct loop *loop);

struct loop_buffers { /* what the ring receives into; zeros on the others */
	size_t size_bytes, count, used;
	size_t total_bytes; /* with the ring's own tables; the kernel's memory isn't in it */
};
struct loop_buffers loop_buffers(const struct loop *loop);

/* For tier/, which watches the socket of libpq. LOOP_LIBEVENT only. */
struct event_base *loop_event_base(struct loop *loop);

#endif
