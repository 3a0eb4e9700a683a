/* SPDX-License-Identifier: PostgreSQL */
/*
 * The two clocks, read without a system call through the vDSO. Any thread; no
 * state. Only callers at the edge read them: decisions take now as an argument.
 */
#include "base/clock.h"

#include "base/assert.h"

#include <time.h>

enum { US_PER_S = 1000000, NS_PER_US = 1000 };

uint64_t clock_monotonic_us(void)
{
	struct timespec ts;
	int rc = clock_gettime(CLOCK_MONOTONIC, &ts);

	WEIR_ASSERT(rc == 0);
	return (uint64_t)ts.tv_sec * US_PER_S + (uint64_t)ts.tv_nsec / NS_PER_US;
}

int64_t clock_wall_us(void)
{
	struct timespec ts;
	int rc = clock_gettime(CLOCK_REALTIME, &ts);

	WEIR_ASSERT(rc == 0);
	return (int64_t)ts.tv_sec * US_PER_S + ts.tv_nsec / NS_PER_US;
}
