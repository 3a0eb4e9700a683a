/* SPDX-License-Identifier: PostgreSQL */
/* Generations as traces: what a change to one thing does to those who depend on others. */
#include "cache/tables.h"

#include <criterion/criterion.h>
#include <pthread.h>

#include "base/assert.h"
#include "base/hash.h"

struct fixture {
	struct tables *t;
	struct cache_deps deps;
	struct tables_view view;
	uint64_t sum;
};

static void fixture_init(struct fixture *f, uint32_t oid_a, uint32_t oid_b)
{
	hash_seed_init();
	f->t = tables_create(1024, 1000);
	f->deps = (struct cache_deps){ .database = slice_str("main/app"),
		                           .table_count = 2,
		                           .tables = { oid_a, oid_b } };
	tables_resolve(f->t, &f->deps, &f->view);
	f->sum = tables_sum(f->t, &f->view);
}

static bool is_still_valid(struct fixture *f)
{
	struct tables_view view;

	tables_resolve(f->t, &f->deps, &view);
	return tables_sum(f->t, &view) == f->sum && view.identity == f->view.identity;
}

static void change(struct fixture *f, enum generation_kind kind, const char *scope, uint32_t oid)
{
	tables_change(tables_slot(f->t, kind, slice_str(scope), oid), 5000);
}

Test(tables, a_change_of_another_thing_voids_nothing)
{
	struct fixture f;

	fixture_init(&f, 10, 20);
	change(&f, GENERATION_TABLE, "main/app", 30);
	change(&f, GENERATION_TABLE, "main/other", 10);
	change(&f, GENERATION_TABLE, "second/app", 10);
	change(&f, GENERATION_DATABASE, "main/other", 0);
	change(&f, GENERATION_CLUSTER, "second", 0);
	cr_assert(is_still_valid(&f));
	cr_assert_eq(tables_last_change_us(f.t, &f.view), 1000);
	tables_destroy(f.t);
}

Test(tables, each_thing_depended_on_voids)
{
	static const struct {
		enum generation_kind kind;
		const char *scope;
		uint32_t oid;
	} cases[] = {
		{ GENERATION_TABLE, "main/app", 10 },
		{ GENERATION_TABLE, "main/app", 20 },
		{ GENERATION_DATABASE, "main/app", 0 },
		{ GENERATION_CLUSTER, "main", 0 },
	};

	for (size_t i = 0; i < WEIR_COUNTOF(cases); i++) {
		struct fixture f;

		fixture_init(&f, 10, 20);
		change(&f, cases[i].kind, cases[i].scope, cases[i].oid);
		cr_assert_not(is_still_valid(&f), "case %zu", i);
		cr_assert_eq(tables_last_change_us(f.t, &f.view), 5000);
		tables_destroy(f.t);
	}
}

Test(tables, a_change_of_everything_voids_and_lifts_the_floor)
{
	struct fixture f;

	fixture_init(&f, 10, 20);
	tables_change_all(f.t, 7000);
	cr_assert_not(is_still_valid(&f));
	cr_assert_eq(tables_last_change_us(f.t, &f.view), 7000);
	change(&f, GENERATION_TABLE, "main/app", 10);
	cr_assert_eq(tables_last_change_us(f.t, &f.view), 7000, "time doesn't go back");
	tables_destroy(f.t);
}

Test(tables, equal_sums_of_other_tables_are_not_the_same_dependencies)
{
	struct fixture f;
	struct cache_deps other = { .database = slice_str("main/app"),
		                        .table_count = 2,
		                        .tables = { 10, 30 } };
	struct tables_view view;

	fixture_init(&f, 10, 20);
	tables_resolve(f.t, &other, &view);
	cr_assert_eq(tables_sum(f.t, &view), f.sum);
	cr_assert_neq(view.identity, f.view.identity);
	tables_destroy(f.t);
}

Test(tables, tokens_of_others_count_as_changes_once)
{
	struct fixture f;
	struct tables_slot *slot;

	fixture_init(&f, 10, 20);
	slot = tables_slot(f.t, GENERATION_TABLE, f.deps.database, 10);
	cr_assert_eq(tables_token_shown(slot, 77, 2000), TOKEN_FIRST);
	cr_assert_not(is_still_valid(&f));
	f.sum = tables_sum(f.t, &f.view);
	cr_assert_eq(tables_token_shown(slot, 77, 3000), TOKEN_KNOWN);
	cr_assert(is_still_valid(&f));
	tables_token_set(slot, 78, 3500); /* our own change */
	cr_assert_eq(tables_told_us(slot), 3500);
	cr_assert_eq(tables_token_shown(slot, 78, 4000), TOKEN_KNOWN);
	cr_assert(is_still_valid(&f));
	cr_assert_eq(tables_token_shown(slot, 79, 4000), TOKEN_NEWS);
	cr_assert_not(is_still_valid(&f));
	cr_assert_eq(tables_last_change_us(f.t, &f.view), 4000);
	tables_destroy(f.t);
}

/* Redis shows what it had before the message: the change is lost there. */
Test(tables, a_token_older_than_what_was_told_is_behind)
{
	struct fixture f;
	struct tables_slot *slot;

	fixture_init(&f, 10, 20);
	slot = tables_slot(f.t, GENERATION_TABLE, f.deps.database, 10);
	cr_assert_eq(tables_token_shown(slot, 77, 2000), TOKEN_FIRST);
	cr_assert(tables_token_told(slot, 78, 3000));
	cr_assert_not(tables_token_told(slot, 78, 3100), "a copy of the message");
	f.sum = tables_sum(f.t, &f.view);
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(tables_token_shown(slot, 77, 4000), TOKEN_BEHIND);
	cr_assert(is_still_valid(&f), "what was told has voided it already");
	cr_assert_eq(tables_token_shown(slot, 78, 5000), TOKEN_KNOWN);
	cr_assert_eq(tables_token_shown(slot, 77, 6000), TOKEN_NEWS, "a token that nobody repeats");
	tables_destroy(f.t);
}

Test(tables, pending_is_counted)
{
	struct fixture f;
	struct tables_slot *slot;

	fixture_init(&f, 10, 20);
	slot = tables_slot(f.t, GENERATION_TABLE, f.deps.database, 20);
	cr_assert_not(tables_is_pending(&f.view));
	tables_pending_add(slot);
	tables_pending_add(slot);
	tables_pending_remove(slot);
	cr_assert(tables_is_pending(&f.view));
	tables_pending_remove(slot);
	cr_assert_not(tables_is_pending(&f.view));
	tables_destroy(f.t);
}

/* More names than slots: shared counters void too much, never too little. */
Test(tables, a_full_table_still_voids)
{
	struct tables *t = tables_create(8, 1000);

	hash_seed_init();
	for (uint32_t oid = 1; oid <= 200; oid++) {
		struct cache_deps deps = { .database = slice_str("main/app"),
			                       .table_count = 1,
			                       .tables = { oid } };
		struct tables_view view;
		uint64_t sum;

		tables_resolve(t, &deps, &view);
		sum = tables_sum(t, &view);
		tables_change(tables_slot(t, GENERATION_TABLE, deps.database, oid), 2000);
		cr_assert_neq(tables_sum(t, &view), sum, "oid %u", oid);
	}
	tables_destroy(t);
}

Test(tables, cluster_of_a_scope)
{
	cr_assert(slice_is(tables_cluster_of(slice_str("main/app")), "main"));
	cr_assert(slice_is(tables_cluster_of(slice_str("main/a/b")), "main"));
	cr_assert(slice_is(tables_cluster_of(slice_str("main")), "main"));
	cr_assert(slice_is(tables_cluster_of(slice_of(NULL, 0)), ""));
}

static void *changer(void *arg)
{
	struct fixture *f = arg;

	for (unsigned i = 0; i < 20000; i++)
		tables_change(tables_slot(f->t, GENERATION_TABLE, slice_str("main/app"), 10), i);
	return NULL;
}

Test(tables, changes_from_several_threads_all_count)
{
	struct fixture f;
	pthread_t threads[3];

	fixture_init(&f, 10, 20);
	for (size_t i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, changer, &f);
	for (size_t i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	cr_assert_eq(tables_sum(f.t, &f.view), f.sum + 60000);
	tables_destroy(f.t);
}
