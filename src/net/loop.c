/* SPDX-License-Identifier: PostgreSQL */
/*
 * The event loop: libevent's wait, and our own end of the turn.
 *
 * A turn is one event_base_loop(EVLOOP_ONCE), which delivers what arrived,
 * then the end phase: connections that asked for attention, one write per
 * dirty connection, closed objects freed, turn memory reset. The end phase
 * repeats until nothing is left, since each step may cause others.
 *
 * Owned by its thread. The base has no locks; the eventfd of loop_stop_post is
 * the only thing another thread touches here.
 */
#include "net/loop.h"

#include <event2/event.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/conn_priv.h"
#include "net/loop_priv.h"

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
	if (o.scratch_bytes < o.read_bytes + LOOP_KEPT_SMALL)
		o.scratch_bytes = o.read_bytes + LOOP_KEPT_SMALL;
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

static void on_stop_event(evutil_socket_t fd, short what, void *arg)
{
	struct loop *loop = arg;
	uint64_t count;

	(void)what;
	if (read(fd, &count, sizeof(count)) < 0)
		return;
	if (atomic_exchange(&loop->is_stop_posted, false))
		loop->is_stopping = true;
}

struct loop *loop_create(const struct loop_options *options)
{
	struct loop *loop = mem_zalloc(sizeof(*loop));

	loop->magic = LOOP_MAGIC;
	loop->options = options_with_defaults(options);
	loop->base = base_create();
	loop->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (!loop->base || loop->stop_fd < 0)
		goto fail;
	list_init(&loop->dirty);
	list_init(&loop->wakes);
	list_init(&loop->again);
	list_init(&loop->deferred);
	arena_init(&loop->turn_arena, LOOP_ARENA_BLOCK);
	event_assign(&loop->stop_event, loop->base, loop->stop_fd, EV_READ | EV_PERSIST, on_stop_event,
	             loop);
	event_add(&loop->stop_event, NULL);
	loop_wheel_init(loop);
	return loop;
fail:
	if (loop->base)
		event_base_free(loop->base);
	if (loop->stop_fd >= 0)
		close(loop->stop_fd);
	mem_free(loop);
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

static void turn_memory_reset(struct loop *loop)
{
	retired_free(loop);
	scratch_reset(loop);
	if (loop->turn_arena.used)
		arena_reset(&loop->turn_arena);
	loop->turn_read_bytes = 0;
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

static void end_turn(struct loop *loop)
{
	struct list_node *n;

	while (loop->wakes.count || loop->dirty.count || loop->deferred.count) {
		while ((n = list_pop(&loop->wakes)))
			conn_wake_run(list_entry(n, struct conn, wake_node));
		while ((n = list_pop(&loop->dirty)))
			conn_flush(list_entry(n, struct conn, dirty_node));
		if (!loop->wakes.count)
			run_deferred(loop);
	}
	turn_memory_reset(loop);
	loop->now_us = 0;
}

static void read_again(struct loop *loop)
{
	for (size_t left = loop->again.count; left > 0 && loop->again.count > 0; left--) {
		struct list_node *n = list_pop(&loop->again);

		conn_read_ready(list_entry(n, struct conn, wake_node));
	}
}

void loop_turn(struct loop *loop, bool is_blocking)
{
	int flags = EVLOOP_ONCE;

	if (!is_blocking || loop->again.count)
		flags |= EVLOOP_NONBLOCK;
	event_base_loop(loop->base, flags);
	loop->stats.turns++;
	read_again(loop);
	end_turn(loop);
}

void loop_run(struct loop *loop)
{
	WEIR_CHECK_MAGIC(loop, LOOP_MAGIC);
	end_turn(loop); /* what was queued before the first wait */
	while (!loop->is_stopping)
		loop_turn(loop, true);
	loop->is_stopping = false;
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
	end_turn(loop);
	loop_wheel_fini(loop);
	event_del(&loop->stop_event);
	event_base_free(loop->base);
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

struct event_base *loop_event_base(struct loop *loop)
{
	return loop->base;
}
