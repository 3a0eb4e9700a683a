/* SPDX-License-Identifier: PostgreSQL */
/* A pool's lists: which idle server is taken, what other workers see, when one is too old. */
#include "pool/pool.h"

#include "pool/ledger.h"
#include "pool/session.h"
#include "support/fake_clock.h"

#include <criterion/criterion.h>

#include <signal.h>

static struct ledger *ledger;
static struct ledger_entry *entry;
static struct session_table *sessions;
static struct fake_clock now;
static struct pool pool, other;

static void set_up(void)
{
	ledger = ledger_create(2);
	entry = ledger_entry_find(ledger, slice_str("shop"), slice_str("ann"), 1);
	sessions = session_table_create(0);
	fake_clock_init(&now);
	pool_init(&pool, entry, 0, 1);
	pool_init(&other, entry, 1, 1);
}

static void drop(struct server *s)
{
	server_set_state(s, SERVER_CLOSED);
	server_destroy(s);
}

static void empty(struct pool *p)
{
	struct list_node *n;

	for (int state = 0; state < SERVER_CLOSED; state++) {
		while ((n = list_first(&p->by_state[state])) != NULL)
			drop(list_entry(n, struct server, node));
	}
	pool_fini(p);
}

static void tear_down(void)
{
	empty(&pool);
	empty(&other);
	session_table_destroy(sessions);
	ledger_destroy(ledger);
}

TestSuite(pool, .init = set_up, .fini = tear_down);

static struct server *new_idle(const char *work_mem)
{
	struct server *s = server_create(&pool);
	struct session_state *fresh = session_empty(sessions);
	struct session_state *state = session_with(fresh, slice_str("work_mem"), work_mem);

	server_set_session(s, state);
	session_put(&fresh);
	session_put(&state);
	pool_set_idle(&pool, s, fake_clock_advance_s(&now, 1));
	return s;
}

/* How many idle servers a waiter of worker 1 would be sent to worker 0 for. */
static bool others_see_idle(void)
{
	struct ledger_waiter w = { .worker = 1 };
	struct ledger_limits none = { .pool_size = 1 };
	struct ledger_advice advice;

	ledger_set_limits(entry, &none);
	if (ledger_open_count(entry) == 0)
		cr_assert(ledger_reserve(entry));
	advice = ledger_wait(entry, &w);
	ledger_unwait(entry, &w);
	return advice.steal_from == 0;
}

Test(pool, takes_the_newest_idle_one)
{
	struct server *a = new_idle("1"), *b = new_idle("1");

	cr_assert_eq(pool_count(&pool, SERVER_IDLE), 2);
	cr_assert_eq(pool_take(&pool, a->session), b);
	cr_assert_eq(pool_take(&pool, a->session), a);
	cr_assert_null(pool_take(&pool, a->session));
	cr_assert_eq(pool_count(&pool, SERVER_ACTIVE), 2);
	cr_assert_eq(pool_open_count(&pool), 2);
}

Test(pool, round_robin_takes_the_oldest)
{
	struct server *a = new_idle("1"), *b = new_idle("1");

	pool.is_round_robin = true;
	cr_assert_eq(pool_take(&pool, a->session), a);
	pool_set_idle(&pool, a, now.now_us);
	cr_assert_eq(pool_take(&pool, a->session), b);
}

Test(pool, prefers_a_server_with_the_client_s_settings)
{
	struct server *a = new_idle("1"), *b = new_idle("2"), *c = new_idle("3");
	struct session_state *strange = session_empty(sessions);

	cr_assert_eq(pool_take(&pool, a->session), a);
	cr_assert_eq(pool_take(&pool, b->session), b);
	cr_assert_eq(pool_take(&pool, strange), c);
	session_put(&strange);
}

Test(pool, looks_only_so_deep_for_a_match)
{
	struct server *deep = new_idle("deep"), *newest = NULL;

	for (int i = 0; i < POOL_MATCH_DEPTH; i++)
		newest = new_idle("other");
	cr_assert_eq(pool_take(&pool, deep->session), newest);
	cr_assert_eq(pool_take(&pool, deep->session), deep);
}

Test(pool, other_workers_see_whether_there_are_idle_ones)
{
	struct server *s = new_idle("1");

	cr_assert(others_see_idle());
	cr_assert_eq(pool_take(&pool, s->session), s);
	cr_assert_not(others_see_idle());
	pool_set_idle(&pool, s, now.now_us);
	cr_assert(others_see_idle());
}

Test(pool, an_idle_server_moves_to_another_worker)
{
	struct server *s = new_idle("1");

	server_set_state(s, SERVER_MOVING);
	cr_assert_not(others_see_idle());
	server_leave(s);
	cr_assert_eq(pool_open_count(&pool), 0);
	server_move(s, &other);
	pool_set_idle(&other, s, now.now_us);
	cr_assert_eq(pool_take(&other, s->session), s);
	cr_assert_eq(s->pool, &other);
}

Test(pool, a_kept_server_is_nobody_elses)
{
	struct server *s = new_idle("1");

	cr_assert_eq(pool_take(&pool, s->session), s);
	server_set_state(s, SERVER_KEPT);
	cr_assert_not(others_see_idle());
	cr_assert_null(pool_take(&pool, s->session));
	cr_assert_eq(ledger_kept_count(pool.ledger), 1);
	server_set_state(s, SERVER_ACTIVE);
	cr_assert_eq(ledger_kept_count(pool.ledger), 0);
	pool_set_idle(&pool, s, now.now_us);
}

Test(pool, an_active_server_does_not_move, .signal = SIGABRT)
{
	struct server *s = new_idle("1");

	pool_take(&pool, s->session);
	server_set_state(s, SERVER_MOVING);
}

Test(pool, a_closed_server_stays_closed, .signal = SIGABRT)
{
	struct server *s = new_idle("1");

	server_set_state(s, SERVER_CLOSED);
	server_set_state(s, SERVER_IDLE);
}

Test(pool, expires_by_lifetime_idle_time_and_generation)
{
	struct server *s = new_idle("1");
	uint64_t second = 1000000, at;

	s->connected_us = now.now_us;
	s->idle_since_us = now.now_us;
	at = fake_clock_advance_s(&now, 10);
	cr_assert_not(pool_is_expired(s, at, 0, 0));
	cr_assert_not(pool_is_expired(s, at, 11 * second, 11 * second));
	cr_assert(pool_is_expired(s, at, 10 * second, 0));
	cr_assert(pool_is_expired(s, at, 0, 10 * second));
	/* It came from a worker whose clock is a little ahead. */
	s->connected_us = s->idle_since_us = at + 5;
	cr_assert_not(pool_is_expired(s, at, second, second));
	pool.generation++;
	cr_assert(pool_is_expired(s, at, 0, 0));
}

Test(pool, a_cancel_key_is_replaced)
{
	struct server *s = new_idle("1");

	server_set_key(s, 42, slice_of("\0\1\2\3", 4));
	server_set_key(s, 43, slice_of("longer than four", 16));
	cr_assert_eq(s->pid, 43);
	cr_assert(slice_equal(slice_of(s->key, s->key_len), slice_str("longer than four")));
	cr_assert_str_eq(server_state_name(s->state), "idle");
}
