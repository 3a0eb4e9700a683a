/* SPDX-License-Identifier: PostgreSQL */
/*
 * A client's log-in. At start everything needed to judge the answer is
 * derived from the stored secret and kept here: an HMAC, an md5 form or a
 * SCRAM secret, never the password. A user without a usable secret gets an
 * invented one of the same kind and is doomed: it takes the same steps at the
 * same cost and fails at the end. Pure but for random bytes, any thread.
 */
#include "auth/client_login.h"

#include <stdio.h>

#include "auth/md5.h"
#include "base/mem.h"
#include "wire/build.h"
#include "wire/frontend.h"

enum { CLIENT_LOGIN_MAGIC = 0x434c4f47 };
enum { AWAIT_PASSWORD, AWAIT_SASL_FIRST, AWAIT_SASL_FINAL, ENDED };
enum { INVENTED_PASSWORD_BYTES = 24 };

static const struct {
	const char *name;
	enum client_method method;
} method_names[] = {
	{ "trust", CLIENT_METHOD_TRUST },         { "reject", CLIENT_METHOD_REJECT },
	{ "plain", CLIENT_METHOD_PLAIN },         { "md5", CLIENT_METHOD_MD5 },
	{ "scram-sha-256", CLIENT_METHOD_SCRAM }, { "any", CLIENT_METHOD_TRUST },
	{ "password", CLIENT_METHOD_PLAIN },      { "cert", CLIENT_METHOD_CERT },
	{ "peer", CLIENT_METHOD_PEER },
};

bool client_method_parse(struct slice name, enum client_method *out)
{
	for (size_t i = 0; i < WEIR_COUNTOF(method_names); i++) {
		if (slice_is(name, method_names[i].name)) {
			*out = method_names[i].method;
			return true;
		}
	}
	return false;
}

void login_salt_key_init(struct login_salt_key *key)
{
	crypto_random(key->bytes, sizeof(key->bytes));
}

static enum client_login_step fail(struct client_login *login)
{
	login->state = ENDED;
	return CLIENT_LOGIN_FAILED;
}

/* The one answer to whatever is wrong with user or secret. */
static enum client_login_step refuse(struct client_login *login)
{
	pg_error_set(&login->error, "28P01", "password authentication failed for user \"%s\"",
	             login->user);
	return fail(login);
}

static enum client_login_step malformed(struct client_login *login, const char *what)
{
	pg_error_set(&login->error, "08P01", "%s", what);
	return fail(login);
}

static void stable_digest(const struct login_salt_key *key, struct slice user, uint8_t number,
                          uint8_t out[CRYPTO_SHA256_BYTES])
{
	const struct slice parts[] = { user, slice_of(&number, 1) };

	crypto_hmac_sha256(slice_of(key->bytes, sizeof(key->bytes)), parts, WEIR_COUNTOF(parts), out);
}

/* Salts of users whose secret has none: stable, so that asking twice tells nothing. */
static void stable_salt(const struct login_salt_key *key, struct slice user, uint8_t *out,
                        size_t len)
{
	uint8_t digest[CRYPTO_SHA256_BYTES];

	for (size_t at = 0; at < len; at += sizeof(digest)) {
		stable_digest(key, user, (uint8_t)(1 + at / sizeof(digest)), digest);
		memcpy(out + at, digest, len - at < sizeof(digest) ? len - at : sizeof(digest));
	}
}

uint64_t login_stranger_number(const struct login_salt_key *key, struct slice user)
{
	uint8_t digest[CRYPTO_SHA256_BYTES];
	uint64_t number;

	stable_digest(key, user, 0, digest);
	memcpy(&number, digest, sizeof(number));
	return number;
}

enum weir_err login_scram_secret(struct scram_secret *out, struct slice user, struct slice password,
                                 const struct login_salt_key *key, unsigned iterations)
{
	uint8_t salt[SCRAM_SALT_BYTES];

	stable_salt(key, user, salt, sizeof(salt));
	return scram_secret_derive(out, password, slice_of(salt, sizeof(salt)), iterations);
}

static unsigned iterations_of(const struct client_login_input *in)
{
	if (in->scram_iterations == 0)
		return SCRAM_ITERATIONS_DEFAULT;
	return in->scram_iterations < SCRAM_ITERATIONS_MAX ? in->scram_iterations
	                                                   : SCRAM_ITERATIONS_MAX;
}

static void invent_scram(const struct client_login_input *in, struct scram_secret *out)
{
	const struct secret_shape *like = &in->unknown_like;
	bool is_like = like->kind == SECRET_SCRAM && like->salt_len;

	out->iterations = is_like ? like->iterations : iterations_of(in);
	out->salt_len = is_like ? like->salt_len : SCRAM_SALT_BYTES;
	WEIR_ASSERT(out->salt_len <= sizeof(out->salt));
	stable_salt(in->salt_key, in->user, out->salt, out->salt_len);
	crypto_random(out->stored_key, sizeof(out->stored_key));
	crypto_random(out->server_key, sizeof(out->server_key));
}

/* The stand-in for a plain secret; an invented one costs as much as others do. */
static bool scram_from_plain(struct client_login *login, const struct client_login_input *in,
                             struct slice secret, struct scram_secret *out)
{
	if (in->prepared && !login->is_doomed) {
		*out = *in->prepared;
		return true;
	}
	if (login->is_doomed && in->secrets_are_prepared)
		return false;
	return login_scram_secret(out, in->user, secret, in->salt_key, iterations_of(in)) == WEIR_OK;
}

/* A SCRAM secret from whatever is stored; without a stored one, at the same cost. */
static void make_scram(struct client_login *login, const struct client_login_input *in,
                       struct slice secret, struct scram_secret *out)
{
	if (login->kind == SECRET_PLAIN && scram_from_plain(login, in, secret, out))
		return;
	if (login->kind == SECRET_SCRAM && !login->is_doomed &&
	    scram_secret_parse(secret, out) == WEIR_OK)
		return;
	login->is_doomed = true; /* an md5 form can't serve SCRAM */
	invent_scram(in, out);
}

/* The md5 form from a plain or md5 secret. */
static void make_md5(struct client_login *login, const struct client_login_input *in,
                     struct slice secret)
{
	if (login->kind == SECRET_MD5 && secret.len == sizeof(login->md5))
		memcpy(login->md5, secret.ptr, sizeof(login->md5));
	else if (md5_secret(in->user, secret, login->md5) != WEIR_OK)
		login->is_doomed = true;
}

static void password_digest(const struct client_login *login, struct slice password,
                            uint8_t out[CRYPTO_SHA256_BYTES])
{
	crypto_hmac_sha256(slice_of(login->digest_key, sizeof(login->digest_key)), &password, 1, out);
}

static void start_plain(struct client_login *login, const struct client_login_input *in,
                        struct slice secret, struct buf *out)
{
	if (login->kind == SECRET_SCRAM) {
		make_scram(login, in, secret, &login->scram.secret);
	} else if (login->kind == SECRET_MD5) {
		make_md5(login, in, secret);
	} else {
		crypto_random(login->digest_key, sizeof(login->digest_key));
		password_digest(login, secret, login->digest);
	}
	login->state = AWAIT_PASSWORD;
	buf_append_slice(out, wire_auth_cleartext);
}

static void start_md5(struct client_login *login, const struct client_login_input *in,
                      struct slice secret, struct buf *out)
{
	make_md5(login, in, secret);
	crypto_random(login->salt, sizeof(login->salt));
	login->state = AWAIT_PASSWORD;
	build_auth_md5(out, login->salt);
}

static void start_scram(struct client_login *login, const struct client_login_input *in,
                        struct slice secret, struct buf *out)
{
	const char *const mechanisms[] = { SCRAM_MECHANISM_PLUS, SCRAM_MECHANISM };
	const size_t skip = in->cbind && in->cbind->len > 0 ? 0 : 1;
	struct scram_secret scram;

	make_scram(login, in, secret, &scram);
	scram_server_init(&login->scram, &scram, login->is_doomed, in->cbind);
	mem_wipe(&scram, sizeof(scram));
	login->state = AWAIT_SASL_FIRST;
	build_auth_sasl(out, mechanisms + skip, WEIR_COUNTOF(mechanisms) - skip);
}

/* Decides kind, method and doom; the secret to work with is the stored or an invented one. */
static struct slice settle(struct client_login *login, const struct client_login_input *in,
                           char invented[INVENTED_PASSWORD_BYTES])
{
	struct slice secret = in->secret;

	login->kind = secret_classify(secret);
	if (login->kind == SECRET_NONE) {
		login->is_doomed = true;
		login->kind = in->unknown_like.kind == SECRET_NONE ? SECRET_SCRAM : in->unknown_like.kind;
		crypto_random(invented, INVENTED_PASSWORD_BYTES);
		secret = slice_of(invented, INVENTED_PASSWORD_BYTES);
	}
	login->method = in->method;
	if (login->method == CLIENT_METHOD_MD5 && login->kind == SECRET_SCRAM)
		login->method = CLIENT_METHOD_SCRAM;
	return secret;
}

static void copy_name(struct client_login *login, struct slice user)
{
	size_t len = user.len < sizeof(login->user) ? user.len : sizeof(login->user) - 1;

	memcpy(login->user, user.ptr, len);
	login->user[len] = '\0';
}

enum client_login_step client_login_start(struct client_login *login,
                                          const struct client_login_input *in, struct buf *out)
{
	char invented[INVENTED_PASSWORD_BYTES];
	struct slice secret;

	memset(login, 0, sizeof(*login));
	login->magic = CLIENT_LOGIN_MAGIC;
	copy_name(login, in->user);
	secret = settle(login, in, invented);
	switch (login->method) {
	case CLIENT_METHOD_TRUST:
		login->state = ENDED;
		return CLIENT_LOGIN_OK;
	case CLIENT_METHOD_PLAIN:
		start_plain(login, in, secret, out);
		return CLIENT_LOGIN_WAIT;
	case CLIENT_METHOD_MD5:
		start_md5(login, in, secret, out);
		return CLIENT_LOGIN_WAIT;
	case CLIENT_METHOD_SCRAM:
		start_scram(login, in, secret, out);
		return CLIENT_LOGIN_WAIT;
	case CLIENT_METHOD_REJECT:
	case CLIENT_METHOD_CERT:
	case CLIENT_METHOD_PEER:
		break;
	}
	return refuse(login);
}

static bool password_is_right(struct client_login *login, struct slice password)
{
	uint8_t digest[CRYPTO_SHA256_BYTES];
	char md5[SECRET_MD5_CHARS];

	if (login->method == CLIENT_METHOD_MD5)
		return md5_check(login->md5, login->salt, password);
	if (login->kind == SECRET_SCRAM)
		return scram_secret_matches(&login->scram.secret, password, &login->keys);
	if (login->kind == SECRET_MD5)
		return md5_secret(slice_str(login->user), password, md5) == WEIR_OK &&
		       crypto_equal(slice_of(md5, sizeof(md5)), slice_of(login->md5, sizeof(login->md5)));
	password_digest(login, password, digest);
	return crypto_equal(slice_of(digest, sizeof(digest)),
	                    slice_of(login->digest, sizeof(login->digest)));
}

static enum client_login_step on_password(struct client_login *login, struct slice body)
{
	struct slice password;
	bool is_right;

	if (frontend_read_password(body, &password) != WEIR_OK)
		return malformed(login, "invalid password packet");
	is_right = password_is_right(login, password);
	if (!is_right || login->is_doomed || password.len == 0)
		return refuse(login);
	login->has_keys = login->method == CLIENT_METHOD_PLAIN && login->kind == SECRET_SCRAM;
	login->state = ENDED;
	return CLIENT_LOGIN_OK;
}

static enum client_login_step on_sasl_first(struct client_login *login, struct slice body,
                                            struct buf *out)
{
	struct msg_sasl_initial msg;
	struct slice reply;

	if (frontend_read_sasl_initial(body, &msg) != WEIR_OK || !msg.has_data)
		return malformed(login, "malformed SASL message");
	if (scram_server_first(&login->scram, msg.mechanism, msg.data, &reply) != WEIR_OK)
		return malformed(login, "malformed SCRAM message");
	login->state = AWAIT_SASL_FINAL;
	build_auth_sasl_continue(out, reply);
	return CLIENT_LOGIN_WAIT;
}

static enum client_login_step on_sasl_final(struct client_login *login, struct slice body,
                                            struct buf *out)
{
	struct slice reply;
	enum weir_err err = scram_server_final(&login->scram, body, &reply);

	if (err == WEIR_ERR_AUTH)
		return refuse(login);
	if (err != WEIR_OK)
		return malformed(login, "malformed SCRAM message");
	login->state = ENDED;
	if (login->kind == SECRET_SCRAM) {
		login->has_keys = true;
		login->keys = login->scram.keys;
	}
	build_auth_sasl_final(out, reply);
	return CLIENT_LOGIN_OK;
}

enum client_login_step client_login_message(struct client_login *login, char type,
                                            struct slice body, struct buf *out)
{
	WEIR_CHECK_MAGIC(login, CLIENT_LOGIN_MAGIC);
	WEIR_ASSERT(login->state != ENDED);
	if (type != FE_PASSWORD || body.len > CLIENT_LOGIN_MAX_BODY)
		return malformed(login, "expected password response");
	if (login->state == AWAIT_PASSWORD)
		return on_password(login, body);
	if (login->state == AWAIT_SASL_FIRST)
		return on_sasl_first(login, body, out);
	return on_sasl_final(login, body, out);
}

void client_login_fini(struct client_login *login)
{
	mem_wipe(login, sizeof(*login));
}
