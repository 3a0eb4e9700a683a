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

enum { HISTORY = 2000 };

struct commit {
	uint64_t acknowledged_us;
	uint64_t lsn;
};

static uint64_t rnd(uint64_t below)
{
	return (uint64_t)rand() % below;
}

/* A primary that commits, a replica that follows with jitter, samples in between. */
static void random_history(unsigned seed)
{
	static struct commit commits[HISTORY];
	struct freshness f = { 0 };
	uint64_t now = 1, insert = 1, replay = 1;
	size_t count = 0;

	srand(seed);
	for (int step = 0; step < HISTORY; step++) {
		now += 1 + rnd(50);
		switch (rnd(4)) {
		case 0: /* a commit: its record is in before it is acknowledged */
			insert += 40 + rnd(3000);
			commits[count++] = (struct commit){ now + rnd(20), insert };
			now = commits[count - 1].acknowledged_us;
			break;
		case 1: /* a sample: asked at `now`, answered later, commits may fall in between */
			freshness_add(&f, 1, now, insert + (rnd(3) ? 0 : rnd(500)));
			insert = f.samples[f.count - 1].lsn > insert ? f.samples[f.count - 1].lsn : insert;
			break;
		case 2: /* the replica replays to somewhere */
			replay += rnd(insert - replay + 1);
			break;
		default: {
			uint64_t as_of = freshness_as_of(&f, 1, replay);

			for (size_t i = 0; i < count; i++)
				cr_assert(commits[i].acknowledged_us >= as_of || commits[i].lsn <= replay,
					  "seed %u: a commit acknowledged at %llu isn't replayed, yet fresh as of %llu",
					  seed, (unsigned long long)commits[i].acknowledged_us,
					  (unsigned long long)as_of);
		}
		}
	}
}

Test(freshness, never_promises_a_commit_that_is_missing)
{
	for (unsigned seed = 1; seed <= 50; seed++)
		random_history(seed);
}
