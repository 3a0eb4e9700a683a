/* SPDX-License-Identifier: PostgreSQL */
/* Keys: every part counts, no two ways to spread bytes over parts meet, stable across processes. */
#include "cache/key.h"

#include <criterion/criterion.h>

#include "base/assert.h"
#include "cache/cache.h"

enum { PARTS = sizeof(struct cache_key_parts) / sizeof(struct slice) };

static struct cache_key_parts parts_of(const char *const texts[PARTS])
{
	struct slice s[PARTS];
	struct cache_key_parts parts;

	for (size_t i = 0; i < PARTS; i++)
		s[i] = slice_str(texts[i]);
	memcpy(&parts, s, sizeof parts);
	return parts;
}

static bool same(struct hash128 a, struct hash128 b)
{
	return a.hi == b.hi && a.lo == b.lo;
}

Test(key, each_part_changes_it)
{
	const char *base[PARTS] = { "main", "app", "alice", "TimeZone=UTC", "select 1", "t", "p", "f" };
	struct cache_key_parts parts = parts_of(base);
	struct hash128 key = cache_key(&parts);

	cr_assert(same(key, cache_key(&parts)));
	for (size_t i = 0; i < PARTS; i++) {
		const char *other[PARTS];

		memcpy(other, base, sizeof other);
		other[i] = "else";
		parts = parts_of(other);
		cr_assert_not(same(key, cache_key(&parts)), "part %zu", i);
	}
}

/* All ways to cut one string into four parts give different keys. */
Test(key, moving_a_border_changes_it)
{
	static const char text[] = "aaaaaa";
	struct hash128 seen[1024];
	size_t count = 0;

	for (unsigned cut = 0; cut < 7 * 7 * 7; cut++) {
		size_t a = cut % 7, b = cut / 7 % 7, c = cut / 49;
		struct cache_key_parts parts = { 0 };
		struct hash128 key;

		if (a + b + c > 6)
			continue;
		parts.cluster = slice_of(text, a);
		parts.database = slice_of(text, b);
		parts.role = slice_of(text, c);
		parts.sql = slice_of(text, 6 - a - b - c);
		key = cache_key(&parts);
		for (size_t i = 0; i < count; i++)
			cr_assert_not(same(seen[i], key));
		seen[count++] = key;
	}
	cr_assert_eq(count, 84);
}

Test(key, binary_parameters_with_zeros)
{
	struct cache_key_parts a = { .params = slice_of("\0\0\0\1", 4) };
	struct cache_key_parts b = { .params = slice_of("\0\0\0\1\0", 5) };

	cr_assert_not(same(cache_key(&a), cache_key(&b)));
}

/* Processes of different builds share Redis: this value may only change with the format. */
Test(key, is_the_same_in_every_process)
{
	const char *texts[PARTS] = { "main", "app", "alice", "", "select 1", "", "", "" };
	struct cache_key_parts parts = parts_of(texts);
	struct hash128 key = cache_key(&parts);
	uint8_t bytes[16];
	char hex[HASH128_HEX_LEN];

	hash128_hex(key, hex);
	cr_assert_eq(memcmp(hex, "4b8bcf0f846f1765ef071d54c78c7461", HASH128_HEX_LEN), 0, "%.32s", hex);
	hash128_to_bytes(key, bytes);
	cr_assert(same(key, hash128_from_bytes(bytes)));
}

Test(key, names_of_generations_differ_by_kind_scope_and_oid)
{
	struct slice scope = slice_str("main/app");
	struct hash128 names[] = {
		generation_name(GENERATION_ALL, slice_of("", 0), 0),
		generation_name(GENERATION_CLUSTER, slice_str("main"), 0),
		generation_name(GENERATION_CLUSTER, scope, 0),
		generation_name(GENERATION_DATABASE, scope, 0),
		generation_name(GENERATION_TABLE, scope, 0),
		generation_name(GENERATION_TABLE, scope, 1),
		generation_name(GENERATION_TABLE, slice_str("main/app2"), 1),
	};

	for (size_t i = 0; i < WEIR_COUNTOF(names); i++)
		for (size_t j = i + 1; j < WEIR_COUNTOF(names); j++)
			cr_assert_not(same(names[i], names[j]), "%zu and %zu", i, j);
}
