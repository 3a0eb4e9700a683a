/* SPDX-License-Identifier: PostgreSQL */
/* Clocks: the monotonic one never goes back, the wall one knows the century. */
#include "base/clock.h"

#include <criterion/criterion.h>

Test(clock, monotonic_does_not_go_back)
{
	uint64_t before = clock_monotonic_us();

	for (int i = 0; i < 1000; i++) {
		uint64_t now = clock_monotonic_us();

		cr_assert_geq(now, before);
		before = now;
	}
}

Test(clock, wall_is_in_microseconds_since_1970)
{
	int64_t year_2020 = 1577836800ll * 1000000, year_2200 = 7258118400ll * 1000000;

	cr_assert(clock_wall_us() > year_2020 && clock_wall_us() < year_2200);
}
