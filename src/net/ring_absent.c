/* SPDX-License-Identifier: PostgreSQL */
/*
 * Built without liburing: no loop gets a ring, so nothing but the question for
 * one is ever called.
 */
#include <errno.h>
#include <stdio.h>

#include "base/assert.h"
#include "net/ring.h"

bool ring_probe(char *why, size_t why_size)
{
	snprintf(why, why_size, "built without liburing");
	return false;
}

const char *ring_refusal(int err)
{
	(void)err;
	return "built without liburing";
}

struct ring *ring_create(struct loop *loop)
{
	(void)loop;
	errno = ENOSYS;
	return NULL;
}

struct loop_buffers ring_buffers(const struct ring *ring)
{
	WEIR_ASSERT(!ring);
	return (struct loop_buffers){ 0 };
}

void ring_arm(struct ring *ring)
{
	WEIR_ASSERT(!ring);
}

void ring_destroy(struct ring *ring)
{
	WEIR_ASSERT(!ring);
}

void ring_wait(struct ring *ring, uint64_t timeout_us)
{
	(void)timeout_us;
	WEIR_ASSERT(!ring);
}

void ring_dispatch(struct ring *ring)
{
	WEIR_ASSERT(!ring);
}

void ring_settle(struct ring *ring)
{
	WEIR_ASSERT(!ring);
}

bool ring_has_queued(const struct ring *ring)
{
	WEIR_ASSERT(!ring);
	return false;
}

void ring_trim(struct ring *ring)
{
	WEIR_ASSERT(!ring);
}

void ring_reset(struct ring *ring)
{
	WEIR_ASSERT(!ring);
}

bool ring_is_short(const struct ring *ring)
{
	WEIR_ASSERT(!ring);
	return false;
}

void ring_quiesce(struct ring *ring)
{
	WEIR_ASSERT(!ring);
}

bool ring_send(struct ring *ring, struct conn *conn, struct slice bytes)
{
	(void)conn;
	(void)bytes;
	WEIR_ASSERT(!ring);
	return false;
}

bool ring_is_sending(const struct ring *ring, uint32_t round)
{
	(void)round;
	WEIR_ASSERT(!ring);
	return false;
}

void ring_start(struct ring *ring, struct ring_wait *wait)
{
	(void)wait;
	WEIR_ASSERT(!ring);
}

void ring_stop(struct ring *ring, struct ring_wait *wait)
{
	(void)wait;
	WEIR_ASSERT(!ring);
}

bool ring_is_receiving(const struct ring *ring, const struct ring_wait *wait)
{
	(void)wait;
	WEIR_ASSERT(!ring);
	return false;
}

bool ring_recall(struct ring *ring, struct ring_wait *wait)
{
	(void)wait;
	WEIR_ASSERT(!ring);
	return true;
}
