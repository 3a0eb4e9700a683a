/* SPDX-License-Identifier: PostgreSQL */
/* The cache without Redis: what the proxy sees of it, step by step. */
#include "cache/cache.h"

#include <criterion/criterion.h>

#include "base/clock.h"
#include "base/hash.h"
#include "net/loop.h"
#include "peer.h"

static struct loop *loop;
static struct peer p;

static void min_hits_2(struct cache_options *o)
{
	o->min_hits = 2;
}

static void open_plain(void)
{
	hash_seed_init();
	loop = loop_create(&(struct loop_options){ .tick_ms = 1 });
	peer_open(&p, loop, 0, NULL);
}

static void close_all(void)
{
	peer_close(&p);
	loop_destroy(loop);
}

#define expect(got, want) cr_assert_str_eq(got, want)

Test(cache, miss_fill_hit, .init = open_plain, .fini = close_all)
{
	expect(peer_ask(&p, 1, 10), "miss");
	peer_fill(&p, "SELECT 1");
	expect(peer_ask(&p, 1, 10), "hit");
	expect(p.text, "SELECT 1");
	expect(peer_ask(&p, 2, 10), "miss");
	cr_assert_eq(peer_stats(&p).hits_local, 1);
	cr_assert_eq(peer_stats(&p).misses, 2);
	cr_assert_eq(peer_stats(&p).stores, 1);
}

Test(cache, a_change_voids_what_depends_on_it, .init = open_plain, .fini = close_all)
{
	peer_ask(&p, 1, 10);
	peer_fill(&p, "SELECT 1");
	peer_ask(&p, 2, 20);
	peer_fill(&p, "SELECT 2");
	peer_change(&p, 10);
	expect(peer_ask(&p, 1, 10), "miss");
	expect(peer_ask(&p, 2, 20), "hit");
	cr_assert_eq(peer_stats(&p).invalidations, 1);
}

Test(cache, a_change_of_unknown_tables_voids_the_database, .init = open_plain, .fini = close_all)
{
	struct cache_deps all = { .database = slice_str("main/app") };
	struct cache_deps other = { .database = slice_str("main/other") };

	peer_ask(&p, 1, 10);
	peer_fill(&p, "SELECT 1");
	cache_invalidate(p.worker, &other);
	expect(peer_ask(&p, 1, 10), "hit");
	cache_invalidate(p.worker, &all);
	expect(peer_ask(&p, 1, 10), "miss");
}

/* After DDL the oids that a write names may be outdated: it voids the database. */
Test(cache, writes_soon_after_ddl_void_the_database, .init = open_plain, .fini = close_all)
{
	struct cache_deps ddl = { .database = slice_str("main/app"), .is_ddl = true };

	peer_ask(&p, 1, 10);
	peer_fill(&p, "SELECT 1");
	cache_invalidate(p.worker,
	                 &(struct cache_deps){ .database = slice_str("second/app"), .is_ddl = true });
	expect(peer_ask(&p, 1, 10), "hit");
	cache_invalidate(p.worker,
	                 &(struct cache_deps){ .database = slice_str("main/other"), .is_ddl = true });
	expect(peer_ask(&p, 1, 10), "miss");
	peer_fill(&p, "SELECT 1");
	cache_invalidate(p.worker, &ddl);
	expect(peer_ask(&p, 1, 10), "miss");
	peer_fill(&p, "SELECT 2");
	expect(peer_ask(&p, 1, 10), "hit");
	peer_change(&p, 11);
	expect(peer_ask(&p, 1, 10), "miss");
}

Test(cache, a_failover_voids_the_cluster, .init = open_plain, .fini = close_all)
{
	peer_ask(&p, 1, 10);
	peer_fill(&p, "SELECT 1");
	cache_void_cluster(p.cache, slice_str("second"));
	expect(peer_ask(&p, 1, 10), "hit");
	cache_void_cluster(p.cache, slice_str("main"));
	expect(peer_ask(&p, 1, 10), "miss");
}

Test(cache, a_fill_that_a_change_overtook_is_refused, .init = open_plain, .fini = close_all)
{
	peer_ask(&p, 1, 10);
	peer_change(&p, 10);
	peer_fill(&p, "old");
	expect(peer_ask(&p, 1, 10), "miss");
	cr_assert_eq(peer_stats(&p).refused, 1);
}

Test(cache, a_replica_must_be_past_the_last_change, .init = open_plain, .fini = close_all)
{
	uint64_t before, after;

	before = clock_monotonic_us();
	peer_change(&p, 10);
	after = clock_monotonic_us() + 1;
	peer_ask(&p, 1, 10);
	peer_fill_fresh(&p, "lagging", before);
	expect(peer_ask(&p, 1, 10), "miss");
	peer_fill_fresh(&p, "caught up", after);
	expect(peer_ask(&p, 1, 10), "hit");
	expect(p.text, "caught up");
}

/* Before the process started others may have written: a replica that far behind fills nothing. */
Test(cache, a_replica_from_before_the_start_fills_nothing, .init = open_plain, .fini = close_all)
{
	peer_ask(&p, 1, 10);
	peer_fill_fresh(&p, "old", 1);
	expect(peer_ask(&p, 1, 10), "miss");
	peer_fill_fresh(&p, "unknown", 0);
	expect(peer_ask(&p, 1, 10), "miss");
}

Test(cache, a_session_asks_for_newer_entries, .init = open_plain, .fini = close_all)
{
	uint64_t written;

	peer_ask(&p, 1, 10);
	peer_fill(&p, "SELECT 1");
	run_for_ms(loop, 5);
	written = clock_monotonic_us();
	expect(peer_ask_since(&p, 1, 10, written), "miss");
	expect(peer_ask(&p, 1, 10), "hit");
	run_for_ms(loop, 5);
	peer_ask_since(&p, 1, 10, written);
	peer_fill(&p, "SELECT 2");
	expect(peer_ask_since(&p, 1, 10, written), "hit");
}

Test(cache, what_is_no_result_is_refused, .init = open_plain, .fini = close_all)
{
	peer_ask(&p, 1, 10);
	cache_store(p.worker, &p.fill, UINT64_MAX, slice_of("n\0\0\0\4", 5), slice_str("no messages"));
	expect(peer_ask(&p, 1, 10), "miss");
}

Test(cache, hot_keys_only)
{
	hash_seed_init();
	loop = loop_create(&(struct loop_options){ .tick_ms = 1 });
	peer_open(&p, loop, 0, min_hits_2);
	peer_ask(&p, 1, 10);
	cr_assert_not(p.fill.is_admitted);
	peer_fill(&p, "SELECT 1");
	peer_ask(&p, 1, 10);
	cr_assert(p.fill.is_admitted);
	peer_fill(&p, "SELECT 1");
	expect(peer_ask(&p, 1, 10), "hit");
	close_all();
}

Test(cache, ttl_of_the_request, .init = open_plain, .fini = close_all)
{
	p.lookup.ttl_ms = 30;
	peer_ask(&p, 1, 10);
	cr_assert_eq(p.fill.ttl_ms, 30);
	peer_fill(&p, "SELECT 1");
	run_for_ms(loop, 60);
	expect(peer_ask(&p, 1, 10), "miss");
}
