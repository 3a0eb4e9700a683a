/* SPDX-License-Identifier: PostgreSQL */
/*
 * Stored SCRAM secrets: the text form SCRAM-SHA-256$i:salt$StoredKey:ServerKey
 * (manual, pg_authid) and their derivation from a password (RFC 5802, section
 * 3). Pure, any thread.
 */
#include "auth/scram_secret.h"

#include "auth/saslprep.h"
#include "base/mem.h"

static const char prefix[] = "SCRAM-SHA-256$";

/* Cuts *rest at the first `mark`, which is dropped; false: no mark. */
static bool cut(struct slice *rest, char mark, struct slice *head)
{
	const char *at = rest->len ? memchr(rest->ptr, mark, rest->len) : NULL;

	if (!at)
		return false;
	*head = slice_of(rest->ptr, (size_t)(at - rest->ptr));
	*rest = slice_of(at + 1, rest->len - head->len - 1);
	return true;
}

static bool parse_iterations(struct slice text, unsigned *out)
{
	enum { MAX_DIGITS = 9 };
	unsigned v = 0;

	if (text.len == 0 || text.len > MAX_DIGITS)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return false;
		v = v * 10 + (unsigned)(text.ptr[i] - '0');
	}
	*out = v;
	return v > 0;
}

static bool parse_key(struct slice text, uint8_t out[SCRAM_KEY_BYTES])
{
	size_t len;

	return crypto_base64_decode(text, out, SCRAM_KEY_BYTES, &len) == WEIR_OK &&
	       len == SCRAM_KEY_BYTES;
}

enum weir_err scram_secret_parse(struct slice text, struct scram_secret *out)
{
	const size_t prefix_len = sizeof(prefix) - 1;
	struct slice iterations, salt, stored_key;

	if (text.len <= prefix_len || memcmp(text.ptr, prefix, prefix_len) != 0)
		return WEIR_ERR_PROTOCOL;
	text = slice_of(text.ptr + prefix_len, text.len - prefix_len);
	if (!cut(&text, ':', &iterations) || !cut(&text, '$', &salt) || !cut(&text, ':', &stored_key))
		return WEIR_ERR_PROTOCOL;
	if (!parse_iterations(iterations, &out->iterations) ||
	    !parse_key(stored_key, out->stored_key) || !parse_key(text, out->server_key))
		return WEIR_ERR_PROTOCOL;
	if (crypto_base64_decode(salt, out->salt, sizeof(out->salt), &out->salt_len) != WEIR_OK ||
	    out->salt_len == 0)
		return WEIR_ERR_PROTOCOL;
	return WEIR_OK;
}

enum weir_err scram_keys_derive(const struct scram_derivation *from, struct scram_keys *out)
{
	const struct slice client = slice_str("Client Key");
	const struct slice server = slice_str("Server Key");
	uint8_t salted[SCRAM_KEY_BYTES];
	const struct slice key = slice_of(salted, sizeof(salted));
	struct saslprep prepared;
	enum weir_err err;

	saslprep_init(&prepared, from->password);
	err = crypto_pbkdf2(prepared.text, from->salt, from->iterations, from->max_iterations, salted);
	saslprep_fini(&prepared);
	if (err != WEIR_OK)
		return err;
	crypto_hmac_sha256(key, &client, 1, out->client_key);
	crypto_hmac_sha256(key, &server, 1, out->server_key);
	mem_wipe(salted, sizeof(salted));
	return WEIR_OK;
}

void scram_stored_key(const uint8_t client_key[SCRAM_KEY_BYTES], uint8_t out[SCRAM_KEY_BYTES])
{
	crypto_sha256(slice_of(client_key, SCRAM_KEY_BYTES), out);
}

static enum weir_err derive_keys(struct slice password, struct slice salt, unsigned iterations,
                                 struct scram_keys *out)
{
	const struct scram_derivation from = { .password = password,
		                                   .salt = salt,
		                                   .iterations = iterations,
		                                   .max_iterations = SCRAM_ITERATIONS_MAX };

	return scram_keys_derive(&from, out);
}

enum weir_err scram_secret_derive(struct scram_secret *out, struct slice password,
                                  struct slice salt, unsigned iterations)
{
	struct scram_keys keys;
	enum weir_err err;

	WEIR_ASSERT(salt.len > 0 && salt.len <= sizeof(out->salt));
	err = derive_keys(password, salt, iterations, &keys);
	if (err != WEIR_OK)
		return err;
	out->iterations = iterations;
	memcpy(out->salt, salt.ptr, salt.len);
	out->salt_len = salt.len;
	scram_stored_key(keys.client_key, out->stored_key);
	memcpy(out->server_key, keys.server_key, SCRAM_KEY_BYTES);
	mem_wipe(&keys, sizeof(keys));
	return WEIR_OK;
}

bool scram_secret_matches(const struct scram_secret *secret, struct slice password,
                          struct scram_keys *keys)
{
	const struct slice salt = slice_of(secret->salt, secret->salt_len);
	uint8_t stored_key[SCRAM_KEY_BYTES];
	struct scram_keys made;
	bool equal;

	if (derive_keys(password, salt, secret->iterations, &made) != WEIR_OK)
		return false;
	scram_stored_key(made.client_key, stored_key);
	equal = crypto_equal(slice_of(stored_key, SCRAM_KEY_BYTES),
	                     slice_of(secret->stored_key, SCRAM_KEY_BYTES));
	if (equal && keys)
		*keys = made;
	mem_wipe(&made, sizeof(made));
	return equal;
}
