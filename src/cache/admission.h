/* SPDX-License-Identifier: PostgreSQL */
/*
 * How often a key was asked for lately: a count-min sketch over the current
 * and the previous window. Decides which results are worth storing and which
 * of two deserves the room. Fixed memory, lock-free, any thread; a lost update
 * only delays an admission.
 */
#ifndef WEIR_CACHE_ADMISSION_H
#define WEIR_CACHE_ADMISSION_H

#include <stdint.h>

#include "base/hash.h"

struct admission;

struct admission *admission_create(uint32_t window_ms, uint64_t now_us); /* 0: never forgets */
void admission_destroy(struct admission *a);

/* Counts one request and returns the estimate with it: never below the truth, saturating at 510. */
uint32_t admission_count(struct admission *a, const struct hash128 *key, uint64_t now_us);
uint32_t admission_estimate(const struct admission *a, const struct hash128 *key);

#endif
