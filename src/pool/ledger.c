/* SPDX-License-Identifier: PostgreSQL */
/*
 * The shared books of all pools. An entry lives as long as a worker has its
 * pool or a mail names it, a group as long as it has an entry or a client.
 */
#include "pool/ledger.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/hash.h"
#include "base/map.h"
#include "base/mem.h"

struct ledger_group { /* all entries of one database, or of one user */
	struct map_node map;
	char *name; /* owned; 'd' or 'u' in front */
	uint32_t entries;
	uint32_t open;
	uint32_t clients;
	_Atomic uint32_t starved; /* waiters that this limit keeps waiting */
};

struct ledger_entry {
	struct map_node map;
	struct ledger *ledger; /* borrowed: owns us */
	struct ledger_group *database, *user; /* borrowed: same life */
	uint16_t node_id;
	uint32_t refs;
	struct ledger_limits limits;
	uint32_t open, connecting;
	struct list waiters;
	_Atomic uint32_t turn;                      /* of the node's hosts */
	_Atomic uint32_t waiting;                   /* waiters.count, readable without the mutex */
	_Atomic uint32_t kept;                      /* servers */
	_Atomic(enum ledger_keeping) keeping;
	_Atomic uint32_t idle[LEDGER_WORKERS_MAX];
};

struct ledger {
	pthread_mutex_t mutex;
	unsigned workers;
	uint64_t tickets;
	struct map entries, groups;
};

struct entry_key {
	struct ledger_group *database, *user;
	uint16_t node_id;
};

static bool entry_equal(const struct map_node *node, const void *key)
{
	const struct ledger_entry *e = map_entry(node, struct ledger_entry, map);
	const struct entry_key *k = key;

	return e->database == k->database && e->user == k->user && e->node_id == k->node_id;
}

static bool group_equal(const struct map_node *node, const void *key)
{
	return strcmp(map_entry(node, struct ledger_group, map)->name, key) == 0;
}

struct ledger *ledger_create(unsigned workers)
{
	struct ledger *l = mem_zalloc(sizeof *l);

	WEIR_ASSERT(workers >= 1 && workers <= LEDGER_WORKERS_MAX);
	l->workers = workers;
	pthread_mutex_init(&l->mutex, NULL);
	map_init(&l->entries, entry_equal);
	map_init(&l->groups, group_equal);
	return l;
}

void ledger_destroy(struct ledger *l)
{
	struct map_node *node;

	if (!l)
		return;
	while ((node = map_next(&l->entries, NULL)) != NULL) {
		map_remove(&l->entries, node);
		mem_free(map_entry(node, struct ledger_entry, map));
	}
	while ((node = map_next(&l->groups, NULL)) != NULL) {
		struct ledger_group *g = map_entry(node, struct ledger_group, map);

		map_remove(&l->groups, node);
		mem_free(g->name);
		mem_free(g);
	}
	map_fini(&l->entries);
	map_fini(&l->groups);
	pthread_mutex_destroy(&l->mutex);
	mem_free(l);
}

static struct ledger_group *group_find_locked(struct ledger *l, char kind, struct slice name)
{
	char *key = mem_alloc(name.len + 2);
	struct ledger_group *g;
	struct map_node *node;
	uint64_t hash;

	key[0] = kind;
	memcpy(key + 1, name.ptr, name.len);
	key[name.len + 1] = '\0';
	hash = hash_bytes(key, name.len + 1);
	node = map_find(&l->groups, hash, key);
	if (node) {
		mem_free(key);
		return map_entry(node, struct ledger_group, map);
	}
	g = mem_zalloc(sizeof *g);
	g->name = key;
	map_insert(&l->groups, &g->map, hash);
	return g;
}

static void group_put_locked(struct ledger *l, struct ledger_group *g)
{
	if (g->entries || g->clients)
		return;
	WEIR_ASSERT(g->open == 0);
	map_remove(&l->groups, &g->map);
	mem_free(g->name);
	mem_free(g);
}

struct ledger_entry *ledger_entry_find(struct ledger *l, struct slice database, struct slice user,
				       uint16_t node_id)
{
	struct entry_key key = { .node_id = node_id };
	struct ledger_entry *e;
	struct map_node *node;
	uint64_t hash;

	pthread_mutex_lock(&l->mutex);
	key.database = group_find_locked(l, 'd', database);
	key.user = group_find_locked(l, 'u', user);
	hash = hash_combine(hash_combine((uintptr_t)key.database, (uintptr_t)key.user), node_id);
	node = map_find(&l->entries, hash, &key);
	if (node) {
		e = map_entry(node, struct ledger_entry, map);
	} else {
		e = mem_zalloc(sizeof *e);
		e->ledger = l;
		e->database = key.database;
		e->user = key.user;
		e->node_id = node_id;
		list_init(&e->waiters);
		map_insert(&l->entries, &e->map, hash);
		key.database->entries++;
		key.user->entries++;
	}
	e->refs++;
	pthread_mutex_unlock(&l->mutex);
	return e;
}

struct ledger_entry *ledger_entry_get(struct ledger_entry *e)
{
	pthread_mutex_lock(&e->ledger->mutex);
	e->refs++;
	pthread_mutex_unlock(&e->ledger->mutex);
	return e;
}

void ledger_entry_put(struct ledger_entry *e)
{
	struct ledger *l = e->ledger;
	bool is_last;

	pthread_mutex_lock(&l->mutex);
	WEIR_ASSERT(e->refs > 0);
	/* At the end of the process a server may be in a mail that nobody reads: ledger_destroy. */
	is_last = --e->refs == 0 && e->open == 0 && e->waiters.count == 0;
	if (is_last) {
		map_remove(&l->entries, &e->map);
		e->database->entries--;
		e->user->entries--;
		group_put_locked(l, e->database);
		group_put_locked(l, e->user);
	}
	pthread_mutex_unlock(&l->mutex);
	if (is_last)
		mem_free(e);
}

void ledger_set_limits(struct ledger_entry *e, const struct ledger_limits *limits)
{
	pthread_mutex_lock(&e->ledger->mutex);
	e->limits = *limits;
	pthread_mutex_unlock(&e->ledger->mutex);
}

static bool below(uint32_t count, uint32_t limit)
{
	return limit == 0 || count < limit;
}

static bool groups_have_room_locked(const struct ledger_entry *e)
{
	return below(e->database->open, e->limits.max_db_connections) &&
	       below(e->user->open, e->limits.max_user_connections);
}

static bool may_open_locked(const struct ledger_entry *e)
{
	return below(e->open, e->limits.pool_size) && groups_have_room_locked(e);
}

static void set_starved_locked(struct ledger_entry *e, struct ledger_waiter *w, bool is_starved)
{
	if (w->is_starved == is_starved)
		return;
	w->is_starved = is_starved;
	atomic_fetch_add(&e->database->starved, is_starved ? 1u : UINT32_MAX);
	atomic_fetch_add(&e->user->starved, is_starved ? 1u : UINT32_MAX);
}

static void reserve_locked(struct ledger_entry *e)
{
	e->open++;
	e->connecting++;
	e->database->open++;
	e->user->open++;
}

static bool has_reserve_locked(const struct ledger_entry *e)
{
	uint64_t limit = (uint64_t)e->limits.pool_size + e->limits.reserve_size;

	return e->limits.pool_size && e->open < limit && groups_have_room_locked(e);
}

/* One connection attempt per waiter at most, and only below the limits. */
static bool open_for_waiters_locked(struct ledger_entry *e)
{
	if (e->connecting >= e->waiters.count || !may_open_locked(e))
		return false;
	reserve_locked(e);
	return true;
}

static void publish_waiting_locked(struct ledger_entry *e)
{
	atomic_store(&e->waiting, (uint32_t)e->waiters.count);
}

static int find_idle(struct ledger_entry *e, unsigned except)
{
	for (unsigned i = 0; i < e->ledger->workers; i++)
		if (i != except && atomic_load(&e->idle[i]) > 0)
			return (int)i;
	return LEDGER_NO_WORKER;
}

struct ledger_advice ledger_wait(struct ledger_entry *e, struct ledger_waiter *w)
{
	struct ledger_advice advice = { .steal_from = LEDGER_NO_WORKER };

	WEIR_ASSERT(w->state == WAITER_NONE);
	pthread_mutex_lock(&e->ledger->mutex);
	w->state = WAITER_QUEUED;
	w->ticket = ++e->ledger->tickets;
	list_append(&e->waiters, &w->node);
	publish_waiting_locked(e);
	if (open_for_waiters_locked(e)) {
		advice.open = e;
		advice.open_worker = w->worker;
	} else if ((advice.steal_from = find_idle(e, w->worker)) == LEDGER_NO_WORKER &&
		   below(e->open, e->limits.pool_size) && e->connecting < e->waiters.count) {
		advice.evict = true;
		set_starved_locked(e, w, true);
	}
	pthread_mutex_unlock(&e->ledger->mutex);
	return advice;
}

struct ledger_advice ledger_use_room(struct ledger_entry *e)
{
	struct ledger_advice advice = { .steal_from = LEDGER_NO_WORKER };

	pthread_mutex_lock(&e->ledger->mutex);
	if (open_for_waiters_locked(e)) {
		advice.open = e;
		advice.open_worker = list_entry(list_first(&e->waiters), struct ledger_waiter,
						node)->worker;
	}
	pthread_mutex_unlock(&e->ledger->mutex);
	return advice;
}

bool ledger_unwait(struct ledger_entry *e, struct ledger_waiter *w)
{
	bool was_queued;

	pthread_mutex_lock(&e->ledger->mutex);
	was_queued = w->state == WAITER_QUEUED;
	if (was_queued) {
		list_remove(&e->waiters, &w->node);
		publish_waiting_locked(e);
		set_starved_locked(e, w, false);
		w->state = WAITER_NONE;
	}
	pthread_mutex_unlock(&e->ledger->mutex);
	return was_queued;
}

struct ledger_waiter *ledger_next(struct ledger_entry *e)
{
	struct ledger_waiter *w = NULL;
	struct list_node *n;

	pthread_mutex_lock(&e->ledger->mutex);
	n = list_pop(&e->waiters);
	if (n) {
		w = list_entry(n, struct ledger_waiter, node);
		w->state = WAITER_GRANTED;
		publish_waiting_locked(e);
		set_starved_locked(e, w, false);
	}
	pthread_mutex_unlock(&e->ledger->mutex);
	return w;
}

bool ledger_has_waiters(const struct ledger_entry *e)
{
	return atomic_load(&e->waiting) > 0;
}

bool ledger_reserve(struct ledger_entry *e)
{
	bool may;

	pthread_mutex_lock(&e->ledger->mutex);
	may = may_open_locked(e);
	if (may)
		reserve_locked(e);
	pthread_mutex_unlock(&e->ledger->mutex);
	return may;
}

bool ledger_reserve_least(struct ledger_entry *e, uint32_t least)
{
	bool may;

	pthread_mutex_lock(&e->ledger->mutex);
	may = e->open < least && may_open_locked(e);
	if (may)
		reserve_locked(e);
	pthread_mutex_unlock(&e->ledger->mutex);
	return may;
}

struct ledger_advice ledger_wait_long(struct ledger_entry *e)
{
	struct ledger_advice advice = { .steal_from = LEDGER_NO_WORKER };
	struct list_node *first;

	pthread_mutex_lock(&e->ledger->mutex);
	first = list_first(&e->waiters);
	if (first && e->connecting < e->waiters.count && has_reserve_locked(e)) {
		reserve_locked(e);
		advice.open = e;
		advice.open_worker = list_entry(first, struct ledger_waiter, node)->worker;
	}
	pthread_mutex_unlock(&e->ledger->mutex);
	return advice;
}

void ledger_connected(struct ledger_entry *e)
{
	pthread_mutex_lock(&e->ledger->mutex);
	WEIR_ASSERT(e->connecting > 0);
	e->connecting--;
	pthread_mutex_unlock(&e->ledger->mutex);
}

void ledger_replace(struct ledger_entry *e)
{
	pthread_mutex_lock(&e->ledger->mutex);
	WEIR_ASSERT(e->open > e->connecting);
	e->connecting++;
	pthread_mutex_unlock(&e->ledger->mutex);
}

void ledger_check_begun(struct ledger_entry *e)
{
	pthread_mutex_lock(&e->ledger->mutex);
	e->connecting++;
	pthread_mutex_unlock(&e->ledger->mutex);
}

bool ledger_is_starving(const struct ledger_entry *e)
{
	return atomic_load_explicit(&e->database->starved, memory_order_relaxed) ||
	       atomic_load_explicit(&e->user->starved, memory_order_relaxed);
}

bool ledger_share_limit(const struct ledger_entry *a, const struct ledger_entry *b)
{
	return a->database == b->database || a->user == b->user;
}

static const struct ledger_waiter *first_waiter_locked(const struct ledger_entry *e)
{
	const struct list_node *n = list_first(&e->waiters);

	return n ? list_entry(n, struct ledger_waiter, node) : NULL;
}

/* Whose turn it is, of two entries with waiters: who has fewer, else who asked first. */
static bool is_before_locked(const struct ledger_entry *a, const struct ledger_entry *b)
{
	if (a->open != b->open)
		return a->open < b->open;
	return first_waiter_locked(a)->ticket < first_waiter_locked(b)->ticket;
}

/* An entry whose waiters may have the room that became free; its slot is reserved. */
static struct ledger_entry *find_openable_locked(struct ledger_entry *e)
{
	struct ledger_entry *best = NULL;

	map_foreach(&e->ledger->entries, n) {
		struct ledger_entry *other = map_entry(n, struct ledger_entry, map);

		if (ledger_share_limit(e, other) && other->connecting < other->waiters.count &&
		    may_open_locked(other) && (!best || is_before_locked(other, best)))
			best = other;
	}
	if (best)
		reserve_locked(best);
	return best;
}

/* `other` waits at a full common limit, and closing one here would bring both closer. */
static bool is_owed_locked(const struct ledger_entry *e, const struct ledger_entry *other)
{
	const struct ledger_waiter *w = first_waiter_locked(other);
	const struct ledger_waiter *own = first_waiter_locked(e);

	if (other == e || !w || !ledger_share_limit(e, other) || groups_have_room_locked(other) ||
	    !below(other->open, other->limits.pool_size))
		return false;
	return other->open + 1 < e->open || (other->open == 0 && (!own || w->ticket < own->ticket));
}

bool ledger_must_yield(struct ledger_entry *e)
{
	bool must = false;

	pthread_mutex_lock(&e->ledger->mutex);
	map_foreach(&e->ledger->entries, n) {
		must = is_owed_locked(e, map_entry(n, struct ledger_entry, map));
		if (must)
			break;
	}
	pthread_mutex_unlock(&e->ledger->mutex);
	return must;
}

struct ledger_advice ledger_closed(struct ledger_entry *e, bool was_connecting)
{
	struct ledger_advice advice = { .steal_from = LEDGER_NO_WORKER };

	pthread_mutex_lock(&e->ledger->mutex);
	WEIR_ASSERT(e->open > 0 && e->database->open > 0 && e->user->open > 0);
	e->open--;
	e->database->open--;
	e->user->open--;
	if (was_connecting) {
		WEIR_ASSERT(e->connecting > 0);
		e->connecting--;
	}
	if (!was_connecting && (advice.open = find_openable_locked(e)) != NULL)
		advice.open_worker = list_entry(list_first(&advice.open->waiters),
						struct ledger_waiter, node)->worker;
	pthread_mutex_unlock(&e->ledger->mutex);
	return advice;
}

void ledger_set_idle(struct ledger_entry *e, unsigned worker, uint32_t idle)
{
	atomic_store(&e->idle[worker], idle);
}

enum ledger_keeping ledger_keeping(const struct ledger_entry *e)
{
	return atomic_load_explicit(&e->keeping, memory_order_relaxed);
}

void ledger_count_kept(struct ledger_entry *e, bool is_kept)
{
	atomic_fetch_add_explicit(&e->kept, is_kept ? 1u : UINT32_MAX, memory_order_relaxed);
}

void ledger_keep_always(struct ledger_entry *e)
{
	if (ledger_keeping(e) != LEDGER_KEEPS_ALWAYS)
		atomic_store(&e->keeping, LEDGER_KEEPS_ALWAYS);
}

uint32_t ledger_kept_count(const struct ledger_entry *e)
{
	return atomic_load_explicit(&e->kept, memory_order_relaxed);
}

bool ledger_keep_no_longer(struct ledger_entry *e)
{
	enum ledger_keeping was = LEDGER_KEEPS_FOR_NOW;

	return atomic_compare_exchange_strong(&e->keeping, &was, LEDGER_KEEPS_NONE);
}

uint32_t ledger_open_count(const struct ledger_entry *e)
{
	uint32_t n;

	pthread_mutex_lock(&e->ledger->mutex);
	n = e->open;
	pthread_mutex_unlock(&e->ledger->mutex);
	return n;
}

bool ledger_is_over(const struct ledger_entry *e)
{
	bool is_over;

	pthread_mutex_lock(&e->ledger->mutex);
	is_over = e->limits.pool_size && e->open > e->limits.pool_size + e->limits.reserve_size;
	pthread_mutex_unlock(&e->ledger->mutex);
	return is_over;
}

uint32_t ledger_take_turn(struct ledger_entry *e)
{
	return atomic_fetch_add_explicit(&e->turn, 1, memory_order_relaxed);
}

uint32_t ledger_turn(const struct ledger_entry *e)
{
	return atomic_load_explicit(&e->turn, memory_order_relaxed);
}

void ledger_turn_over(struct ledger_entry *e, uint32_t turn)
{
	(void)atomic_compare_exchange_strong_explicit(&e->turn, &turn, turn + 1, memory_order_relaxed,
						      memory_order_relaxed);
}

enum ledger_full ledger_sit(struct ledger *l, struct slice database, struct slice user,
			    const struct ledger_bounds *bounds, struct ledger_seats *seats)
{
	enum ledger_full full = LEDGER_HAS_ROOM;
	struct ledger_group *d = seats->database, *u = seats->user;

	pthread_mutex_lock(&l->mutex);
	if (!seats->taken) {
		d = group_find_locked(l, 'd', database);
		u = group_find_locked(l, 'u', user);
	}
	if (!below(d->clients, bounds->max_database)) {
		full = LEDGER_DATABASE_FULL;
	} else if (!below(u->clients, bounds->max_user)) {
		full = LEDGER_USER_FULL;
	} else {
		d->clients++;
		u->clients++;
		*seats = (struct ledger_seats){ d, u, seats->taken + 1 };
	}
	group_put_locked(l, d);
	group_put_locked(l, u);
	pthread_mutex_unlock(&l->mutex);
	return full;
}

void ledger_rise(struct ledger *l, struct ledger_seats *seats)
{
	WEIR_ASSERT(seats->taken > 0);
	pthread_mutex_lock(&l->mutex);
	WEIR_ASSERT(seats->database->clients > 0 && seats->user->clients > 0);
	seats->database->clients--;
	seats->user->clients--;
	group_put_locked(l, seats->database);
	group_put_locked(l, seats->user);
	pthread_mutex_unlock(&l->mutex);
	if (--seats->taken == 0)
		*seats = (struct ledger_seats){ NULL, NULL, 0 };
}
