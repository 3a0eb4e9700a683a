/* SPDX-License-Identifier: PostgreSQL */
/*
 * One look-up in Redis: MGET of the generations, PTTL and GETRANGE of the
 * entry, sent together, one round trip. A single server is asked all of it in
 * one request; in a cluster there is a question per slot, each to its master,
 * redirections followed within the time that the whole look-up has.
 *
 * Generations may be read in any order and at different moments: tokens never
 * repeat, so each of them equal to the entry's says that its thing didn't
 * change from the fill to a moment after this look-up began. PTTL stands
 * before GETRANGE: a life no longer than the entry's own. GETRANGE bounds what
 * a huge value can cost.
 *
 * A lookup belongs to its asker until it is answered, cancelled or timed out;
 * after that it only waits, without an owner, for its replies to pass.
 *
 * An answer counts only if this process changed nothing meanwhile: the local
 * generations are those of the start and nothing is pending or owed. Tokens
 * that are new to us mean that another process changed the table: noted as a
 * change now, so that a replica behind this moment can't fill the store; the
 * entry waits until that news is old. Tokens that are older than what a message
 * told mean that Redis lost the change, and are set anew.
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

enum {
	LOOKUPS_MAX = 1024,
	DEAF_TTL_MS = 1000,
	QUESTIONS_MAX = 4, /* everything, the cluster, the database with its tables, the entry */
	REDIRECTS_MAX = 3,
	REPAIR_US = 100 * 1000,
};

/* What one master is asked: some of the names' tokens, or the entry. */
struct question {
	struct link_request request;
	struct lookup *lookup;
	struct node *node;
	unsigned first, count; /* of the names; count 0: the entry */
	unsigned replies, redirects;
	bool is_asking;   /* ASKING goes in front of each command */
	bool is_moved;    /* to where `to` says */
	struct redirect to; /* its host is `host` */
	char host[SLOTS_HOST_MAX];
	char incarnation[2 * GREET_ID_LEN]; /* of the server, as it answered: the node may go */
};

struct lookup {
	struct loop_timer timer;
	struct list_node idle;
	struct cache_worker *worker;
	struct cache_lookup *owner; /* NULL: nobody waits any more */
	struct cache_fill *fill;    /* the owner's */
	uint64_t not_before_us, started_us;
	uint32_t ttl_ms;
	unsigned question_count, open; /* not answered yet */
	bool is_failed;                /* some generation isn't known */
	bool is_entry_known;           /* entry holds it: it came before the generations */
	uint64_t shared_sum;           /* 0: not known */
	int64_t life_left_ms;
	struct buf entry;
	struct tables_view view;
	unsigned name_count;
	struct hash128 names[SHARED_NAMES_MAX];
	uint8_t tokens[SHARED_NAMES_MAX][SHARED_TOKEN_BYTES]; /* same order */
	struct question questions[QUESTIONS_MAX];
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
	l->shared_sum = 0;
	l->life_left_ms = 0;
	l->is_failed = l->is_entry_known = false;
	l->question_count = 0;
	w->lookups++;
	return l;
}

static void lookup_give_back(struct lookup *l)
{
	loop_timer_cancel(&l->timer);
	buf_fini(&l->entry);
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

	struct node *late[QUESTIONS_MAX];
	unsigned count = 0;

	worker_count(w, COUNT_REDIS_TIMEOUTS);
	for (unsigned i = 0; i < l->question_count; i++)
		if (list_node_linked(&l->questions[i].request.node))
			late[count++] = l->questions[i].node;
	fill_begin(w, &l->view, l->fill);
	answer(l, NULL);
	for (unsigned i = 0; i < count; i++)
		link_timed_out(&late[i]->link); /* may end every lookup, this one included */
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

static const struct hash128 *database_of(const struct lookup *l, unsigned name)
{
	return name >= NAME_DATABASE ? &l->names[NAME_DATABASE] : NULL;
}

/*
 * Things that never changed, or whose token was evicted, get one now. If somebody
 * else is faster it stays unused, and what is stored under it is never found.
 */
static struct slice give_token(struct question *q, unsigned i)
{
	struct lookup *l = q->lookup;
	const struct cache *c = l->worker->cache;
	struct slice token = shared_token_new(l->worker->cache, l->tokens[i]);
	char key[SHARED_KEY_MAX];

	shared_set_token(q->node, shared_token_key(c, database_of(l, i), l->names[i], key), token,
	                 true);
	shared_send_and_forget(q->node);
	return token;
}

/* False: it isn't a token. */
static bool take_token(struct question *q, unsigned i, const struct redis_value *v)
{
	if (v->type == REDIS_TYPE_NIL) {
		give_token(q, i);
		return true;
	}
	if (v->type != REDIS_TYPE_STRING || v->text.len != SHARED_TOKEN_BYTES)
		return false;
	memcpy(q->lookup->tokens[i], v->text.ptr, SHARED_TOKEN_BYTES);
	return true;
}

static void take_tokens(struct question *q, const struct redis_reply *reply)
{
	bool is_complete = reply->value.type == REDIS_TYPE_ARRAY && reply->count == q->count;
	const struct greet *server = &q->node->link.greet;

	memcpy(q->incarnation, server->run_id, GREET_ID_LEN);
	memcpy(q->incarnation + GREET_ID_LEN, server->replid, GREET_ID_LEN);
	for (unsigned i = 0; is_complete && i < q->count; i++)
		is_complete = take_token(q, q->first + i, &reply->elements[i]);
	if (is_complete)
		return;
	q->lookup->is_failed = true;
	worker_count(q->lookup->worker, COUNT_REDIS_ERRORS);
}

/*
 * One digest of all tokens, the names they belong to and the incarnations of the servers that
 * told them. A server that was restarted or promoted may lack the last tokens, so nothing that
 * stands on what the former one said is valid under its word.
 */
static void make_sum(struct lookup *l)
{
	struct blake2 sum;
	uint8_t digest[sizeof l->shared_sum];

	blake2_init(&sum, sizeof digest);
	for (unsigned i = 0; i < l->question_count; i++) {
		const struct question *q = &l->questions[i];

		if (q->count > 0)
			blake2_update_part(&sum, slice_of(q->incarnation, sizeof q->incarnation));
		for (unsigned n = q->first; n < q->first + q->count; n++) {
			blake2_update_u64(&sum, l->names[n].hi);
			blake2_update_u64(&sum, l->names[n].lo);
			blake2_update_part(&sum, slice_of(l->tokens[n], SHARED_TOKEN_BYTES));
		}
	}
	blake2_final(&sum, digest);
	memcpy(&l->shared_sum, digest, sizeof digest);
	if (l->shared_sum == 0)
		l->shared_sum = 1;
}

static struct tables_slot *slot_of(struct lookup *l, unsigned name)
{
	return name == NAME_ALL ? l->worker->cache->all : l->view.slots[name - 1];
}

/* Redis lost the change that a message told of: another token voids what stands on the old one. */
static void repair(struct lookup *l, unsigned name)
{
	const struct cache_deps *deps = &l->fill->deps;
	struct cache_worker *w = l->worker;
	uint64_t now_us = loop_now_us(w->loop);

	if (tables_told_us(slot_of(l, name)) >= l->started_us || now_us - w->repaired_us < REPAIR_US)
		return; /* asked before it was told: the next look-up will tell */
	w->repaired_us = now_us;
	switch (name) {
	case NAME_ALL:
		publish_owe(w->cache);
		break;
	case NAME_CLUSTER:
		publish_change(w, GENERATION_CLUSTER, tables_cluster_of(deps->database), 0);
		break;
	case NAME_DATABASE:
		publish_change(w, GENERATION_DATABASE, deps->database, 0);
		break;
	default:
		publish_change(w, GENERATION_TABLE, deps->database, deps->tables[name - NAME_DATABASE - 1]);
		break;
	}
	publish_flush(w);
}

/* The worst of what the tokens say. */
static enum tables_token note_tokens(struct lookup *l)
{
	struct cache *c = l->worker->cache;
	uint64_t now_us = clock_monotonic_us();
	enum tables_token worst = TOKEN_KNOWN;

	for (unsigned i = 0; i < l->name_count; i++) {
		uint64_t hash = shared_token_hash(slice_of(l->tokens[i], SHARED_TOKEN_BYTES));
		enum tables_token is = tables_token_shown(slot_of(l, i), hash, now_us);

		if (i == NAME_ALL && (is == TOKEN_FIRST || is == TOKEN_NEWS))
			tables_change_all(c->tables, now_us);
		if (is == TOKEN_BEHIND)
			repair(l, i);
		worst = is > worst ? is : worst;
	}
	return worst;
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
static struct cache_entry *judge(struct lookup *l, struct slice bytes)
{
	struct cache *c = l->worker->cache;
	struct local_terms terms = { .key = l->fill->key,
		                         .identity = l->view.identity,
		                         .generation_sum = l->fill->generation_sum };
	bool is_current = tables_sum(c->tables, &l->view) == terms.generation_sum &&
	                  !tables_is_pending(&l->view) && shared_is_usable(l->worker);
	struct cache_entry *entry;
	enum tables_token tokens;

	if (!is_current || l->is_failed) {
		fill_begin(l->worker, &l->view, l->fill);
		return NULL;
	}
	make_sum(l);
	tokens = note_tokens(l);
	fill_begin(l->worker, &l->view, l->fill);
	if (tokens == TOKEN_BEHIND)
		return NULL;
	l->fill->shared_sum = l->shared_sum;
	if (tokens == TOKEN_NEWS)
		return NULL;
	entry = accept_entry(l, bytes, &terms);
	if (entry && tokens == TOKEN_KNOWN) /* else its sum is void already */
		local_insert(c->local, entry);
	return entry;
}

/* bytes: of the entry, empty: there is none. */
static void finish(struct lookup *l, struct slice bytes)
{
	answer(l, l->owner ? judge(l, bytes) : NULL);
	lookup_give_back(l);
}

/* One of its links went down. */
static void give_up(struct lookup *l)
{
	l->is_failed = true;
	if (!l->owner)
		return;
	fill_begin(l->worker, &l->view, l->fill);
	answer(l, NULL);
}

static struct slice hold(struct lookup *l, struct slice bytes)
{
	buf_append_slice(&l->entry, bytes);
	l->is_entry_known = true;
	return bytes;
}

/* The reply to GETRANGE: what there is, kept if other replies are still to come. */
static struct slice take_entry(struct lookup *l, const struct redis_value *v)
{
	if (v->type == REDIS_TYPE_STRING)
		return l->open > 1 && l->owner ? hold(l, v->text) : v->text;
	if (!redis_error_is(v, "TRYAGAIN"))
		worker_count(l->worker, COUNT_REDIS_ERRORS);
	return slice_of("", 0);
}

static bool ask(struct question *q);

/* Asks there; false: it can't be had. */
static bool follow(struct question *q)
{
	struct node *to = node_of_redirect(q->node, &q->to);

	if (!to || !link_has_room(&to->link) || ++q->redirects > REDIRECTS_MAX)
		return false;
	q->node = to;
	q->is_asking = q->to.is_ask;
	return ask(q);
}

/* True: the reply isn't one of the commands' own. */
static bool is_passed_over(struct question *q, const struct redis_value *v)
{
	unsigned at = q->replies - q->request.remaining; /* from 1 */

	if (q->is_asking && at % 2 == 1)
		return true;
	if (!shared_take_redirect(q->lookup->worker, v, &q->to))
		return false;
	q->is_moved = true;
	memcpy(q->host, q->to.host.ptr, q->to.host.len);
	q->to.host.ptr = q->host;
	return true;
}

static void on_reply(struct link_request *self, const struct redis_reply *reply)
{
	struct question *q = list_entry(self, struct question, request);
	struct lookup *l = q->lookup;
	struct slice bytes = slice_of("", 0);

	if (!reply)
		give_up(l);
	else if (is_passed_over(q, &reply->value))
		bytes.len = 0;
	else if (q->count > 0)
		take_tokens(q, reply);
	else if (q->request.remaining > 0) {
		if (reply->value.type == REDIS_TYPE_INTEGER)
			l->life_left_ms = reply->value.integer;
	} else {
		bytes = take_entry(l, &reply->value);
	}
	if (reply && q->request.remaining > 0)
		return;
	if (reply && q->is_moved) {
		if (l->owner && follow(q))
			return;
		l->is_failed = true;
	}
	if (--l->open == 0)
		finish(l, l->is_entry_known ? buf_slice(&l->entry) : bytes);
}

static void add_command(struct question *q, size_t argc, const struct slice *argv)
{
	struct slice asking = slice_str("ASKING");

	if (q->is_asking)
		link_add(&q->node->link, 1, &asking);
	link_add(&q->node->link, argc, argv);
	q->replies += q->is_asking ? 2 : 1;
}

static void add_mget(struct question *q)
{
	const struct lookup *l = q->lookup;
	char keys[SHARED_NAMES_MAX][SHARED_KEY_MAX];
	struct slice mget[SHARED_NAMES_MAX + 1] = { slice_str("MGET") };

	for (unsigned i = 0; i < q->count; i++)
		mget[i + 1] = shared_token_key(l->worker->cache, database_of(l, q->first + i),
		                               l->names[q->first + i], keys[i]);
	add_command(q, q->count + 1, mget);
}

static void add_entry(struct question *q)
{
	const struct cache *c = q->lookup->worker->cache;
	char key[SHARED_KEY_MAX], last[24];
	struct slice entry = shared_entry_key(c, q->lookup->fill->key, key);
	int last_len =
		snprintf(last, sizeof last, "%zu", c->options.entry_bytes + SHARED_ENTRY_OVERHEAD);

	add_command(q, 2, (struct slice[]){ slice_str("PTTL"), entry });
	add_command(q, 4,
	            (struct slice[]){ slice_str("GETRANGE"), entry, slice_str("0"),
	                              slice_of(last, (size_t)last_len) });
}

static bool ask(struct question *q)
{
	q->replies = 0;
	q->is_moved = false;
	q->request.on_reply = on_reply;
	if (q->count > 0)
		add_mget(q);
	else
		add_entry(q);
	return link_send(&q->node->link, &q->request, q->replies);
}

/* A question about these names, or the entry; false: its master can't be asked now. */
static bool plan(struct lookup *l, unsigned first, unsigned count)
{
	struct question *q = &l->questions[l->question_count];
	struct cache *c = l->worker->cache;
	char text[SHARED_KEY_MAX];
	struct slice key = slice_str("");

	if (c->is_cluster && count > 0)
		key = shared_token_key(c, database_of(l, first), l->names[first], text);
	else if (c->is_cluster)
		key = shared_entry_key(c, l->fill->key, text);
	q->node = node_of_key(l->worker, key);
	if (!q->node || !link_has_room(&q->node->link))
		return false;
	q->lookup = l;
	q->first = first;
	q->count = count;
	q->redirects = 0;
	q->is_asking = false;
	l->question_count++;
	return true;
}

static bool plan_all(struct lookup *l)
{
	if (!l->worker->cache->is_cluster)
		return plan(l, 0, l->name_count) && plan(l, 0, 0);
	return plan(l, NAME_ALL, 1) & plan(l, NAME_CLUSTER, 1) &
	       plan(l, NAME_DATABASE, l->name_count - NAME_DATABASE) & plan(l, 0, 0);
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
	l->started_us = loop_now_us(w->loop);
	l->ttl_ms = fill->ttl_ms;
	l->name_count = shared_names(&fill->deps, l->names);
	tables_resolve(w->cache->tables, &fill->deps, &l->view);
	buf_init(&l->entry, w->cache->options.entry_bytes + SHARED_ENTRY_OVERHEAD);
	if (!plan_all(l)) {
		l->owner = NULL;
		lookup_give_back(l);
		return false;
	}
	l->open = l->question_count;
	for (unsigned i = 0; i < l->question_count; i++)
		if (!ask(&l->questions[i]))
			WEIR_ASSERT(false); /* its link was ready a moment ago */
	lookup->pending = l;
	loop_timer_arm(w->loop, &l->timer, (uint64_t)w->cache->options.redis.timeout_ms * 1000,
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
	char text[SHARED_KEY_MAX], life[24];
	struct slice key = shared_entry_key(c, fill->key, text);
	struct node *n = node_of_key(w, key);
	struct buf doc;
	int life_len;

	if (age_us / 1000 >= fill->ttl_ms || !n || !link_has_room(&n->link))
		return;
	buf_init(&doc, c->options.entry_bytes + SHARED_ENTRY_OVERHEAD);
	if (shared_entry_encode(&e, &doc)) {
		life_len = snprintf(life, sizeof life, "%" PRIu64, fill->ttl_ms - age_us / 1000);
		link_add(&n->link, 5,
		         (struct slice[]){ slice_str("SET"), key, buf_slice(&doc), slice_str("PX"),
		                           slice_of(life, (size_t)life_len) });
		shared_send_and_forget(n);
	}
	buf_fini(&doc);
}
