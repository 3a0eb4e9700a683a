/* SPDX-License-Identifier: PostgreSQL */
/* Admission: estimates never fall below the truth inside a window and fade after it. */
#include "cache/admission.h"

#include <criterion/criterion.h>

#include "support/fake_clock.h"

static struct hash128 key_of(uint64_t n)
{
	return (struct hash128){ hash_combine(n, 1), hash_combine(n, 2) };
}

Test(admission, counts_requests_of_a_key)
{
	struct admission *a = admission_create(1000, 0);
	struct hash128 hot = key_of(1), cold = key_of(2);

	cr_assert_eq(admission_count(a, &hot, 10), 1);
	cr_assert_eq(admission_count(a, &hot, 20), 2);
	cr_assert_eq(admission_count(a, &hot, 30), 3);
	cr_assert_eq(admission_estimate(a, &cold), 0);
	admission_destroy(a);
}

Test(admission, remembers_one_window_back_and_no_further)
{
	struct fake_clock clock;
	struct admission *a;
	struct hash128 k = key_of(1);

	fake_clock_init(&clock);
	a = admission_create(1000, clock.now_us);
	admission_count(a, &k, clock.now_us);
	admission_count(a, &k, clock.now_us);
	cr_assert_eq(admission_count(a, &k, fake_clock_advance_ms(&clock, 1100)), 3);
	cr_assert_eq(admission_count(a, &k, fake_clock_advance_ms(&clock, 1000)), 2,
	             "the first two are gone");
	cr_assert_eq(admission_count(a, &k, fake_clock_advance_s(&clock, 60)), 1,
	             "after a pause all are");
	admission_destroy(a);
}

Test(admission, a_clock_that_stands_or_jumps_back_is_no_window)
{
	struct admission *a = admission_create(1000, 5000000);
	struct hash128 k = key_of(1);

	admission_count(a, &k, 5000000);
	cr_assert_eq(admission_count(a, &k, 1), 2);
	admission_destroy(a);
}

Test(admission, without_window_nothing_fades)
{
	struct admission *a = admission_create(0, 0);
	struct hash128 k = key_of(1);

	admission_count(a, &k, 0);
	cr_assert_eq(admission_count(a, &k, UINT64_MAX), 2);
	admission_destroy(a);
}

Test(admission, saturates)
{
	struct admission *a = admission_create(0, 0);
	struct hash128 k = key_of(1);
	uint32_t n = 0;

	for (unsigned i = 0; i < 1000; i++)
		n = admission_count(a, &k, 0);
	cr_assert_eq(n, 255);
	admission_destroy(a);
}

/* 2,000 keys once each: few of them may look as if they had been asked for twice. */
Test(admission, one_off_keys_stay_one_off)
{
	struct admission *a = admission_create(0, 0);
	unsigned wrong = 0;

	for (uint64_t i = 0; i < 2000; i++) {
		struct hash128 k = key_of(i);

		wrong += admission_count(a, &k, 0) > 1;
	}
	cr_assert_lt(wrong, 20, "%u of 2000", wrong);
	admission_destroy(a);
}
