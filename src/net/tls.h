/* SPDX-License-Identifier: PostgreSQL */
/*
 * TLS contexts and what a session tells about itself. A context is made once
 * per configuration, immutable, counted and shared by all threads; a session
 * belongs to one connection and holds a reference to its context. OpenSSL's
 * headers are included by tls.c and tls_session.c alone.
 */
#ifndef WEIR_NET_TLS_H
#define WEIR_NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/err.h"

struct tls_context;
struct tls_session;

/*
 * Before anything of OpenSSL is used by anybody in this process: sessions that aren't used are kept
 * in less memory. False: it's too late, or the addresses can't be had; nothing else is different.
 */
bool tls_prepare(void);

enum tls_side { TLS_SIDE_SERVER, TLS_SIDE_CLIENT };

/* In the order of strictness, with PostgreSQL's meaning of sslmode. */
enum tls_mode {
	TLS_MODE_DISABLE,
	TLS_MODE_ALLOW,
	TLS_MODE_PREFER,
	TLS_MODE_REQUIRE,
	TLS_MODE_VERIFY_CA,
	TLS_MODE_VERIFY_FULL,
};

/* All texts borrowed for the call; NULL or empty: PostgreSQL's or OpenSSL's default. */
struct tls_options {
	enum tls_side side;
	enum tls_mode mode;
	const char *key_file;
	const char *cert_file;
	const char *ca_file;
	const char *protocols; /* "secure" (1.2, 1.3), "all", or a list such as "tlsv1.2,tlsv1.3" */
	const char *ciphers;   /* TLS 1.2; "default", "secure", "fast", or OpenSSL's syntax */
	const char *tls13_ciphers;
	const char *ecdh_curve; /* "auto" or a list of groups */
	bool is_http;           /* the peer isn't PostgreSQL: no ALPN is offered */
};

/*
 * Reads key, certificate and CA files. On failure *context is NULL and `why` names the
 * option and OpenSSL's reason; never a byte of the key. Any thread.
 */
enum weir_err tls_context_create(const struct tls_options *options, struct tls_context **context,
                                 char *why, size_t why_size) WEIR_MUST_CHECK;
struct tls_context *tls_context_get(struct tls_context *context);
void tls_context_put(struct tls_context **context); /* NULLs; the last one frees */
enum tls_mode tls_context_mode(const struct tls_context *context);

enum { TLS_ENDPOINT_MAX_BYTES = 64 };

/*
 * After on_tls_ready only: the channel binding "tls-server-end-point" (RFC 5929, section 4), the
 * digest of the server's certificate - the peer's, or our own on the server side. Returns its
 * length; 0: there is none (no certificate, or a signature without one digest, as Ed25519's).
 */
size_t tls_endpoint(const struct tls_session *session, uint8_t out[TLS_ENDPOINT_MAX_BYTES]);

/* After on_tls_ready only: the peer sent a certificate, and an authority of ours made it. */
bool tls_peer_is_verified(const struct tls_session *session);
/* It was looked at, and doesn't hold. */
bool tls_peer_is_refused(const struct tls_session *session);
/*
 * After on_tls_ready only: the common name of the peer's certificate, ended by NUL. False:
 * no verified certificate, no name or several, one that doesn't fit or holds a NUL.
 */
bool tls_peer_name(const struct tls_session *session, char *out, size_t size);

/* After on_tls_ready only: ALPN agreed on "postgresql". */
bool tls_has_alpn(const struct tls_session *session);

/* After on_tls_ready only. Static text. */
const char *tls_version(const struct tls_session *session);
const char *tls_cipher(const struct tls_session *session);

#endif
