/* SPDX-License-Identifier: PostgreSQL */
/*
 * Log-in on both sides against a hostile peer. The first byte picks the side;
 * the rest are messages separated by 0xff. Nonces are fixed so that findings
 * repeat. Whoever doesn't know the secret never gets in, and a server that
 * doesn't know it is never believed.
 */
#include <stdint.h>

#include "auth/client_login.h"
#include "auth/server_login.h"
#include "base/assert.h"

#define NONCE "rOprNGfwEbeRWgbNEkqO"

static const char secret[] =
	"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
	"WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
static const struct login_salt_key salt_key = { "fixed" };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool message_next(struct slice *in, struct slice *message)
{
	const char *end;

	if (in->len == 0)
		return false;
	end = memchr(in->ptr, 0xff, in->len);
	*message = slice_of(in->ptr, end ? (size_t)(end - in->ptr) : in->len);
	*in = end ? slice_of(end + 1, in->len - message->len - 1) : slice_of(in->ptr + in->len, 0);
	return true;
}

static void fix_nonce(struct scram_own_nonce *nonce)
{
	nonce->len = sizeof(NONCE) - 1;
	memcpy(nonce->data, NONCE, nonce->len);
}

/* A client that talks to pgweir without knowing the password. */
static void hostile_client(struct slice in, enum client_method method)
{
	const struct client_login_input input = { .method = method,
		                                      .user = slice_str("joe"),
		                                      .secret = slice_str(secret),
		                                      .salt_key = &salt_key };
	enum client_login_step step;
	struct client_login login;
	struct slice message;
	struct buf out;

	buf_init(&out, 8192);
	step = client_login_start(&login, &input, &out);
	fix_nonce(&login.scram.nonce);
	while (step == CLIENT_LOGIN_WAIT && message_next(&in, &message)) {
		buf_clear(&out);
		step = client_login_message(&login, 'p', message, &out);
		WEIR_ASSERT(out.err == WEIR_OK);
	}
	WEIR_ASSERT(step != CLIENT_LOGIN_OK);
	WEIR_ASSERT(step == CLIENT_LOGIN_WAIT || login.error.sqlstate[0] != '\0');
	client_login_fini(&login);
	buf_fini(&out);
}

/* A server that asks pgweir to log in without knowing the password. */
static void hostile_server(struct slice in, unsigned allowed)
{
	const struct server_login_input input = { .user = slice_str("joe"),
		                                      .secret = slice_str("a long secret"),
		                                      .allowed = allowed,
		                                      .max_iterations = 16 };
	enum server_login_step step = SERVER_LOGIN_WAIT;
	struct server_login login;
	struct slice message;
	struct buf out;

	buf_init(&out, 8192);
	server_login_init(&login, &input);
	while (step == SERVER_LOGIN_WAIT && message_next(&in, &message)) {
		buf_clear(&out);
		step = server_login_message(&login, message, &out);
		WEIR_ASSERT(out.err == WEIR_OK);
		WEIR_ASSERT((allowed & SERVER_AUTH_PLAIN) || out.len == 0 ||
		            !memmem(out.data, out.len, "a long secret", 13));
	}
	WEIR_ASSERT(step != SERVER_LOGIN_OK || allowed != SERVER_AUTH_SCRAM);
	server_login_fini(&login);
	buf_fini(&out);
}

/* The texts alone, so that the fuzzer needn't guess our nonce. */
static void hostile_server_texts(struct slice in)
{
	struct scram_client c;
	struct slice out, message;

	scram_client_init(&c, slice_str("a long secret"), NULL, 16);
	fix_nonce(&c.nonce);
	scram_client_first(&c, SCRAM_BINDING_NONE, NULL, &out);
	if (message_next(&in, &message) && scram_client_final(&c, message, &out) == WEIR_OK) {
		WEIR_ASSERT(out.len <= SCRAM_MESSAGE_MAX);
		if (message_next(&in, &message))
			WEIR_ASSERT(scram_client_verify(&c, message) != WEIR_OK);
	}
	scram_client_fini(&c);
}

static void stored_texts(struct slice in)
{
	struct scram_secret parsed;

	if (scram_secret_parse(in, &parsed) == WEIR_OK)
		WEIR_ASSERT(secret_classify(in) == SECRET_SCRAM && parsed.salt_len > 0 &&
		            parsed.salt_len <= SCRAM_SALT_MAX_BYTES && parsed.iterations > 0);
	else
		WEIR_ASSERT(secret_classify(in) != SECRET_SCRAM);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in;

	if (size == 0)
		return 0;
	in = slice_of(data + 1, size - 1);
	switch (data[0] % 6) {
	case 0:
		hostile_client(in, CLIENT_METHOD_SCRAM);
		break;
	case 1:
		hostile_client(in, CLIENT_METHOD_MD5);
		break;
	case 2:
		hostile_server(in, SERVER_AUTH_SCRAM);
		break;
	case 3:
		hostile_server(in, SERVER_AUTH_MD5 | SERVER_AUTH_TRUST);
		break;
	case 4:
		hostile_server_texts(in);
		break;
	default:
		stored_texts(in);
		break;
	}
	return 0;
}
