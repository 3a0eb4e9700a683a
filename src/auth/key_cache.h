/* SPDX-License-Identifier: PostgreSQL */
/*
 * Remembers what PBKDF2 gave for a password, a salt and an iteration count:
 * deriving costs a millisecond of the event loop, and a pool that reconnects
 * after a failover would pay it per connection. Fixed size, the newest wins;
 * passwords aren't kept, only a keyed digest. One thread per cache.
 */
#ifndef WEIR_AUTH_KEY_CACHE_H
#define WEIR_AUTH_KEY_CACHE_H

#include "auth/scram_secret.h"
#include "base/assert.h"
#include "base/err.h"
#include "base/slice.h"

struct key_cache;

struct key_cache *key_cache_create(void);
void key_cache_destroy(struct key_cache *cache); /* wipes; NULL is fine */

/* LIMIT as scram_keys_derive. cache may be NULL: derives every time. */
enum weir_err key_cache_derive(struct key_cache *cache, const struct scram_derivation *q,
                               struct scram_keys *out) WEIR_MUST_CHECK;

#endif
