/* SPDX-License-Identifier: PostgreSQL */
/*
 * pgweir's log-in to a PostgreSQL server as a pure state machine: feed each
 * Authentication message, send what stands in the buffer. The server may be
 * hostile: it can't make us compute for long, skip its own SCRAM proof, or
 * have a password in clear that policy keeps back. One login's memory, about
 * 6 KiB, is needed until it has ended; then server_login_fini.
 */
#ifndef WEIR_AUTH_SERVER_LOGIN_H
#define WEIR_AUTH_SERVER_LOGIN_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/scram.h"
#include "auth/secret.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/* What the server may ask for: a set. */
enum server_auth {
	SERVER_AUTH_TRUST = 1,
	SERVER_AUTH_PLAIN = 2,
	SERVER_AUTH_MD5 = 4,
	SERVER_AUTH_SCRAM = 8,
	SERVER_AUTH_ANY = 15,
};

struct server_login_input {
	struct slice user;   /* copied */
	struct slice secret; /* borrowed until fini: plain, md5 or SCRAM text; empty: none */
	const struct scram_keys
		*keys;               /* of the client's log-in, used when secret isn't plain; copied */
	unsigned allowed;        /* set of enum server_auth */
	unsigned max_iterations; /* 0: SCRAM_ITERATIONS_MAX */
	const struct scram_cbind *cbind; /* copied; NULL: none */
	bool require_cbind;              /* refuse anything but SCRAM-SHA-256-PLUS */
	struct key_cache *cache;         /* borrowed until fini; NULL: none */
};

enum server_login_step {
	SERVER_LOGIN_WAIT,   /* send the buffer, perhaps empty; feed the next message */
	SERVER_LOGIN_OK,     /* AuthenticationOk came and was due */
	SERVER_LOGIN_FAILED, /* close; login->error says why, for the log and waiting clients */
};

enum { SERVER_LOGIN_NAME_MAX = 64 };

struct server_login {
	unsigned magic;
	int state;
	unsigned allowed;
	bool require_cbind;
	bool has_keys;
	char user[SERVER_LOGIN_NAME_MAX];
	size_t user_len;
	struct slice secret;     /* borrowed */
	struct key_cache *cache; /* borrowed */
	struct scram_keys keys;
	unsigned max_iterations;
	struct scram_cbind cbind;
	struct scram_client scram;
	struct pg_error error;
};

void server_login_init(struct server_login *login, const struct server_login_input *in);
/* body: of one 'R' message. */
enum server_login_step server_login_message(struct server_login *login, struct slice body,
                                            struct buf *out);
void server_login_fini(struct server_login *login); /* wipes */

#endif
