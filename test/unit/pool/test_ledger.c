/* SPDX-License-Identifier: PostgreSQL */
/* The ledger as traces: who may open, who is served, in which order. */
#include "pool/ledger.h"

#include "support/trace.h"

#include <criterion/criterion.h>

enum { WORKERS = 3 };

static struct ledger *ledger;
static struct ledger_entry *entry;
static struct trace trace;

static void set_up(void)
{
	ledger = ledger_create(WORKERS);
	entry = ledger_entry_find(ledger, slice_str("shop"), slice_str("ann"), 1);
	trace_init(&trace);
}

static void tear_down(void)
{
	trace_fini(&trace);
	ledger_destroy(ledger);
}

TestSuite(ledger, .init = set_up, .fini = tear_down);

static void limit(struct ledger_entry *e, uint32_t pool, uint32_t database, uint32_t user)
{
	struct ledger_limits limits = { .pool_size = pool,
		                            .max_db_connections = database,
		                            .max_user_connections = user };

	ledger_set_limits(e, &limits);
}

static void say(const char *what, struct ledger_advice advice)
{
	if (advice.open)
		trace_add(&trace, "%s: open", what);
	else if (advice.steal_from != LEDGER_NO_WORKER)
		trace_add(&trace, "%s: steal from %d", what, advice.steal_from);
	else
		trace_add(&trace, "%s: wait", what);
}

static void wait_for(struct ledger_entry *e, struct ledger_waiter *w, unsigned worker)
{
	w->worker = (uint16_t)worker;
	say("wait", ledger_wait(e, w));
}

static void serve(const struct ledger_waiter *expected)
{
	cr_assert_eq(ledger_next(entry), expected);
}

Test(ledger, opens_up_to_the_pool_size_and_no_further)
{
	struct ledger_waiter w[4] = { 0 };

	limit(entry, 3, 0, 0);
	for (int i = 0; i < 4; i++)
		wait_for(entry, &w[i], 0);
	trace_expect(&trace, "wait: open\n"
	                     "wait: open\n"
	                     "wait: open\n"
	                     "wait: wait\n");
	cr_assert_eq(ledger_open_count(entry), 3);
	cr_assert_not(ledger_reserve(entry));
}

Test(ledger, opens_one_connection_per_waiter)
{
	struct ledger_waiter first = { 0 }, second = { 0 };

	limit(entry, 10, 0, 0);
	wait_for(entry, &first, 0);
	serve(&first); /* by a server that came free while the new one connects */
	wait_for(entry, &second, 0);
	trace_expect(&trace, "wait: open\n"
	                     "wait: wait\n");
	ledger_connected(entry);
	serve(&second);
	cr_assert_null(ledger_next(entry));
	cr_assert_eq(ledger_open_count(entry), 1);
}

Test(ledger, a_larger_limit_is_for_those_who_wait)
{
	struct ledger_waiter w[4] = { 0 };

	limit(entry, 1, 1, 0);
	for (int i = 0; i < 4; i++)
		wait_for(entry, &w[i], 0);
	say("room", ledger_use_room(entry));
	limit(entry, 3, 0, 0);
	for (int i = 0; i < 3; i++)
		say("room", ledger_use_room(entry));
	trace_expect(&trace, "wait: open\n"
	                     "wait: wait\n"
	                     "wait: wait\n"
	                     "wait: wait\n"
	                     "room: wait\n"
	                     "room: open\n"
	                     "room: open\n"
	                     "room: wait\n");
}

/* A replication connection in the place of the pooled one that its client was granted. */
Test(ledger, a_replaced_connection_keeps_its_slot)
{
	struct ledger_waiter w = { 0 };

	limit(entry, 1, 0, 0);
	cr_assert(ledger_reserve(entry));
	ledger_connected(entry);
	ledger_replace(entry);
	cr_assert_eq(ledger_open_count(entry), 1);
	cr_assert_not(ledger_reserve(entry));
	wait_for(entry, &w, 0);
	trace_expect(&trace, "wait: wait\n");
	ledger_connected(entry);
	cr_assert_eq(ledger_closed(entry, false).open, entry);
}

Test(ledger, serves_in_the_order_of_waiting_over_all_workers)
{
	struct ledger_waiter w[3] = { 0 };

	limit(entry, 1, 0, 0);
	wait_for(entry, &w[0], 2);
	wait_for(entry, &w[1], 0);
	wait_for(entry, &w[2], 1);
	cr_assert(ledger_has_waiters(entry));
	serve(&w[0]);
	serve(&w[1]);
	cr_assert(ledger_has_waiters(entry));
	serve(&w[2]);
	cr_assert_not(ledger_has_waiters(entry));
	cr_assert_eq(w[2].state, WAITER_GRANTED);
}

Test(ledger, advises_to_steal_from_another_worker_only)
{
	struct ledger_waiter w[3] = { 0 };

	limit(entry, 1, 0, 0);
	cr_assert(ledger_reserve(entry));
	ledger_connected(entry);
	ledger_set_idle(entry, 1, 1);
	wait_for(entry, &w[0], 1);
	wait_for(entry, &w[1], 0);
	ledger_set_idle(entry, 1, 0);
	wait_for(entry, &w[2], 0);
	trace_expect(&trace, "wait: wait\n"
	                     "wait: steal from 1\n"
	                     "wait: wait\n");
}

Test(ledger, who_gives_up_is_not_served)
{
	struct ledger_waiter w[2] = { 0 };

	limit(entry, 1, 0, 0);
	wait_for(entry, &w[0], 0);
	wait_for(entry, &w[1], 0);
	cr_assert(ledger_unwait(entry, &w[0]));
	cr_assert_eq(w[0].state, WAITER_NONE);
	serve(&w[1]);
	cr_assert_not(ledger_unwait(entry, &w[1]), "a server is on its way");
	cr_assert_eq(w[1].state, WAITER_GRANTED);
}

Test(ledger, a_closed_connection_is_replaced_while_somebody_waits)
{
	struct ledger_waiter w[2] = { 0 };

	limit(entry, 1, 0, 0);
	wait_for(entry, &w[0], 0);
	ledger_connected(entry);
	serve(&w[0]);
	wait_for(entry, &w[1], 0);
	say("closed", ledger_closed(entry, false));
	ledger_connected(entry);
	serve(&w[1]);
	say("closed", ledger_closed(entry, false));
	trace_expect(&trace, "wait: open\n"
	                     "wait: wait\n"
	                     "closed: open\n"
	                     "closed: wait\n");
	cr_assert_eq(ledger_open_count(entry), 0);
}

Test(ledger, a_failed_connect_is_not_repeated_at_once)
{
	struct ledger_waiter w = { 0 }, later = { 0 };

	limit(entry, 2, 0, 0);
	wait_for(entry, &w, 0);
	say("failed", ledger_closed(entry, true));
	wait_for(entry, &later, 0);
	trace_expect(&trace, "wait: open\n"
	                     "failed: wait\n"
	                     "wait: open\n");
	cr_assert_eq(ledger_open_count(entry), 1);
}

Test(ledger, the_database_limit_counts_all_its_pools)
{
	struct ledger_entry *bob = ledger_entry_find(ledger, slice_str("shop"), slice_str("bob"), 1);
	struct ledger_entry *other = ledger_entry_find(ledger, slice_str("log"), slice_str("bob"), 1);
	struct ledger_waiter w[3] = { 0 };

	limit(entry, 0, 1, 0);
	limit(bob, 0, 1, 0);
	limit(other, 0, 1, 0);
	wait_for(entry, &w[0], 0);
	wait_for(bob, &w[1], 0);
	wait_for(other, &w[2], 0);
	trace_expect(&trace, "wait: open\n"
	                     "wait: wait\n"
	                     "wait: open\n");
}

Test(ledger, the_user_limit_counts_all_its_databases_and_nodes)
{
	struct ledger_entry *node2 = ledger_entry_find(ledger, slice_str("shop"), slice_str("ann"), 2);
	struct ledger_entry *log = ledger_entry_find(ledger, slice_str("log"), slice_str("ann"), 1);

	limit(entry, 0, 0, 2);
	limit(node2, 0, 0, 2);
	limit(log, 0, 0, 2);
	cr_assert(ledger_reserve(entry));
	cr_assert(ledger_reserve(node2));
	cr_assert_not(ledger_reserve(log));
	ledger_connected(entry);
	ledger_closed(entry, false);
	cr_assert(ledger_reserve(log));
}

Test(ledger, a_database_and_a_user_of_one_name_are_two_things)
{
	struct ledger_entry *app = ledger_entry_find(ledger, slice_str("app"), slice_str("x"), 1);
	struct ledger_entry *by_app = ledger_entry_find(ledger, slice_str("y"), slice_str("app"), 1);

	limit(app, 0, 1, 0);
	limit(by_app, 0, 0, 1);
	cr_assert(ledger_reserve(app));
	cr_assert(ledger_reserve(by_app));
}

static struct ledger_entry *bob_of(uint32_t database_limit)
{
	struct ledger_entry *bob = ledger_entry_find(ledger, slice_str("shop"), slice_str("bob"), 1);

	limit(entry, 10, database_limit, 0);
	limit(bob, 10, database_limit, 0);
	return bob;
}

static void open_one(struct ledger_entry *e)
{
	cr_assert(ledger_reserve(e));
	ledger_connected(e);
}

Test(ledger, pools_at_a_common_limit_come_to_equal_shares)
{
	struct ledger_entry *bob = bob_of(3);
	struct ledger_waiter ann[2] = { 0 }, w[2] = { 0 };
	struct ledger_advice advice;

	for (int i = 0; i < 3; i++)
		open_one(entry);
	wait_for(entry, &ann[0], 0);
	wait_for(entry, &ann[1], 0);
	cr_assert_not(ledger_must_yield(entry));
	wait_for(bob, &w[0], 1);
	cr_assert(ledger_must_yield(entry), "bob has none, ann has three");
	advice = ledger_closed(entry, false);
	cr_assert_eq(advice.open, bob, "though ann asked first");
	cr_assert_eq(advice.open_worker, 1);
	ledger_connected(bob);
	cr_assert_eq(ledger_next(bob), &w[0]);
	wait_for(bob, &w[1], 1);
	cr_assert_not(ledger_must_yield(entry), "two and one is even enough");
	cr_assert_not(ledger_must_yield(bob));
}

Test(ledger, with_fewer_connections_than_pools_who_asked_first_is_next)
{
	struct ledger_entry *bob = bob_of(1);
	struct ledger_waiter ann[2] = { 0 }, w = { 0 };

	open_one(entry);
	wait_for(entry, &ann[0], 0);
	wait_for(bob, &w, 0);
	cr_assert_not(ledger_must_yield(entry), "ann asked first");
	serve(&ann[0]);
	wait_for(entry, &ann[1], 0);
	cr_assert(ledger_must_yield(entry), "now bob did");
	cr_assert_eq(ledger_closed(entry, false).open, bob);
}

Test(ledger, no_yielding_to_who_waits_for_his_own_pool)
{
	struct ledger_entry *bob = bob_of(0);
	struct ledger_waiter w = { 0 };

	limit(bob, 1, 0, 0);
	open_one(entry);
	open_one(entry);
	open_one(entry);
	open_one(bob);
	wait_for(bob, &w, 0);
	cr_assert_not(ledger_must_yield(entry));
}

Test(ledger, an_entry_lives_as_long_as_it_is_counted)
{
	const struct ledger_bounds none = { 0 };
	struct ledger_seats seats = { 0 };
	struct ledger_entry *e = ledger_entry_find(ledger, slice_str("made"), slice_str("up"), 1);

	cr_assert_eq(ledger_sit(ledger, slice_str("made"), slice_str("up"), &none, &seats),
	             LEDGER_HAS_ROOM);
	ledger_entry_get(e);
	ledger_entry_put(e);
	open_one(e);
	ledger_closed(e, false);
	ledger_entry_put(e); /* gone; the groups stay for the one that sits */
	e = ledger_entry_find(ledger, slice_str("made"), slice_str("up"), 1);
	cr_assert_eq(ledger_open_count(e), 0);
	ledger_rise(ledger, &seats);
	limit(e, 1, 0, 0);
	cr_assert(ledger_reserve(e));
}

Test(ledger, an_entry_with_a_connection_outlives_its_last_count)
{
	struct ledger_entry *e = ledger_entry_find(ledger, slice_str("made"), slice_str("up"), 1);

	open_one(e);
	ledger_entry_put(e);
	cr_assert_eq(ledger_entry_find(ledger, slice_str("made"), slice_str("up"), 1), e);
	cr_assert_eq(ledger_open_count(e), 1);
}

Test(ledger, a_check_counts_as_a_connection_on_its_way)
{
	struct ledger_waiter w = { 0 };

	limit(entry, 5, 0, 0);
	open_one(entry);
	ledger_check_begun(entry);
	wait_for(entry, &w, 0);
	ledger_connected(entry);
	trace_expect(&trace, "wait: wait\n");
	cr_assert_eq(ledger_open_count(entry), 1);
}

Test(ledger, the_same_names_give_the_same_entry)
{
	cr_assert_eq(ledger_entry_find(ledger, slice_of("shopping", 4), slice_str("ann"), 1), entry);
	cr_assert_neq(ledger_entry_find(ledger, slice_str("shop"), slice_str("ann"), 2), entry);
	cr_assert_neq(ledger_entry_find(ledger, slice_str("shop"), slice_str("an"), 1), entry);
}

Test(ledger, a_raised_limit_helps_the_next_one)
{
	struct ledger_waiter w[3] = { 0 };

	limit(entry, 1, 0, 0);
	wait_for(entry, &w[0], 0);
	wait_for(entry, &w[1], 0);
	limit(entry, 2, 0, 0);
	wait_for(entry, &w[2], 0);
	trace_expect(&trace, "wait: open\n"
	                     "wait: wait\n"
	                     "wait: open\n");
}

Test(ledger, the_reserve_is_for_those_who_wait_long)
{
	struct ledger_waiter w[4] = { 0 };
	struct ledger_limits limits = { .pool_size = 1, .reserve_size = 2 };

	ledger_set_limits(entry, &limits);
	say("nobody", ledger_wait_long(entry));
	for (unsigned i = 0; i < 4; i++)
		wait_for(entry, &w[i], i % WORKERS);
	cr_assert_eq(ledger_wait_long(entry).open_worker, 0);
	say("long", ledger_wait_long(entry));
	say("long", ledger_wait_long(entry)); /* the reserve is used up */
	ledger_connected(entry);
	serve(&w[0]);
	(void)ledger_closed(entry, false);
	say("long", ledger_wait_long(entry)); /* as many connect as wait, or it is full again */
	trace_expect(&trace, "nobody: wait\n"
	                     "wait: open\n"
	                     "wait: wait\n"
	                     "wait: wait\n"
	                     "wait: wait\n"
	                     "long: open\n"
	                     "long: wait\n"
	                     "long: open\n");
	cr_assert_eq(ledger_open_count(entry), 3);
}

Test(ledger, the_reserve_stays_within_the_database)
{
	struct ledger_waiter w[2] = { 0 };
	struct ledger_limits limits = { .pool_size = 1, .reserve_size = 5, .max_db_connections = 1 };

	ledger_set_limits(entry, &limits);
	wait_for(entry, &w[0], 0);
	wait_for(entry, &w[1], 0);
	say("long", ledger_wait_long(entry));
	trace_expect(&trace, "wait: open\n"
	                     "wait: wait\n"
	                     "long: wait\n");
}

Test(ledger, a_least_number_is_opened)
{
	limit(entry, 2, 0, 0);
	cr_assert(ledger_reserve_least(entry, 1));
	cr_assert_not(ledger_reserve_least(entry, 1));
	cr_assert(ledger_reserve_least(entry, 5));
	cr_assert_not(ledger_reserve_least(entry, 5)); /* the pool's size */
	cr_assert_eq(ledger_open_count(entry), 2);
}

Test(ledger, seats_of_a_database_and_of_a_user)
{
	struct ledger_bounds bounds = { .max_database = 2, .max_user = 1 };
	struct ledger_seats a = { 0 }, b = { 0 }, c = { 0 };
	struct slice shop = slice_str("shop"), bar = slice_str("bar");
	struct slice ann = slice_str("ann"), joe = slice_str("joe"), eve = slice_str("eve");

	cr_assert_eq(ledger_sit(ledger, shop, ann, &bounds, &a), LEDGER_HAS_ROOM);
	cr_assert_eq(ledger_sit(ledger, bar, ann, &bounds, &b), LEDGER_USER_FULL);
	cr_assert_eq(ledger_sit(ledger, shop, joe, &bounds, &b), LEDGER_HAS_ROOM);
	cr_assert_eq(ledger_sit(ledger, shop, eve, &bounds, &c), LEDGER_DATABASE_FULL);
	ledger_rise(ledger, &a);
	cr_assert_null(a.database);
	cr_assert_eq(ledger_sit(ledger, shop, eve, &bounds, &c), LEDGER_HAS_ROOM);
	bounds = (struct ledger_bounds){ 0, 0 };
	cr_assert_eq(ledger_sit(ledger, shop, ann, &bounds, &a), LEDGER_HAS_ROOM);
	cr_assert_eq(ledger_sit(ledger, shop, ann, &bounds, &a), LEDGER_HAS_ROOM);
	bounds.max_user = 2;
	cr_assert_eq(ledger_sit(ledger, shop, ann, &bounds, &a), LEDGER_USER_FULL);
	cr_assert_eq(a.taken, 2);
	ledger_rise(ledger, &a);
	cr_assert_eq(ledger_sit(ledger, shop, ann, &bounds, &a), LEDGER_HAS_ROOM);
	ledger_rise(ledger, &a);
	ledger_rise(ledger, &a);
	ledger_rise(ledger, &b);
	ledger_rise(ledger, &c);
}

Test(ledger, more_open_than_the_limit)
{
	limit(entry, 2, 0, 0);
	cr_assert(ledger_reserve(entry) && ledger_reserve(entry));
	cr_expect_not(ledger_is_over(entry));
	limit(entry, 1, 0, 0);
	cr_expect(ledger_is_over(entry));
	limit(entry, 0, 0, 0);
	cr_expect_not(ledger_is_over(entry));
	ledger_set_limits(entry, &(struct ledger_limits){ .pool_size = 1, .reserve_size = 1 });
	cr_expect_not(ledger_is_over(entry));
	(void)ledger_closed(entry, true);
	(void)ledger_closed(entry, true);
}

Test(ledger, hosts_take_turns)
{
	struct ledger *l = ledger_create(2);
	struct ledger_entry *e = ledger_entry_find(l, slice_str("shop"), slice_str("ann"), 1);
	uint32_t first = ledger_take_turn(e);

	cr_expect_eq(ledger_take_turn(e), first + 1);
	cr_expect_eq(ledger_turn(e), first + 2);
	cr_expect_eq(ledger_turn(e), first + 2);
	ledger_turn_over(e, first); /* that host's turn is over already */
	cr_expect_eq(ledger_turn(e), first + 2);
	ledger_turn_over(e, first + 2);
	cr_expect_eq(ledger_turn(e), first + 3);
	ledger_entry_put(e);
	ledger_destroy(l);
}

Test(ledger, servers_are_kept_until_somebody_waits_or_always_once_a_value_was_asked_for)
{
	cr_assert_eq(ledger_keeping(entry), LEDGER_KEEPS_FOR_NOW);
	ledger_count_kept(entry, true);
	ledger_count_kept(entry, true);
	ledger_count_kept(entry, false);
	cr_assert_eq(ledger_kept_count(entry), 1);
	cr_assert(ledger_keep_no_longer(entry));
	cr_assert_eq(ledger_keeping(entry), LEDGER_KEEPS_NONE);
	cr_assert_not(ledger_keep_no_longer(entry));
	ledger_keep_always(entry);
	cr_assert_not(ledger_keep_no_longer(entry));
	cr_assert_eq(ledger_keeping(entry), LEDGER_KEEPS_ALWAYS);
}
