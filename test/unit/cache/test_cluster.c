/* SPDX-License-Identifier: PostgreSQL */
/*
 * The level in a real Redis Cluster: two pgweirs, a and b, three masters, and
 * what can go wrong with them. Tables have one database, so their tokens are
 * on one master; their entries are on all of them.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/hash.h"
#include "cache/key.h"
#include "cache/slots.h"
#include "net/loop.h"
#include "peer.h"
#include "redis_cluster.h"

enum { KEYS = 30, TABLE = 10 };

static struct loop *loop;
static struct redis_cluster cluster;
static struct peer a, b;
static const char *user, *password;
static unsigned seed; /* the node that is named to them */

#define expect(got, want) cr_assert_str_eq(got, want)

static void in_cluster(struct cache_options *o)
{
	o->redis.mode = CACHE_REDIS_CLUSTER;
	o->redis.user = user;
	o->redis.password = password;
	/* The first seed is nobody, the second a member. */
	o->redis.seeds[0].port = 1;
	o->redis.seeds[1] = (struct cache_seed){ "127.0.0.1", cluster.nodes[seed].port };
	o->redis.seed_count = 2;
}

static void start_with(bool has_replicas, const char *config)
{
	redis_cluster_start(&cluster, 3, has_replicas, config);
	hash_seed_init();
	loop = loop_create(&(struct loop_options){ .tick_ms = 1 });
	peer_open(&a, loop, 1, in_cluster);
	peer_open(&b, loop, 1, in_cluster);
	peer_until_connected(&a);
	peer_until_connected(&b);
	run_for_ms(loop, 2100); /* after connecting, catalogs are in doubt */
}

static void start(void)
{
	start_with(false, NULL);
}

static void start_replicated(void)
{
	start_with(true, NULL);
}

static void stop(void)
{
	if (!loop)
		return;
	peer_close(&a);
	peer_close(&b);
	loop_destroy(loop);
	redis_cluster_stop(&cluster);
}

static void fill(struct peer *p, uint64_t n, const char *text)
{
	expect(peer_ask(p, n, TABLE), "miss");
	cr_assert_neq(p->fill.shared_sum, 0);
	peer_fill(p, text);
}

static void fill_all(struct peer *p, const char *text)
{
	for (uint64_t n = 1; n <= KEYS; n++)
		fill(p, n, text);
	run_for_ms(loop, 50);
}

/* How many of the keys p gets from Redis; each must be `text`. */
static unsigned hits(struct peer *p, const char *text)
{
	unsigned count = 0;

	for (uint64_t n = 1; n <= KEYS; n++) {
		if (strcmp(peer_ask(p, n, TABLE), "miss") == 0)
			continue;
		expect(p->text, text);
		count++;
	}
	return count;
}

static bool reaches_redis(void *arg)
{
	struct peer *p = arg;
	bool is_asked = peer_start(p, 999, 999, 0) == CACHE_PENDING;

	if (is_asked)
		cache_lookup_cancel(&p->lookup);
	return is_asked;
}

static unsigned token_slot(void)
{
	char hex[HASH128_HEX_LEN], key[64];

	hash128_hex(generation_name(GENERATION_DATABASE, slice_str("main/app"), 0), hex);
	snprintf(key, sizeof key, "test:g:{%.*s}x", HASH128_HEX_LEN, hex);
	return slots_of_key(slice_str(key));
}

static unsigned token_master(void)
{
	return redis_cluster_owner(&cluster, token_slot());
}

Test(cluster, slots_are_what_redis_says, .init = start, .fini = stop)
{
	static const char *const keys[] = { "a", "foo", "{foo}bar", "x{}y", "{a", "test:e:00", "}{x}" };

	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		cr_expect_eq(slots_of_key(slice_str(keys[i])), redis_cluster_slot(&cluster, keys[i]), "%s",
		             keys[i]);
}

Test(cluster, one_fills_and_the_other_finds, .init = start, .fini = stop)
{
	struct cache_stats s;

	fill_all(&a, "SELECT 1");
	cr_assert_eq(hits(&b, "SELECT 1"), KEYS);
	s = peer_stats(&b);
	cr_assert_eq(s.hits_redis, KEYS + 0u, "%lu", (unsigned long)s.hits_redis);
	cr_assert_eq(s.redis_errors, 0);
	cr_assert_eq(s.redirections, 0);
	cr_assert_eq(s.node_count, 3);
	for (unsigned i = 0; i < 3; i++)
		cr_assert(s.nodes[i].links_up == 1 && s.nodes[i].is_heard, "%s", s.nodes[i].name);
}

Test(cluster, a_change_voids_at_the_other, .init = start, .fini = stop)
{
	fill_all(&a, "old");
	cr_assert_eq(hits(&b, "old"), KEYS);
	cr_assert_eq(hits(&b, "old"), KEYS);
	peer_change(&a, TABLE);
	run_for_ms(loop, 100);
	cr_assert_eq(hits(&b, "new"), 0);
	cr_assert_eq(hits(&a, "new"), 0);
	fill_all(&b, "new");
	cr_assert_eq(hits(&a, "new"), KEYS);
	cr_assert_eq(peer_stats(&a).redis_errors, 0);
}

/* The whole database, the whole cluster, everything: their tokens are on other masters. */
Test(cluster, wider_changes_void_too, .init = start, .fini = stop)
{
	struct cache_deps database = { .database = slice_str("main/app") };

	fill_all(&a, "1");
	cache_invalidate(b.worker, &database);
	run_for_ms(loop, 100);
	cr_assert_eq(hits(&a, "2"), 0);
	fill_all(&a, "2");
	cache_void_cluster(b.cache, slice_str("main"));
	run_for_ms(loop, 100);
	cr_assert_eq(hits(&a, "3"), 0);
	cr_assert_eq(hits(&b, "3"), 0);
}

/* Every message comes once from each master over the bus; it counts once. */
Test(cluster, copies_of_a_message_void_once, .init = start, .fini = stop)
{
	fill_all(&a, "old");
	cr_assert_eq(hits(&b, "old"), KEYS);
	peer_change(&a, TABLE);
	run_for_ms(loop, 100);
	fill_all(&b, "new");
	cr_assert_eq(hits(&b, "new"), KEYS);
	run_for_ms(loop, 200);
	cr_assert_eq(hits(&b, "new"), KEYS);
	cr_assert_eq(peer_stats(&b).redis_errors, 0);
}

/* --- a master is lost ------------------------------------------------------------------ */

static bool is_told_of(void *arg)
{
	return peer_stats(arg).map_changes >= 2;
}

static void wait_promoted(unsigned replica)
{
	redis_cluster_until_master(&cluster, replica);
	run_until(loop, is_told_of, &a);
	run_until(loop, is_told_of, &b);
	peer_until_connected(&a);
	peer_until_connected(&b);
	run_until(loop, reaches_redis, &a);
	run_until(loop, reaches_redis, &b);
	/* Both make up for what the old master may not have passed on, and note what is news. */
	for (unsigned i = 0; i < 3; i++) {
		run_for_ms(loop, 150);
		peer_ask(&a, KEYS + 1, TABLE);
		peer_ask(&b, KEYS + 1, TABLE);
	}
	run_for_ms(loop, 150);
}

/* Nothing more reaches the replica of this master, not even what waits in a socket. */
static void cut_replica(unsigned m)
{
	char reply[64];

	redis_server_pause(&cluster.nodes[3 + m]);
	redis_server_command(&cluster.nodes[m], reply, sizeof reply, "CLIENT KILL TYPE replica");
	expect(reply, "1");
}

/*
 * The token of a change was acknowledged, but not by the replica, which is promoted then: entries
 * from before the change lie on the masters that are left, and must stay void.
 */
Test(cluster, a_promoted_replica_that_lacks_tokens, .init = start_replicated, .fini = stop)
{
	unsigned m = token_master();

	fill_all(&a, "old");
	cr_assert_eq(hits(&b, "old"), KEYS);
	run_for_ms(loop, 100);
	cut_replica(m);
	peer_change(&a, TABLE);
	run_for_ms(loop, 100);
	cr_assert_eq(hits(&b, "new"), 0, "told by the message");
	redis_server_kill(&cluster.nodes[m]);
	redis_server_resume(&cluster.nodes[3 + m]);
	wait_promoted(3 + m);
	for (unsigned i = 0; i < 3; i++) {
		cr_assert_eq(hits(&a, "new"), 0);
		cr_assert_eq(hits(&b, "new"), 0);
	}
	fill_all(&a, "new");
	cr_assert_eq(hits(&b, "new"), KEYS);
}

/*
 * Nobody is left who knows what was before: what says that the entries are void is only that
 * another server than the one they were made under tells the tokens.
 */
Test(cluster, newcomers_after_a_failover, .init = start_replicated, .fini = stop)
{
	unsigned m = token_master();

	fill_all(&a, "old");
	run_for_ms(loop, 100);
	cut_replica(m);
	peer_change(&a, TABLE);
	run_for_ms(loop, 100);
	peer_close(&a);
	peer_close(&b);
	redis_server_kill(&cluster.nodes[m]);
	redis_server_resume(&cluster.nodes[3 + m]);
	redis_cluster_until_master(&cluster, 3 + m);
	seed = (m + 1) % 3;
	peer_open(&a, loop, 1, in_cluster);
	peer_open(&b, loop, 1, in_cluster);
	peer_until_connected(&a);
	peer_until_connected(&b);
	run_until(loop, reaches_redis, &a);
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(hits(&a, "new"), 0);
}

static bool is_answered(void *arg)
{
	return !((struct peer *)arg)->lookup.pending;
}

/* While a master is silent and then dead, every question is answered in time. */
Test(cluster, nobody_waits_for_a_dead_master, .init = start_replicated, .fini = stop)
{
	unsigned m = token_master();
	uint64_t end_us = clock_monotonic_us() + 4 * 1000 * 1000, longest_us = 0;

	fill_all(&a, "1");
	redis_server_pause(&cluster.nodes[m]);
	while (clock_monotonic_us() < end_us) {
		uint64_t start_us = clock_monotonic_us();

		if (peer_start(&a, 1 + start_us % KEYS, TABLE, 0) == CACHE_PENDING)
			run_until(loop, is_answered, &a);
		start_us = clock_monotonic_us() - start_us;
		longest_us = start_us > longest_us ? start_us : longest_us;
		run_for_ms(loop, 5);
	}
	cr_assert_gt(peer_stats(&a).breaker_opens, 0);
	cr_assert_lt(longest_us, 5 * 1000 * 1000, "the bound is redis.timeout_ms, 1 s");
	redis_server_kill(&cluster.nodes[m]);
	wait_promoted(3 + m);
	fill_all(&a, "2");
	cr_assert_eq(hits(&b, "2"), KEYS);
}

/* Told to a master that is lost before its map is known to be another: owed, and paid. */
Test(cluster, a_change_during_the_failover_is_made_up_for, .init = start_replicated, .fini = stop)
{
	unsigned m = token_master();

	fill_all(&a, "old");
	redis_server_kill(&cluster.nodes[m]);
	run_for_ms(loop, 50);
	peer_change(&a, TABLE);
	wait_promoted(3 + m);
	cr_assert_eq(hits(&b, "new"), 0);
	cr_assert_eq(hits(&a, "new"), 0);
	fill_all(&a, "new");
	cr_assert_eq(hits(&b, "new"), KEYS);
}

/* --- slots move ---------------------------------------------------------------------------- */

static void expect_change_is_seen(const char *text)
{
	peer_change(&a, TABLE);
	run_for_ms(loop, 100);
	cr_assert_eq(hits(&b, text), 0);
	for (uint64_t n = 1; n <= KEYS; n++) {
		peer_ask(&b, n, TABLE);
		peer_fill(&b, text);
	}
	run_for_ms(loop, 50);
}

/* The slot of the tokens, in each phase of its move. */
Test(cluster, the_tokens_slot_moves_while_in_use, .init = start, .fini = stop)
{
	unsigned slot = token_slot(), from = redis_cluster_owner(&cluster, slot), to = (from + 1) % 3;

	fill_all(&a, "0");
	cr_assert_eq(hits(&b, "0"), KEYS);
	redis_cluster_begin_move(&cluster, slot, from, to);
	hits(&a, "0");
	expect_change_is_seen("1");
	redis_cluster_move_keys(&cluster, slot, from, to);
	hits(&a, "1");
	expect_change_is_seen("2");
	cr_assert_gt(peer_stats(&a).redirections, 0, "ASK");
	cr_assert_eq(hits(&a, "2"), KEYS, "ASK is followed");
	redis_cluster_end_move(&cluster, slot, from, to);
	expect_change_is_seen("3");
	run_until(loop, is_told_of, &a);
	run_until(loop, is_told_of, &b);
	expect_change_is_seen("4");
	cr_assert_eq(hits(&a, "4"), KEYS);
	cr_assert_eq(peer_stats(&a).redis_errors, 0);
}

/* Every entry's slot moves; none of it is an error, changes stay seen. */
Test(cluster, entries_slots_move_while_in_use, .init = start, .fini = stop)
{
	char entry[128];

	fill_all(&a, "0");
	for (unsigned from = 0; from < 3; from++) {
		redis_server_command(&cluster.nodes[from], entry, sizeof entry, "KEYS test:e:*");
		if (strcmp(entry, "nil") == 0)
			continue;
		redis_cluster_move_slot(&cluster, redis_cluster_slot(&cluster, entry), from,
		                        (from + 1) % 3);
		cr_assert_eq(hits(&b, "0"), KEYS);
	}
	cr_assert_gt(peer_stats(&b).redirections, 0);
	cr_assert_eq(peer_stats(&b).redis_errors, 0);
	run_for_ms(loop, 800); /* the map is read again: results are stored only where it says */
	expect_change_is_seen("1");
	cr_assert_eq(hits(&a, "1"), KEYS);
}

/* Refreshes are bounded however often a wrong map is noticed. */
Test(cluster, refreshes_are_rate_limited, .init = start, .fini = stop)
{
	uint64_t before, start_us, most;

	run_for_ms(loop, 500);
	before = peer_stats(&a).refreshes;
	start_us = clock_monotonic_us();
	for (unsigned i = 0; i < 3; i++)
		redis_cluster_begin_move(&cluster, token_slot(), token_master(), (token_master() + 1) % 3);
	redis_server_kill(&cluster.nodes[0]);
	for (unsigned i = 0; i < 100; i++) {
		peer_ask(&a, i + 1, TABLE);
		peer_change(&a, TABLE);
		run_for_ms(loop, 10);
	}
	most = (clock_monotonic_us() - start_us) / (20 * 1000) + 5;
	cr_assert_leq(peer_stats(&a).refreshes - before, most, "about one per NEXT_US at most");
}

/* No more rights than README.md asks for. */
Test(cluster, user_with_the_rights_of_the_readme)
{
	user = "weir";
	password = "other";
	start_with(false, "user weir on >other ~test:* resetchannels &test:i -@all +auth +info +ping "
	                  "+mget +getrange +pttl +set +publish +subscribe +cluster|info "
	                  "+cluster|slots +asking");
	fill_all(&a, "1");
	cr_assert_eq(hits(&b, "1"), KEYS);
	expect_change_is_seen("2");
	cr_assert_eq(peer_stats(&a).redis_errors, 0);
	cr_assert_eq(peer_stats(&b).redis_errors, 0);
	stop();
}
