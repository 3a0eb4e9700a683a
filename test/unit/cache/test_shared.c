/* SPDX-License-Identifier: PostgreSQL */
/* The level in Redis on a real server: two pgweirs, a and b, and what can go wrong between them. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/hash.h"
#include "cache/key.h"
#include "net/loop.h"
#include "peer.h"
#include "redis_server.h"

static struct loop *loop;
static struct redis_server server;
static struct peer a, b;

#define expect(got, want) cr_assert_str_eq(got, want)

static char ddl_heard[64];

static void on_ddl(void *ctx, struct slice scope)
{
	(void)ctx;
	snprintf(ddl_heard, sizeof ddl_heard, "[%.*s]", (int)scope.len, scope.ptr);
}

static void hears_ddl(struct cache_options *o)
{
	o->on_ddl = on_ddl;
}

static void start_with(const char *config, void (*tweak)(struct cache_options *))
{
	redis_server_start(&server, config);
	hash_seed_init();
	loop = loop_create(&(struct loop_options){ .tick_ms = 1 });
	peer_open(&a, loop, server.port, tweak);
	peer_open(&b, loop, server.port, tweak);
}

static void start(void)
{
	start_with(NULL, NULL);
	peer_until_connected(&a);
	peer_until_connected(&b);
}

static void stop(void)
{
	if (!loop)
		return;
	peer_close(&a);
	peer_close(&b);
	loop_destroy(loop);
	redis_server_stop(&server);
}

static void short_timeout(struct cache_options *o)
{
	o->redis.timeout_ms = 200;
}

static void fill(struct peer *p, uint64_t n, uint32_t oid, const char *text)
{
	expect(peer_ask(p, n, oid), "miss");
	cr_assert_neq(p->fill.shared_sum, 0);
	peer_fill(p, text);
}

static bool is_disconnected(void *arg)
{
	return !peer_stats(arg).redis_connected;
}

/* The first lookup of p that reaches Redis again. */
static bool reaches_redis(void *arg)
{
	struct peer *p = arg;

	if (peer_start(p, 999, 999, 0) != CACHE_PENDING)
		return false;
	cache_lookup_cancel(&p->lookup);
	return true;
}

Test(shared, one_fills_and_the_other_finds, .init = start, .fini = stop)
{
	fill(&a, 1, 10, "SELECT 1");
	expect(peer_ask(&b, 1, 10), "hit-redis");
	expect(b.text, "SELECT 1");
	expect(peer_ask(&b, 1, 10), "hit-redis"); /* the first one showed b the tokens */
	expect(peer_ask(&b, 1, 10), "hit");
	cr_assert_eq(peer_stats(&b).hits_redis, 2);
	cr_assert_eq(peer_stats(&b).redis_errors, 0);
}

Test(shared, a_change_by_one_voids_at_the_other, .init = start, .fini = stop)
{
	fill(&a, 1, 10, "SELECT 1");
	peer_ask(&b, 1, 10);
	peer_ask(&b, 1, 10);
	expect(peer_ask(&b, 1, 10), "hit");
	peer_change(&a, 10);
	run_for_ms(loop, 100);
	expect(peer_ask(&b, 1, 10), "miss");
	expect(peer_ask(&a, 1, 10), "miss");
	fill(&b, 1, 10, "SELECT 2");
	expect(peer_ask(&a, 1, 10), "hit-redis");
	expect(a.text, "SELECT 2");
}

Test(shared, a_change_of_another_table_voids_nothing, .init = start, .fini = stop)
{
	run_for_ms(loop, 2100); /* after connecting, catalogs are in doubt */
	fill(&a, 1, 10, "SELECT 1");
	peer_change(&b, 11);
	run_for_ms(loop, 50);
	expect(peer_ask(&a, 1, 10), "hit");
	expect(peer_ask(&b, 1, 10), "hit-redis");
}

/* Everybody else is told; oids are in doubt for a while, so writes void the database. */
Test(shared, ddl_of_one_is_heard_by_the_other)
{
	struct cache_deps ddl = { .database = slice_str("main/app"), .is_ddl = true };

	start_with(NULL, hears_ddl);
	peer_until_connected(&a);
	peer_until_connected(&b);
	run_for_ms(loop, 2100); /* a new subscription is in doubt itself */
	fill(&a, 1, 10, "SELECT 1");
	ddl_heard[0] = '\0';
	peer_change(&b, 11);
	run_for_ms(loop, 50);
	expect(ddl_heard, "");
	expect(peer_ask(&a, 1, 10), "hit");
	cache_invalidate(b.worker, &ddl);
	run_for_ms(loop, 50);
	expect(ddl_heard, "[main/app]");
	fill(&a, 1, 10, "SELECT 2");
	expect(peer_ask(&b, 1, 10), "hit-redis");
	peer_change(&a, 11);
	run_for_ms(loop, 50);
	expect(peer_ask(&b, 1, 10), "miss");
	stop();
}

Test(shared, a_failover_voids_everywhere, .init = start, .fini = stop)
{
	fill(&a, 1, 10, "SELECT 1");
	cache_void_cluster(b.cache, slice_str("main"));
	run_for_ms(loop, 100);
	expect(peer_ask(&a, 1, 10), "miss");
	expect(peer_ask(&b, 1, 10), "miss");
}

/* While a change is on its way, its process neither reads nor fills Redis for that table. */
Test(shared, a_change_on_its_way_keeps_its_process_off_redis, .init = start, .fini = stop)
{
	run_for_ms(loop, 2100); /* after connecting, catalogs are in doubt */
	fill(&a, 1, 10, "old");
	peer_change(&a, 10);
	cr_assert_eq(peer_start(&a, 1, 10, 0), CACHE_MISS);
	cr_assert_eq(a.fill.shared_sum, 0);
	cr_assert_eq(peer_start(&a, 1, 11, 0), CACHE_PENDING, "other tables aren't concerned");
	cache_lookup_cancel(&a.lookup);
}

/* The question was asked before the change, the answer comes after it. */
Test(shared, an_answer_that_a_change_overtook_is_a_miss, .init = start, .fini = stop)
{
	fill(&a, 1, 10, "old");
	cr_assert_eq(peer_start(&b, 1, 10, 0), CACHE_PENDING);
	peer_change(&b, 10);
	run_for_ms(loop, 100);
	cr_assert(b.is_done);
	expect(b.result, "miss");
	cr_assert_eq(b.fill.shared_sum, 0);
}

/* a asks, b changes, a's query saw the old row: what a stores is never found. */
Test(shared, a_fill_that_another_process_overtook_is_void, .init = start, .fini = stop)
{
	fill(&a, 1, 10, "SELECT 1");
	fill(&a, 2, 20, "x");
	peer_change(&b, 10);
	run_for_ms(loop, 100);
	expect(peer_ask(&a, 1, 10), "miss");
	peer_change(&b, 10);
	run_for_ms(loop, 100);
	peer_fill(&a, "old");
	run_for_ms(loop, 50);
	expect(peer_ask(&a, 1, 10), "miss");
	expect(peer_ask(&b, 1, 10), "miss");
}

/* b's change is known by its token: a lagging replica's answer isn't stored at all. */
Test(shared, news_found_in_redis_count_as_a_change_now, .init = start, .fini = stop)
{
	uint64_t before;

	fill(&a, 1, 10, "SELECT 1");
	before = clock_monotonic_us();
	peer_change(&b, 10);
	run_for_ms(loop, 100);
	expect(peer_ask(&a, 1, 10), "miss");
	peer_fill_fresh(&a, "from a lagging replica", before);
	expect(peer_ask(&a, 1, 10), "miss");
	expect(peer_ask(&b, 1, 10), "miss");
}

Test(shared, a_session_that_wrote_takes_no_older_entry, .init = start, .fini = stop)
{
	fill(&a, 1, 10, "SELECT 1");
	expect(peer_ask_since(&b, 1, 10, clock_monotonic_us()), "miss");
	expect(peer_ask_since(&b, 1, 10, 0), "hit-redis");
}

Test(shared, the_request_bounds_the_age, .init = start, .fini = stop)
{
	fill(&a, 1, 10, "SELECT 1");
	run_for_ms(loop, 50);
	b.lookup.ttl_ms = 20;
	expect(peer_ask(&b, 1, 10), "miss");
	b.lookup.ttl_ms = 0;
	expect(peer_ask(&b, 1, 10), "hit-redis");
}

Test(shared, a_cancelled_question_is_never_answered, .init = start, .fini = stop)
{
	cr_assert_eq(peer_start(&a, 1, 10, 0), CACHE_PENDING);
	cache_lookup_cancel(&a.lookup);
	cr_assert_null(a.lookup.pending);
	run_for_ms(loop, 50);
	cr_assert_not(a.is_done);
	expect(peer_ask(&a, 1, 10), "miss");
}

/* Every other kind of value, junk, and values over the bound. */
Test(shared, hostile_values_are_misses, .init = start, .fini = stop)
{
	static const char *const commands[] = {
		"LPUSH %s a b",           "HSET %s a b", "SADD %s a", "SET %s junk",
		"SETRANGE %s 50000000 x", "SET %s \x05", "DEL %s",
	};
	char entry[128], reply[128];

	fill(&a, 1, 10, "SELECT 1");
	run_for_ms(loop, 50);
	redis_server_command(&server, entry, sizeof entry, "KEYS test:e:*");
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
		char command[256];

		redis_server_command(&server, reply, sizeof reply, "DEL %s", entry);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(command, sizeof command, commands[i], entry);
#pragma GCC diagnostic pop
		redis_server_command(&server, reply, sizeof reply, "%s", command);
		redis_server_command(&server, reply, sizeof reply, "PEXPIRE %s 60000", entry);
		expect(peer_ask(&b, 1, 10), "miss");
	}
	cr_assert_gt(peer_stats(&b).redis_errors, 0);
	cr_assert_eq(peer_stats(&b).breaker_opens, 0);
}

Test(shared, hostile_generations_are_misses, .init = start, .fini = stop)
{
	static const char *const commands[] = { "LPUSH %s a", "SET %s short", "SETRANGE %s 70000 x" };
	char name[128], reply[128];

	fill(&a, 1, 10, "SELECT 1");
	run_for_ms(loop, 50);
	redis_server_command(&server, name, sizeof name, "KEYS test:g:*");
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
		char command[256];

		redis_server_command(&server, reply, sizeof reply, "DEL %s", name);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(command, sizeof command, commands[i], name);
#pragma GCC diagnostic pop
		redis_server_command(&server, reply, sizeof reply, "%s", command);
		for (unsigned n = 0; n < 3; n++)
			expect(peer_ask(&b, 1, 10), "miss");
	}
}

/* Generations lost from Redis make nothing valid again. */
Test(shared, an_evicted_generation_voids, .init = start, .fini = stop)
{
	char reply[128], entry[128];

	fill(&a, 1, 10, "old");
	run_for_ms(loop, 50);
	redis_server_command(&server, entry, sizeof entry, "KEYS test:e:*");
	redis_server_command(&server, reply, sizeof reply, "RENAME %s kept", entry);
	redis_server_command(&server, reply, sizeof reply,
	                     "EVAL return(redis.call('DEL',unpack(redis.call('KEYS','test:g:*')))) 0");
	redis_server_command(&server, reply, sizeof reply, "RENAME kept %s", entry);
	for (unsigned i = 0; i < 4; i++)
		expect(peer_ask(&b, 1, 10), "miss");
}

Test(shared, a_foreign_message_that_is_not_understood_voids, .init = start, .fini = stop)
{
	char reply[128];

	fill(&a, 1, 10, "SELECT 1");
	expect(peer_ask(&a, 1, 10), "hit");
	redis_server_command(&server, reply, sizeof reply, "PUBLISH test:i pgw9junk");
	run_for_ms(loop, 50);
	expect(peer_ask(&a, 1, 10), "hit-redis"); /* local entries are void, Redis' aren't */
}

Test(shared, a_silent_server_is_skipped_and_comes_back)
{
	start_with(NULL, short_timeout);
	peer_until_connected(&a);
	fill(&a, 1, 10, "SELECT 1");
	redis_server_pause(&server);
	expect(peer_ask(&a, 2, 10), "miss");
	cr_assert_eq(peer_stats(&a).redis_timeouts, 1);
	while (peer_stats(&a).breaker_opens == 0) {
		expect(peer_ask(&a, 2, 10), "miss");
		run_for_ms(loop, 5);
	}
	cr_assert_eq(peer_start(&a, 2, 10, 0), CACHE_MISS, "nobody waits any more");
	cr_assert(peer_stats(&a).breaker_open);
	redis_server_resume(&server);
	run_until(loop, reaches_redis, &a);
	run_until(loop, reaches_redis, &b);
	expect(peer_ask(&b, 1, 10), "hit-redis");
	stop();
}

/* Of the token over everything, as hex. */
static const char *all_name(void)
{
	static char hex[HASH128_HEX_LEN + 1];

	hash128_hex(generation_name(GENERATION_ALL, slice_of("", 0), 0), hex);
	return hex;
}

static void open_anew(void)
{
	peer_open(&a, loop, server.port, NULL);
	peer_open(&b, loop, server.port, NULL);
	peer_until_connected(&a);
	peer_until_connected(&b);
	run_until(loop, reaches_redis, &a);
}

/* Redis restarts with what it had saved. Its run id tells; nothing from before is served. */
Test(shared, a_restarted_server_has_nothing_valid, .init = start, .fini = stop)
{
	fill(&a, 1, 10, "SELECT 1");
	run_for_ms(loop, 50);
	peer_close(&a);
	peer_close(&b);
	redis_server_restart(&server);
	open_anew();
	expect(peer_ask(&a, 1, 10), "miss");
	cr_assert_neq(a.fill.shared_sum, 0, "its generations were saved");
}

/* Who was connected takes it for another server: what that was told may be lost, and is owed. */
Test(shared, a_restart_is_made_up_for, .init = start, .fini = stop)
{
	char before[64], after[64], name[128];

	fill(&a, 1, 10, "SELECT 1");
	run_for_ms(loop, 50);
	redis_server_command(&server, name, sizeof name, "KEYS test:g:%s", all_name());
	redis_server_command(&server, before, sizeof before, "GET %s", name);
	redis_server_restart(&server);
	run_until(loop, is_disconnected, &a);
	peer_until_connected(&a);
	run_until(loop, reaches_redis, &a);
	redis_server_command(&server, after, sizeof after, "GET %s", name);
	cr_assert_str_neq(before, after);
}

static bool is_down(void *arg)
{
	return peer_stats(arg).breaker_open;
}

/*
 * The server is made a replica: it takes no changes, and shows what it had. A change that can't
 * be told by a token is told by a message, after which the old entry isn't served, and within a
 * second nobody uses that server.
 */
Test(shared, a_demoted_master_serves_nothing_old, .init = start, .fini = stop)
{
	char reply[128];

	run_for_ms(loop, 2100); /* after connecting, catalogs are in doubt */
	fill(&a, 1, 10, "old");
	expect(peer_ask(&b, 1, 10), "hit-redis");
	redis_server_command(&server, reply, sizeof reply, "REPLICAOF 127.0.0.1 1");
	peer_change(&a, 10);
	run_for_ms(loop, 100);
	for (unsigned i = 0; i < 5; i++) {
		expect(peer_ask(&b, 1, 10), "miss");
		run_for_ms(loop, 20);
	}
	run_until(loop, is_down, &b);
	run_for_ms(loop, 300);
	cr_assert(peer_stats(&a).breaker_open, "a replica was taken for the master");
	cr_assert(peer_stats(&b).breaker_open, "a replica was taken for the master");
	cr_assert_not(peer_stats(&b).redis_connected);
}

/* The same process is master again: what it has may be older than what another was told. */
Test(shared, a_promoted_server_has_nothing_valid, .init = start, .fini = stop)
{
	char reply[128];

	fill(&a, 1, 10, "old");
	expect(peer_ask(&b, 1, 10), "hit-redis");
	peer_close(&a);
	peer_close(&b);
	redis_server_command(&server, reply, sizeof reply, "REPLICAOF 127.0.0.1 1");
	redis_server_command(&server, reply, sizeof reply, "REPLICAOF NO ONE");
	open_anew();
	expect(peer_ask(&b, 1, 10), "miss");
	expect(peer_ask(&a, 1, 10), "miss");
}

/* Within a beat: the link stays up until its next look. */
Test(shared, a_promotion_is_noticed_while_connected, .init = start, .fini = stop)
{
	char reply[128];

	run_for_ms(loop, 50);
	redis_server_command(&server, reply, sizeof reply, "REPLICAOF 127.0.0.1 1");
	redis_server_command(&server, reply, sizeof reply, "REPLICAOF NO ONE");
	run_until(loop, is_down, &a);
	peer_until_connected(&a);
}

/* A message told of a change that Redis doesn't have: the old entry waits until it has another. */
Test(shared, a_change_that_redis_lost_is_made_up_for, .init = start, .fini = stop)
{
	char reply[128];

	run_for_ms(loop, 2100);
	fill(&a, 1, 10, "old");
	expect(peer_ask(&b, 1, 10), "hit-redis");
	redis_server_command(&server, reply, sizeof reply, "CONFIG SET maxmemory 1");
	peer_change(&a, 10); /* refused for want of memory, but told */
	run_for_ms(loop, 100);
	expect(peer_ask(&b, 1, 10), "miss");
	expect(peer_ask(&b, 1, 10), "miss");
	redis_server_command(&server, reply, sizeof reply, "CONFIG SET maxmemory 0");
	run_until(loop, reaches_redis, &a);
	run_until(loop, reaches_redis, &b);
	expect(peer_ask(&b, 1, 10), "miss");
}

/* What was changed while Redis couldn't be told is void in Redis before it is used again. */
Test(shared, changes_while_away_are_made_up_for, .init = start, .fini = stop)
{
	char reply[128];

	fill(&a, 1, 10, "old");
	run_for_ms(loop, 50);
	redis_server_command(&server, reply, sizeof reply, "CLIENT KILL TYPE normal");
	run_until(loop, is_disconnected, &a);
	peer_change(&a, 10);
	cr_assert_eq(peer_start(&a, 1, 10, 0), CACHE_MISS);
	run_until(loop, reaches_redis, &a);
	expect(peer_ask(&a, 1, 10), "miss");
	run_until(loop, reaches_redis, &b);
	expect(peer_ask(&b, 1, 10), "miss");
}

Test(shared, without_subscription_nothing_lives_long)
{
	start_with("user default on nopass ~* &* +@all -subscribe", NULL);
	run_until(loop, reaches_redis, &a);
	peer_ask(&a, 1, 10);
	peer_fill(&a, "SELECT 1");
	expect(peer_ask(&a, 1, 10), "hit");
	run_for_ms(loop, 1100);
	expect(peer_ask(&a, 1, 10), "miss");
	stop();
}

Test(shared, a_lost_subscription_voids_what_was_stored, .init = start, .fini = stop)
{
	char reply[128];

	peer_ask(&a, 1, 10);
	peer_fill(&a, "SELECT 1");
	expect(peer_ask(&a, 1, 10), "hit");
	redis_server_command(&server, reply, sizeof reply, "CLIENT KILL TYPE pubsub");
	run_until(loop, is_disconnected, &a);
	cr_assert_str_neq(peer_ask(&a, 1, 10), "hit");
}

static void right_password(struct cache_options *o)
{
	o->redis.password = "secret";
}

static void named_user(struct cache_options *o)
{
	o->redis.user = "weir";
	o->redis.password = "other";
}

static void wrong_password(struct cache_options *o)
{
	o->redis.password = "wrong";
}

Test(shared, password)
{
	start_with("requirepass secret", right_password);
	peer_until_connected(&a);
	stop();
}

/* No more rights than README.md asks for. */
Test(shared, user_with_the_rights_of_the_readme)
{
	start_with(
		"user weir on >other ~test:* resetchannels &test:i -@all +auth +info +ping +mget +getrange "
		"+pttl +set +publish +subscribe\nuser default off",
		named_user);
	peer_until_connected(&a);
	fill(&a, 1, 10, "SELECT 1");
	peer_until_connected(&b);
	expect(peer_ask(&b, 1, 10), "hit-redis");
	peer_change(&a, 10);
	run_for_ms(loop, 100);
	expect(peer_ask(&b, 1, 10), "miss");
	cr_assert_eq(peer_stats(&a).redis_errors, 0);
	stop();
}

Test(shared, wrong_or_missing_password_is_a_closed_breaker)
{
	start_with("requirepass secret", wrong_password);
	run_for_ms(loop, 300);
	cr_assert(peer_stats(&a).breaker_open);
	expect(peer_ask(&a, 1, 10), "miss");
	peer_close(&a);
	peer_open(&a, loop, server.port, NULL);
	run_for_ms(loop, 300);
	cr_assert(peer_stats(&a).breaker_open);
	stop();
}
