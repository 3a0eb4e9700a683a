/* SPDX-License-Identifier: PostgreSQL */
/*
 * The few primitives that log-in needs. crypto.c is the only file of pgweir,
 * beside net's TLS, that includes OpenSSL. All lengths are explicit; results
 * go to caller's memory. No state but what OpenSSL was asked for once, and each
 * thread's own random bytes. Any thread.
 */
#ifndef WEIR_AUTH_CRYPTO_H
#define WEIR_AUTH_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/slice.h"

enum {
	CRYPTO_SHA256_BYTES = 32,
	CRYPTO_MD5_BYTES = 16,
	CRYPTO_MD5_HEX_CHARS = 2 * CRYPTO_MD5_BYTES,
};

#define CRYPTO_BASE64_CHARS(bytes) (((bytes) + 2) / 3 * 4)

void crypto_sha256(struct slice data, uint8_t out[CRYPTO_SHA256_BYTES]);

/* Over the concatenation of `count` parts. */
void crypto_hmac_sha256(struct slice key, const struct slice *parts, size_t count,
                        uint8_t out[CRYPTO_SHA256_BYTES]);

/* PBKDF2 with HMAC-SHA-256 (RFC 8018), one block. LIMIT: 0 or more than max_iterations. */
enum weir_err crypto_pbkdf2(struct slice password, struct slice salt, unsigned iterations,
                            unsigned max_iterations,
                            uint8_t out[CRYPTO_SHA256_BYTES]) WEIR_MUST_CHECK;

/* Lower-case hex over a then b. UNSUPPORTED: this OpenSSL refuses MD5 (FIPS). */
enum weir_err crypto_md5_hex(struct slice a, struct slice b,
                             char out[CRYPTO_MD5_HEX_CHARS]) WEIR_MUST_CHECK;

/* Ends the process if the system has no randomness. */
void crypto_random(void *out, size_t len);

/* Time depends on the lengths only; unequal lengths are unequal. */
bool crypto_equal(struct slice a, struct slice b);

/* Standard alphabet with padding, no NUL; returns the characters written: CRYPTO_BASE64_CHARS. */
size_t crypto_base64_encode(struct slice data, char *out);
/* Strict: padding in place, no blanks. PROTOCOL: malformed; LIMIT: more than max bytes. */
enum weir_err crypto_base64_decode(struct slice text, uint8_t *out, size_t max,
                                   size_t *len) WEIR_MUST_CHECK;

#endif
