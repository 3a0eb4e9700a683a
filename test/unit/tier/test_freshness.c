/* SPDX-License-Identifier: PostgreSQL */
/*
 * Freshness: the rule by examples, and as a property over random histories of
 * commits, replay and samples: nothing that freshness promises is missing.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "tier/freshness.h"

Test(freshness, is_the_latest_time_whose_position_was_replayed)
{
	struct freshness f = { 0 };

	freshness_add(&f, 1, 10, 1000);
	freshness_add(&f, 1, 20, 2000);
	freshness_add(&f, 1, 30, 2000); /* idle: the later time for the same position */
	freshness_add(&f, 1, 40, 3000);
	cr_assert_eq(freshness_as_of(&f, 1, 999), 0);
	cr_assert_eq(freshness_as_of(&f, 1, 1000), 10);
	cr_assert_eq(freshness_as_of(&f, 1, 2999), 30);
	cr_assert_eq(freshness_as_of(&f, 1, 9000), 40);
	cr_assert_eq(freshness_lag(&f, 2500), 500);
	cr_assert_eq(freshness_lag(&f, 9000), 0);
}

Test(freshness, is_unknown_on_another_timeline)
{
	struct freshness f = { 0 };

	freshness_add(&f, 1, 10, 1000);
	cr_assert_eq(freshness_as_of(&f, 2, 5000), 0);
	cr_assert_eq(freshness_as_of(&f, 0, 5000), 0);
	freshness_add(&f, 2, 20, 900);
	cr_assert_eq(freshness_as_of(&f, 1, 5000), 0);
	cr_assert_eq(freshness_as_of(&f, 2, 900), 20);
}

Test(freshness, starts_anew_when_the_position_goes_back)
{
	struct freshness f = { 0 };

	freshness_add(&f, 1, 10, 5000);
	freshness_add(&f, 1, 20, 4000);
	cr_assert_eq(freshness_as_of(&f, 1, 4500), 20);
	cr_assert_eq(f.count, 1);
}

Test(freshness, an_empty_page_behind_its_header_counts_as_the_boundary)
{
	struct freshness f = { 0 };
	const uint64_t page = 5 * 8192;

	freshness_add(&f, 1, 10, page + 24);
	cr_assert_eq(freshness_as_of(&f, 1, page), 10);
	freshness_add(&f, 1, 20, 2 * page + 40);
	cr_assert_eq(freshness_as_of(&f, 1, 2 * page), 20);
	freshness_add(&f, 1, 30, 3 * page + 48);
	cr_assert_eq(freshness_as_of(&f, 1, 3 * page), 20, "a record may end there");
}

Test(freshness, a_late_replica_is_still_placed_after_many_samples)
{
	struct freshness f = { 0 };

	for (uint64_t i = 1; i <= 1000; i++)
		freshness_add(&f, 1, i * 100, i * 10000);
	cr_assert_leq(f.count, (unsigned)FRESHNESS_SAMPLES_MAX);
	cr_assert_eq(freshness_as_of(&f, 1, 1000 * 10000), 100000);
	cr_assert_gt(freshness_as_of(&f, 1, 500 * 10000), 0, "half the history behind");
	cr_assert_leq(freshness_as_of(&f, 1, 500 * 10000), 50000);
}

enum { HISTORY = 3000, PAGE = 8192, HEADER = 24 };

struct record { /* of the WAL, each one a commit */
	uint64_t acknowledged_us;
	uint64_t end;
};

struct world {
	struct record records[HISTORY];
	size_t count;
	size_t replayed; /* records that the replica has */
	uint64_t now_us;
};

static uint64_t rnd(uint64_t below)
{
	return (uint64_t)rand() % below;
}

static uint64_t end_of(const struct world *w, size_t count)
{
	return count ? w->records[count - 1].end : PAGE;
}

/* Where the next record would begin: behind the header of an empty page. */
static uint64_t insert_position(const struct world *w)
{
	uint64_t end = end_of(w, w->count);

	return end % PAGE ? end : end + HEADER;
}

/* A record of at least 24 bytes, aligned to 8; page headers lie between its parts. */
static void commit(struct world *w)
{
	uint64_t at = insert_position(w), left = 24 + 8 * rnd(rnd(4) ? 12 : 2500);

	while (left > PAGE - at % PAGE) {
		left -= PAGE - at % PAGE;
		at += PAGE - at % PAGE + HEADER;
	}
	w->now_us += rnd(20);
	w->records[w->count++] = (struct record){ w->now_us, at + left };
}

static void check(const struct world *w, uint64_t as_of, unsigned seed)
{
	for (size_t i = w->replayed; i < w->count; i++)
		cr_assert_geq(w->records[i].acknowledged_us, as_of,
		              "seed %u: fresh as of %llu, but a commit acknowledged at %llu is missing",
		              seed, (unsigned long long)as_of,
		              (unsigned long long)w->records[i].acknowledged_us);
}

/* A primary that commits, a replica that follows, samples in between. */
static uint64_t random_history(unsigned seed)
{
	static struct world w;
	struct freshness f = { 0 };
	uint64_t sent_us, as_of = 0;

	w = (struct world){ .now_us = 1 };
	srand(seed);
	for (int step = 0; step < HISTORY; step++) {
		w.now_us += rnd(3);
		switch (rnd(4)) {
		case 0:
			commit(&w);
			break;
		case 1: /* asked now, answered later: commits may fall in between */
			sent_us = w.now_us;
			if (rnd(3) == 0 && w.count < HISTORY - 1)
				commit(&w);
			freshness_add(&f, 1, sent_us, insert_position(&w));
			break;
		case 2:
			w.replayed += rnd(w.count - w.replayed + 1);
			break;
		default:
			as_of = freshness_as_of(&f, 1, end_of(&w, w.replayed));
			check(&w, as_of, seed);
		}
		if (w.count >= HISTORY - 1)
			break;
	}
	/* An idle primary and a replica that has all: as fresh as the last sample. */
	freshness_add(&f, 1, w.now_us + 5, insert_position(&w));
	cr_assert_eq(freshness_as_of(&f, 1, end_of(&w, w.count)), w.now_us + 5, "seed %u", seed);
	return as_of;
}

Test(freshness, never_promises_a_commit_that_is_missing)
{
	unsigned known = 0;

	for (unsigned seed = 1; seed <= 100; seed++)
		known += random_history(seed) > 0;
	cr_assert_gt(known, 50u, "the property must not hold for want of answers");
}
