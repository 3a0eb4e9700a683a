/* SPDX-License-Identifier: PostgreSQL */
/* Primitives against published vectors; base64 both ways and malformed. */
#include <criterion/criterion.h>

#include <pthread.h>
#include <stdio.h>

#include "auth/crypto.h"
#include "base/mem.h"

static void expect_hex(const uint8_t *got, size_t len, const char *hex)
{
	char text[2 * 64 + 1];

	for (size_t i = 0; i < len; i++)
		(void)snprintf(text + 2 * i, 3, "%02x", got[i]);
	cr_assert_str_eq(text, hex);
}

/* Many of each size, so that what is fetched ahead is used up between. */
Test(crypto, random_bytes_come_once)
{
	enum { COUNT = 200, SIZES = 3 };
	static const size_t sizes[SIZES] = { 8, 18, 40 };
	static uint8_t given[SIZES][COUNT][40];

	for (int i = 0; i < COUNT; i++)
		for (int s = 0; s < SIZES; s++)
			crypto_random(given[s][i], sizes[s]);
	for (int s = 0; s < SIZES; s++)
		for (int i = 0; i < COUNT; i++)
			for (int j = 0; j < i; j++)
				cr_assert_neq(memcmp(given[s][i], given[s][j], sizes[s]), 0);
}

static void *take_eight(void *out)
{
	crypto_random(out, 8);
	return NULL;
}

Test(crypto, threads_are_given_different_random_bytes)
{
	uint8_t given[2][8];
	pthread_t threads[2];

	for (int i = 0; i < 2; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, take_eight, given[i]), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	cr_assert_neq(memcmp(given[0], given[1], sizeof(given[0])), 0);
}

Test(crypto, sha256_of_fips_180)
{
	uint8_t out[CRYPTO_SHA256_BYTES];

	crypto_sha256(slice_str("abc"), out);
	expect_hex(out, sizeof(out),
	           "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

Test(crypto, hmac_of_rfc_4231_in_parts)
{
	const struct slice parts[] = { slice_str("what do ya "), slice_str(""),
		                           slice_str("want for nothing?") };
	uint8_t out[CRYPTO_SHA256_BYTES];

	crypto_hmac_sha256(slice_str("Jefe"), parts, WEIR_COUNTOF(parts), out);
	expect_hex(out, sizeof(out),
	           "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

Test(crypto, hmac_of_keys_of_a_block_and_more)
{
	const struct slice part = slice_str("a");
	const struct slice text = slice_str("Test Using Larger Than Block-Size Key - Hash Key First");
	char key[131];
	uint8_t out[CRYPTO_SHA256_BYTES];

	memset(key, 0xaa, sizeof(key));
	crypto_hmac_sha256(slice_of(key, sizeof(key)), &text, 1, out); /* RFC 4231, test case 6 */
	expect_hex(out, sizeof(out),
	           "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
	crypto_hmac_sha256(slice_of(key, 64), &part, 1, out);
	expect_hex(out, sizeof(out),
	           "917f2cd8b5da1412ee966da7decb133be190b92c6ccd6cec37eb38ccf56c75fd");
}

Test(crypto, pbkdf2_of_rfc_7914)
{
	uint8_t out[CRYPTO_SHA256_BYTES];

	cr_assert_eq(crypto_pbkdf2(slice_str("passwd"), slice_str("salt"), 1, 1, out), WEIR_OK);
	expect_hex(out, sizeof(out),
	           "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc");
}

Test(crypto, pbkdf2_bounds)
{
	uint8_t out[CRYPTO_SHA256_BYTES];

	cr_assert_eq(crypto_pbkdf2(slice_str("p"), slice_str("s"), 0, 9, out), WEIR_ERR_LIMIT);
	cr_assert_eq(crypto_pbkdf2(slice_str("p"), slice_str("s"), 10, 9, out), WEIR_ERR_LIMIT);
	cr_assert_eq(crypto_pbkdf2(slice_str("p"), slice_str("s"), UINT32_MAX, UINT32_MAX, out),
	             WEIR_ERR_LIMIT);
	cr_assert_eq(crypto_pbkdf2(slice_str(""), slice_str("s"), 9, 9, out), WEIR_OK);
}

Test(crypto, md5_of_two_parts)
{
	char hex[CRYPTO_MD5_HEX_CHARS];

	cr_assert_eq(crypto_md5_hex(slice_str("message "), slice_str("digest"), hex), WEIR_OK);
	cr_assert(slice_is(slice_of(hex, sizeof(hex)), "f96b697d7cb7938d525a2f31aaf161d0"));
}

Test(crypto, equal)
{
	cr_assert(crypto_equal(slice_str("abc"), slice_str("abc")));
	cr_assert_not(crypto_equal(slice_str("abc"), slice_str("abd")));
	cr_assert_not(crypto_equal(slice_str("abc"), slice_str("ab")));
	cr_assert(crypto_equal(slice_str(""), slice_str("")));
}

Test(crypto, base64_of_rfc_4648_both_ways)
{
	static const char *const cases[][2] = {
		{ "", "" },
		{ "f", "Zg==" },
		{ "fo", "Zm8=" },
		{ "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" },
	};

	for (size_t i = 0; i < WEIR_COUNTOF(cases); i++) {
		char text[16];
		uint8_t raw[8];
		size_t len = 77;
		size_t chars = crypto_base64_encode(slice_str(cases[i][0]), text);

		cr_assert(slice_is(slice_of(text, chars), cases[i][1]));
		cr_assert_eq(crypto_base64_decode(slice_str(cases[i][1]), raw, sizeof(raw), &len), WEIR_OK);
		cr_assert(slice_is(slice_of(raw, len), cases[i][0]));
	}
}

Test(crypto, base64_malformed)
{
	static const char *const cases[] = { "Z",    "Zg",       "Zg=",  "Zg== ", "====",
		                                 "Z===", "Zh==",     "Zm9=", "Zm 8",  "Z-8=",
		                                 "=Zm8", "Zg==Zg==", "Zm\n8" };
	uint8_t raw[64];
	size_t len;

	for (size_t i = 0; i < WEIR_COUNTOF(cases); i++)
		cr_assert_eq(crypto_base64_decode(slice_str(cases[i]), raw, sizeof(raw), &len),
		             WEIR_ERR_PROTOCOL, "case %zu", i);
}

Test(crypto, base64_takes_its_alphabet_only)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint8_t raw[3];
	size_t len;

	for (unsigned c = 0; c < 256; c++) {
		char text[] = { (char)c, 'A', 'A', 'A' };
		const char *at = memchr(alphabet, (int)c, sizeof(alphabet) - 1);
		enum weir_err err =
			crypto_base64_decode(slice_of(text, sizeof(text)), raw, sizeof(raw), &len);

		cr_assert_eq(err, at ? WEIR_OK : WEIR_ERR_PROTOCOL, "%u", c);
		if (at)
			cr_assert_eq(raw[0] >> 2, at - alphabet, "%u", c);
	}
}

Test(crypto, base64_all_bytes_and_room)
{
	uint8_t raw[256], back[256];
	char text[CRYPTO_BASE64_CHARS(256)];
	size_t chars, len;

	for (size_t i = 0; i < sizeof(raw); i++)
		raw[i] = (uint8_t)(i * 7);
	for (size_t n = 0; n <= sizeof(raw); n++) {
		chars = crypto_base64_encode(slice_of(raw, n), text);
		cr_assert_eq(chars, CRYPTO_BASE64_CHARS(n));
		cr_assert_eq(crypto_base64_decode(slice_of(text, chars), back, n, &len), WEIR_OK);
		cr_assert(slice_equal(slice_of(raw, n), slice_of(back, len)));
		if (n > 0)
			cr_assert_eq(crypto_base64_decode(slice_of(text, chars), back, n - 1, &len),
			             WEIR_ERR_LIMIT);
	}
}

Test(crypto, random_differs)
{
	uint8_t a[16] = { 0 }, b[16] = { 0 };

	crypto_random(a, sizeof(a));
	crypto_random(b, sizeof(b));
	cr_assert_not(slice_equal(slice_of(a, sizeof(a)), slice_of(b, sizeof(b))));
}
