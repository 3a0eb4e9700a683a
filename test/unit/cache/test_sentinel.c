/* SPDX-License-Identifier: PostgreSQL */
/* A set under real Sentinels: the master is found and followed, passwords on both sides. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>

#include "base/hash.h"
#include "net/loop.h"
#include "peer.h"
#include "redis_server.h"

enum { SENTINELS = 3 };

static struct loop *loop;
static struct redis_server servers[2], sentinels[SENTINELS];
static struct peer a, b;

#define expect(got, want) cr_assert_str_eq(got, want)

static void under_sentinel(struct cache_options *o)
{
	o->redis.mode = CACHE_REDIS_SENTINEL;
	o->redis.master = "main";
	o->redis.password = "data";
	o->redis.sentinel_password = "guard";
	o->redis.seed_count = SENTINELS + 1;
	o->redis.seeds[0].port = 1; /* nobody there */
	for (unsigned i = 0; i < SENTINELS; i++)
		o->redis.seeds[i + 1] = (struct cache_seed){ "127.0.0.1", sentinels[i].port };
}

static void start_sentinel(struct redis_server *s)
{
	char text[768];

	snprintf(text, sizeof text,
	         "sentinel monitor main 127.0.0.1 %u 2\nsentinel down-after-milliseconds main 500\n"
	         "sentinel failover-timeout main 3000\nsentinel auth-pass main data\n"
	         "sentinel sentinel-pass guard\nrequirepass guard",
	         servers[0].port);
	redis_server_start_sentinel(s, text);
}

static void until_replica_is_up(void)
{
	char reply[4096];

	for (unsigned i = 0; i < 3000; i++) {
		redis_server_command(&servers[1], reply, sizeof reply, "INFO replication");
		if (strstr(reply, "master_link_status:up"))
			return;
		usleep(20000);
	}
	cr_assert_fail("no replica: %s", reply);
}

/* Every sentinel knows the two others and the replica: it can decide. */
static void until_sentinels_agree(void)
{
	char reply[4096];

	for (unsigned i = 0; i < SENTINELS; i++)
		for (unsigned n = 0; n < 3000; n++) {
			redis_server_command(&sentinels[i], reply, sizeof reply, "INFO sentinel");
			if (strstr(reply, "slaves=1,sentinels=3"))
				break;
			usleep(20000);
		}
	cr_assert(strstr(reply, "slaves=1,sentinels=3"), "%s", reply);
}

static void start(void)
{
	char text[256];

	redis_server_start_with(&servers[0], "requirepass data\nmasterauth data", "data");
	snprintf(text, sizeof text,
	         "requirepass data\nmasterauth data\nreplicaof 127.0.0.1 %u\n"
	         "repl-diskless-sync-delay 0",
	         servers[0].port);
	redis_server_start_with(&servers[1], text, "data");
	until_replica_is_up();
	for (unsigned i = 0; i < SENTINELS; i++)
		start_sentinel(&sentinels[i]);
	until_sentinels_agree();
	hash_seed_init();
	loop = loop_create(&(struct loop_options){ .tick_ms = 1 });
	peer_open(&a, loop, 1, under_sentinel);
	peer_open(&b, loop, 1, under_sentinel);
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
	for (unsigned i = 0; i < SENTINELS; i++)
		redis_server_stop(&sentinels[i]);
	redis_server_stop(&servers[0]);
	redis_server_stop(&servers[1]);
}

static bool reaches_redis(void *arg)
{
	struct peer *p = arg;
	bool is_asked = peer_start(p, 999, 999, 0) == CACHE_PENDING;

	if (is_asked)
		cache_lookup_cancel(&p->lookup);
	return is_asked;
}

static bool has_followed(void *arg)
{
	char name[32];

	snprintf(name, sizeof name, "127.0.0.1:%u", servers[1].port);
	return strcmp(peer_stats(arg).nodes[0].name, name) == 0 && peer_stats(arg).redis_connected &&
	       reaches_redis(arg);
}

/* And both have made up for what the old master may not have passed on. */
static void follow(void)
{
	run_until(loop, has_followed, &a);
	run_until(loop, has_followed, &b);
	run_for_ms(loop, 300);
}

static void fill(struct peer *p, const char *text)
{
	expect(peer_ask(p, 1, 10), "miss");
	cr_assert_neq(p->fill.shared_sum, 0);
	peer_fill(p, text);
	run_for_ms(loop, 50);
}

/* What the other one stored is on its way for as long as the machine is busy. */
static void expect_shared(struct peer *p)
{
	const char *result = peer_ask(p, 1, 10);

	for (int i = 0; i < 60 && strcmp(result, "hit-redis") != 0; i++) {
		run_for_ms(loop, 50);
		result = peer_ask(p, 1, 10);
	}
	expect(result, "hit-redis");
}

Test(sentinel, the_master_is_found, .init = start, .fini = stop)
{
	fill(&a, "1");
	expect_shared(&b);
	peer_change(&b, 10);
	run_for_ms(loop, 100);
	expect(peer_ask(&a, 1, 10), "miss");
	cr_assert_eq(peer_stats(&a).redis_errors, 0);
}

/* The old master is killed; what it took last isn't on the replica. */
Test(sentinel, a_failover_is_followed, .init = start, .fini = stop)
{
	char reply[64];

	fill(&a, "old");
	expect_shared(&b);
	run_for_ms(loop, 1100); /* on the replica too */
	redis_server_pause(&servers[1]);
	redis_server_command(&servers[0], reply, sizeof reply, "CLIENT KILL TYPE replica");
	expect(reply, "1");
	peer_change(&a, 10);
	run_for_ms(loop, 50);
	redis_server_kill(&servers[0]);
	redis_server_resume(&servers[1]);
	follow();
	for (unsigned i = 0; i < 3; i++) {
		expect(peer_ask(&b, 1, 10), "miss");
		expect(peer_ask(&a, 1, 10), "miss");
	}
	fill(&a, "new");
	expect_shared(&b);
	expect(b.text, "new");
}

/* In order, by hand: told by +switch-master or by the old master's role. */
Test(sentinel, a_switch_by_hand_is_followed, .init = start, .fini = stop)
{
	char reply[128];

	fill(&a, "old");
	redis_server_command(&sentinels[0], reply, sizeof reply, "SENTINEL FAILOVER main");
	expect(reply, "OK");
	follow();
	expect(peer_ask(&b, 1, 10), "miss");
	fill(&b, "new");
	expect_shared(&a);
	peer_change(&a, 10);
	run_for_ms(loop, 100);
	expect(peer_ask(&b, 1, 10), "miss");
}

static void wrong_password(struct cache_options *o)
{
	under_sentinel(o);
	o->redis.sentinel_password = "wrong";
}

static void wrong_name(struct cache_options *o)
{
	under_sentinel(o);
	o->redis.master = "other";
}

Test(sentinel, who_is_not_told_has_no_redis, .init = start, .fini = stop)
{
	struct peer c, d;

	peer_open(&c, loop, 1, wrong_password);
	peer_open(&d, loop, 1, wrong_name);
	run_for_ms(loop, 1500);
	expect(peer_ask(&c, 1, 10), "miss");
	expect(peer_ask(&d, 1, 10), "miss");
	cr_assert_eq(peer_stats(&c).node_count, 0);
	cr_assert_eq(peer_stats(&d).node_count, 0);
	cr_assert(peer_stats(&c).breaker_open);
	cr_assert_lt(peer_stats(&c).refreshes, 100);
	peer_close(&c);
	peer_close(&d);
}
