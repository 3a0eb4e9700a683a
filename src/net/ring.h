/* SPDX-License-Identifier: PostgreSQL */
/*
 * The io_uring of a loop: one system call per turn, which sends what the last
 * turn queued, asks for the next bytes, and waits. For net/ alone.
 *
 * Receives take one of the loop's buffers when bytes are there, and one is
 * under way per connection at most: it asks for no more than the connection may
 * take, and is asked for again with the next wait. Sends never wait: they are
 * done when the call that submits them returns, and only those that took less
 * than all are told. So turn memory may be reset behind that call.
 *
 * The thread that first waits or sends owns the ring. Built without liburing,
 * ring_create and ring_probe say so, and nothing else is called.
 */
#ifndef WEIR_NET_RING_H
#define WEIR_NET_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "net/loop.h"

struct conn;
struct ring;
struct ring_wait;

#define RING_NO_TIMEOUT UINT64_MAX

/* Does this system do all that is used here? False: why it doesn't. Takes no time to speak of. */
bool ring_probe(char *why, size_t why_size);
/* Why the kernel refuses a ring, from an errno of making one; static. */
const char *ring_refusal(int err);
/* NULL and errno: can't be had; options are the loop's. */
struct ring *ring_create(struct loop *loop);
void ring_destroy(struct ring *ring);
struct loop_buffers ring_buffers(const struct ring *ring);

/* Asks for what is wanted. May have to submit for it, so connections may fail in here. */
void ring_arm(struct ring *ring);
/* Submits everything and waits for something to complete; timeout 0: only looks. */
void ring_wait(struct ring *ring, uint64_t timeout_us);
void ring_dispatch(struct ring *ring); /* calls whoever waits for what has completed */
/* Submits the sends and what is cancelled, and comes back at once; nothing is dispatched. */
void ring_settle(struct ring *ring);
bool ring_has_queued(const struct ring *ring); /* something to submit */
void ring_reset(struct ring *ring);            /* the buffers of this turn may be written again */
/* Gives back the pages of buffers that hold nothing; no-op while one does. */
void ring_trim(struct ring *ring);
bool ring_is_short(const struct ring *ring);   /* this turn holds half of the buffers or more */
/* The owner's thread is about to leave: no operation remains under way. */
void ring_quiesce(struct ring *ring);

/*
 * Queues a send of turn memory; conn_sent is told before the next turn if it didn't take all.
 * False: can't be queued now. One per connection until ring_settle or ring_wait.
 */
bool ring_send(struct ring *ring, struct conn *conn, struct slice bytes);
bool ring_is_sending(const struct ring *ring, uint32_t round); /* round: conn->send_round */

void ring_start(struct ring *ring, struct ring_wait *wait);
void ring_stop(struct ring *ring, struct ring_wait *wait);
bool ring_is_receiving(const struct ring *ring, const struct ring_wait *wait);
/*
 * Takes back a receive under way, so that the socket may be read or moved. False: it has completed,
 * and what it brought will be dispatched. Where true was said, the wait is asked for anew later.
 */
bool ring_recall(struct ring *ring, struct ring_wait *wait);

#endif
