/* SPDX-License-Identifier: PostgreSQL */
/*
 * Time. Pure code takes `now_us` as an argument; only callers read the clock.
 * Monotonic microseconds for durations, wall seconds for people. Any thread.
 */
#ifndef WEIR_BASE_CLOCK_H
#define WEIR_BASE_CLOCK_H

#include <stdint.h>

uint64_t clock_monotonic_us(void);
int64_t clock_wall_us(void); /* since 1970-01-01 UTC */

#endif
