/* SPDX-License-Identifier: PostgreSQL */
/*
 * Submitting and completing: the ring itself, its buffers, and sends.
 *
 * A send is queued with MSG_DONTWAIT and MSG_WAITALL: the kernel tries it once
 * while it takes the submission, and posts a completion only if not all was
 * taken. So the call that submits may be the one that waits: a send that fell
 * short ends the wait at once, and all others need no word.
 *
 * The ring is made disabled and enabled by the first thread that uses it, since
 * loops are made by the control plane and run by their workers.
 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/conn_priv.h"
#include "net/ring_priv.h"

enum {
	RING_TRIES_AT_ONCE = 1000, /* submissions that don't get through, before we wait between */
	RING_TRIES_MAX = 11000,
	RING_TRY_US = 1000,
	US_PER_SECOND = 1000000,
	NS_PER_US = 1000,
};

/* --- making it --- */

static void *map_pages(size_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

static void buffer_give(struct ring *r, uint16_t id, int at)
{
	io_uring_buf_ring_add(r->buf_ring, r->buffers + (size_t)id * r->buffer_bytes,
	                      (unsigned)r->buffer_bytes, id, io_uring_buf_ring_mask(r->buffer_count),
	                      at);
}

/* 0 or a negated errno. */
static int buffers_create(struct ring *r)
{
	struct io_uring_buf_reg reg = { .ring_entries = r->buffer_count, .bgid = RING_BUFFER_GROUP };
	int rc;

	r->buf_ring = map_pages(r->buffer_count * sizeof(struct io_uring_buf));
	r->buffers = map_pages(r->buffer_count * r->buffer_bytes);
	if (!r->buf_ring || !r->buffers)
		return -ENOMEM;
	reg.ring_addr = (uintptr_t)r->buf_ring;
	rc = io_uring_register_buf_ring(&r->uring, &reg, 0);
	if (rc < 0)
		return rc;
	io_uring_buf_ring_init(r->buf_ring);
	for (uint32_t i = 0; i < r->buffer_count; i++)
		buffer_give(r, (uint16_t)i, (int)i);
	io_uring_buf_ring_advance(r->buf_ring, (int)r->buffer_count);
	return 0;
}

static uint32_t power_of_two(unsigned at_least)
{
	uint32_t power = 1;

	while (power < at_least)
		power *= 2;
	return power;
}

struct ring *ring_create(struct loop *loop)
{
	struct ring *r = mem_zalloc(sizeof(*r));
	struct io_uring_params params = { .flags = RING_SETUP_FLAGS, .cq_entries = RING_CQ_ENTRIES };
	int rc = io_uring_queue_init_params(RING_SQ_ENTRIES, &r->uring, &params);

	if (rc < 0) {
		mem_free(r);
		errno = -rc;
		return NULL;
	}
	r->loop = loop;
	r->round = 1;
	list_init(&r->arming);
	r->buffer_count = power_of_two(loop->options.ring_buffers);
	r->buffer_bytes = loop->options.ring_buffer_bytes;
	r->used = mem_alloc(r->buffer_count * sizeof(*r->used));
	rc = buffers_create(r);
	if (rc < 0) {
		ring_destroy(r);
		errno = -rc;
		return NULL;
	}
	return r;
}

void ring_destroy(struct ring *r)
{
	io_uring_queue_exit(&r->uring);
	if (r->buf_ring)
		munmap(r->buf_ring, r->buffer_count * sizeof(struct io_uring_buf));
	if (r->buffers)
		munmap(r->buffers, r->buffer_count * r->buffer_bytes);
	mem_free(r->used);
	mem_free(r->slots);
	mem_free(r);
}

struct loop_buffers ring_buffers(const struct ring *r)
{
	size_t per_buffer = r->buffer_bytes + sizeof(*r->used) + sizeof(struct io_uring_buf);

	return (struct loop_buffers){
		.size_bytes = r->buffer_bytes,
		.count = r->buffer_count,
		.used = r->used_count,
		.total_bytes =
			sizeof(*r) + r->slot_count * sizeof(*r->slots) + r->buffer_count * per_buffer,
	};
}

/* --- entering the kernel --- */

/* By hand: Debian 12's liburing doesn't export the call for it. */
int ring_enable(struct io_uring *uring)
{
	return io_uring_register((unsigned)uring->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

/* This thread's from now on. */
static void enable(struct ring *r)
{
	int rc = ring_enable(&r->uring);

	WEIR_ASSERT(rc == 0);
	r->owner = pthread_self();
	r->is_enabled = true;
	io_uring_register_ring_fd(&r->uring); /* spares a look-up per call; works without as well */
}

bool ring_is_ours(const struct ring *r)
{
	return !r->is_enabled || pthread_equal(r->owner, pthread_self());
}

/*
 * A signal, the time limit, no memory just now, a full completion queue: it shows in what is left
 * to submit. Anything else is a ring that will never tell again what its connections wait for.
 */
static bool is_passing(int rc)
{
	return rc >= 0 || rc == -EINTR || rc == -ETIME || rc == -EAGAIN || rc == -ENOMEM ||
	       rc == -EBUSY;
}

static void enter(struct ring *r, uint64_t timeout_us)
{
	struct __kernel_timespec ts = { .tv_sec = (int64_t)(timeout_us / US_PER_SECOND),
		                            .tv_nsec = (int64_t)(timeout_us % US_PER_SECOND) * NS_PER_US };
	struct io_uring_cqe *cqe;
	int rc;

	if (!r->is_enabled)
		enable(r);
	r->loop->stats.submits++;
	if (timeout_us == 0)
		rc = io_uring_submit_and_get_events(&r->uring);
	else if (timeout_us == RING_NO_TIMEOUT)
		rc = io_uring_submit_and_wait(&r->uring, 1);
	else
		rc = io_uring_submit_and_wait_timeout(&r->uring, &cqe, 1, &ts, NULL);
	WEIR_ASSERT(is_passing(rc));
}

static void reap(struct ring *r)
{
	struct io_uring_cqe *cqe;
	unsigned head, count = 0;

	io_uring_for_each_cqe(&r->uring, head, cqe)
	{
		uint32_t index = (uint32_t)cqe->user_data;

		count++;
		switch ((enum ring_tag)(cqe->user_data >> 56)) {
		case RING_TAG_SLOT:
			ring_complete(r, cqe);
			break;
		case RING_TAG_SEND:
			r->sends[index].is_short = true;
			r->sends[index].result = cqe->res;
			break;
		case RING_TAG_NOTHING: /* nothing was left to cancel */
			break;
		}
	}
	io_uring_cq_advance(&r->uring, count);
}

/* All have been submitted, so all are done; those that fell short are told. */
static void sends_finish(struct ring *r)
{
	uint32_t count = r->send_count;

	r->send_count = 0;
	r->round++;
	for (uint32_t i = 0; i < count; i++) {
		if (r->sends[i].is_short)
			conn_sent(r->sends[i].conn, r->sends[i].bytes, r->sends[i].result);
	}
}

static void submit_all(struct ring *r, uint64_t timeout_us)
{
	enter(r, timeout_us);
	reap(r);
	for (int i = 0; io_uring_sq_ready(&r->uring) || io_uring_cq_has_overflow(&r->uring); i++) {
		WEIR_ASSERT(i < RING_TRIES_MAX); /* ten seconds without memory for a request */
		if (i >= RING_TRIES_AT_ONCE)
			usleep(RING_TRY_US);
		enter(r, 0);
		reap(r);
	}
	sends_finish(r);
}

void ring_wait(struct ring *r, uint64_t timeout_us)
{
	WEIR_ASSERT(ring_is_ours(r));
	submit_all(r, r->done_count ? 0 : timeout_us);
}

void ring_settle(struct ring *r)
{
	if (ring_is_ours(r))
		submit_all(r, 0);
}

bool ring_has_queued(const struct ring *r)
{
	return io_uring_sq_ready(&r->uring) > 0 && ring_is_ours(r);
}

void ring_quiesce(struct ring *r)
{
	if (!ring_is_ours(r))
		return;
	ring_cancel_all(r);
	for (int i = 0; r->under_way > 0 && i < RING_TRIES_AT_ONCE; i++) {
		ring_settle(r);
		if (r->under_way > 0)
			usleep(RING_TRY_US);
	}
	/* The registration is this thread's: another that destroys the ring must not touch its own. */
	io_uring_unregister_ring_fd(&r->uring);
}

struct io_uring_sqe *ring_sqe(struct ring *r)
{
	struct io_uring_sqe *sqe;

	if (!ring_is_ours(r))
		return NULL;
	sqe = io_uring_get_sqe(&r->uring);
	if (sqe)
		return sqe;
	ring_settle(r);
	return io_uring_get_sqe(&r->uring);
}

/* --- buffers --- */

void ring_reset(struct ring *r)
{
	for (uint32_t i = 0; i < r->used_count; i++)
		buffer_give(r, r->used[i], (int)i);
	if (r->used_count)
		io_uring_buf_ring_advance(r->buf_ring, (int)r->used_count);
	r->used_count = 0;
}

/*
 * Receives are carried out when this thread enters the kernel, so no buffer holds anything
 * but those that a completion names.
 */
void ring_trim(struct ring *r)
{
	if (!r->used_count && !r->done_count && !io_uring_cq_ready(&r->uring) && ring_is_ours(r))
		(void)madvise(r->buffers, r->buffer_count * r->buffer_bytes, MADV_DONTNEED);
}

bool ring_is_short(const struct ring *r)
{
	return r->used_count >= r->buffer_count / 2;
}

/* --- sends --- */

bool ring_send(struct ring *r, struct conn *conn, struct slice bytes)
{
	struct io_uring_sqe *sqe;
	struct ring_sent *sent;

	if (r->send_count == RING_SENDS_MAX)
		ring_settle(r);
	sqe = ring_sqe(r);
	if (!sqe || r->send_count == RING_SENDS_MAX)
		return false;
	io_uring_prep_send(sqe, conn->fd, bytes.ptr, bytes.len,
	                   MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL);
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
	sqe->user_data = (uint64_t)RING_TAG_SEND << 56 | r->send_count;
	sent = &r->sends[r->send_count++];
	*sent = (struct ring_sent){ .conn = conn, .bytes = bytes };
	conn->send_round = r->round;
	return true;
}

bool ring_is_sending(const struct ring *r, uint32_t round)
{
	return r->send_count > 0 && r->round == round;
}
