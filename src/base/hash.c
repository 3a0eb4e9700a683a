/* SPDX-License-Identifier: PostgreSQL */
/*
 * hash_bytes folds 16 bytes per 64x64->128-bit multiplication; its constants
 * are random per process, since with known ones a client could choose bytes
 * that turn a product to zero and make every key meet in one bucket. Any thread.
 */
#include "base/hash.h"

#include "base/assert.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

enum { KEY_COUNT = 5 };

/* Written by hash_seed_init only, before the first thread. */
static uint64_t keys[KEY_COUNT] = {
	0x9c6e1b0fd3a7284bull, 0x3f84d5b2716ce90dull, 0xd1a94c7e58b3062full,
	0x62bf07a3c94d8e15ull, 0x8e537d19f6b0c4a1ull,
};

void hash_seed_init(void)
{
	ssize_t n;

	do {
		n = getrandom(keys, sizeof(keys), 0);
	} while (n < 0 && errno == EINTR);
	WEIR_ASSERT(n == (ssize_t)sizeof(keys));
}

static inline uint64_t mix(uint64_t a, uint64_t b)
{
	__extension__ typedef unsigned __int128 u128;
	u128 product = (u128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t load32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t finish(uint64_t a, uint64_t b, uint64_t state, size_t len)
{
	return mix(mix(a ^ keys[1], b ^ state), keys[2] ^ len);
}

/* At most 16 bytes: two words that overlap as much as they must. */
static inline uint64_t hash_short(const uint8_t *p, size_t len)
{
	if (len >= 8)
		return finish(load64(p), load64(p + len - 8), keys[0], len);
	if (len >= 4)
		return finish(load32(p), load32(p + len - 4), keys[0], len);
	if (len > 0) {
		uint64_t a = (uint64_t)p[0] | (uint64_t)p[len / 2] << 8 | (uint64_t)p[len - 1] << 16;

		return finish(a, 0, keys[0], len);
	}
	return finish(0, 0, keys[0], 0);
}

uint64_t hash_bytes(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t state = keys[0];
	size_t left = len;

	if (len <= 16)
		return hash_short(p, len);
	if (left > 48) {
		/* Three lanes, so that the multiplications overlap in the pipeline. */
		uint64_t second = state, third = state;

		for (; left > 48; p += 48, left -= 48) {
			state = mix(load64(p) ^ keys[1], load64(p + 8) ^ state);
			second = mix(load64(p + 16) ^ keys[3], load64(p + 24) ^ second);
			third = mix(load64(p + 32) ^ keys[4], load64(p + 40) ^ third);
		}
		state ^= second ^ third;
	}
	for (; left > 16; p += 16, left -= 16)
		state = mix(load64(p) ^ keys[3], load64(p + 8) ^ state);
	/* The last 16 bytes, overlapping what came before. */
	return finish(load64(p + left - 16), load64(p + left - 8), state, len);
}

uint64_t hash_combine(uint64_t a, uint64_t b)
{
	return mix(mix(a ^ keys[3], keys[1]) ^ keys[4], b ^ keys[2]);
}
