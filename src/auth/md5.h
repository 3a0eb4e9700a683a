/* SPDX-License-Identifier: PostgreSQL */
/*
 * The md5 method, both sides: the stored form is md5(password user), the
 * answer to a challenge md5(stored-hex salt), each written as "md5" and 32
 * hexadecimal digits. Pure, any thread.
 */
#ifndef WEIR_AUTH_MD5_H
#define WEIR_AUTH_MD5_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/secret.h"
#include "base/assert.h"
#include "base/err.h"
#include "base/slice.h"

enum { MD5_SALT_BYTES = 4 };

/* The stored form of a password. UNSUPPORTED: MD5 isn't available. */
enum weir_err md5_secret(struct slice user, struct slice password,
                         char out[SECRET_MD5_CHARS]) WEIR_MUST_CHECK;

/* The answer that proves a stored form to whoever sent the salt. UNSUPPORTED as above. */
enum weir_err md5_answer(const char secret[SECRET_MD5_CHARS], const uint8_t salt[MD5_SALT_BYTES],
                         char out[SECRET_MD5_CHARS]) WEIR_MUST_CHECK;

/* Constant time. */
bool md5_check(const char secret[SECRET_MD5_CHARS], const uint8_t salt[MD5_SALT_BYTES],
               struct slice answer);

#endif
