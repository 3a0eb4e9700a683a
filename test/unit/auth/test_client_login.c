/* SPDX-License-Identifier: PostgreSQL */
/*
 * A client's log-in as traces: what pgweir sent, then the verdict. The full
 * product of method, stored secret and password typed; unknown users must
 * look the same as wrong passwords; every message type out of turn.
 */
#include <criterion/criterion.h>

#include <stdio.h>

#include "auth/client_login.h"
#include "auth/md5.h"
#include "wire/backend.h"
#include "wire/build.h"
#include "wire/frame.h"

#define PENCIL_MD5 "md54571bc2e04d92926b0cb2bdc83773286"
#define PENCIL_SCRAM                               \
	"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$" \
	"WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
#define REFUSED "FATAL 28P01 password authentication failed for user \"joe\""

static const struct login_salt_key salt_key = { "a key for the tests" };
static const char *const stored[] = { "", "pencil", PENCIL_MD5, PENCIL_SCRAM };

/* Types `password` at whatever prompt comes. */
struct typist {
	struct slice password;
	struct scram_client scram;
	struct buf out;
	char trace[256];
};

static void note(struct typist *t, const char *text)
{
	size_t len = strlen(t->trace);

	(void)snprintf(t->trace + len, sizeof(t->trace) - len, "%s%s", len ? " " : "", text);
}

static void typist_answer(struct typist *t, struct slice body)
{
	char secret[SECRET_MD5_CHARS], answer[SECRET_MD5_CHARS];
	struct msg_auth auth;
	struct slice out;
	char text[16];

	cr_assert_eq(backend_read_auth(body, &auth), WEIR_OK);
	(void)snprintf(text, sizeof(text), "R%u", auth.code);
	note(t, text);
	buf_clear(&t->out);
	switch (auth.code) {
	case AUTH_CODE_CLEARTEXT:
		build_password(&t->out, t->password);
		break;
	case AUTH_CODE_MD5:
		cr_assert_eq(md5_secret(slice_str("joe"), t->password, secret), WEIR_OK);
		cr_assert_eq(md5_answer(secret, (const uint8_t *)auth.data.ptr, answer), WEIR_OK);
		build_password(&t->out, slice_of(answer, sizeof(answer)));
		break;
	case AUTH_CODE_SASL:
		scram_client_init(&t->scram, t->password, NULL, SCRAM_ITERATIONS_MAX);
		scram_client_first(&t->scram, SCRAM_BINDING_NONE, NULL, &out);
		build_sasl_initial(&t->out, SCRAM_MECHANISM, out);
		break;
	case AUTH_CODE_SASL_CONTINUE:
		cr_assert_eq(scram_client_final(&t->scram, auth.data, &out), WEIR_OK);
		build_sasl_response(&t->out, out);
		break;
	case AUTH_CODE_SASL_FINAL:
		cr_assert_eq(scram_client_verify(&t->scram, auth.data), WEIR_OK);
		break;
	default:
		cr_assert_fail("code %u", auth.code);
	}
}

static void typist_read(struct typist *t, const struct buf *sent)
{
	struct slice in = buf_slice(sent);
	struct frame f;
	size_t used;

	cr_assert_eq(sent->err, WEIR_OK);
	while (frame_next(in, 4096, &f, &used) == WEIR_OK) {
		typist_answer(t, f.body);
		in = slice_of(in.ptr + used, in.len - used);
	}
	cr_assert_eq(in.len, 0);
}

/* The whole dialogue; the trace is in t, the login is left for inspection. */
static void dialogue(struct typist *t, struct client_login *login,
                     const struct client_login_input *in, const char *password)
{
	struct buf sent;
	struct frame f = { 0 };
	size_t used;
	enum client_login_step step;

	memset(t, 0, sizeof(*t));
	t->password = slice_str(password);
	buf_init(&t->out, 4096);
	buf_init(&sent, 4096);
	step = client_login_start(login, in, &sent);
	typist_read(t, &sent);
	while (step == CLIENT_LOGIN_WAIT) {
		cr_assert_eq(frame_next(buf_slice(&t->out), 4096, &f, &used), WEIR_OK);
		buf_clear(&sent);
		step = client_login_message(login, f.type, f.body, &sent);
		typist_read(t, &sent);
	}
	if (step == CLIENT_LOGIN_OK) {
		note(t, "ok");
	} else {
		note(t, "FATAL");
		note(t, login->error.sqlstate);
		note(t, login->error.message);
	}
	buf_fini(&sent);
	buf_fini(&t->out);
}

static struct client_login_input input(enum client_method method, const char *secret)
{
	return (struct client_login_input){ .method = method,
		                                .user = slice_str("joe"),
		                                .secret = slice_str(secret),
		                                .unknown_like = { .kind = SECRET_PLAIN },
		                                .salt_key = &salt_key };
}

static const char *trace_of(const struct client_login_input *in, const char *password)
{
	static struct typist t;
	static struct client_login login;

	dialogue(&t, &login, in, password);
	client_login_fini(&login);
	return t.trace;
}

Test(client_login, right_password)
{
	static const char *const expected[][4] = {
		[CLIENT_METHOD_PLAIN] = { "R3 " REFUSED, "R3 ok", "R3 ok", "R3 ok" },
		[CLIENT_METHOD_MD5] = { "R5 " REFUSED, "R5 ok", "R5 ok", "R10 R11 R12 ok" },
		[CLIENT_METHOD_SCRAM] = { "R10 R11 " REFUSED, "R10 R11 R12 ok", "R10 R11 " REFUSED,
		                          "R10 R11 R12 ok" },
	};

	for (unsigned m = CLIENT_METHOD_PLAIN; m <= CLIENT_METHOD_SCRAM; m++) {
		for (size_t k = 0; k < WEIR_COUNTOF(stored); k++) {
			struct client_login_input in = input(m, stored[k]);

			cr_assert_str_eq(trace_of(&in, "pencil"), expected[m][k], "method %u, kind %zu", m, k);
		}
	}
}

Test(client_login, any_other_password_and_any_other_secret_kind_as_password)
{
	static const char *const wrong[] = {
		"", "Pencil", "pencil ", "penci", PENCIL_MD5, PENCIL_SCRAM
	};

	for (unsigned m = CLIENT_METHOD_PLAIN; m <= CLIENT_METHOD_SCRAM; m++) {
		for (size_t k = 0; k < WEIR_COUNTOF(stored); k++) {
			for (size_t w = 0; w < WEIR_COUNTOF(wrong); w++) {
				struct client_login_input in = input(m, stored[k]);
				const char *trace = trace_of(&in, wrong[w]);

				cr_assert(strstr(trace, REFUSED) && !strstr(trace, "R12"),
				          "method %u, kind %zu: %s", m, k, trace);
			}
		}
	}
}

Test(client_login, unknown_user_looks_like_a_wrong_password)
{
	for (unsigned m = CLIENT_METHOD_PLAIN; m <= CLIENT_METHOD_SCRAM; m++) {
		for (size_t k = SECRET_PLAIN; k < WEIR_COUNTOF(stored); k++) {
			struct client_login_input in = input(m, stored[k]);
			char known[256];

			(void)snprintf(known, sizeof(known), "%s", trace_of(&in, "wrong"));
			in.secret = slice_str("");
			in.unknown_like = secret_shape_of(slice_str(stored[k]));
			cr_assert_str_eq(trace_of(&in, "wrong"), known);
			cr_assert_str_eq(trace_of(&in, ""), known);
		}
	}
}

Test(client_login, trust_and_reject_ask_nothing)
{
	for (size_t k = 0; k < WEIR_COUNTOF(stored); k++) {
		struct client_login_input in = input(CLIENT_METHOD_TRUST, stored[k]);

		cr_assert_str_eq(trace_of(&in, ""), "ok");
		in.method = CLIENT_METHOD_REJECT;
		cr_assert_str_eq(trace_of(&in, "pencil"), REFUSED);
	}
}

/* The challenge "s=...,i=..." that a user gets, unknown or with a plain secret. */
static void challenge(const char *user, const char *secret, const struct login_salt_key *key,
                      char out[256])
{
	struct client_login_input in = input(CLIENT_METHOD_SCRAM, secret);
	struct client_login login;
	struct msg_auth auth;
	struct frame f;
	struct buf b;
	size_t used;
	const char *salt;

	in.user = slice_str(user);
	in.salt_key = key;
	buf_init(&b, 4096);
	cr_assert_eq(client_login_start(&login, &in, &b), CLIENT_LOGIN_WAIT);
	buf_clear(&b);
	build_sasl_initial(&b, SCRAM_MECHANISM, slice_str("n,,n=,r=abcdef"));
	cr_assert_eq(frame_next(buf_slice(&b), 4096, &f, &used), WEIR_OK);
	struct buf reply;

	buf_init(&reply, 4096);
	cr_assert_eq(client_login_message(&login, f.type, f.body, &reply), CLIENT_LOGIN_WAIT);
	cr_assert_eq(frame_next(buf_slice(&reply), 4096, &f, &used), WEIR_OK);
	cr_assert_eq(backend_read_auth(f.body, &auth), WEIR_OK);
	salt = memchr(auth.data.ptr, ',', auth.data.len);
	cr_assert(salt);
	(void)snprintf(out, 256, "%.*s", (int)(auth.data.ptr + auth.data.len - salt), salt);
	buf_fini(&b);
	buf_fini(&reply);
	client_login_fini(&login);
}

Test(client_login, salts_are_stable_per_user_and_differ_by_user_and_process)
{
	const struct login_salt_key other_key = { "another process" };
	char a[256], b[256];

	challenge("joe", "", &salt_key, a);
	challenge("joe", "", &salt_key, b);
	cr_assert_str_eq(a, b);
	challenge("joe", "pencil", &salt_key, b);
	cr_assert_str_eq(a, b);
	challenge("ann", "", &salt_key, b);
	cr_assert_str_neq(a, b);
	challenge("joe", "", &other_key, b);
	cr_assert_str_neq(a, b);
}

Test(client_login, keys_are_kept_only_from_a_stored_scram_secret)
{
	struct client_login_input in = input(CLIENT_METHOD_SCRAM, PENCIL_SCRAM);
	struct scram_secret secret;
	struct client_login login;
	uint8_t stored_key[SCRAM_KEY_BYTES];
	struct typist t;

	dialogue(&t, &login, &in, "pencil");
	cr_assert(login.has_keys);
	cr_assert_eq(scram_secret_parse(slice_str(PENCIL_SCRAM), &secret), WEIR_OK);
	scram_stored_key(login.keys.client_key, stored_key);
	cr_assert_eq(memcmp(stored_key, secret.stored_key, sizeof(stored_key)), 0);
	in.secret = slice_str("pencil");
	dialogue(&t, &login, &in, "pencil");
	cr_assert_not(login.has_keys);
}

Test(client_login, a_plain_password_for_a_stored_scram_secret_gives_keys_too)
{
	struct client_login_input in = input(CLIENT_METHOD_PLAIN, PENCIL_SCRAM);
	struct scram_secret secret;
	struct client_login login;
	uint8_t stored_key[SCRAM_KEY_BYTES];
	struct typist t;

	dialogue(&t, &login, &in, "pencil");
	cr_assert(login.has_keys);
	cr_assert_eq(scram_secret_parse(slice_str(PENCIL_SCRAM), &secret), WEIR_OK);
	scram_stored_key(login.keys.client_key, stored_key);
	cr_assert_eq(memcmp(stored_key, secret.stored_key, sizeof(stored_key)), 0);
	cr_assert_eq(memcmp(login.keys.server_key, secret.server_key, SCRAM_KEY_BYTES), 0);
	dialogue(&t, &login, &in, "crayon");
	cr_assert_not(login.has_keys);
	in.secret = slice_str("pencil");
	dialogue(&t, &login, &in, "pencil");
	cr_assert_not(login.has_keys);
}

Test(client_login, no_password_stays_in_memory)
{
	for (unsigned m = CLIENT_METHOD_PLAIN; m <= CLIENT_METHOD_SCRAM; m++) {
		struct client_login_input in = input(m, "pencil-of-joe");
		struct client_login login;
		struct buf b;

		buf_init(&b, 4096);
		cr_assert_eq(client_login_start(&login, &in, &b), CLIENT_LOGIN_WAIT);
		cr_assert_null(memmem(&login, sizeof(login), "pencil-of-joe", 13));
		client_login_fini(&login);
		buf_fini(&b);
	}
}

Test(client_login, prepared_secrets)
{
	struct client_login_input in = input(CLIENT_METHOD_SCRAM, "pencil");
	struct scram_secret prepared;

	cr_assert_eq(
		login_scram_secret(&prepared, slice_str("joe"), slice_str("pencil"), &salt_key, 64),
		WEIR_OK);
	in.prepared = &prepared;
	in.secrets_are_prepared = true;
	cr_assert_str_eq(trace_of(&in, "pencil"), "R10 R11 R12 ok");
	cr_assert_str_eq(trace_of(&in, "wrong"), "R10 R11 " REFUSED);
	in.prepared = NULL;
	cr_assert_str_eq(trace_of(&in, "pencil"), "R10 R11 R12 ok");
	in.secret = slice_str("");
	cr_assert_str_eq(trace_of(&in, "pencil"), "R10 R11 " REFUSED);
	/* Even if a caller hands in a secret for a user who has none. */
	in.prepared = &prepared;
	cr_assert_str_eq(trace_of(&in, "pencil"), "R10 R11 " REFUSED);
}

/* Messages out of turn at each prompt: an error, never more. */
Test(client_login, every_message_type_at_every_prompt)
{
	for (unsigned m = CLIENT_METHOD_PLAIN; m <= CLIENT_METHOD_SCRAM; m++) {
		for (int type = 0; type < 256; type++) {
			struct client_login_input in = input(m, "pencil");
			struct client_login login;
			struct buf b;

			if (type == 'p')
				continue;
			in.scram_iterations = 1;
			buf_init(&b, 4096);
			cr_assert_eq(client_login_start(&login, &in, &b), CLIENT_LOGIN_WAIT);
			cr_assert_eq(client_login_message(&login, (char)type, slice_of("pencil", 7), &b),
			             CLIENT_LOGIN_FAILED);
			cr_assert_str_eq(login.error.sqlstate, "08P01");
			buf_fini(&b);
		}
	}
}

Test(client_login, malformed_answers)
{
	static const struct slice bodies[] = {
		{ "", 0 },
		{ "pencil", 6 },
		{ "pen\0cil", 8 },
		{ "SCRAM-SHA-256", 14 },
		{ "SCRAM-SHA-256\0\377\377\377\377", 18 },
		{ "SCRAM-SHA-256\0\177\377\377\377n,,", 21 },
		{ "SCRAM-SHA-1\0\0\0\0\3n,,", 19 },
	};

	for (unsigned m = CLIENT_METHOD_PLAIN; m <= CLIENT_METHOD_SCRAM; m++) {
		for (size_t i = 0; i < WEIR_COUNTOF(bodies); i++) {
			struct client_login_input in = input(m, "pencil");
			struct client_login login;
			struct buf b;

			buf_init(&b, 4096);
			cr_assert_eq(client_login_start(&login, &in, &b), CLIENT_LOGIN_WAIT);
			cr_assert_eq(client_login_message(&login, 'p', bodies[i], &b), CLIENT_LOGIN_FAILED);
			buf_fini(&b);
		}
	}
}

Test(client_login, long_names_and_bodies)
{
	static char name[5000];
	struct client_login_input in = input(CLIENT_METHOD_PLAIN, "");
	struct client_login login;
	struct buf b;

	memset(name, 'n', sizeof(name));
	in.user = slice_of(name, sizeof(name));
	buf_init(&b, 4096);
	cr_assert_eq(client_login_start(&login, &in, &b), CLIENT_LOGIN_WAIT);
	cr_assert_eq(strlen(login.user), CLIENT_LOGIN_NAME_MAX - 1);
	cr_assert_eq(client_login_message(&login, 'p', slice_of(name, sizeof(name)), &b),
	             CLIENT_LOGIN_FAILED);
	cr_assert_str_eq(login.error.sqlstate, "08P01");
	buf_fini(&b);
}

Test(client_login, method_names)
{
	static const char *const names[] = {
		[CLIENT_METHOD_TRUST] = "trust", [CLIENT_METHOD_REJECT] = "reject",
		[CLIENT_METHOD_PLAIN] = "plain", [CLIENT_METHOD_MD5] = "md5",
		[CLIENT_METHOD_SCRAM] = "scram-sha-256",
	};
	enum client_method m;

	for (unsigned i = CLIENT_METHOD_TRUST; i <= CLIENT_METHOD_SCRAM; i++) {
		cr_assert(client_method_parse(slice_str(names[i]), &m));
		cr_assert_eq(m, i);
	}
	cr_assert(client_method_parse(slice_str("any"), &m) && m == CLIENT_METHOD_TRUST);
	cr_assert(client_method_parse(slice_str("password"), &m) && m == CLIENT_METHOD_PLAIN);
	cr_assert_not(client_method_parse(slice_str("TRUST"), &m));
	cr_assert_not(client_method_parse(slice_str(""), &m));
}
