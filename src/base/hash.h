/* SPDX-License-Identifier: PostgreSQL */
/*
 * Hashing for in-memory tables: a fast 64-bit mix keyed by a random seed taken
 * at process start, so that a client can't aim for collisions. Not for secrets
 * and not stable across processes. Any thread.
 */
#ifndef WEIR_BASE_HASH_H
#define WEIR_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

struct hash128 {
	uint64_t hi;
	uint64_t lo;
};

void hash_seed_init(void); /* once, before the first thread */
uint64_t hash_bytes(const void *data, size_t len);
uint64_t hash_combine(uint64_t a, uint64_t b);

#endif
