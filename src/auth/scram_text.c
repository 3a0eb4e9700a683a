/* SPDX-License-Identifier: PostgreSQL */
/*
 * Reading and writing of SCRAM's attribute lists, and its signature: what both
 * sides share. An append without room is remembered and checked once at the
 * end. Pure but for the nonce, any thread.
 */
#include "auth/scram_text.h"

bool scram_attribute_any(struct slice *rest, char *name, struct slice *value)
{
	const char *comma;
	size_t len;

	if (rest->len < 2 || rest->ptr[1] != '=')
		return false;
	*name = rest->ptr[0];
	if (!((*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z')))
		return false;
	comma = memchr(rest->ptr, ',', rest->len);
	len = comma ? (size_t)(comma - rest->ptr) : rest->len;
	if (len < 2)
		return false;
	*value = slice_of(rest->ptr + 2, len - 2);
	if (comma)
		len++;
	*rest = slice_of(rest->ptr + len, rest->len - len);
	return true;
}

bool scram_attribute(struct slice *rest, char name, struct slice *value)
{
	struct slice after = *rest;
	char found;

	if (!scram_attribute_any(&after, &found, value) || found != name)
		return false;
	*rest = after;
	return true;
}

bool scram_nonce_is_valid(struct slice nonce)
{
	if (nonce.len == 0 || nonce.len > SCRAM_NONCE_MAX)
		return false;
	for (size_t i = 0; i < nonce.len; i++) {
		if (nonce.ptr[i] < '!' || nonce.ptr[i] > '~' || nonce.ptr[i] == ',')
			return false;
	}
	return true;
}

void scram_text_clear(struct scram_text *t)
{
	t->len = 0;
	t->is_cut = false;
}

void scram_text_append(struct scram_text *t, struct slice s)
{
	if (t->is_cut || s.len > sizeof(t->data) - t->len) {
		t->is_cut = true;
		return;
	}
	if (s.len)
		memcpy(t->data + t->len, s.ptr, s.len);
	t->len += s.len;
}

void scram_text_append_base64(struct scram_text *t, struct slice data)
{
	enum { MAX_BYTES = 512 };
	char text[CRYPTO_BASE64_CHARS(MAX_BYTES)];

	WEIR_ASSERT(data.len <= MAX_BYTES);
	scram_text_append(t, slice_of(text, crypto_base64_encode(data, text)));
}

struct slice scram_text_slice(const struct scram_text *t)
{
	return slice_of(t->data, t->len);
}

void scram_sign(const uint8_t key[SCRAM_KEY_BYTES], const struct slice message[3],
                uint8_t out[SCRAM_KEY_BYTES])
{
	const struct slice comma = slice_str(",");
	const struct slice parts[] = { message[0], comma, message[1], comma, message[2] };

	crypto_hmac_sha256(slice_of(key, SCRAM_KEY_BYTES), parts, WEIR_COUNTOF(parts), out);
}

void scram_xor(const uint8_t a[SCRAM_KEY_BYTES], const uint8_t b[SCRAM_KEY_BYTES],
               uint8_t out[SCRAM_KEY_BYTES])
{
	for (size_t i = 0; i < SCRAM_KEY_BYTES; i++)
		out[i] = a[i] ^ b[i];
}

void scram_nonce_make(struct scram_own_nonce *out)
{
	uint8_t raw[SCRAM_NONCE_BYTES];

	_Static_assert(CRYPTO_BASE64_CHARS(sizeof(raw)) <= sizeof(out->data), "room for the text");
	crypto_random(raw, sizeof(raw));
	out->len = crypto_base64_encode(slice_of(raw, sizeof(raw)), out->data);
}
