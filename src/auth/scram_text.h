/* SPDX-License-Identifier: PostgreSQL */
/*
 * The text form of SCRAM messages (RFC 5802, section 7): attributes a=value
 * separated by commas. A cursor that reads them in order and bounded appends.
 * Private to the two SCRAM sides. Pure, any thread.
 */
#ifndef WEIR_AUTH_SCRAM_TEXT_H
#define WEIR_AUTH_SCRAM_TEXT_H

#include "auth/scram.h"

/*
 * The next attribute must be `name`: takes its value and the comma behind it.
 * false: another attribute, malformed, or nothing left.
 */
bool scram_attribute(struct slice *rest, char name, struct slice *value);
/* Whatever comes next; false: malformed or nothing left. */
bool scram_attribute_any(struct slice *rest, char *name, struct slice *value);

/* Printable ASCII without commas, 1 to SCRAM_NONCE_MAX characters. */
bool scram_nonce_is_valid(struct slice nonce);

void scram_text_clear(struct scram_text *t);
void scram_text_append(struct scram_text *t, struct slice s);
void scram_text_append_base64(struct scram_text *t, struct slice data); /* at most 512 bytes */
struct slice scram_text_slice(const struct scram_text *t);

/* HMAC of the AuthMessage: client-first-bare, server-first, client-final-without-proof. */
void scram_sign(const uint8_t key[SCRAM_KEY_BYTES], const struct slice message[3],
                uint8_t out[SCRAM_KEY_BYTES]);
void scram_xor(const uint8_t a[SCRAM_KEY_BYTES], const uint8_t b[SCRAM_KEY_BYTES],
               uint8_t out[SCRAM_KEY_BYTES]);

#endif
