/* SPDX-License-Identifier: PostgreSQL */
/*
 * SCRAM-SHA-256 (RFC 5802, RFC 7677), server and client, as pure steps over
 * message texts: bytes in, bytes out. Everything a peer chooses is bounded:
 * message, nonce and salt lengths, iteration count. Nothing is allocated.
 * Pure but for nonces, any thread; wiped by *_fini.
 */
#ifndef WEIR_AUTH_SCRAM_H
#define WEIR_AUTH_SCRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/crypto.h"
#include "auth/scram_secret.h"
#include "base/assert.h"
#include "base/err.h"
#include "base/slice.h"

#define SCRAM_MECHANISM "SCRAM-SHA-256"
#define SCRAM_MECHANISM_PLUS "SCRAM-SHA-256-PLUS"

enum {
	SCRAM_NONCE_BYTES = 18,   /* random bytes in a nonce made here */
	SCRAM_NONCE_MAX = 512,    /* characters of a peer's nonce */
	SCRAM_MESSAGE_MAX = 1024, /* characters of any one message */
	SCRAM_CBIND_MAX_BYTES = 64,
};

struct scram_own_nonce {
	char data[32];
	size_t len;
};

/* Base64 of SCRAM_NONCE_BYTES random bytes. The *_init functions call it. */
void scram_nonce_make(struct scram_own_nonce *out);

/* Channel binding data (tls-server-end-point); len 0: not available, PLUS isn't offered. */
struct scram_cbind {
	uint8_t data[SCRAM_CBIND_MAX_BYTES];
	size_t len;
};

struct scram_text {
	size_t len;
	bool is_cut; /* an append found no room */
	char data[SCRAM_MESSAGE_MAX];
};

struct scram_server {
	int state;
	bool is_doomed; /* a mock exchange: every proof is wrong */
	bool is_plus;   /* the client chose SCRAM-SHA-256-PLUS */
	struct scram_secret secret;
	struct scram_cbind cbind;
	const char *gs2_header; /* the one of three texts that the client sent */
	struct scram_own_nonce nonce;
	struct scram_text client_first; /* bare */
	struct scram_text server_first;
	struct scram_text reply;
	struct scram_keys keys; /* valid after scram_server_final gave WEIR_OK */
};

/* secret and cbind are copied; cbind may be NULL. */
void scram_server_init(struct scram_server *s, const struct scram_secret *secret, bool is_doomed,
                       const struct scram_cbind *cbind);
/* mechanism as the client chose it. PROTOCOL: malformed, refused, or too long. *reply is in s. */
enum weir_err scram_server_first(struct scram_server *s, struct slice mechanism,
                                 struct slice message, struct slice *reply) WEIR_MUST_CHECK;
/* PROTOCOL: malformed; AUTH: wrong proof or doomed; OK: proven, send *reply. */
enum weir_err scram_server_final(struct scram_server *s, struct slice message,
                                 struct slice *reply) WEIR_MUST_CHECK;
void scram_server_fini(struct scram_server *s);

struct key_cache;

struct scram_client {
	int state;
	bool has_keys;
	const char *gs2_header; /* static: what client-first began with */
	unsigned max_iterations;
	struct scram_keys keys;
	struct slice password;   /* borrowed until scram_client_final */
	struct key_cache *cache; /* borrowed; NULL after init: none */
	struct scram_cbind cbind;
	struct scram_own_nonce nonce;
	struct scram_text client_first;
	struct scram_text reply;
	uint8_t server_signature[SCRAM_KEY_BYTES];
};

/* Either a password, or keys captured from a log-in (then the password isn't looked at). */
void scram_client_init(struct scram_client *c, struct slice password, const struct scram_keys *keys,
                       unsigned max_iterations);
/*
 * How a client binds to its channel; the names are those of RFC 5802's gs2-cbind-flag. With 'y' a
 * server that does offer PLUS sees that somebody took it off the list, and ends the exchange.
 */
enum scram_binding {
	SCRAM_BINDING_NONE = 'n',      /* the client can't: no TLS, or no data for it */
	SCRAM_BINDING_UNOFFERED = 'y', /* it could, but the server offered no PLUS */
	SCRAM_BINDING_PLUS = 'p',
};

/* cbind: looked at for PLUS only. *out is in c. */
void scram_client_first(struct scram_client *c, enum scram_binding binding,
                        const struct scram_cbind *cbind, struct slice *out);
/* PROTOCOL: malformed, foreign nonce; LIMIT: the server asks for too many iterations. */
enum weir_err scram_client_final(struct scram_client *c, struct slice server_first,
                                 struct slice *out) WEIR_MUST_CHECK;
/* AUTH: the server doesn't know the secret, or reports an error; OK: both sides are proven. */
enum weir_err scram_client_verify(struct scram_client *c,
                                  struct slice server_final) WEIR_MUST_CHECK;
void scram_client_fini(struct scram_client *c);

#endif
