/* SPDX-License-Identifier: PostgreSQL */
/*
 * Keys. All tenants of a process, and all processes of a Redis, share one key
 * space, and a tenant chooses statement and parameters. So a key is not an
 * in-memory hash but a cryptographic digest (BLAKE2b, 128 bits) over an
 * injective encoding: each part with its length in front, in a fixed order,
 * behind a tag that names the format. To read another tenant's entry one
 * needs a second preimage, 2^128 steps; comparing whole keys on a hit would
 * add memory and nothing else.
 *
 * Pure, no state, any thread.
 */
#include "cache/key.h"

#include <string.h>

#include "cache/blake2.h"
#include "cache/cache.h"

/* Change when the meaning of a part changes: entries of old processes are then never found. */
#define KEY_FORMAT "pgweir key 2"
#define NAME_FORMAT "pgweir gen 1"

enum { DIGEST_BYTES = 16 };

static struct hash128 finish(struct blake2 *b)
{
	uint8_t digest[DIGEST_BYTES];

	blake2_final(b, digest);
	return hash128_from_bytes(digest);
}

struct hash128 cache_key(const struct cache_key_parts *parts)
{
	struct blake2 b;

	blake2_init(&b, DIGEST_BYTES);
	blake2_update_part(&b, slice_str(KEY_FORMAT));
	blake2_update_part(&b, parts->cluster);
	blake2_update_part(&b, parts->database);
	blake2_update_part(&b, parts->role);
	blake2_update_part(&b, parts->settings);
	blake2_update_part(&b, parts->sql);
	blake2_update_part(&b, parts->types);
	blake2_update_part(&b, parts->params);
	blake2_update_part(&b, parts->formats);
	return finish(&b);
}

struct hash128 generation_name(enum generation_kind kind, struct slice scope, uint32_t oid)
{
	struct blake2 b;

	blake2_init(&b, DIGEST_BYTES);
	blake2_update_part(&b, slice_str(NAME_FORMAT));
	blake2_update_u64(&b, (uint64_t)kind);
	blake2_update_u64(&b, oid);
	blake2_update_part(&b, scope);
	return finish(&b);
}

void hash128_hex(struct hash128 h, char out[HASH128_HEX_LEN])
{
	static const char digits[16] = "0123456789abcdef";

	for (unsigned i = 0; i < 16; i++) {
		out[i] = digits[(h.hi >> (60 - 4 * i)) & 15];
		out[16 + i] = digits[(h.lo >> (60 - 4 * i)) & 15];
	}
}

struct hash128 hash128_from_bytes(const uint8_t bytes[16])
{
	struct hash128 h = { 0, 0 };

	for (unsigned i = 0; i < 8; i++) {
		h.hi |= (uint64_t)bytes[i] << (8 * i);
		h.lo |= (uint64_t)bytes[8 + i] << (8 * i);
	}
	return h;
}

void hash128_to_bytes(struct hash128 h, uint8_t bytes[16])
{
	for (unsigned i = 0; i < 8; i++) {
		bytes[i] = (uint8_t)(h.hi >> (8 * i));
		bytes[8 + i] = (uint8_t)(h.lo >> (8 * i));
	}
}
