/* SPDX-License-Identifier: PostgreSQL */
/*
 * Two hashes. hash_bytes folds 16 bytes per 64x64->128-bit multiplication; its
 * constants are random per process, since with known ones a client could choose
 * bytes that turn a product to zero and make every key meet in one bucket.
 * hash_stable_128 is SipHash-2-4 with 128 bits of output under a key that
 * everybody knows: the same in all processes and on all machines, well spread,
 * but who must not be fooled compares the whole key. Any thread.
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

struct sip {
	uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotl(uint64_t v, unsigned bits)
{
	return v << bits | v >> (64 - bits);
}

static inline void sip_rounds(struct sip *s, unsigned rounds)
{
	while (rounds--) {
		s->v0 += s->v1;
		s->v2 += s->v3;
		s->v1 = rotl(s->v1, 13) ^ s->v0;
		s->v3 = rotl(s->v3, 16) ^ s->v2;
		s->v0 = rotl(s->v0, 32);
		s->v2 += s->v1;
		s->v0 += s->v3;
		s->v1 = rotl(s->v1, 17) ^ s->v2;
		s->v3 = rotl(s->v3, 21) ^ s->v0;
		s->v2 = rotl(s->v2, 32);
	}
}

static inline void sip_word(struct sip *s, uint64_t word)
{
	s->v3 ^= word;
	sip_rounds(s, 2);
	s->v0 ^= word;
}

/* Up to 8 bytes as a little-endian number, whatever the machine. */
static inline uint64_t load_le(const uint8_t *p, size_t len)
{
	uint64_t v = 0;

	for (size_t i = 0; i < len; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

struct hash128 hash_stable_128(const void *data, size_t len)
{
	/* The reference's test key, 00 01 .. 0f, so that its vectors check this code. */
	const uint64_t k0 = 0x0706050403020100ull, k1 = 0x0f0e0d0c0b0a0908ull;
	struct sip s = { k0 ^ 0x736f6d6570736575ull, k1 ^ 0x646f72616e646f6dull ^ 0xee,
		             k0 ^ 0x6c7967656e657261ull, k1 ^ 0x7465646279746573ull };
	const uint8_t *p = data;
	struct hash128 out;
	size_t left = len;

	for (; left >= 8; p += 8, left -= 8)
		sip_word(&s, load_le(p, 8));
	sip_word(&s, (uint64_t)len << 56 | load_le(p, left));
	s.v2 ^= 0xee;
	sip_rounds(&s, 4);
	out.hi = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
	s.v1 ^= 0xdd;
	sip_rounds(&s, 4);
	out.lo = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
	return out;
}
