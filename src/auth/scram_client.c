/* SPDX-License-Identifier: PostgreSQL */
/*
 * The client side of SCRAM-SHA-256 (RFC 5802, section 3), towards a server
 * that may be hostile: its nonce, salt and iteration count are bounded before
 * anything is computed from them, and it must prove that it knows the secret.
 * Pure but for the nonce, any thread.
 */
#include "auth/scram.h"

#include "auth/key_cache.h"
#include "auth/scram_text.h"
#include "base/mem.h"

enum { CLIENT_START, CLIENT_ASKED, CLIENT_PROVED, CLIENT_DONE };

static const char gs2_plus[] = "p=tls-server-end-point,,";

void scram_client_init(struct scram_client *c, struct slice password, const struct scram_keys *keys,
                       unsigned max_iterations)
{
	c->state = CLIENT_START;
	c->gs2_header = "";
	c->has_keys = keys != NULL;
	if (keys)
		c->keys = *keys;
	c->max_iterations = max_iterations;
	c->password = password;
	c->cache = NULL;
	c->cbind.len = 0;
	scram_nonce_make(&c->nonce);
	scram_text_clear(&c->client_first);
	scram_text_clear(&c->reply);
}

void scram_client_first(struct scram_client *c, enum scram_binding binding,
                        const struct scram_cbind *cbind, struct slice *out)
{
	WEIR_ASSERT(c->state == CLIENT_START);
	c->gs2_header = binding == SCRAM_BINDING_UNOFFERED ? "y,," : "n,,";
	if (binding == SCRAM_BINDING_PLUS) {
		WEIR_ASSERT(cbind->len > 0 && cbind->len <= sizeof(cbind->data));
		c->cbind = *cbind;
		c->gs2_header = gs2_plus;
	}
	/* The user name stays empty, as libpq leaves it: the start-up packet names the user. */
	scram_text_append(&c->client_first, slice_str("n=,r="));
	scram_text_append(&c->client_first, slice_of(c->nonce.data, c->nonce.len));
	scram_text_append(&c->reply, slice_str(c->gs2_header));
	scram_text_append(&c->reply, scram_text_slice(&c->client_first));
	c->state = CLIENT_ASKED;
	*out = scram_text_slice(&c->reply);
}

struct server_first {
	struct slice nonce;
	uint8_t salt[SCRAM_SALT_MAX_BYTES];
	size_t salt_len;
	unsigned iterations;
};

static enum weir_err read_iterations(struct slice text, unsigned max, unsigned *out)
{
	unsigned long v = 0;

	if (text.len == 0)
		return WEIR_ERR_PROTOCOL;
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return WEIR_ERR_PROTOCOL;
		v = v * 10 + (unsigned long)(text.ptr[i] - '0');
		if (v > max)
			return WEIR_ERR_LIMIT;
	}
	*out = (unsigned)v;
	return v > 0 ? WEIR_OK : WEIR_ERR_PROTOCOL;
}

/* The server's nonce must extend ours. */
static bool nonce_extends_ours(const struct scram_client *c, struct slice nonce)
{
	return scram_nonce_is_valid(nonce) && nonce.len > c->nonce.len &&
	       memcmp(nonce.ptr, c->nonce.data, c->nonce.len) == 0;
}

static enum weir_err read_server_first(const struct scram_client *c, struct slice message,
                                       struct server_first *out)
{
	struct slice rest = message;
	struct slice salt, iterations;

	if (message.len > SCRAM_MESSAGE_MAX)
		return WEIR_ERR_LIMIT;
	if (!scram_attribute(&rest, 'r', &out->nonce) || !nonce_extends_ours(c, out->nonce))
		return WEIR_ERR_PROTOCOL;
	if (!scram_attribute(&rest, 's', &salt) || !scram_attribute(&rest, 'i', &iterations))
		return WEIR_ERR_PROTOCOL;
	if (crypto_base64_decode(salt, out->salt, sizeof(out->salt), &out->salt_len) != WEIR_OK ||
	    out->salt_len == 0)
		return WEIR_ERR_PROTOCOL;
	return read_iterations(iterations, c->max_iterations, &out->iterations);
}

static enum weir_err make_keys(struct scram_client *c, const struct server_first *first)
{
	const struct scram_derivation question = { .password = c->password,
		                                   .salt = slice_of(first->salt, first->salt_len),
		                                   .iterations = first->iterations,
		                                   .max_iterations = c->max_iterations };

	return c->has_keys ? WEIR_OK : key_cache_derive(c->cache, &question, &c->keys);
}

static void append_binding(struct scram_client *c)
{
	char raw[sizeof(gs2_plus) + SCRAM_CBIND_MAX_BYTES];
	struct slice header = slice_str(c->gs2_header);

	memcpy(raw, header.ptr, header.len);
	memcpy(raw + header.len, c->cbind.data, c->cbind.len);
	scram_text_append(&c->reply, slice_str("c="));
	scram_text_append_base64(&c->reply, slice_of(raw, header.len + c->cbind.len));
}

/* Writes the proof behind the reply and remembers what the server must answer. */
static void append_proof(struct scram_client *c, struct slice server_first)
{
	const struct slice parts[3] = { scram_text_slice(&c->client_first), server_first,
		                            scram_text_slice(&c->reply) };
	uint8_t stored_key[SCRAM_KEY_BYTES];
	uint8_t proof[SCRAM_KEY_BYTES];

	scram_stored_key(c->keys.client_key, stored_key);
	scram_sign(stored_key, parts, proof);
	scram_xor(proof, c->keys.client_key, proof);
	scram_sign(c->keys.server_key, parts, c->server_signature);
	scram_text_append(&c->reply, slice_str(",p="));
	scram_text_append_base64(&c->reply, slice_of(proof, sizeof(proof)));
}

enum weir_err scram_client_final(struct scram_client *c, struct slice server_first,
                                 struct slice *out)
{
	struct server_first first;
	enum weir_err err;

	if (c->state != CLIENT_ASKED)
		return WEIR_ERR_PROTOCOL;
	c->state = CLIENT_DONE;
	err = read_server_first(c, server_first, &first);
	if (err == WEIR_OK)
		err = make_keys(c, &first);
	if (err != WEIR_OK)
		return err;
	scram_text_clear(&c->reply);
	append_binding(c);
	scram_text_append(&c->reply, slice_str(",r="));
	scram_text_append(&c->reply, first.nonce);
	append_proof(c, server_first);
	if (c->reply.is_cut)
		return WEIR_ERR_LIMIT;
	c->state = CLIENT_PROVED;
	*out = scram_text_slice(&c->reply);
	return WEIR_OK;
}

enum weir_err scram_client_verify(struct scram_client *c, struct slice server_final)
{
	uint8_t signature[SCRAM_KEY_BYTES];
	struct slice rest = server_final;
	struct slice value;
	size_t len;

	if (c->state != CLIENT_PROVED)
		return WEIR_ERR_PROTOCOL;
	c->state = CLIENT_DONE;
	if (server_final.len > SCRAM_MESSAGE_MAX)
		return WEIR_ERR_LIMIT;
	if (scram_attribute(&rest, 'e', &value))
		return WEIR_ERR_AUTH;
	if (!scram_attribute(&rest, 'v', &value) ||
	    crypto_base64_decode(value, signature, sizeof(signature), &len) != WEIR_OK ||
	    len != sizeof(signature))
		return WEIR_ERR_PROTOCOL;
	return crypto_equal(slice_of(signature, len), slice_of(c->server_signature, len))
	           ? WEIR_OK
	           : WEIR_ERR_AUTH;
}

void scram_client_fini(struct scram_client *c)
{
	mem_wipe(c, sizeof(*c));
}
