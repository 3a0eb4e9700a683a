/* SPDX-License-Identifier: PostgreSQL */
/*
 * A pgweir as the cache sees it: a cache with one worker on the test's loop.
 * Several of them on one Redis are several processes. Everything ends in a
 * trace of words: hit, miss, hit-redis.
 */
#ifndef WEIR_TEST_UNIT_CACHE_PEER_H
#define WEIR_TEST_UNIT_CACHE_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "cache/cache.h"

struct loop;

struct peer {
	struct loop *loop; /* borrowed */
	struct cache *cache;
	struct cache_worker *worker;
	struct cache_fill fill; /* of the last miss */
	struct cache_lookup lookup;
	char text[256]; /* rows of the last hit, without the header */
	char result[16];
	bool is_done;
};

/* port 0: no Redis. tweak: changes the options before use; may be NULL. */
void peer_open(struct peer *p, struct loop *loop, uint16_t port,
               void (*tweak)(struct cache_options *));
void peer_close(struct peer *p);

typedef bool until_fn(void *arg);
/* Runs the loop until it holds; ends the test after a minute. */
void run_until(struct loop *loop, until_fn *holds, void *arg);
/* And for so many steps that the others get their turns. */
void run_for_ms(struct loop *loop, unsigned ms);
void peer_until_connected(struct peer *p);

struct cache_deps deps_of(uint32_t oid); /* one table of main/app */

/* Asks for key n, which depends on table oid: "hit", "hit-redis" or "miss". */
const char *peer_ask(struct peer *p, uint64_t n, uint32_t oid);
const char *peer_ask_since(struct peer *p, uint64_t n, uint32_t oid, uint64_t not_before_us);
/* Starts only; the result comes with the loop. */
enum cache_result peer_start(struct peer *p, uint64_t n, uint32_t oid, uint64_t not_before_us);
/* Stores `text` for the last miss, as read from the primary. */
void peer_fill(struct peer *p, const char *text);
void peer_fill_fresh(struct peer *p, const char *text, uint64_t fresh_as_of_us);
void peer_change(struct peer *p, uint32_t oid);
struct cache_stats peer_stats(struct peer *p);

#endif
