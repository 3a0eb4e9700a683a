/* SPDX-License-Identifier: PostgreSQL */
/*
 * Stands in for base/clock.c: time passes when a fuzz target says so, and an
 * input takes the same way whenever it is run.
 */
#ifndef WEIR_TEST_FUZZ_FAKE_TIME_H
#define WEIR_TEST_FUZZ_FAKE_TIME_H

#include <stdint.h>

void fake_time_begin(void); /* of an input */
void fake_time_pass_us(uint64_t us);

#endif
