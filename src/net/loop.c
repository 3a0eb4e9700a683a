/* SPDX-License-Identifier: PostgreSQL */
/*
 * The event loop: a wait by epoll, io_uring or libevent, and our own end of the turn.
 *
 * A turn is one wait, which delivers what arrived, then the end phase:
 * connections that asked for attention, one write per dirty connection, closed
 * objects freed, turn memory reset. The end phase repeats until nothing is
 * left, since each step may cause others.
 *
 * On a ring the writes are queued, and leave with the call that waits for the
 * next turn: turn memory is reset behind that call. They leave earlier where
 * something is to be freed that they may point into, or where they hold much.
 *
 * Owned by its thread. libevent's base has no locks; the eventfd of loop_stop_post is
 * the only thing another thread touches here.
 */
#include "net/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/conn_priv.h"
#include "net/loop_priv.h"
#include "net/poll.h"
#include "net/ring.h"
#include "net/tls_rest.h"

enum { LOOP_MAGIC = 0x6c6f6f70, LOOP_ARENA_BLOCK = 256 * 1024 };

static struct loop_options options_with_defaults(const struct loop_options *given)
{
	struct loop_options o = { 0 };

	if (given)
		o = *given;
	if (!o.scratch_bytes)
		o.scratch_bytes = LOOP_SCRATCH_BYTES;
	if (!o.read_bytes)
		o.read_bytes = LOOP_READ_BYTES;
	if (!o.tick_ms)
		o.tick_ms = LOOP_TICK_MS;
	if (!o.ring_buffers)
		o.ring_buffers = LOOP_RING_BUFFERS;
	if (!o.ring_buffer_bytes)
		o.ring_buffer_bytes = LOOP_RING_BUFFER_BYTES;
	if (o.scratch_bytes < o.read_bytes + LOOP_KEPT_SMALL)
		o.scratch_bytes = o.read_bytes + LOOP_KEPT_SMALL;
	if (o.scratch_bytes < o.ring_buffer_bytes + LOOP_RECORD_MAX + LOOP_KEPT_SMALL)
		o.scratch_bytes = o.ring_buffer_bytes + LOOP_RECORD_MAX + LOOP_KEPT_SMALL;
	return o;
}

static struct event_base *base_create(void)
{
	struct event_config *cfg = event_config_new();
	struct event_base *base = NULL;

	WEIR_ASSERT(cfg != NULL);
	event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
	event_config_set_flag(cfg, EVENT_BASE_FLAG_IGNORE_ENV);
	base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	return base;
}

static void on_stop_event(int fd, short what, void *arg)
{
	struct loop *loop = arg;
	uint64_t count;

	(void)what;
	if (read(fd, &count, sizeof(count)) < 0)
		return;
	if (atomic_exchange(&loop->is_stop_posted, false))
		loop->is_stopping = true;
}

static void backend_destroy(struct loop *loop)
{
	if (loop->poll)
		poll_destroy(loop->poll);
	if (loop->ring)
		ring_destroy(loop->ring);
	if (loop->base)
		event_base_free(loop->base);
}

bool loop_ring_probe(char *why, size_t why_size)
{
	return ring_probe(why, why_size);
}

const char *loop_ring_refusal(int err)
{
	return ring_refusal(err);
}

struct loop *loop_create(const struct loop_options *options)
{
	struct loop *loop = mem_zalloc(sizeof(*loop));
	int err;

	loop->magic = LOOP_MAGIC;
	loop->options = options_with_defaults(options);
	if (loop->options.backend == LOOP_RING)
		loop->ring = ring_create(loop);
	else if (loop->options.backend == LOOP_LIBEVENT)
		loop->base = base_create();
	else
		loop->poll = poll_create();
	loop->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if ((!loop->poll && !loop->ring && !loop->base) || loop->stop_fd < 0)
		goto fail;
	list_init(&loop->dirty);
	list_init(&loop->wakes);
	list_init(&loop->again);
	list_init(&loop->deferred);
	list_init(&loop->awake);
	arena_init(&loop->turn_arena, LOOP_ARENA_BLOCK);
	watch_init(&loop->stop_watch, loop,
	           (struct watch_spec){ loop->stop_fd, WATCH_READ, on_stop_event, loop });
	watch_start(&loop->stop_watch, loop);
	loop_wheel_init(loop);
	return loop;
fail:
	err = errno;
	backend_destroy(loop);
	if (loop->stop_fd >= 0)
		close(loop->stop_fd);
	mem_free(loop);
	errno = err;
	return NULL;
}

/* --- turn memory --- */

static void chunks_free(struct scratch_chunk *chunk)
{
	while (chunk) {
		struct scratch_chunk *next = chunk->next;

		mem_free(chunk);
		chunk = next;
	}
}

static struct scratch_chunk *chunk_take(struct loop *loop)
{
	struct scratch_chunk *chunk = loop->spare;

	if (chunk) {
		loop->spare = chunk->next;
		loop->spare_count--;
	} else {
		chunk = mem_alloc(sizeof(*chunk) + loop->options.scratch_bytes);
	}
	chunk->pos = 0;
	return chunk;
}

char *loop_scratch(struct loop *loop, size_t need)
{
	struct scratch_chunk *chunk = loop->scratch;

	WEIR_ASSERT(need <= loop->options.scratch_bytes);
	if (!chunk || loop->options.scratch_bytes - chunk->pos < need) {
		chunk = chunk_take(loop);
		chunk->next = loop->scratch;
		loop->scratch = chunk;
	}
	return chunk->data + chunk->pos;
}

void loop_scratch_take(struct loop *loop, size_t len)
{
	WEIR_ASSERT(len <= loop->options.scratch_bytes - loop->scratch->pos);
	loop->scratch->pos += len;
}

void loop_scratch_give_back(struct loop *loop, const char *end, size_t len)
{
	struct scratch_chunk *chunk = loop->scratch;

	if (chunk->data + chunk->pos == end)
		chunk->pos -= len;
}

void loop_trim(struct loop *loop)
{
	loop->is_trim_due = true;
}

void *loop_turn_alloc(struct loop *loop, size_t size)
{
	WEIR_ASSERT(size <= LOOP_TURN_ALLOC_MAX);
	return arena_alloc(&loop->turn_arena, size);
}

void loop_retire(struct loop *loop, struct loop_retired *retired)
{
	retired->next = loop->retired;
	loop->retired = retired;
}

static void retired_free(struct loop *loop)
{
	while (loop->retired) {
		struct loop_retired *next = loop->retired->next;

		mem_free(loop->retired);
		loop->retired = next;
		loop->stats.retired++;
	}
}

static void scratch_reset(struct loop *loop)
{
	struct scratch_chunk *first = loop->scratch;

	if (!first)
		return;
	while (first->next) {
		struct scratch_chunk *full = first->next;

		first->next = full->next;
		if (loop->spare_count < LOOP_SPARE_CHUNKS) {
			full->next = loop->spare;
			loop->spare = full;
			loop->spare_count++;
		} else {
			mem_free(full);
		}
	}
	first->pos = 0;
}

static void turn_memory_trim(struct loop *loop)
{
	loop->is_trim_due = false;
	chunks_free(loop->scratch);
	chunks_free(loop->spare);
	loop->scratch = loop->spare = NULL;
	loop->spare_count = 0;
	arena_fini(&loop->turn_arena);
	arena_init(&loop->turn_arena, LOOP_ARENA_BLOCK);
	if (loop->ring)
		ring_trim(loop->ring);
	mem_trim();
}

static void turn_memory_reset(struct loop *loop)
{
	retired_free(loop);
	scratch_reset(loop);
	if (loop->ring)
		ring_reset(loop->ring);
	if (loop->turn_arena.used)
		arena_reset(&loop->turn_arena);
	loop->turn_read_bytes = 0;
	if (loop->is_trim_due)
		turn_memory_trim(loop);
}

/* --- the turn --- */

static void run_deferred(struct loop *loop)
{
	struct list_node *n;

	while ((n = list_pop(&loop->deferred))) {
		struct loop_deferred *deferred = list_entry(n, struct loop_deferred, node);

		deferred->run(deferred);
	}
}

static bool has_work(const struct loop *loop)
{
	return loop->wakes.count || loop->dirty.count || loop->deferred.count;
}

static void work_off(struct loop *loop)
{
	struct list_node *n;

	while (has_work(loop)) {
		while ((n = list_pop(&loop->wakes)))
			conn_wake_run(list_entry(n, struct conn, wake_node));
		while ((n = list_pop(&loop->dirty)))
			conn_flush(list_entry(n, struct conn, dirty_node));
		if (loop->ring && loop->deferred.count && ring_has_queued(loop->ring))
			ring_settle(loop->ring);
		if (!loop->wakes.count)
			run_deferred(loop);
	}
}

/* What the ring has queued may leave with the next wait: it holds little memory until then. */
static bool may_leave_later(const struct loop *loop)
{
	return loop->turn_arena.used + loop->turn_read_bytes <= LOOP_HELD_MAX &&
	       !ring_is_short(loop->ring);
}

/* is_waiting: a wait follows at once, before anything else is done with the loop. */
static void end_turn(struct loop *loop, bool is_waiting)
{
	work_off(loop);
	loop->now_us = 0;
	if (loop->ring && ring_has_queued(loop->ring)) {
		if (is_waiting && may_leave_later(loop))
			return;
		do {
			ring_settle(loop->ring);
			work_off(loop);
		} while (ring_has_queued(loop->ring));
	}
	turn_memory_reset(loop);
}

static void read_again(struct loop *loop)
{
	for (size_t left = loop->again.count; left > 0 && loop->again.count > 0; left--) {
		struct list_node *n = list_pop(&loop->again);

		conn_read_ready(list_entry(n, struct conn, wake_node));
	}
}

static void wait_by_libevent(struct loop *loop, bool is_blocking)
{
	event_base_loop(loop->base, is_blocking ? EVLOOP_ONCE : EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

static void wait_by_poll(struct loop *loop, bool is_blocking)
{
	poll_wait(loop->poll, is_blocking ? loop_wheel_wait_us(loop) : 0);
	loop->now_us = 0;
	poll_dispatch(loop->poll);
	loop_wheel_run(loop);
}

static void wait_by_ring(struct loop *loop, bool is_blocking)
{
	ring_arm(loop->ring);
	if (has_work(loop)) /* more was asked for than fits, and what was submitted then failed */
		is_blocking = false;
	ring_wait(loop->ring, is_blocking ? loop_wheel_wait_us(loop) : 0);
	/* The last turn's sends have left, or what they left over was copied. */
	turn_memory_reset(loop);
	loop->now_us = 0;
	ring_dispatch(loop->ring);
	loop_wheel_run(loop);
}

/* is_last: no wait follows at once. */
static void turn(struct loop *loop, bool is_blocking, bool is_last)
{
	if (loop->again.count)
		is_blocking = false;
	if (loop->ring)
		wait_by_ring(loop, is_blocking);
	else if (loop->poll)
		wait_by_poll(loop, is_blocking);
	else
		wait_by_libevent(loop, is_blocking);
	loop->stats.turns++;
	read_again(loop);
	end_turn(loop, !is_last);
}

void loop_turn(struct loop *loop, bool is_blocking)
{
	if (loop->ring)
		end_turn(loop, false); /* the wait resets turn memory */
	turn(loop, is_blocking, true);
}

void loop_run(struct loop *loop)
{
	WEIR_CHECK_MAGIC(loop, LOOP_MAGIC);
	end_turn(loop, false); /* what was queued before the first wait */
	while (!loop->is_stopping)
		turn(loop, true, false);
	end_turn(loop, false);
	loop->is_stopping = false;
	if (loop->ring)
		ring_quiesce(loop->ring); /* the thread may end now */
}

void loop_stop(struct loop *loop)
{
	loop->is_stopping = true;
}

void loop_stop_post(struct loop *loop)
{
	uint64_t one = 1;

	atomic_store(&loop->is_stop_posted, true);
	while (write(loop->stop_fd, &one, sizeof(one)) < 0)
		;
}

void loop_set_tuning(struct loop *loop, const struct socket_options *options)
{
	loop->tuning = *options;
}

uint64_t loop_now_us(const struct loop *loop)
{
	struct loop *cache = (struct loop *)(uintptr_t)loop; /* loops live on the heap */

	if (!cache->now_us)
		cache->now_us = clock_monotonic_us();
	return cache->now_us;
}

void loop_defer(struct loop *loop, struct loop_deferred *deferred)
{
	list_append(&loop->deferred, &deferred->node);
}

void loop_destroy(struct loop *loop)
{
	WEIR_CHECK_MAGIC(loop, LOOP_MAGIC);
	end_turn(loop, false);
	tls_rest_stop(loop);
	loop_wheel_fini(loop);
	watch_stop(&loop->stop_watch, loop);
	if (loop->ring)
		ring_quiesce(loop->ring);
	backend_destroy(loop);
	close(loop->stop_fd);
	chunks_free(loop->scratch);
	chunks_free(loop->spare);
	arena_fini(&loop->turn_arena);
	loop->magic = 0;
	mem_free(loop);
}

const struct loop_stats *loop_stats(const struct loop *loop)
{
	return &loop->stats;
}

enum loop_backend loop_backend(const struct loop *loop)
{
	return loop->options.backend;
}

struct loop_buffers loop_buffers(const struct loop *loop)
{
	return loop->ring ? ring_buffers(loop->ring) : (struct loop_buffers){ 0 };
}

struct event_base *loop_event_base(struct loop *loop)
{
	return loop->base;
}
