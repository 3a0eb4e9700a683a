/* SPDX-License-Identifier: PostgreSQL */
/*
 * Receives and polls: each has a slot from the submission to its completion.
 *
 * Who wants to hear of a descriptor stands in the list `arming` and gets its
 * operation just before the wait, when it is known whether bytes are wanted and
 * how many. Stopping never waits for the kernel: the operation is cancelled,
 * its slot forgets the owner, and a completion that comes late finds nobody.
 * The kernel keeps a file open that an operation waits for, so a closed socket
 * is gone for its peer when the cancellation is submitted, at the turn's end.
 */
#include <errno.h>
#include <poll.h>

#include "base/mem.h"
#include "net/conn_priv.h"
#include "net/ring_priv.h"
#include "net/watch.h"

enum { RECALL_TRIES = 100, GENERATION_BITS = 24, TAG_SHIFT = 56, INDEX_BITS = 32 };

/* --- slots --- */

static uint64_t slot_data(const struct ring *r, uint32_t index)
{
	uint64_t generation = r->slots[index].generation;

	return (uint64_t)RING_TAG_SLOT << TAG_SHIFT | generation << INDEX_BITS | index;
}

static void slot_free(struct ring *r, uint32_t index)
{
	struct ring_slot *s = &r->slots[index];

	s->wait = NULL;
	s->is_done = false;
	s->generation = (s->generation + 1) & ((1u << GENERATION_BITS) - 1);
	s->next = r->free_slot;
	r->free_slot = index + 1;
}

static uint32_t slot_take(struct ring *r)
{
	uint32_t index;

	if (!r->free_slot) {
		uint32_t count = r->slot_count ? r->slot_count + r->slot_count / 4 : RING_FIRST_SLOTS;

		r->slots = mem_realloc(r->slots, count * sizeof(*r->slots));
		memset(r->slots + r->slot_count, 0, (count - r->slot_count) * sizeof(*r->slots));
		for (uint32_t i = count; i > r->slot_count; i--)
			slot_free(r, i - 1);
		r->slot_count = count;
	}
	index = r->free_slot - 1;
	r->free_slot = r->slots[index].next;
	r->under_way++;
	return index;
}

void ring_complete(struct ring *r, const struct io_uring_cqe *cqe)
{
	uint32_t index = (uint32_t)cqe->user_data;
	struct ring_slot *s;

	WEIR_ASSERT(index < r->slot_count && slot_data(r, index) == cqe->user_data);
	s = &r->slots[index];
	WEIR_ASSERT(!s->is_done && r->under_way > 0);
	s->result = cqe->res;
	s->flags = cqe->flags;
	s->is_done = true;
	s->next = 0;
	if (r->done_last)
		r->slots[r->done_last - 1].next = index + 1;
	else
		r->done_first = index + 1;
	r->done_last = index + 1;
	r->done_count++;
	r->under_way--;
}

/* --- asking --- */

static void operation_prepare(struct io_uring_sqe *sqe, const struct ring_wait *w, ssize_t room)
{
	if (room < 0) {
		io_uring_prep_poll_add(sqe, w->fd, w->what == WATCH_WRITE ? POLLOUT : POLLIN);
		return;
	}
	io_uring_prep_recv(sqe, w->fd, NULL, (size_t)room, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->ioprio |= IORING_RECVSEND_POLL_FIRST; /* everything there was has been read */
	sqe->buf_group = RING_BUFFER_GROUP;
}

static void arm(struct ring *r, struct ring_wait *w)
{
	ssize_t room = w->what == WATCH_CONN ? conn_read_asks(w->arg) : -1;
	struct io_uring_sqe *sqe;
	uint32_t index;

	if (room == 0)
		return;
	if (room > 0 && (size_t)room > r->buffer_bytes)
		room = (ssize_t)r->buffer_bytes;
	sqe = ring_sqe(r);
	WEIR_ASSERT(sqe != NULL);
	index = slot_take(r);
	operation_prepare(sqe, w, room);
	sqe->user_data = slot_data(r, index);
	r->slots[index].wait = w;
	r->slots[index].is_receive = room > 0;
	w->slot = index + 1;
}

void ring_arm(struct ring *r)
{
	struct list_node *n;

	while ((n = list_pop(&r->arming)))
		arm(r, list_entry(n, struct ring_wait, node));
}

/* Its own completion comes only if there was nothing to cancel. */
static void cancel(struct ring *r, uint64_t data, int flags)
{
	struct io_uring_sqe *sqe = ring_sqe(r);

	if (!sqe)
		return;
	io_uring_prep_cancel64(sqe, data, flags);
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
	sqe->user_data = (uint64_t)RING_TAG_NOTHING << TAG_SHIFT;
}

void ring_cancel_all(struct ring *r)
{
	if (r->under_way > 0)
		cancel(r, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
}

void ring_start(struct ring *r, struct ring_wait *w)
{
	if (!w->slot && !list_node_linked(&w->node))
		list_append(&r->arming, &w->node);
}

void ring_stop(struct ring *r, struct ring_wait *w)
{
	struct ring_slot *s;

	if (list_node_linked(&w->node))
		list_remove(&r->arming, &w->node);
	if (!w->slot)
		return;
	s = &r->slots[w->slot - 1];
	s->wait = NULL;
	if (!s->is_done)
		cancel(r, slot_data(r, w->slot - 1), 0);
	w->slot = 0;
}

bool ring_is_receiving(const struct ring *r, const struct ring_wait *w)
{
	return w->slot && r->slots[w->slot - 1].is_receive;
}

bool ring_recall(struct ring *r, struct ring_wait *w)
{
	uint32_t index = w->slot - 1;

	if (!ring_is_receiving(r, w))
		return true;
	if (!r->slots[index].is_done)
		cancel(r, slot_data(r, index), 0);
	for (int i = 0; !r->slots[index].is_done && i < RECALL_TRIES; i++)
		ring_settle(r);
	if (!r->slots[index].is_done || r->slots[index].result != -ECANCELED)
		return false;
	r->slots[index].wait = NULL;
	w->slot = 0;
	list_append(&r->arming, &w->node);
	return true;
}

/* --- telling --- */

static uint32_t done_pop(struct ring *r)
{
	uint32_t index = r->done_first - 1;

	r->done_first = r->slots[index].next;
	if (!r->done_first)
		r->done_last = 0;
	r->done_count--;
	return index;
}

/* The buffer that a completion brought is this turn's from now on; NULL: none. */
static const char *buffer_take(struct ring *r, uint32_t flags)
{
	uint16_t id = (uint16_t)(flags >> IORING_CQE_BUFFER_SHIFT);

	if (!(flags & IORING_CQE_F_BUFFER))
		return NULL;
	WEIR_ASSERT(id < r->buffer_count && r->used_count < r->buffer_count);
	r->used[r->used_count++] = id;
	return r->buffers + (size_t)id * r->buffer_bytes;
}

static void dispatch_one(struct ring *r, uint32_t index)
{
	struct ring_slot s = r->slots[index];
	const char *bytes = buffer_take(r, s.flags);

	slot_free(r, index);
	if (!s.wait)
		return;
	/* Asked for again with the next wait, unless the callback stops it. */
	s.wait->slot = 0;
	list_append(&r->arming, &s.wait->node);
	if (s.is_receive)
		conn_read_done(s.wait->arg, s.result, bytes);
	else if (s.result >= 0) /* else cancelled, or no memory for it: only asked for again */
		s.wait->on_ready(s.wait->fd, 0, s.wait->arg);
}

void ring_dispatch(struct ring *r)
{
	/* What completes meanwhile waits for the next turn. */
	for (uint32_t left = r->done_count; left > 0; left--)
		dispatch_one(r, done_pop(r));
}
