/* SPDX-License-Identifier: PostgreSQL */
/*
 * The md5 method as the manual gives it under "Message Flow, Start-up"
 * (AuthenticationMD5Password): concat('md5', md5(concat(md5(concat(password,
 * user)), salt))). The stored form is the inner half. Pure, any thread.
 */
#include "auth/md5.h"

#include "auth/crypto.h"

static const char prefix[] = "md5";
enum { PREFIX_CHARS = sizeof(prefix) - 1 };

_Static_assert(PREFIX_CHARS + CRYPTO_MD5_HEX_CHARS == SECRET_MD5_CHARS,
               "layout of the stored form");

enum weir_err md5_secret(struct slice user, struct slice password, char out[SECRET_MD5_CHARS])
{
	memcpy(out, prefix, PREFIX_CHARS);
	return crypto_md5_hex(password, user, out + PREFIX_CHARS);
}

enum weir_err md5_answer(const char secret[SECRET_MD5_CHARS], const uint8_t salt[MD5_SALT_BYTES],
                         char out[SECRET_MD5_CHARS])
{
	memcpy(out, prefix, PREFIX_CHARS);
	return crypto_md5_hex(slice_of(secret + PREFIX_CHARS, CRYPTO_MD5_HEX_CHARS),
	                      slice_of(salt, MD5_SALT_BYTES), out + PREFIX_CHARS);
}

bool md5_check(const char secret[SECRET_MD5_CHARS], const uint8_t salt[MD5_SALT_BYTES],
               struct slice answer)
{
	char expected[SECRET_MD5_CHARS];

	return md5_answer(secret, salt, expected) == WEIR_OK &&
	       crypto_equal(answer, slice_of(expected, sizeof(expected)));
}
