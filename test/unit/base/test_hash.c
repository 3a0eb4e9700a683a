/* SPDX-License-Identifier: PostgreSQL */
/* Hashes: every byte and the length count. */
#include "base/hash.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_MAX = 300, BUCKETS = 1024, SAMPLES = 100 * BUCKETS };

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void expect_distinct(uint64_t *values, size_t count)
{
	qsort(values, count, sizeof(*values), by_value);
	for (size_t i = 1; i < count; i++)
		cr_assert_neq(values[i - 1], values[i]);
}

Test(hash, every_bit_of_every_length_matters)
{
	static uint64_t seen[LENGTH_MAX * 8 + 1];
	unsigned char bytes[LENGTH_MAX];

	for (size_t len = 1; len < LENGTH_MAX; len += len < 70 ? 1 : 23) {
		size_t count = 0;

		memset(bytes, 0x5a, sizeof(bytes));
		seen[count++] = hash_bytes(bytes, len);
		for (size_t bit = 0; bit < len * 8; bit++) {
			bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
			seen[count++] = hash_bytes(bytes, len);
			bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
		}
		expect_distinct(seen, count);
	}
}

Test(hash, equal_bytes_of_another_length_differ)
{
	static const unsigned char zeros[LENGTH_MAX];
	uint64_t seen[LENGTH_MAX];

	for (size_t len = 0; len < LENGTH_MAX; len++)
		seen[len] = hash_bytes(zeros, len);
	expect_distinct(seen, LENGTH_MAX);
}

Test(hash, the_address_does_not_matter)
{
	char shifted[80] = "x";
	const char *text = "select id, name from customers where id = 42 and region = 'north'";

	memcpy(shifted + 1, text, strlen(text));
	cr_assert_eq(hash_bytes(text, strlen(text)), hash_bytes(shifted + 1, strlen(text)));
}

static void expect_even(const unsigned *counts)
{
	for (unsigned i = 0; i < BUCKETS; i++)
		cr_assert(counts[i] > 40 && counts[i] < 180, "bucket %u has %u of 100", i, counts[i]);
}

Test(hash, similar_keys_spread_over_low_and_high_bits)
{
	static unsigned low[BUCKETS], high[BUCKETS];
	char key[64];

	for (unsigned i = 0; i < SAMPLES; i++) {
		int len = snprintf(key, sizeof(key), "select v from t where id = %u", i);
		uint64_t h = hash_bytes(key, (size_t)len);

		low[h % BUCKETS]++;
		high[h >> 54]++;
	}
	expect_even(low);
	expect_even(high);
}

Test(hash, a_new_seed_gives_other_values)
{
	uint64_t before = hash_bytes("key", 3);

	hash_seed_init();
	cr_assert_neq(hash_bytes("key", 3), before);
	cr_assert_eq(hash_bytes("key", 3), hash_bytes("key", 3));
}

Test(hash, combine_knows_the_order)
{
	cr_assert_neq(hash_combine(1, 2), hash_combine(2, 1));
	cr_assert_neq(hash_combine(0, 0), hash_combine(0, 1));
	cr_assert_neq(hash_combine(0, 0), hash_combine(1, 0));
}
