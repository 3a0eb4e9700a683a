/* SPDX-License-Identifier: PostgreSQL */
/*
 * BLAKE2b (RFC 7693), unkeyed, up to 64 bytes of digest. Used where a digest
 * stands for what it was made of: cache keys and generation digests that all
 * tenants and processes share. Pure, any thread.
 */
#ifndef WEIR_CACHE_BLAKE2_H
#define WEIR_CACHE_BLAKE2_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum { BLAKE2_BLOCK_BYTES = 128, BLAKE2_DIGEST_MAX = 64 };

struct blake2 {
	uint64_t state[8];
	uint64_t counter; /* bytes compressed so far; below 2^64 by far */
	size_t fill;      /* bytes waiting in block */
	size_t digest_bytes;
	uint8_t block[BLAKE2_BLOCK_BYTES];
};

void blake2_init(struct blake2 *b, size_t digest_bytes);
void blake2_update(struct blake2 *b, const void *data, size_t len);
/* The length as 8 bytes, little-endian, then the bytes: parts can't run into each other. */
void blake2_update_part(struct blake2 *b, struct slice part);
void blake2_update_u64(struct blake2 *b, uint64_t v); /* 8 bytes, little-endian */
void blake2_final(struct blake2 *b, uint8_t *digest); /* digest_bytes of it */

#endif
