/* SPDX-License-Identifier: PostgreSQL */
/*
 * pgweir's log-in to a server. The server names the method, policy and the
 * secret at hand decide whether to follow; one method per log-in. Once SCRAM
 * has begun, AuthenticationOk counts only after the server's own proof. Pure
 * but for SCRAM's nonce, any thread.
 */
#include "auth/server_login.h"

#include "auth/md5.h"
#include "base/mem.h"
#include "wire/backend.h"
#include "wire/build.h"

enum { SERVER_LOGIN_MAGIC = 0x534c4f47 };
enum { AWAIT_METHOD, AWAIT_OK, AWAIT_SASL_CONTINUE, AWAIT_SASL_FINAL, ENDED };

void server_login_init(struct server_login *login, const struct server_login_input *in)
{
	size_t len = in->user.len;

	memset(login, 0, sizeof(*login));
	login->magic = SERVER_LOGIN_MAGIC;
	login->state = AWAIT_METHOD;
	login->allowed = in->allowed;
	login->require_cbind = in->require_cbind;
	login->user_len = len < sizeof(login->user) ? len : sizeof(login->user) - 1;
	memcpy(login->user, in->user.ptr, login->user_len);
	login->secret = in->secret;
	login->cache = in->cache;
	login->max_iterations = in->max_iterations ? in->max_iterations : SCRAM_ITERATIONS_MAX;
	if (in->keys) {
		login->has_keys = true;
		login->keys = *in->keys;
	}
	if (in->cbind)
		login->cbind = *in->cbind;
}

static enum server_login_step fail(struct server_login *login, const char *sqlstate,
                                   const char *text)
{
	login->state = ENDED;
	pg_error_set(&login->error, sqlstate, "server log-in failed: %s", text);
	return SERVER_LOGIN_FAILED;
}

static enum server_login_step unexpected(struct server_login *login)
{
	return fail(login, "08P01", "authentication message out of order or malformed");
}

/* false and the error set: policy forbids the method. */
static bool is_allowed(struct server_login *login, enum server_auth method)
{
	bool binds = method == SERVER_AUTH_SCRAM && login->cbind.len > 0;

	if ((login->allowed & method) && (!login->require_cbind || binds))
		return true;
	(void)fail(login, "28000", "the server asked for a method that isn't allowed");
	return false;
}

static enum server_login_step no_secret(struct server_login *login)
{
	return fail(login, "28000",
	            "the secret at hand can't serve the method that the server asked for");
}

static enum server_login_step on_cleartext(struct server_login *login, struct buf *out)
{
	if (!is_allowed(login, SERVER_AUTH_PLAIN))
		return SERVER_LOGIN_FAILED;
	if (secret_classify(login->secret) != SECRET_PLAIN)
		return no_secret(login);
	build_password(out, login->secret);
	login->state = AWAIT_OK;
	return SERVER_LOGIN_WAIT;
}

static enum server_login_step on_md5(struct server_login *login, struct slice salt, struct buf *out)
{
	const enum secret_kind kind = secret_classify(login->secret);
	char secret[SECRET_MD5_CHARS];
	char answer[SECRET_MD5_CHARS];
	enum weir_err err = WEIR_OK;

	if (!is_allowed(login, SERVER_AUTH_MD5))
		return SERVER_LOGIN_FAILED;
	if (kind == SECRET_MD5)
		memcpy(secret, login->secret.ptr, sizeof(secret));
	else if (kind == SECRET_PLAIN)
		err = md5_secret(slice_of(login->user, login->user_len), login->secret, secret);
	else
		return no_secret(login);
	if (err == WEIR_OK)
		err = md5_answer(secret, (const uint8_t *)salt.ptr, answer);
	if (err != WEIR_OK)
		return fail(login, "28000", "MD5 isn't available here");
	build_password(out, slice_of(answer, sizeof(answer)));
	login->state = AWAIT_OK;
	return SERVER_LOGIN_WAIT;
}

static bool offers(struct slice mechanisms, const char *wanted)
{
	struct slice name;

	while (auth_mechanism_next(&mechanisms, &name)) {
		if (slice_is(name, wanted))
			return true;
	}
	return false;
}

static enum server_login_step on_sasl(struct server_login *login, struct slice mechanisms,
                                      struct buf *out)
{
	const bool can_bind = login->cbind.len > 0;
	const bool plus = can_bind && offers(mechanisms, SCRAM_MECHANISM_PLUS);
	const bool has_password = secret_classify(login->secret) == SECRET_PLAIN;
	const enum scram_binding binding = plus       ? SCRAM_BINDING_PLUS
	                                   : can_bind ? SCRAM_BINDING_UNOFFERED
	                                              : SCRAM_BINDING_NONE;
	struct slice first;

	if (!is_allowed(login, SERVER_AUTH_SCRAM))
		return SERVER_LOGIN_FAILED;
	if (!plus && login->require_cbind)
		return fail(login, "28000", "the server doesn't offer channel binding");
	if (!plus && !offers(mechanisms, SCRAM_MECHANISM))
		return fail(login, "28000", "the server offers no SASL mechanism that is supported");
	if (!login->has_keys && !has_password)
		return no_secret(login);
	scram_client_init(&login->scram, login->secret, has_password ? NULL : &login->keys,
	                  login->max_iterations);
	login->scram.cache = login->cache;
	scram_client_first(&login->scram, binding, &login->cbind, &first);
	build_sasl_initial(out, plus ? SCRAM_MECHANISM_PLUS : SCRAM_MECHANISM, first);
	login->state = AWAIT_SASL_CONTINUE;
	return SERVER_LOGIN_WAIT;
}

static enum server_login_step on_sasl_continue(struct server_login *login, struct slice data,
                                               struct buf *out)
{
	struct slice reply;
	enum weir_err err = scram_client_final(&login->scram, data, &reply);

	if (err == WEIR_ERR_LIMIT)
		return fail(login, "08P01", "the server's SCRAM challenge is over the limits");
	if (err != WEIR_OK)
		return unexpected(login);
	build_sasl_response(out, reply);
	login->state = AWAIT_SASL_FINAL;
	return SERVER_LOGIN_WAIT;
}

static enum server_login_step on_sasl_final(struct server_login *login, struct slice data)
{
	if (scram_client_verify(&login->scram, data) != WEIR_OK)
		return fail(login, "28000", "the server didn't prove that it knows the secret");
	login->state = AWAIT_OK;
	return SERVER_LOGIN_WAIT;
}

static enum server_login_step on_ok(struct server_login *login)
{
	if (login->state == AWAIT_METHOD && !is_allowed(login, SERVER_AUTH_TRUST))
		return SERVER_LOGIN_FAILED;
	login->state = ENDED;
	return SERVER_LOGIN_OK;
}

static enum server_login_step on_method(struct server_login *login, const struct msg_auth *msg,
                                        struct buf *out)
{
	switch (msg->code) {
	case AUTH_CODE_OK:
		return on_ok(login);
	case AUTH_CODE_CLEARTEXT:
		return on_cleartext(login, out);
	case AUTH_CODE_MD5:
		return on_md5(login, msg->data, out);
	case AUTH_CODE_SASL:
		return on_sasl(login, msg->data, out);
	case AUTH_CODE_SASL_CONTINUE:
	case AUTH_CODE_SASL_FINAL:
		return unexpected(login);
	default:
		return fail(login, "28000", "the server asked for a method that isn't supported");
	}
}

enum server_login_step server_login_message(struct server_login *login, struct slice body,
                                            struct buf *out)
{
	struct msg_auth msg;

	WEIR_CHECK_MAGIC(login, SERVER_LOGIN_MAGIC);
	if (login->state == ENDED || backend_read_auth(body, &msg) != WEIR_OK)
		return unexpected(login);
	if (login->state == AWAIT_METHOD)
		return on_method(login, &msg, out);
	if (login->state == AWAIT_SASL_CONTINUE && msg.code == AUTH_CODE_SASL_CONTINUE)
		return on_sasl_continue(login, msg.data, out);
	if (login->state == AWAIT_SASL_FINAL && msg.code == AUTH_CODE_SASL_FINAL)
		return on_sasl_final(login, msg.data);
	if (login->state == AWAIT_OK && msg.code == AUTH_CODE_OK)
		return on_ok(login);
	return unexpected(login);
}

void server_login_fini(struct server_login *login)
{
	mem_wipe(login, sizeof(*login));
}
