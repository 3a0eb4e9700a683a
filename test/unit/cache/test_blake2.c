/* SPDX-License-Identifier: PostgreSQL */
/* BLAKE2b against known digests, at and around the block border, in any cut. */
#include "cache/blake2.h"

#include "base/assert.h"

#include <criterion/criterion.h>
#include <stdio.h>

static void digest_text(const void *data, size_t len, size_t step, size_t bytes, char *text)
{
	struct blake2 b;
	uint8_t digest[BLAKE2_DIGEST_MAX];

	blake2_init(&b, bytes);
	for (size_t at = 0; at < len; at += step)
		blake2_update(&b, (const char *)data + at, len - at < step ? len - at : step);
	blake2_final(&b, digest);
	for (size_t i = 0; i < bytes; i++)
		snprintf(text + 2 * i, 3, "%02x", digest[i]);
}

static void expect(const void *data, size_t len, const char *want)
{
	static const size_t steps[] = { 1, 7, 64, 127, 128, 129, 4096 };
	char text[2 * BLAKE2_DIGEST_MAX + 1];

	for (size_t i = 0; i < WEIR_COUNTOF(steps); i++) {
		digest_text(data, len, steps[i], strlen(want) / 2, text);
		cr_assert_str_eq(text, want, "length %zu in steps of %zu", len, steps[i]);
	}
}

Test(blake2, full_length_digest_of_the_standard)
{
	expect("abc", 3,
	       "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
	       "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923");
}

Test(blake2, short_digests_around_the_block_border)
{
	char many[129];
	uint8_t all[1024];

	memset(many, 'a', sizeof many);
	for (size_t i = 0; i < sizeof all; i++)
		all[i] = (uint8_t)i;
	expect("", 0, "cae66941d9efbd404e4d88758ea67670");
	expect("abc", 3, "cf4ab791c62b8d2b2109c90275287816");
	expect(many, 128, "1271d28e731afb57bdfba6bdaf3501be");
	expect(many, 129, "68b7bafbad5055c4ebe6eb170a0f8524");
	expect(all, 1024, "0b4661484ed1cc8e28c4a7f18e8b1019");
}

Test(blake2, parts_carry_their_length)
{
	struct blake2 a, b;
	uint8_t da[16], db[16];

	blake2_init(&a, 16);
	blake2_update_part(&a, slice_str("ab"));
	blake2_update_part(&a, slice_str("c"));
	blake2_final(&a, da);
	blake2_init(&b, 16);
	blake2_update_part(&b, slice_str("a"));
	blake2_update_part(&b, slice_str("bc"));
	blake2_final(&b, db);
	cr_assert_neq(memcmp(da, db, 16), 0);
}
