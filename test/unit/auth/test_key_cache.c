/* SPDX-License-Identifier: PostgreSQL */
/* The cache gives what deriving gives, for every question its own answer. */
#include <criterion/criterion.h>

#include <stdio.h>

#include "auth/key_cache.h"

static struct scram_keys ask(struct key_cache *cache, const char *password, const char *salt,
                             unsigned iterations)
{
	const struct scram_derivation q = { slice_str(password), slice_str(salt), iterations, 1000 };
	struct scram_keys keys;

	cr_assert_eq(key_cache_derive(cache, &q, &keys), WEIR_OK);
	return keys;
}

static bool same(struct scram_keys a, struct scram_keys b)
{
	return memcmp(a.client_key, b.client_key, SCRAM_KEY_BYTES) == 0 &&
	       memcmp(a.server_key, b.server_key, SCRAM_KEY_BYTES) == 0;
}

Test(key_cache, answers_are_those_of_deriving)
{
	struct key_cache *cache = key_cache_create();
	char password[16];

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 200; i++) {
			(void)snprintf(password, sizeof(password), "p%d", i);
			cr_assert(same(ask(cache, password, "salt", 2), ask(NULL, password, "salt", 2)));
		}
	}
	key_cache_destroy(cache);
}

Test(key_cache, questions_are_told_apart)
{
	struct key_cache *cache = key_cache_create();

	for (int round = 0; round < 2; round++) {
		cr_assert(same(ask(cache, "ab", "c", 2), ask(NULL, "ab", "c", 2)));
		cr_assert(same(ask(cache, "a", "bc", 2), ask(NULL, "a", "bc", 2)));
		cr_assert(same(ask(cache, "ab", "c", 3), ask(NULL, "ab", "c", 3)));
		cr_assert_not(same(ask(cache, "ab", "c", 2), ask(cache, "ab", "c", 3)));
	}
	key_cache_destroy(cache);
}

Test(key_cache, bounds_hold_for_remembered_answers_too)
{
	struct key_cache *cache = key_cache_create();
	struct scram_derivation q = { slice_str("p"), slice_str("s"), 10, 10 };
	struct scram_keys keys;

	cr_assert_eq(key_cache_derive(cache, &q, &keys), WEIR_OK);
	q.max_iterations = 9;
	cr_assert_eq(key_cache_derive(cache, &q, &keys), WEIR_ERR_LIMIT);
	q.iterations = 0;
	cr_assert_eq(key_cache_derive(cache, &q, &keys), WEIR_ERR_LIMIT);
	cr_assert_eq(key_cache_derive(NULL, &q, &keys), WEIR_ERR_LIMIT);
	key_cache_destroy(cache);
}

Test(key_cache, no_password_stays_in_memory)
{
	struct key_cache *cache = key_cache_create();

	(void)ask(cache, "a-long-password-of-joe", "salt", 2);
	cr_assert_null(memmem(cache, 64 * 97, "a-long-password-of-joe", 22));
	key_cache_destroy(cache);
}
