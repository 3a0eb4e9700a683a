/* SPDX-License-Identifier: PostgreSQL */
/* The local store: what is found, makes room, survives; from one thread and from several. */
#include "cache/local.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>

#include "base/hash.h"
#include "base/mem.h"
#include "cache/admission.h"
#include "cache/cache.h"
#include "support/trace.h"

/* All keys in one stripe, so that its bound is what a test sees. */
static struct hash128 key_of(uint64_t n)
{
	return (struct hash128){ n << 8, n };
}

static struct cache_entry *entry_of(uint64_t n, size_t bytes)
{
	struct local_terms terms = {
		.key = key_of(n), .identity = 1, .generation_sum = 7, .computed_us = 500, .expires_us = 2000
	};
	char *rows = mem_zalloc(bytes + 1);
	struct cache_entry *e = entry_create(&terms, slice_str("T"), slice_of(rows, bytes));

	mem_free(rows);
	return e;
}

static bool put(struct local *l, uint64_t n, size_t bytes)
{
	struct cache_entry *e = entry_of(n, bytes);
	bool is_stored = local_insert(l, e);

	cache_entry_put(&e);
	return is_stored;
}

static bool ask(struct local *l, struct local_question q)
{
	struct cache_entry *e = local_find(l, &q);
	bool is_found = e != NULL;

	cache_entry_put(&e);
	return is_found;
}

static bool has(struct local *l, uint64_t n)
{
	return ask(l, (struct local_question){ key_of(n), 1, 7, 1000, 0 });
}

static size_t count(struct local *l)
{
	struct local_stats s;

	local_stats(l, &s);
	return s.entries;
}

Test(local, finds_what_was_put)
{
	struct local *l = local_create(1 << 20, NULL);
	struct local_terms terms = {
		.key = key_of(3), .identity = 1, .generation_sum = 7, .computed_us = 500, .expires_us = 2000
	};
	struct cache_entry *e = entry_create(&terms, slice_str("desc"), slice_str("rows")), *found;

	cr_assert(local_insert(l, e));
	cache_entry_put(&e);
	found = local_find(l, &(struct local_question){ key_of(3), 1, 7, 1000, 0 });
	cr_assert_not_null(found);
	cr_assert(slice_is(cache_entry_description(found), "desc"));
	cr_assert(slice_is(cache_entry_rows(found), "rows"));
	cr_assert_not(has(l, 4));
	local_destroy(l);
	cr_assert(slice_is(cache_entry_rows(found), "rows"), "a reference outlives the store");
	cache_entry_put(&found);
	cr_assert_null(found);
}

Test(local, what_no_longer_holds_is_dropped)
{
	struct local *l = local_create(1 << 20, NULL);
	static const struct local_question wrong[] = {
		{ { 0, 0 }, 1, 8, 1000, 0 }, /* changed */
		{ { 0, 0 }, 2, 7, 1000, 0 }, /* depends on other tables now */
		{ { 0, 0 }, 1, 7, 2000, 0 }, /* at its end */
	};

	for (size_t i = 0; i < WEIR_COUNTOF(wrong); i++) {
		struct local_question q = wrong[i];

		q.key = key_of(3);
		cr_assert(put(l, 3, 10));
		cr_assert_not(ask(l, q), "case %zu", i);
		cr_assert_eq(count(l), 0, "case %zu", i);
	}
	local_destroy(l);
}

Test(local, too_old_for_a_session_is_kept_for_others)
{
	struct local *l = local_create(1 << 20, NULL);

	put(l, 3, 10);
	cr_assert_not(ask(l, (struct local_question){ key_of(3), 1, 7, 1000, 501 }));
	cr_assert(ask(l, (struct local_question){ key_of(3), 1, 7, 1000, 500 }));
	local_destroy(l);
}

Test(local, the_newest_of_a_key_replaces)
{
	struct local *l = local_create(1 << 20, NULL);
	struct local_stats s;

	put(l, 3, 10);
	put(l, 3, 30);
	local_stats(l, &s);
	cr_assert_eq(s.entries, 1);
	cr_assert_eq(s.evictions, 0);
	local_destroy(l);
}

/* A stripe of 16 KiB holds three entries of 5,000 bytes. */
Test(local, room_is_made_from_the_least_recently_used_end)
{
	struct local *l = local_create(16 * 16 * 1024, NULL);
	struct trace t;
	struct local_stats s;

	trace_init(&t);
	for (uint64_t n = 1; n <= 3; n++)
		put(l, n, 5000);
	has(l, 1); /* used: 2 is the oldest now */
	put(l, 4, 5000);
	for (uint64_t n = 1; n <= 4; n++)
		trace_add(&t, "%u %s", (unsigned)n, has(l, n) ? "there" : "gone");
	trace_expect(&t, "1 there\n2 gone\n3 there\n4 there\n");
	local_stats(l, &s);
	cr_assert_eq(s.evictions, 1);
	cr_assert_leq(s.bytes, 16 * 1024);
	trace_fini(&t);
	local_destroy(l);
}

Test(local, what_is_larger_than_a_stripe_is_refused)
{
	struct local *l = local_create(16 * 16 * 1024, NULL);

	put(l, 1, 100);
	cr_assert_not(put(l, 2, 16 * 1024));
	cr_assert(has(l, 1), "and pushes nothing out");
	local_destroy(l);
}

Test(local, bytes_never_pass_the_bound)
{
	struct local *l = local_create(1 << 20, NULL);
	struct local_stats s;

	for (uint64_t n = 0; n < 5000; n++) {
		struct local_terms terms = { .key = { n * 0x9e3779b97f4a7c15u, n },
			                         .identity = 1,
			                         .generation_sum = 7,
			                         .expires_us = 2000 };
		char rows[4096] = { 0 };
		struct cache_entry *e =
			entry_create(&terms, slice_str("T"), slice_of(rows, n * 37 % sizeof rows));

		local_insert(l, e);
		cache_entry_put(&e);
		local_stats(l, &s);
		cr_assert_leq(s.bytes, 1 << 20);
	}
	cr_assert_gt(s.evictions, 0);
	cr_assert_gt(s.entries, 200);
	local_destroy(l);
}

Test(local, a_cold_newcomer_displaces_nothing_hot)
{
	struct admission *a = admission_create(0, 0);
	struct local *l = local_create(16 * 16 * 1024, a);
	struct hash128 hot = key_of(1), warm = key_of(5);

	hash_seed_init();
	for (unsigned i = 0; i < 5; i++)
		admission_count(a, &hot, 0);
	for (uint64_t n = 1; n <= 3; n++)
		put(l, n, 5000);
	has(l, 2);
	has(l, 3); /* 1 is the oldest, but hot */
	cr_assert_not(put(l, 4, 5000));
	cr_assert(has(l, 1));
	has(l, 2);
	has(l, 3);
	for (unsigned i = 0; i < 6; i++)
		admission_count(a, &warm, 0);
	cr_assert(put(l, 5, 5000));
	cr_assert_not(has(l, 1));
	local_destroy(l);
	admission_destroy(a);
}

Test(local, out_of_memory_is_no_entry)
{
	struct local_terms terms = { 0 };

	mem_fail_after(1);
	cr_assert_null(entry_create(&terms, slice_str("T"), slice_str("C")));
	mem_fail_after(0);
}

static void *user(void *arg)
{
	struct local *l = arg;

	for (unsigned i = 0; i < 20000; i++) {
		uint64_t n = i * 7 % 50;

		if (i % 3 == 0)
			put(l, n, 700);
		else
			has(l, n);
	}
	return NULL;
}

Test(local, several_threads)
{
	struct local *l = local_create(16 * 16 * 1024, NULL);
	pthread_t threads[3];
	struct local_stats s;

	for (size_t i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, user, l);
	for (size_t i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	local_stats(l, &s);
	cr_assert_gt(s.entries, 0);
	cr_assert_leq(s.bytes, 16 * 1024);
	local_destroy(l);
}
