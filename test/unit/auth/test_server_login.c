/* SPDX-License-Identifier: PostgreSQL */
/*
 * pgweir's log-in to a server as traces: each Authentication message and what
 * it leads to. Policy, secrets that can't serve, and servers that lie.
 */
#include <criterion/criterion.h>

#include <stdio.h>

#include "auth/key_cache.h"
#include "auth/md5.h"
#include "auth/server_login.h"
#include "wire/backend.h"
#include "wire/build.h"
#include "wire/frame.h"
#include "wire/frontend.h"

#define OK "\0\0\0\0"
#define CLEARTEXT "\0\0\0\3"
#define MD5 "\0\0\0\5salt"
#define SASL "\0\0\0\12SCRAM-SHA-256\0\0"
#define BODY(literal) slice_of(literal, sizeof(literal) - 1)
#define JOE_MD5 "md54571bc2e04d92926b0cb2bdc83773286"
#define JOE_SCRAM                                  \
	"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$" \
	"WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

static struct server_login login;
static struct buf out;

static void start(const char *secret, unsigned allowed)
{
	const struct server_login_input in = { .user = slice_str("joe"),
		                                   .secret = slice_str(secret),
		                                   .allowed = allowed };

	server_login_init(&login, &in);
	buf_init(&out, 4096);
}

static void fini(void)
{
	server_login_fini(&login);
	buf_fini(&out);
}

TestSuite(server_login, .fini = fini);

/* Feeds one message: "wait", "wait p:<bytes sent>", "ok" or the error. */
static const char *feed(struct slice body)
{
	static char text[PG_ERROR_MESSAGE_MAX + 16];

	buf_clear(&out);
	switch (server_login_message(&login, body, &out)) {
	case SERVER_LOGIN_WAIT:
		(void)snprintf(text, sizeof(text), "wait%s", out.len ? " sent" : "");
		break;
	case SERVER_LOGIN_OK:
		(void)snprintf(text, sizeof(text), "ok");
		break;
	case SERVER_LOGIN_FAILED:
		cr_assert_eq(out.len, 0);
		(void)snprintf(text, sizeof(text), "%s", login.error.sqlstate);
		break;
	}
	return text;
}

static struct slice sent_body(void)
{
	struct frame f;
	size_t used;

	cr_assert_eq(frame_next(buf_slice(&out), 4096, &f, &used), WEIR_OK);
	cr_assert(f.type == 'p' && used == out.len);
	return f.body;
}

Test(server_login, trust)
{
	start("", SERVER_AUTH_ANY);
	cr_assert_str_eq(feed(BODY(OK)), "ok");
}

Test(server_login, cleartext)
{
	start("pencil", SERVER_AUTH_ANY);
	cr_assert_str_eq(feed(BODY(CLEARTEXT)), "wait sent");
	cr_assert(slice_equal(sent_body(), BODY("pencil\0")));
	cr_assert_str_eq(feed(BODY(OK)), "ok");
}

Test(server_login, md5_from_plain_and_from_stored_form)
{
	char answer[SECRET_MD5_CHARS];

	cr_assert_eq(md5_answer(JOE_MD5, (const uint8_t *)"salt", answer), WEIR_OK);
	for (int i = 0; i < 2; i++) {
		struct slice password;

		start(i ? JOE_MD5 : "pencil", SERVER_AUTH_ANY);
		cr_assert_str_eq(feed(BODY(MD5)), "wait sent");
		cr_assert_eq(frontend_read_password(sent_body(), &password), WEIR_OK);
		cr_assert(slice_equal(password, slice_of(answer, sizeof(answer))));
		cr_assert_str_eq(feed(BODY(OK)), "ok");
		fini();
	}
	start("", 0);
}

/* Feeds an Authentication message that a builder wrote. */
static const char *feed_built(void (*build)(struct buf *, struct slice), struct slice data)
{
	struct buf r;
	const char *text;

	buf_init(&r, 4096);
	build(&r, data);
	text = feed(slice_of(r.data + FRAME_HEADER_BYTES, r.len - FRAME_HEADER_BYTES));
	buf_fini(&r);
	return text;
}

/* Plays a SCRAM server up to and including its final message. */
static const char *scram_dialogue(struct scram_server *s, struct slice mechanisms)
{
	struct msg_sasl_initial first;
	struct slice reply;
	const char *text = feed(mechanisms);

	if (strcmp(text, "wait sent") != 0)
		return text;
	cr_assert_eq(frontend_read_sasl_initial(sent_body(), &first), WEIR_OK);
	cr_assert_eq(scram_server_first(s, first.mechanism, first.data, &reply), WEIR_OK);
	text = feed_built(build_auth_sasl_continue, reply);
	if (strcmp(text, "wait sent") != 0)
		return text;
	if (scram_server_final(s, sent_body(), &reply) != WEIR_OK)
		return "server refuses";
	return feed_built(build_auth_sasl_final, reply);
}

static void server_init(struct scram_server *s, const struct scram_cbind *cbind)
{
	struct scram_secret secret;

	cr_assert_eq(scram_secret_parse(slice_str(JOE_SCRAM), &secret), WEIR_OK);
	scram_server_init(s, &secret, false, cbind);
}

Test(server_login, scram_with_password)
{
	struct scram_server s;

	server_init(&s, NULL);
	start("pencil", SERVER_AUTH_ANY);
	cr_assert_str_eq(scram_dialogue(&s, BODY(SASL)), "wait");
	cr_assert_str_eq(feed(BODY(OK)), "ok");
	fini();
	server_init(&s, NULL);
	start("wrong", SERVER_AUTH_ANY);
	cr_assert_str_eq(scram_dialogue(&s, BODY(SASL)), "server refuses");
}

Test(server_login, scram_with_keys_of_a_clients_login)
{
	struct scram_server s;
	struct scram_keys keys;
	struct server_login_input in = { .user = slice_str("joe"),
		                             .secret = slice_str(JOE_SCRAM),
		                             .keys = &keys,
		                             .allowed = SERVER_AUTH_SCRAM };

	server_init(&s, NULL);
	start("pencil", SERVER_AUTH_ANY);
	cr_assert_str_eq(scram_dialogue(&s, BODY(SASL)), "wait");
	keys = s.keys;
	fini();
	server_init(&s, NULL);
	server_login_init(&login, &in);
	buf_init(&out, 4096);
	cr_assert_str_eq(scram_dialogue(&s, BODY(SASL)), "wait");
	cr_assert_str_eq(feed(BODY(OK)), "ok");
}

Test(server_login, secrets_that_cannot_serve)
{
	static const struct {
		const char *secret;
		struct slice message;
	} cases[] = {
		{ "", { CLEARTEXT, 4 } },
		{ JOE_MD5, { CLEARTEXT, 4 } },
		{ JOE_SCRAM, { CLEARTEXT, 4 } },
		{ "", { MD5, 8 } },
		{ JOE_SCRAM, { MD5, 8 } },
		{ "", { SASL, sizeof(SASL) - 1 } },
		{ JOE_MD5, { SASL, sizeof(SASL) - 1 } },
		{ JOE_SCRAM, { SASL, sizeof(SASL) - 1 } },
	};

	for (size_t i = 0; i < WEIR_COUNTOF(cases); i++) {
		start(cases[i].secret, SERVER_AUTH_ANY);
		cr_assert_str_eq(feed(cases[i].message), "28000", "case %zu", i);
		cr_assert_null(strstr(login.error.message, "md5@"));
		fini();
	}
	start("", 0);
}

/* Only what is allowed is done; no password leaves otherwise. */
Test(server_login, policy)
{
	static const struct {
		enum server_auth method;
		struct slice message;
	} cases[] = {
		{ SERVER_AUTH_TRUST, { OK, 4 } },
		{ SERVER_AUTH_PLAIN, { CLEARTEXT, 4 } },
		{ SERVER_AUTH_MD5, { MD5, 8 } },
		{ SERVER_AUTH_SCRAM, { SASL, sizeof(SASL) - 1 } },
	};

	for (unsigned allowed = 0; allowed <= SERVER_AUTH_ANY; allowed++) {
		for (size_t i = 0; i < WEIR_COUNTOF(cases); i++) {
			bool is_allowed = allowed & cases[i].method;

			start("pencil", allowed);
			cr_assert_eq(strcmp(feed(cases[i].message), "28000") != 0, is_allowed);
			fini();
		}
	}
	start("", 0);
}

Test(server_login, ok_before_the_servers_proof_does_not_count)
{
	struct scram_server s;
	struct msg_sasl_initial first;
	struct slice reply;

	start("pencil", SERVER_AUTH_ANY);
	cr_assert_str_eq(feed(BODY(SASL)), "wait sent");
	cr_assert_str_eq(feed(BODY(OK)), "08P01");
	fini();
	start("pencil", SERVER_AUTH_ANY);
	server_init(&s, NULL);
	cr_assert_str_eq(feed(BODY(SASL)), "wait sent");
	cr_assert_eq(frontend_read_sasl_initial(sent_body(), &first), WEIR_OK);
	cr_assert_eq(scram_server_first(&s, first.mechanism, first.data, &reply), WEIR_OK);
	cr_assert_str_eq(feed_built(build_auth_sasl_continue, reply), "wait sent");
	cr_assert_str_eq(feed(BODY(OK)), "08P01");
}

Test(server_login, a_server_that_changes_its_mind)
{
	static const struct slice after[] = {
		{ CLEARTEXT, 4 },     { MD5, 8 },        { SASL, sizeof(SASL) - 1 }, { "\0\0\0\13x", 5 },
		{ "\0\0\0\14v=", 6 }, { "\0\0\0\7", 4 }, { "\377\377\377\377", 4 },  { "", 0 },
		{ "\0", 1 },
	};
	static const struct slice before[] = { { CLEARTEXT, 4 },
		                                   { MD5, 8 },
		                                   { SASL, sizeof(SASL) - 1 } };

	for (size_t b = 0; b < WEIR_COUNTOF(before); b++) {
		for (size_t a = 0; a < WEIR_COUNTOF(after); a++) {
			start("pencil", SERVER_AUTH_ANY);
			cr_assert_str_eq(feed(before[b]), "wait sent");
			cr_assert_str_eq(feed(after[a]), "08P01", "%zu then %zu", b, a);
			cr_assert_str_eq(feed(BODY(OK)), "08P01");
			fini();
		}
	}
	start("", 0);
}

Test(server_login, methods_that_are_not_supported)
{
	start("pencil", SERVER_AUTH_ANY);
	cr_assert_str_eq(feed(BODY("\0\0\0\7")), "28000"); /* GSS */
	fini();
	start("pencil", SERVER_AUTH_ANY);
	cr_assert_str_eq(feed(BODY("\0\0\0\12SCRAM-SHA-1\0\0")), "28000");
	fini();
	start("pencil", SERVER_AUTH_ANY);
	cr_assert_str_eq(feed(BODY("\0\0\0\12")), "28000");
}

Test(server_login, iterations_over_the_limit)
{
	const struct server_login_input in = { .user = slice_str("joe"),
		                                   .secret = slice_str("pencil"),
		                                   .allowed = SERVER_AUTH_ANY,
		                                   .max_iterations = 4095 };
	struct scram_server s;

	server_init(&s, NULL);
	server_login_init(&login, &in);
	buf_init(&out, 4096);
	cr_assert_str_eq(scram_dialogue(&s, BODY(SASL)), "08P01");
	cr_assert(strstr(login.error.message, "limits"));
}

Test(server_login, channel_binding_required)
{
	static const struct slice others[] = {
		{ OK, 4 }, { CLEARTEXT, 4 }, { MD5, 8 }, { SASL, sizeof(SASL) - 1 }
	};
	const struct scram_cbind cbind = { "certificate hash", 16 };
	const struct server_login_input in = { .user = slice_str("joe"),
		                                   .secret = slice_str("pencil"),
		                                   .allowed = SERVER_AUTH_ANY,
		                                   .cbind = &cbind,
		                                   .require_cbind = true };
	struct scram_server s;

	for (size_t i = 0; i < WEIR_COUNTOF(others); i++) {
		server_login_init(&login, &in);
		buf_init(&out, 4096);
		cr_assert_str_eq(feed(others[i]), "28000", "case %zu", i);
		fini();
	}
	server_init(&s, &cbind);
	server_login_init(&login, &in);
	buf_init(&out, 4096);
	cr_assert_str_eq(scram_dialogue(&s, BODY("\0\0\0\12SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0")),
	                 "wait");
	cr_assert_str_eq(feed(BODY(OK)), "ok");
}

Test(server_login, a_cache_of_keys_changes_nothing)
{
	struct key_cache *cache = key_cache_create();
	struct server_login_input in = { .user = slice_str("joe"),
		                             .allowed = SERVER_AUTH_ANY,
		                             .cache = cache };
	static const char *const passwords[] = { "pencil", "wrong", "pencil", "wrong" };

	for (size_t i = 0; i < WEIR_COUNTOF(passwords); i++) {
		struct scram_server s;

		in.secret = slice_str(passwords[i]);
		server_init(&s, NULL);
		server_login_init(&login, &in);
		buf_init(&out, 4096);
		cr_assert_str_eq(scram_dialogue(&s, BODY(SASL)), i % 2 ? "server refuses" : "wait");
		fini();
	}
	key_cache_destroy(cache);
	start("", 0);
}
