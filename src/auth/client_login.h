/* SPDX-License-Identifier: PostgreSQL */
/*
 * A client's log-in to pgweir as a pure state machine: the caller looks up
 * the user's secret, calls start, then feeds each message of the client, and
 * sends what stands in the buffer. Unknown user, wrong password, empty secret
 * and unusable secret are the same to the client: messages, text, SQLSTATE, and
 * as far as possible time. The identity is fixed at start. One login's
 * memory, about 6 KiB, is needed until it has ended; then client_login_fini.
 *
 *   start --> WAIT --message--> WAIT ... --> OK | FAILED
 */
#ifndef WEIR_AUTH_CLIENT_LOGIN_H
#define WEIR_AUTH_CLIENT_LOGIN_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/scram.h"
#include "auth/secret_shape.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum client_method {
	CLIENT_METHOD_TRUST,  /* no secret asked */
	CLIENT_METHOD_REJECT, /* always refused, as an unknown user, without asking */
	CLIENT_METHOD_PLAIN,
	CLIENT_METHOD_MD5, /* SCRAM instead when the stored secret is SCRAM */
	CLIENT_METHOD_SCRAM,
	CLIENT_METHOD_CERT, /* the caller's: proven by the TLS handshake, no messages; refused here */
	CLIENT_METHOD_PEER, /* the caller's: proven by the Unix socket */
};

/* By its name: trust, any, reject, plain, password, md5, scram-sha-256, cert, peer. */
bool client_method_parse(struct slice name, enum client_method *out);

/* Random, once per process; keeps the salts of invented users stable. */
struct login_salt_key {
	uint8_t bytes[32];
};
void login_salt_key_init(struct login_salt_key *key);
/* Stable too, and as secret: chooses what an unknown user looks like. */
uint64_t login_stranger_number(const struct login_salt_key *key, struct slice user);

/*
 * The SCRAM secret that stands in for a plain one, with the user's stable
 * salt. Costs the iterations. LIMIT as scram_secret_derive.
 */
enum weir_err login_scram_secret(struct scram_secret *out, struct slice user, struct slice password,
                                 const struct login_salt_key *key,
                                 unsigned iterations) WEIR_MUST_CHECK;

struct client_login_input {
	enum client_method method;
	struct slice user;
	struct slice secret;                   /* as stored; empty: user unknown or without one */
	struct secret_shape unknown_like;      /* an unknown user is treated as if it had such a one */
	unsigned scram_iterations;             /* for plain and invented secrets; 0: default */
	const struct login_salt_key *salt_key; /* never NULL */
	const struct scram_cbind *cbind;       /* NULL: no channel binding on offer */
	const struct scram_secret *prepared;   /* of a plain secret, derived before; NULL: not */
	bool secrets_are_prepared;             /* an invented secret costs nothing either */
};

enum client_login_step {
	CLIENT_LOGIN_WAIT,   /* send the buffer, then feed the next message */
	CLIENT_LOGIN_OK,     /* send the buffer; AuthenticationOk is the caller's to send */
	CLIENT_LOGIN_FAILED, /* send login->error as FATAL and close */
};

enum { CLIENT_LOGIN_NAME_MAX = 64, CLIENT_LOGIN_MAX_BODY = 4096 };

struct client_login {
	unsigned magic;
	int state;                 /* written by client_login.c only */
	enum client_method method; /* in effect, after the upgrade of md5 */
	enum secret_kind kind;     /* of the stored or invented secret */
	bool is_doomed;            /* no secret matches */
	char user[CLIENT_LOGIN_NAME_MAX];
	uint8_t salt[4];            /* md5 */
	char md5[SECRET_MD5_CHARS]; /* stored form */
	uint8_t digest_key[32];     /* plain: the password is kept as an HMAC only */
	uint8_t digest[32];
	struct scram_server scram;
	bool has_keys; /* after OK against a stored SCRAM secret: keys serve for the server too */
	struct scram_keys keys;
	struct pg_error error; /* set when FAILED */
};

/* Nothing of *in is borrowed afterwards. */
enum client_login_step client_login_start(struct client_login *login,
                                          const struct client_login_input *in, struct buf *out);
/* A message of the client, any type; bodies above CLIENT_LOGIN_MAX_BODY needn't be awaited. */
enum client_login_step client_login_message(struct client_login *login, char type,
                                            struct slice body, struct buf *out);
void client_login_fini(struct client_login *login); /* wipes */

#endif
