/* SPDX-License-Identifier: PostgreSQL */
/*
 * See fake_time.h. Atomic, since the resolver's thread may ask too.
 */
#include "fuzz/fake_time.h"

#include <stdatomic.h>

#include "base/clock.h"

static const uint64_t start_us = 1000000000;
static const int64_t wall_us = 1700000000000000;
static _Atomic uint64_t now_us = 1000000000;

void fake_time_begin(void)
{
	atomic_store(&now_us, start_us);
}

void fake_time_pass_us(uint64_t us)
{
	atomic_fetch_add(&now_us, us);
}

uint64_t clock_monotonic_us(void)
{
	return atomic_load(&now_us);
}

int64_t clock_wall_us(void)
{
	return wall_us + (int64_t)(atomic_load(&now_us) - start_us);
}
