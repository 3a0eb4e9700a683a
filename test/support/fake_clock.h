/* SPDX-License-Identifier: PostgreSQL */
/*
 * Time under the test's control, for code that takes `now_us`. It starts well
 * away from zero, so that a forgotten initialisation shows.
 */
#ifndef WEIR_TEST_SUPPORT_FAKE_CLOCK_H
#define WEIR_TEST_SUPPORT_FAKE_CLOCK_H

#include <stdint.h>

struct fake_clock {
	uint64_t now_us;
};

static inline void fake_clock_init(struct fake_clock *c)
{
	c->now_us = 1000000000;
}

static inline uint64_t fake_clock_advance_us(struct fake_clock *c, uint64_t us)
{
	return c->now_us += us;
}

static inline uint64_t fake_clock_advance_ms(struct fake_clock *c, uint64_t ms)
{
	return fake_clock_advance_us(c, ms * 1000);
}

static inline uint64_t fake_clock_advance_s(struct fake_clock *c, uint64_t s)
{
	return fake_clock_advance_us(c, s * 1000000);
}

#endif
