/* SPDX-License-Identifier: PostgreSQL */
/*
 * One question to Redis: MGET of the generations, PTTL and GETRANGE of the
 * entry, sent together, one round trip. In that order: the entry is judged by
 * generations read before it and by a life no longer than its own, whatever
 * happens between the three. GETRANGE bounds what a huge value can cost.
 *
 * A lookup belongs to its asker until it is answered, cancelled or timed out;
 * after that it only waits, without an owner, for its replies to pass.
 *
 * An answer counts only if this process changed nothing meanwhile: the local
 * generations are those of the start and nothing is pending or owed. Tokens
 * that are new to us mean that another process changed the table: noted as a
 * change now, so that a replica behind this moment can't fill the store.
 *
 * The worker's thread.
 */
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "cache/blake2.h"
#include "cache/entry.h"
#include "cache/local.h"
#include "cache/rules.h"
#include "cache/shared.h"

#include <inttypes.h>
#include <stdio.h>

enum { LOOKUPS_MAX = 1024, DEAF_TTL_MS = 1000 };

enum stage { STAGE_TOKENS, STAGE_LIFE, STAGE_ENTRY };

struct lookup {
	struct link_request request;
	struct loop_timer timer;
	struct list_node idle;
	struct cache_worker *worker;
	struct cache_lookup *owner; /* NULL: nobody waits any more */
	struct cache_fill *fill;    /* the owner's */
	uint64_t not_before_us;
	uint32_t ttl_ms;
	enum stage stage;
	uint64_t shared_sum; /* 0: some generation isn't known */
	int64_t life_left_ms;
	struct tables_view view;
	unsigned name_count;
	struct hash128 names[SHARED_NAMES_MAX];
	uint64_t tokens[SHARED_NAMES_MAX]; /* hashes, same order; set with shared_sum */
};

uint64_t shared_expiry_us(const struct cache *c, uint64_t from_us, uint32_t ttl_ms)
{
	if (c->has_redis && !atomic_load(&c->is_hearing) && ttl_ms > DEAF_TTL_MS)
		ttl_ms = DEAF_TTL_MS;
	return from_us + (uint64_t)ttl_ms * 1000;
}

void fill_begin(struct cache_worker *w, const struct tables_view *view, struct cache_fill *fill)
{
	fill->started_us = loop_now_us(w->loop);
	fill->generation_sum = tables_sum(w->cache->tables, view);
	fill->shared_sum = 0;
}

static struct lookup *lookup_take(struct cache_worker *w)
{
	struct list_node *n = list_pop(&w->idle_lookups);
	struct lookup *l = n ? list_entry(n, struct lookup, idle) : mem_zalloc(sizeof *l);

	l->worker = w;
	l->stage = STAGE_TOKENS;
	l->shared_sum = 0;
	l->life_left_ms = 0;
	w->lookups++;
	return l;
}

static void lookup_give_back(struct lookup *l)
{
	loop_timer_cancel(&l->timer);
	l->worker->lookups--;
	list_append(&l->worker->idle_lookups, &l->idle);
}

void lookup_free_idle(struct cache_worker *w)
{
	struct list_node *n;

	while ((n = list_pop(&w->idle_lookups)))
		mem_free(list_entry(n, struct lookup, idle));
}

/* Ends the waiting; entry is a reference for the owner. */
static void answer(struct lookup *l, struct cache_entry *entry)
{
	struct cache_lookup *owner = l->owner;

	loop_timer_cancel(&l->timer);
	if (!owner) {
		cache_entry_put(&entry);
		return;
	}
	l->owner = NULL;
	owner->pending = NULL;
	worker_count(l->worker, entry ? COUNT_HITS_REDIS : COUNT_MISSES);
	owner->on_done(owner, entry ? CACHE_HIT : CACHE_MISS, entry);
}

static void on_timeout(struct loop_timer *timer)
{
	struct lookup *l = (struct lookup *)(void *)((char *)timer - offsetof(struct lookup, timer));
	struct cache_worker *w = l->worker;

	worker_count(w, COUNT_REDIS_TIMEOUTS);
	fill_begin(w, &l->view, l->fill);
	answer(l, NULL);
	link_timed_out(&w->commands); /* may end every lookup, this one included */
}

void cache_lookup_cancel(struct cache_lookup *lookup)
{
	struct lookup *l = lookup->pending;

	lookup->pending = NULL;
	if (!l)
		return;
	WEIR_ASSERT(l->owner == lookup);
	l->owner = NULL;
	loop_timer_cancel(&l->timer);
}

/*
 * Things that never changed, or whose token was evicted, get one now. If somebody
 * else is faster it stays unused, and what is stored under it is never found.
 */
static struct slice give_token(struct lookup *l, unsigned i, uint8_t bytes[SHARED_TOKEN_BYTES])
{
	struct slice token = shared_token_new(l->worker->cache, bytes);

	shared_set_token(l->worker, l->names[i], token, true);
	shared_send_and_forget(l->worker);
	return token;
}

/* The token at this place; false: it isn't one. */
static bool take_token(struct lookup *l, unsigned i, const struct redis_value *v,
                       struct blake2 *sum)
{
	uint8_t bytes[SHARED_TOKEN_BYTES];
	struct slice token = v->text;

	if (v->type == REDIS_TYPE_NIL)
		token = give_token(l, i, bytes);
	else if (v->type != REDIS_TYPE_STRING || token.len != SHARED_TOKEN_BYTES)
		return false;
	l->tokens[i] = shared_token_hash(token);
	blake2_update_u64(sum, l->names[i].hi);
	blake2_update_u64(sum, l->names[i].lo);
	blake2_update_part(sum, token);
	return true;
}

/* One digest of all tokens, the names they belong to and the server that told them. */
static void read_tokens(struct lookup *l, const struct redis_reply *reply)
{
	bool is_complete = reply->value.type == REDIS_TYPE_ARRAY && reply->count == l->name_count;
	struct blake2 sum;
	uint8_t digest[sizeof l->shared_sum];

	blake2_init(&sum, sizeof digest);
	blake2_update_part(&sum, slice_str(l->worker->commands.run_id));
	for (unsigned i = 0; is_complete && i < l->name_count; i++)
		is_complete = take_token(l, i, &reply->elements[i], &sum);
	if (!is_complete) {
		worker_count(l->worker, COUNT_REDIS_ERRORS);
		return;
	}
	blake2_final(&sum, digest);
	memcpy(&l->shared_sum, digest, sizeof digest);
	if (l->shared_sum == 0)
		l->shared_sum = 1;
}

/* True if one of them is news: somebody else changed something. */
static bool note_tokens(struct lookup *l)
{
	struct cache *c = l->worker->cache;
	uint64_t now_us = clock_monotonic_us();
	bool is_news = false;

	if (l->shared_sum == 0)
		return false;
	if (tables_token_seen(c->all, l->tokens[0], now_us)) {
		tables_change_all(c->tables, now_us);
		is_news = true;
	}
	for (unsigned i = 1; i < l->name_count; i++)
		is_news |= tables_token_seen(l->view.slots[i - 1], l->tokens[i], now_us);
	return is_news;
}

/* The entry in the reply if it may be served; else NULL. terms: completed except the sum. */
static struct cache_entry *accept_entry(struct lookup *l, struct slice bytes,
                                        struct local_terms *terms)
{
	const struct cache *c = l->worker->cache;
	uint64_t now_us = loop_now_us(l->worker->loop);
	struct shared_entry e;
	uint32_t life_ms;

	if (bytes.len == 0)
		return NULL;
	if (!shared_entry_decode(bytes, &e) || e.key.hi != l->fill->key.hi ||
	    e.key.lo != l->fill->key.lo || e.description.len + e.rows.len > c->options.entry_bytes) {
		worker_count(l->worker, COUNT_REDIS_ERRORS);
		return NULL;
	}
	life_ms = rules_shared_life_ms(&(struct shared_facts){
		.sum_now = l->shared_sum,
		.sum_of_entry = e.shared_sum,
		.life_left_ms = l->life_left_ms,
		.ttl_of_entry_ms = e.ttl_ms,
		.ttl_wanted_ms = l->ttl_ms,
	});
	terms->computed_us = rules_computed_us(e.computed_wall_us, clock_wall_us(), now_us);
	if (life_ms == 0 || terms->computed_us < l->not_before_us)
		return NULL;
	terms->stored_us = clock_monotonic_us();
	terms->expires_us = shared_expiry_us(c, now_us, life_ms);
	return entry_create(terms, e.description, e.rows);
}

/* All replies are there: what the owner gets. Leaves the fill ready for a query. */
static struct cache_entry *judge(struct lookup *l, const struct redis_reply *reply)
{
	struct cache *c = l->worker->cache;
	struct local_terms terms = { .key = l->fill->key,
		                         .identity = l->view.identity,
		                         .generation_sum = l->fill->generation_sum };
	bool is_current = tables_sum(c->tables, &l->view) == terms.generation_sum &&
	                  !tables_is_pending(&l->view) && shared_is_usable(l->worker);
	struct cache_entry *entry = NULL;
	bool is_news;

	if (!is_current) {
		fill_begin(l->worker, &l->view, l->fill);
		return NULL;
	}
	is_news = note_tokens(l);
	fill_begin(l->worker, &l->view, l->fill);
	l->fill->shared_sum = l->shared_sum;
	if (reply->value.type == REDIS_TYPE_STRING)
		entry = accept_entry(l, reply->value.text, &terms);
	else
		worker_count(l->worker, COUNT_REDIS_ERRORS);
	if (entry && !is_news) /* with news its sum is void already */
		local_insert(c->local, entry);
	return entry;
}

static void on_reply(struct link_request *self, const struct redis_reply *reply)
{
	struct lookup *l = list_entry(self, struct lookup, request);

	if (!reply) {
		if (l->owner)
			fill_begin(l->worker, &l->view, l->fill);
		answer(l, NULL);
		lookup_give_back(l);
		return;
	}
	switch (l->stage) {
	case STAGE_TOKENS:
		read_tokens(l, reply);
		l->stage = STAGE_LIFE;
		break;
	case STAGE_LIFE:
		if (reply->value.type == REDIS_TYPE_INTEGER)
			l->life_left_ms = reply->value.integer;
		l->stage = STAGE_ENTRY;
		break;
	case STAGE_ENTRY:
		answer(l, l->owner ? judge(l, reply) : NULL);
		lookup_give_back(l);
		break;
	}
}

static void add_commands(struct lookup *l)
{
	const struct cache *c = l->worker->cache;
	char keys[SHARED_NAMES_MAX][SHARED_KEY_MAX], entry_key[SHARED_KEY_MAX], last[24];
	struct slice mget[SHARED_NAMES_MAX + 1] = { slice_str("MGET") };
	struct slice entry = shared_key(c, 'e', l->fill->key, entry_key);
	int last_len =
		snprintf(last, sizeof last, "%zu", c->options.entry_bytes + SHARED_ENTRY_OVERHEAD);

	for (unsigned i = 0; i < l->name_count; i++)
		mget[i + 1] = shared_key(c, 'g', l->names[i], keys[i]);
	link_add(&l->worker->commands, l->name_count + 1, mget);
	link_add(&l->worker->commands, 2, (struct slice[]){ slice_str("PTTL"), entry });
	link_add(&l->worker->commands, 4,
	         (struct slice[]){ slice_str("GETRANGE"), entry, slice_str("0"),
	                           slice_of(last, (size_t)last_len) });
}

bool lookup_start(struct cache_worker *w, struct cache_lookup *lookup, struct cache_fill *fill,
                  uint64_t not_before_us)
{
	struct lookup *l;

	if (w->lookups >= LOOKUPS_MAX)
		return false;
	l = lookup_take(w);
	l->owner = lookup;
	l->fill = fill;
	l->not_before_us = not_before_us;
	l->ttl_ms = fill->ttl_ms;
	l->name_count = shared_names(&fill->deps, l->names);
	tables_resolve(w->cache->tables, &fill->deps, &l->view);
	l->request.on_reply = on_reply;
	add_commands(l);
	if (!link_send(&w->commands, &l->request, 3)) {
		l->owner = NULL;
		lookup_give_back(l);
		return false;
	}
	lookup->pending = l;
	loop_timer_arm(w->loop, &l->timer, (uint64_t)w->cache->options.redis_timeout_ms * 1000,
	               on_timeout);
	return true;
}

void lookup_store(struct cache_worker *w, const struct cache_fill *fill, struct slice description,
                  struct slice rows)
{
	const struct cache *c = w->cache;
	uint64_t now_us = loop_now_us(w->loop), age_us = now_us - fill->started_us;
	struct shared_entry e = { .key = fill->key,
		                      .shared_sum = fill->shared_sum,
		                      .computed_wall_us = clock_wall_us() - (int64_t)age_us,
		                      .ttl_ms = fill->ttl_ms,
		                      .description = description,
		                      .rows = rows };
	char key[SHARED_KEY_MAX], life[24];
	struct buf doc;
	int life_len;

	if (age_us / 1000 >= fill->ttl_ms)
		return;
	buf_init(&doc, c->options.entry_bytes + SHARED_ENTRY_OVERHEAD);
	if (shared_entry_encode(&e, &doc)) {
		life_len = snprintf(life, sizeof life, "%" PRIu64, fill->ttl_ms - age_us / 1000);
		link_add(&w->commands, 5,
		         (struct slice[]){ slice_str("SET"), shared_key(c, 'e', fill->key, key),
		                           buf_slice(&doc), slice_str("PX"),
		                           slice_of(life, (size_t)life_len) });
		shared_send_and_forget(w);
	}
	buf_fini(&doc);
}
