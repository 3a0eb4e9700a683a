/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a server knows of a SCRAM-SHA-256 password: salt, iterations and two
 * keys, as pg_authid and user lists store it. Passwords go through SASLprep,
 * see saslprep.h. Pure, any thread.
 */
#ifndef WEIR_AUTH_SCRAM_SECRET_H
#define WEIR_AUTH_SCRAM_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/crypto.h"
#include "base/assert.h"
#include "base/err.h"
#include "base/slice.h"

enum {
	SCRAM_KEY_BYTES = CRYPTO_SHA256_BYTES,
	SCRAM_SALT_BYTES = 16,      /* of secrets made here */
	SCRAM_SALT_MAX_BYTES = 128, /* of a peer or a stored secret */
	SCRAM_ITERATIONS_DEFAULT = 4096,
	SCRAM_ITERATIONS_MAX = 100000, /* default of the bound on a server's wish */
};

struct scram_secret {
	unsigned iterations;
	uint8_t salt[SCRAM_SALT_MAX_BYTES];
	size_t salt_len;
	uint8_t stored_key[SCRAM_KEY_BYTES];
	uint8_t server_key[SCRAM_KEY_BYTES];
};

/* What a client's own log-in reveals, enough to log in elsewhere under the same stored secret. */
struct scram_keys {
	uint8_t client_key[SCRAM_KEY_BYTES];
	uint8_t server_key[SCRAM_KEY_BYTES];
};

/* PROTOCOL: not a well-formed secret text. */
enum weir_err scram_secret_parse(struct slice text, struct scram_secret *out) WEIR_MUST_CHECK;
/* Costs `iterations` rounds of PBKDF2. LIMIT: iterations 0 or above SCRAM_ITERATIONS_MAX. */
enum weir_err scram_secret_derive(struct scram_secret *out, struct slice password,
                                  struct slice salt, unsigned iterations) WEIR_MUST_CHECK;
/*
 * Whether password is the one behind the secret; costs its iterations, compares
 * in constant time. keys, unless NULL, are set when it is.
 */
bool scram_secret_matches(const struct scram_secret *secret, struct slice password,
                          struct scram_keys *keys);

struct scram_derivation {
	struct slice password, salt;
	unsigned iterations, max_iterations;
};
/* A password's ClientKey and ServerKey; costs the iterations. LIMIT: 0 of them, or too many. */
enum weir_err scram_keys_derive(const struct scram_derivation *from,
                                struct scram_keys *out) WEIR_MUST_CHECK;
/* StoredKey: what a server keeps of ClientKey. */
void scram_stored_key(const uint8_t client_key[SCRAM_KEY_BYTES], uint8_t out[SCRAM_KEY_BYTES]);

#endif
