/* SPDX-License-Identifier: PostgreSQL */
/*
 * The server side of SCRAM-SHA-256 (RFC 5802, section 3). Two messages come
 * in: client-first names nonce and channel binding, client-final the proof. A
 * doomed exchange runs every step alike and fails at the comparison only. The
 * user name inside the message is ignored, as PostgreSQL does: the identity
 * comes from the start-up packet. Pure but for the nonce, any thread.
 */
#include "auth/scram.h"

#include <stdio.h>

#include "auth/scram_text.h"
#include "base/mem.h"

enum { SERVER_START, SERVER_CHALLENGED, SERVER_DONE };

/* The headers that may come: no binding, "you can't", and the one kind that is supported. */
static const char gs2_none[] = "n,,";
static const char gs2_unable[] = "y,,";
static const char gs2_plus[] = "p=tls-server-end-point,,";

void scram_server_init(struct scram_server *s, const struct scram_secret *secret, bool is_doomed,
                       const struct scram_cbind *cbind)
{
	s->state = SERVER_START;
	s->is_doomed = is_doomed;
	s->is_plus = false;
	s->secret = *secret;
	s->cbind.len = 0;
	if (cbind)
		s->cbind = *cbind;
	WEIR_ASSERT(s->cbind.len <= sizeof(s->cbind.data));
	scram_nonce_make(&s->nonce);
	s->gs2_header = "";
	scram_text_clear(&s->client_first);
	scram_text_clear(&s->server_first);
	scram_text_clear(&s->reply);
}

static bool take_prefix(struct slice *rest, const char *prefix)
{
	size_t len = strlen(prefix);

	if (rest->len < len || memcmp(rest->ptr, prefix, len) != 0)
		return false;
	*rest = slice_of(rest->ptr + len, rest->len - len);
	return true;
}

/*
 * Takes the header off the front, if it fits the mechanism chosen and what was
 * offered: "you can't" is a downgrade if we can. An authorization identity
 * isn't supported, so none of the texts has one.
 */
static bool take_gs2_header(struct scram_server *s, struct slice *rest)
{
	if (s->is_plus)
		s->gs2_header = gs2_plus;
	else if (s->cbind.len == 0 && rest->len > 0 && rest->ptr[0] == 'y')
		s->gs2_header = gs2_unable;
	else
		s->gs2_header = gs2_none;
	return take_prefix(rest, s->gs2_header);
}

static void write_server_first(struct scram_server *s, struct slice client_nonce)
{
	struct scram_text *t = &s->server_first;
	char iterations[16];

	scram_text_append(t, slice_str("r="));
	scram_text_append(t, client_nonce);
	scram_text_append(t, slice_of(s->nonce.data, s->nonce.len));
	scram_text_append(t, slice_str(",s="));
	scram_text_append_base64(t, slice_of(s->secret.salt, s->secret.salt_len));
	(void)snprintf(iterations, sizeof(iterations), ",i=%u", s->secret.iterations);
	scram_text_append(t, slice_str(iterations));
}

enum weir_err scram_server_first(struct scram_server *s, struct slice mechanism,
                                 struct slice message, struct slice *reply)
{
	struct slice rest = message;
	struct slice name, nonce;

	if (s->state != SERVER_START)
		return WEIR_ERR_PROTOCOL;
	s->state = SERVER_DONE;
	s->is_plus = s->cbind.len > 0 && slice_is(mechanism, SCRAM_MECHANISM_PLUS);
	if (!s->is_plus && !slice_is(mechanism, SCRAM_MECHANISM))
		return WEIR_ERR_PROTOCOL;
	if (message.len == 0 || message.len > SCRAM_MESSAGE_MAX || !take_gs2_header(s, &rest))
		return WEIR_ERR_PROTOCOL;
	scram_text_append(&s->client_first, rest);
	/* A mandatory extension "m=" isn't 'n' and so is refused, as it must be. */
	if (!scram_attribute(&rest, 'n', &name) || !scram_attribute(&rest, 'r', &nonce) ||
	    !scram_nonce_is_valid(nonce))
		return WEIR_ERR_PROTOCOL;
	write_server_first(s, nonce);
	if (s->server_first.is_cut || s->client_first.is_cut)
		return WEIR_ERR_PROTOCOL;
	s->state = SERVER_CHALLENGED;
	*reply = scram_text_slice(&s->server_first);
	return WEIR_OK;
}

/* "c=" must repeat the header and, with PLUS, carry this channel's data. */
static bool binding_is_right(struct scram_server *s, struct slice value)
{
	char raw[sizeof(gs2_plus) + SCRAM_CBIND_MAX_BYTES];
	size_t len = strlen(s->gs2_header);

	memcpy(raw, s->gs2_header, len);
	if (s->is_plus) {
		memcpy(raw + len, s->cbind.data, s->cbind.len);
		len += s->cbind.len;
	}
	scram_text_clear(&s->reply);
	scram_text_append_base64(&s->reply, slice_of(raw, len));
	return crypto_equal(value, scram_text_slice(&s->reply));
}

/* The whole nonce, client's and ours, as server-first gave it behind "r=". */
static bool nonce_is_right(const struct scram_server *s, struct slice value)
{
	struct slice rest = scram_text_slice(&s->server_first);
	struct slice sent;

	return scram_attribute(&rest, 'r', &sent) && slice_equal(value, sent);
}

/* Reads client-final; *without_proof is the signed part of it. */
static bool read_client_final(struct scram_server *s, struct slice message,
                              struct slice *without_proof, uint8_t proof[SCRAM_KEY_BYTES])
{
	struct slice rest = message;
	struct slice value;
	size_t signed_len, len;
	char name;

	if (!scram_attribute(&rest, 'c', &value) || !binding_is_right(s, value))
		return false;
	if (!scram_attribute(&rest, 'r', &value) || !nonce_is_right(s, value))
		return false;
	do { /* optional extensions are passed over; the proof is last */
		signed_len = message.len - rest.len;
		if (!scram_attribute_any(&rest, &name, &value))
			return false;
	} while (name != 'p');
	if (rest.len != 0 || crypto_base64_decode(value, proof, SCRAM_KEY_BYTES, &len) != WEIR_OK)
		return false;
	*without_proof = slice_of(message.ptr, signed_len - 1);
	return len == SCRAM_KEY_BYTES && message.ptr[message.len - 1] != ',';
}

/* Recovers ClientKey from the proof and compares what it hashes to. */
static bool proof_is_right(struct scram_server *s, const struct slice signed_parts[3],
                           const uint8_t proof[SCRAM_KEY_BYTES])
{
	uint8_t signature[SCRAM_KEY_BYTES];
	uint8_t stored_key[SCRAM_KEY_BYTES];
	bool is_equal;

	scram_sign(s->secret.stored_key, signed_parts, signature);
	scram_xor(proof, signature, s->keys.client_key);
	scram_stored_key(s->keys.client_key, stored_key);
	memcpy(s->keys.server_key, s->secret.server_key, SCRAM_KEY_BYTES);
	is_equal = crypto_equal(slice_of(stored_key, SCRAM_KEY_BYTES),
	                        slice_of(s->secret.stored_key, SCRAM_KEY_BYTES));
	return is_equal && !s->is_doomed;
}

enum weir_err scram_server_final(struct scram_server *s, struct slice message, struct slice *reply)
{
	struct slice parts[3];
	uint8_t proof[SCRAM_KEY_BYTES];
	uint8_t signature[SCRAM_KEY_BYTES];

	if (s->state != SERVER_CHALLENGED)
		return WEIR_ERR_PROTOCOL;
	s->state = SERVER_DONE;
	if (message.len == 0 || message.len > SCRAM_MESSAGE_MAX ||
	    !read_client_final(s, message, &parts[2], proof))
		return WEIR_ERR_PROTOCOL;
	parts[0] = scram_text_slice(&s->client_first);
	parts[1] = scram_text_slice(&s->server_first);
	if (!proof_is_right(s, parts, proof)) {
		mem_wipe(&s->keys, sizeof(s->keys));
		return WEIR_ERR_AUTH;
	}
	scram_sign(s->secret.server_key, parts, signature);
	scram_text_clear(&s->reply);
	scram_text_append(&s->reply, slice_str("v="));
	scram_text_append_base64(&s->reply, slice_of(signature, sizeof(signature)));
	*reply = scram_text_slice(&s->reply);
	return WEIR_OK;
}

void scram_server_fini(struct scram_server *s)
{
	mem_wipe(s, sizeof(*s));
}
