/* SPDX-License-Identifier: PostgreSQL */
/*
 * The inside of struct ring, for ring.c, ring_wait.c and ring_probe.c.
 *
 * Every operation under way has a slot, and the kernel is given the slot's
 * index and generation, never an address. A slot outlives its owner: stopped,
 * it only waits for its completion, to give the buffer back.
 */
#ifndef WEIR_NET_RING_PRIV_H
#define WEIR_NET_RING_PRIV_H

#include <liburing.h>
#include <pthread.h>

#include "base/list.h"
#include "net/ring.h"

enum {
	RING_SQ_ENTRIES = 1024,
	RING_CQ_ENTRIES = 8192,
	RING_SENDS_MAX = RING_SQ_ENTRIES,
	RING_FIRST_SLOTS = 64,
	RING_BUFFER_GROUP = 0,
	RING_SETUP_FLAGS = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
	                   IORING_SETUP_CQSIZE | IORING_SETUP_R_DISABLED,
};

/* The upper byte of user_data; below it the slot's generation, then an index. */
enum ring_tag { RING_TAG_SLOT, RING_TAG_SEND, RING_TAG_NOTHING };

struct ring_slot {
	struct ring_wait *wait; /* borrowed; NULL: nobody waits any more */
	uint32_t next;          /* index + 1 of the next free or completed one; 0: the last */
	uint32_t generation : 24;
	bool is_receive : 1;
	bool is_done : 1; /* completed, not dispatched */
	int32_t result;
	uint32_t flags; /* of the completion */
};

struct ring_sent {
	struct conn *conn; /* borrowed: conn_detach settles before it goes */
	struct slice bytes;
	bool is_short; /* took less than all: */
	int32_t result;
};

struct ring {
	struct io_uring uring;
	struct loop *loop; /* borrowed: owns us */
	bool is_enabled;
	pthread_t owner;    /* once enabled */
	struct list arming; /* ring_wait.node */

	struct ring_slot *slots; /* owned */
	uint32_t slot_count;
	uint32_t free_slot;  /* index + 1 */
	uint32_t under_way;  /* slots whose operation hasn't completed */
	uint32_t done_first; /* index + 1: completed, in order */
	uint32_t done_last;
	uint32_t done_count;

	uint32_t round; /* of submissions: conn->send_round equal to it has a send queued */
	uint32_t send_count;
	struct ring_sent sends[RING_SENDS_MAX];

	struct io_uring_buf_ring *buf_ring; /* owned: mapped */
	char *buffers;                      /* owned: mapped */
	size_t buffer_bytes;
	uint32_t buffer_count; /* a power of two */
	uint32_t used_count;
	uint16_t *used; /* owned: buffers that this turn's spans may point into */
};

/* ring.c */
/* False: its thread has left; what it had queued goes with the ring, and nothing is added. */
bool ring_is_ours(const struct ring *ring);
struct io_uring_sqe *ring_sqe(struct ring *ring); /* NULL: only when it isn't ours */
/* Hands a ring made disabled to this thread; 0 or a negated errno. */
int ring_enable(struct io_uring *uring);

/* ring_wait.c */
void ring_complete(struct ring *ring, const struct io_uring_cqe *cqe); /* of a slot */
void ring_cancel_all(struct ring *ring);

#endif
