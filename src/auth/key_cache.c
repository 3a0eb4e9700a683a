/* SPDX-License-Identifier: PostgreSQL */
/*
 * A direct-mapped table from the keyed digest of (iterations, salt, password)
 * to the keys derived from them. A server that sends fresh salts only costs
 * itself its slot. One thread per cache.
 */
#include "auth/key_cache.h"

#include "base/mem.h"

enum { SLOTS = 64 };

struct slot {
	bool is_used;
	uint8_t digest[CRYPTO_SHA256_BYTES];
	struct scram_keys keys;
};

struct key_cache {
	uint8_t key[CRYPTO_SHA256_BYTES]; /* random: digests mean nothing elsewhere */
	struct slot slots[SLOTS];
};

struct key_cache *key_cache_create(void)
{
	struct key_cache *cache = mem_zalloc(sizeof(*cache));

	crypto_random(cache->key, sizeof(cache->key));
	return cache;
}

void key_cache_destroy(struct key_cache *cache)
{
	if (!cache)
		return;
	mem_wipe(cache, sizeof(*cache));
	mem_free(cache);
}

/* The lengths go first, so that no two questions make the same text. */
static void digest_of(const struct key_cache *cache, const struct scram_derivation *q,
                      uint8_t out[CRYPTO_SHA256_BYTES])
{
	const uint64_t numbers[] = { q->iterations, q->salt.len, q->password.len };
	const struct slice parts[] = { slice_of(numbers, sizeof(numbers)), q->salt, q->password };

	crypto_hmac_sha256(slice_of(cache->key, sizeof(cache->key)), parts, WEIR_COUNTOF(parts), out);
}

enum weir_err key_cache_derive(struct key_cache *cache, const struct scram_derivation *q,
                               struct scram_keys *out)
{
	uint8_t digest[CRYPTO_SHA256_BYTES];
	struct slot *slot;
	enum weir_err err;

	if (!cache || q->iterations > q->max_iterations)
		return scram_keys_derive(q, out);
	digest_of(cache, q, digest);
	slot = &cache->slots[digest[0] % SLOTS];
	if (slot->is_used && memcmp(slot->digest, digest, sizeof(digest)) == 0) {
		*out = slot->keys;
		return WEIR_OK;
	}
	err = scram_keys_derive(q, out);
	if (err != WEIR_OK)
		return err;
	memcpy(slot->digest, digest, sizeof(digest));
	slot->keys = *out;
	slot->is_used = true;
	return WEIR_OK;
}
