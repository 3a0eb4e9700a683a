/* SPDX-License-Identifier: PostgreSQL */
/*
 * The inside of struct loop, for net/ alone: turn memory, the lists that the
 * turn's end works off, and the timer wheel.
 */
#ifndef WEIR_NET_LOOP_PRIV_H
#define WEIR_NET_LOOP_PRIV_H

#include <event2/event_struct.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "base/list.h"
#include "net/loop.h"
#include "net/socket.h"
#include "net/watch.h"

enum {
	LOOP_SCRATCH_BYTES = 256 * 1024,
	LOOP_READ_BYTES = 64 * 1024,
	LOOP_KEPT_SMALL = 16 * 1024,           /* kept bytes that travel through scratch again */
	LOOP_SPARE_CHUNKS = 8,                 /* scratch chunks kept between turns */
	LOOP_TURN_READ_MAX = 16 * 1024 * 1024, /* bytes read in one turn; the rest waits */
	LOOP_TURN_ALLOC_MAX = 1024 * 1024,
	LOOP_TICK_MS = 10,
	LOOP_RECORD_MAX = 17 * 1024, /* a record of TLS and what it adds */
	LOOP_RING_BUFFERS = 64,
	LOOP_RING_BUFFER_BYTES = 16 * 1024,
	LOOP_HELD_MAX = 256 * 1024, /* turn memory that may wait for the next submission */
	WHEEL_SLOTS = 1024,
	WHEEL_WORD_BITS = 64,
};

/* One piece of read memory. */
struct scratch_chunk {
	struct scratch_chunk *next; /* owned */
	size_t pos;                 /* bytes taken in this turn */
	char data[];
};

/* First member of heap memory that spans of this turn may point into. */
struct loop_retired {
	struct loop_retired *next;
};

struct loop_wheel {
	struct list slots[WHEEL_SLOTS];
	uint64_t busy[WHEEL_SLOTS / WHEEL_WORD_BITS]; /* bit set: the slot may hold timers */
	struct list due;                              /* taken out of the slots, about to run */
	size_t armed;
	uint64_t tick_us;
	uint64_t done_tick; /* slots up to here were looked at */
	uint64_t wake_tick; /* the event is armed for it; 0: it isn't */
	struct event event; /* libevent only: else the wait has a time limit */
};

struct loop {
	unsigned magic;
	/* One of the three, owned; the others are NULL. */
	struct poll *poll;
	struct ring *ring;
	struct event_base *base;
	struct loop_options options;
	uint64_t now_us; /* 0: not read in this turn */
	bool is_stopping;
	bool is_trim_due;
	atomic_bool is_stop_posted;
	int stop_fd; /* owned: eventfd */
	struct watch stop_watch;
	struct scratch_chunk *scratch; /* owned: the one in use, then those full in this turn */
	struct scratch_chunk *spare;   /* owned */
	unsigned spare_count;
	struct socket_options tuning;
	size_t turn_read_bytes;
	struct arena turn_arena;
	struct loop_retired *retired; /* owned: freed at the turn's end */
	struct list dirty;            /* conn.dirty_node: spans to write */
	struct list wakes;            /* conn.wake_node: to look at in this turn's end */
	struct list again;    /* conn.wake_node: to read from in the next turn without waiting */
	struct list deferred; /* loop_deferred.node */
	struct list awake;    /* tls_rest.node */
	size_t rest_left;     /* of them, to be looked at in this second's round */
	struct loop_timer rest_timer;
	struct loop_wheel wheel;
	struct loop_stats stats;
};

/* Room for `need` bytes at the front of turn memory; taken by loop_scratch_take. */
char *loop_scratch(struct loop *loop, size_t need);
void loop_scratch_take(struct loop *loop, size_t len);
/* Gives back the last `len` bytes that were taken, if nothing was taken behind them. */
void loop_scratch_give_back(struct loop *loop, const char *end, size_t len);

/* Frees with mem_free at the turn's end; `retired` is at the start of the allocation. */
void loop_retire(struct loop *loop, struct loop_retired *retired);

/* One turn; returns at once when nothing is ready and !is_blocking. For loop_run and tests. */
void loop_turn(struct loop *loop, bool is_blocking);

void loop_wheel_init(struct loop *loop);
/* Until something may be due; UINT64_MAX: nothing is armed. */
uint64_t loop_wheel_wait_us(struct loop *loop);
void loop_wheel_run(struct loop *loop); /* behind such a wait: calls what is due */
void loop_wheel_fini(struct loop *loop);

#endif
