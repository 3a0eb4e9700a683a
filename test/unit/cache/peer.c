/* SPDX-License-Identifier: PostgreSQL */
/* Caches under test. One thread; the loop is run in small steps between the steps of a test. */
#include "peer.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/clock.h"
#include "net/loop.h"

enum {
	STEP_US = 5000,
	STEPS_MIN = 40, /* of a longer wait: who gets no processor has had no time */
	LIMIT_US = 60 * 1000 * 1000,
};

struct wait {
	struct loop_timer timer;
	struct loop *loop;
	until_fn *holds;
	void *arg;
	uint64_t end_us;
	unsigned steps; /* to be made even when the time is over */
};

static void on_step(struct loop_timer *timer)
{
	struct wait *w = (struct wait *)(void *)timer;

	w->steps -= w->steps > 0;
	if (w->holds(w->arg) || (!w->steps && clock_monotonic_us() > w->end_us))
		loop_stop(w->loop);
	else
		loop_timer_arm(w->loop, timer, STEP_US, on_step);
}

static bool never(void *arg)
{
	(void)arg;
	return false;
}

static void run(struct loop *loop, until_fn *holds, void *arg, uint64_t limit_us)
{
	uint64_t steps = limit_us / STEP_US;
	struct wait w = {
		.loop = loop,
		.holds = holds,
		.arg = arg,
		.end_us = clock_monotonic_us() + limit_us,
		.steps = steps < STEPS_MIN ? (unsigned)steps : STEPS_MIN,
	};

	loop_timer_arm(loop, &w.timer, 1, on_step);
	loop_run(loop);
}

void run_until(struct loop *loop, until_fn *holds, void *arg)
{
	run(loop, holds, arg, LIMIT_US);
	cr_assert(holds(arg), "it didn't come true in time");
}

void run_for_ms(struct loop *loop, unsigned ms)
{
	run(loop, never, NULL, ms * 1000u);
}

void peer_open(struct peer *p, struct loop *loop, uint16_t port,
               void (*tweak)(struct cache_options *))
{
	struct cache_options options = {
		.local_bytes = 1 << 20,
		.entry_bytes = 4096,
		.ttl_ms = 60000,
		.min_hits = 1,
		.admission_window_ms = 60000,
		.redis = { .seed_count = port ? 1 : 0,
		           .seeds = { { "127.0.0.1", port } },
		           .timeout_ms = 1000,
		           .prefix = "test" },
	};

	memset(p, 0, sizeof *p);
	if (tweak)
		tweak(&options);
	p->loop = loop;
	p->cache = cache_create(&options);
	p->worker = cache_worker_create(p->cache, loop);
}

void peer_close(struct peer *p)
{
	cache_lookup_cancel(&p->lookup);
	cache_worker_destroy(p->worker);
	cache_destroy(p->cache);
}

struct cache_stats peer_stats(struct peer *p)
{
	struct cache_stats s;

	cache_stats(p->cache, &s);
	return s;
}

static bool is_connected(void *arg)
{
	return peer_stats(arg).redis_connected;
}

void peer_until_connected(struct peer *p)
{
	run_until(p->loop, is_connected, p);
}

struct cache_deps deps_of(uint32_t oid)
{
	return (struct cache_deps){ .database = slice_str("main/app"),
		                        .table_count = 1,
		                        .tables = { oid } };
}

static void take_hit(struct peer *p, struct cache_entry *entry)
{
	struct slice rows = cache_entry_rows(entry);

	cr_assert_gt(rows.len, 5);
	snprintf(p->text, sizeof p->text, "%.*s", (int)(rows.len - 5), rows.ptr + 5);
	cache_entry_put(&entry);
}

static void on_done(struct cache_lookup *lookup, enum cache_result result,
                    struct cache_entry *entry)
{
	struct peer *p = (struct peer *)(void *)((char *)lookup - offsetof(struct peer, lookup));

	snprintf(p->result, sizeof p->result, "%s", result == CACHE_HIT ? "hit-redis" : "miss");
	cr_assert_eq(result == CACHE_HIT, entry != NULL);
	if (entry)
		take_hit(p, entry);
	p->is_done = true;
}

enum cache_result peer_start(struct peer *p, uint64_t n, uint32_t oid, uint64_t not_before_us)
{
	struct hash128 key = { n << 40 | n, n };
	struct cache_deps deps = deps_of(oid);
	struct cache_entry *entry = NULL;
	enum cache_result result;

	p->is_done = false;
	p->lookup.on_done = on_done;
	result =
		cache_lookup_start(p->worker, &p->lookup, &key, &deps, not_before_us, &p->fill, &entry);
	snprintf(p->result, sizeof p->result, "%s", result == CACHE_HIT ? "hit" : "miss");
	if (entry)
		take_hit(p, entry);
	return result;
}

static bool is_done(void *arg)
{
	return ((struct peer *)arg)->is_done;
}

const char *peer_ask_since(struct peer *p, uint64_t n, uint32_t oid, uint64_t not_before_us)
{
	if (peer_start(p, n, oid, not_before_us) == CACHE_PENDING)
		run_until(p->loop, is_done, p);
	return p->result;
}

const char *peer_ask(struct peer *p, uint64_t n, uint32_t oid)
{
	return peer_ask_since(p, n, oid, 0);
}

void peer_fill_fresh(struct peer *p, const char *text, uint64_t fresh_as_of_us)
{
	struct buf rows;

	buf_init(&rows, 65536);
	buf_append_u8(&rows, 'C');
	buf_append_u32(&rows, (uint32_t)strlen(text) + 5);
	buf_append(&rows, text, strlen(text) + 1);
	cache_store(p->worker, &p->fill, fresh_as_of_us, slice_of("n\0\0\0\4", 5), buf_slice(&rows));
	buf_fini(&rows);
}

void peer_fill(struct peer *p, const char *text)
{
	peer_fill_fresh(p, text, UINT64_MAX);
}

void peer_change(struct peer *p, uint32_t oid)
{
	struct cache_deps deps = deps_of(oid);

	cache_invalidate(p->worker, &deps);
}
