/* SPDX-License-Identifier: PostgreSQL */
/*
 * A cache of two workers with Redis behind it, whose every answer comes when
 * the input says, as it should or otherwise. The first byte says how many Redis
 * and which kind; then come steps of two bytes or more.
 *
 * What is asked for is the number of changes so far. Whoever asks is never
 * told an older number than this process had made known when it asked: not
 * while Redis is slow, away, restarted or redirects. Only who is lied to may be.
 */
#include <netdb.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "cache/cache.h"
#include "fuzz/fake_time.h"
#include "fuzz/tiny_redis.h"
#include "net/loop_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	INPUT_MAX = 1024,
	STEPS_MAX = 160,
	WORKERS = 2,
	ASKERS = 4,
	TABLES = 2,
	ROUNDS = 6,
	ROWS_BYTES = 128,
	TTL_MS = 30000,
	MS = 1000,
};

/* The low three bits of a step's first byte; the high ones are its number. */
enum {
	STEP_ANSWER,
	STEP_ANSWER_ALL,
	STEP_ASK,
	STEP_STORE,
	STEP_CHANGE,
	STEP_TIME,
	STEP_FAULT,
	STEP_LIE,
};

struct asker {
	struct cache_lookup lookup;
	struct cache_fill fill;
	bool is_waiting, has_fill;
	unsigned key;
	uint64_t then; /* the number when it asked; of its fill: when that began */
};

static struct {
	struct loop *loop;
	struct cache *cache;
	struct cache_worker *workers[WORKERS];
	struct asker askers[ASKERS];
	uint64_t changes[TABLES];
	bool is_honest; /* Redis has answered nothing but the truth */
} it;

/* No name is known: nobody outside is asked or connected to. */
int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                struct addrinfo **found)
{
	(void)host;
	(void)service;
	(void)hints;
	(void)found;
	return EAI_NONAME;
}

/* Key 0 is of the first table, 1 of the second, 2 of both. */
static bool key_has(unsigned key, unsigned table)
{
	return key == 2 || key == table;
}

static uint64_t number_of(unsigned key)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < TABLES; i++)
		sum += key_has(key, i) ? it.changes[i] : 0;
	return sum;
}

static struct cache_deps deps_of(unsigned key)
{
	struct cache_deps deps = { .database = slice_str("c/d") };

	for (unsigned i = 0; i < TABLES; i++)
		if (key_has(key, i))
			deps.tables[deps.table_count++] = 100 + i;
	return deps;
}

/* A DataRow of the number and a CommandComplete. */
static struct slice rows_of(uint64_t number, char out[ROWS_BYTES])
{
	static const char start[] = "D\0\0\0\x12\0\1\0\0\0\x08", end[] = "C\0\0\0\x0dSELECT 1\0";

	memcpy(out, start, sizeof start - 1);
	memcpy(out + sizeof start - 1, &number, sizeof number);
	memcpy(out + sizeof start - 1 + sizeof number, end, sizeof end - 1);
	return slice_of(out, sizeof start + sizeof number + sizeof end - 2);
}

static void check_entry(const struct asker *a, struct cache_entry *entry)
{
	struct slice rows = cache_entry_rows(entry);
	char expected[ROWS_BYTES];
	uint64_t number;

	if (it.is_honest) {
		WEIR_ASSERT(rows.len == rows_of(0, expected).len);
		memcpy(&number, rows.ptr + 11, sizeof number);
		WEIR_ASSERT(number >= a->then && number <= number_of(a->key));
	}
	cache_entry_put(&entry);
}

static void take(struct asker *a, enum cache_result result, struct cache_entry *entry)
{
	a->is_waiting = result == CACHE_PENDING;
	if (result == CACHE_HIT) {
		check_entry(a, entry);
	} else if (result == CACHE_MISS) {
		a->has_fill = true;
		a->then = number_of(a->key); /* what its query finds */
	}
}

static void on_done(struct cache_lookup *lookup, enum cache_result result,
                    struct cache_entry *entry)
{
	take(list_entry(lookup, struct asker, lookup), result, entry);
}

static void ask(struct asker *a, unsigned key, struct cache_worker *w)
{
	struct hash128 hash = { 7, key };
	struct cache_deps deps = deps_of(key);
	struct cache_entry *entry = NULL;
	enum cache_result result;

	if (a->is_waiting)
		cache_lookup_cancel(&a->lookup);
	*a = (struct asker){ .key = key, .then = number_of(key), .lookup.on_done = on_done };
	result = cache_lookup_start(w, &a->lookup, &hash, &deps, 0, &a->fill, &entry);
	take(a, result, entry);
}

static void store(struct asker *a, struct cache_worker *w)
{
	char rows[ROWS_BYTES];

	if (!a->has_fill)
		return;
	a->has_fill = false;
	cache_store(w, &a->fill, UINT64_MAX, slice_of("", 0), rows_of(a->then, rows));
}

static void change(uint8_t what, struct cache_worker *w)
{
	struct cache_deps deps = deps_of(what % 3);

	for (unsigned i = 0; i < TABLES; i++)
		it.changes[i] += what & 4 || key_has(what % 3, i);
	if (what & 4)
		deps.table_count = 0;
	deps.is_ddl = what & 8;
	if (what & 16)
		cache_void_cluster(it.cache, slice_str("c"));
	cache_invalidate(w, &deps);
}

static void settle(void)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		loop_turn(it.loop, false);
		(void)tiny_redis_read();
	}
}

static void answer_all(void)
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		bool has_answered = false;

		for (unsigned i = 0; i < TINY_CONNS; i++)
			while (tiny_redis_answer(i))
				has_answered = true;
		settle();
		if (!has_answered)
			return;
	}
}

static void fail(unsigned n, uint8_t how)
{
	switch (how % 4) {
	case 0:
		tiny_redis_hang_up(n);
		break;
	case 1:
		tiny_redis_restart();
		break;
	default:
		tiny_redis_redirect(n, how >> 2, how % 4 == 2);
		break;
	}
}

static const uint64_t spans_us[] = { 10 * MS, 25 * MS, 200 * MS, 1100 * MS, 5500 * MS, 40000 * MS };

struct input {
	const uint8_t *at, *end;
};

static uint8_t byte_next(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static void lie(struct input *in, unsigned n, size_t len)
{
	size_t left = (size_t)(in->end - in->at);
	struct slice bytes = slice_of(in->at, len < left ? len : left);

	in->at += bytes.len;
	it.is_honest = false;
	tiny_redis_say(n, bytes);
}

static void step(struct input *in)
{
	uint8_t what = byte_next(in), arg = byte_next(in);
	unsigned n = what >> 3;
	struct cache_worker *w = it.workers[n % WORKERS];

	switch (what & 7) {
	case STEP_ANSWER:
		(void)tiny_redis_answer(n);
		break;
	case STEP_ANSWER_ALL:
		answer_all();
		break;
	case STEP_ASK:
		ask(&it.askers[arg % ASKERS], (arg / ASKERS) % 3, w);
		break;
	case STEP_STORE:
		store(&it.askers[arg % ASKERS], w);
		break;
	case STEP_CHANGE:
		change(arg, w);
		break;
	case STEP_TIME:
		fake_time_pass_us(spans_us[arg % WEIR_COUNTOF(spans_us)]);
		break;
	case STEP_FAULT:
		fail(n, arg);
		break;
	default:
		lie(in, n, arg);
		break;
	}
	settle();
}

static void begin(uint8_t how)
{
	static const enum cache_redis_mode modes[] = { CACHE_REDIS_SINGLE, CACHE_REDIS_CLUSTER,
		                                           CACHE_REDIS_SENTINEL };
	struct cache_options o = {
		.local_bytes = 65536, .entry_bytes = 1024, .ttl_ms = TTL_MS, .min_hits = 1,
		.admission_window_ms = 10000,
		.redis = { .mode = modes[how % 3], .seed_count = 1, .prefix = "p", .timeout_ms = 20,
		           .password = how & 4 ? "secret" : NULL, .master = "m" },
	};

	log_set_level(LOG_LEVEL_ERROR);
	(void)log_open_file("/dev/null");
	fake_time_begin();
	tiny_redis_begin();
	memset(&it, 0, sizeof it);
	it.is_honest = true;
	o.redis.seeds[0] = (struct cache_seed){ tiny_redis_path(0), TINY_PORT };
	it.loop = loop_create(&(struct loop_options){ .backend = LOOP_EPOLL, .read_bytes = 4096 });
	it.cache = cache_create(&o);
	for (unsigned i = 0; i < WORKERS; i++)
		it.workers[i] = cache_worker_create(it.cache, it.loop);
}

static void end(void)
{
	for (unsigned i = 0; i < ASKERS; i++)
		if (it.askers[i].is_waiting)
			cache_lookup_cancel(&it.askers[i].lookup);
	for (unsigned i = 0; i < WORKERS; i++)
		cache_worker_destroy(it.workers[i]);
	cache_destroy(it.cache);
	loop_destroy(it.loop);
	tiny_redis_end();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };
	uint8_t how = byte_next(&in);

	if (size < 3 || size > INPUT_MAX)
		return 0;
	begin(how);
	if (how & 8) { /* most inputs are about what comes when all is up */
		fake_time_pass_us(spans_us[1]);
		answer_all();
	}
	for (unsigned i = 0; i < STEPS_MAX && in.at < in.end; i++)
		step(&in);
	end();
	return 0;
}
