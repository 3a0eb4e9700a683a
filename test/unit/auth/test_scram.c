/* SPDX-License-Identifier: PostgreSQL */
/*
 * SCRAM on both sides: the exchange of RFC 7677, section 3, byte by byte;
 * each side against the other; malformed and hostile messages.
 */
#include <criterion/criterion.h>

#include "auth/scram.h"
#include "auth/scram_text.h"

#define CLIENT_NONCE "rOprNGfwEbeRWgbNEkqO"
#define NONCE CLIENT_NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define CLIENT_FIRST_BARE "n=user,r=" CLIENT_NONCE
#define CLIENT_FIRST "n,," CLIENT_FIRST_BARE
#define SERVER_FIRST "r=" NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
#define CLIENT_FINAL "c=biws,r=" NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define SERVER_FINAL "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

static struct scram_secret pencil(void)
{
	struct scram_secret s;
	uint8_t salt[SCRAM_SALT_MAX_BYTES];
	size_t len;

	cr_assert_eq(
		crypto_base64_decode(slice_str("W22ZaJ0SNY7soEsUEjb6gQ=="), salt, sizeof(salt), &len),
		WEIR_OK);
	cr_assert_eq(scram_secret_derive(&s, slice_str("pencil"), slice_of(salt, len), 4096), WEIR_OK);
	return s;
}

/* A server whose nonce is the RFC's. */
static void rfc_server(struct scram_server *s, bool is_doomed)
{
	struct scram_secret secret = pencil();

	scram_server_init(s, &secret, is_doomed, NULL);
	s->nonce.len = sizeof(NONCE) - sizeof(CLIENT_NONCE);
	memcpy(s->nonce.data, &NONCE[sizeof(CLIENT_NONCE) - 1], s->nonce.len);
}

/* A client that has sent the RFC's first message. */
static void rfc_client(struct scram_client *c, struct slice password, unsigned max_iterations)
{
	struct slice out;

	scram_client_init(c, password, NULL, max_iterations);
	c->nonce.len = sizeof(CLIENT_NONCE) - 1;
	memcpy(c->nonce.data, CLIENT_NONCE, c->nonce.len);
	scram_client_first(c, SCRAM_BINDING_NONE, NULL, &out);
	cr_assert(slice_is(out, "n,,n=,r=" CLIENT_NONCE));
	scram_text_clear(&c->client_first);
	scram_text_append(&c->client_first, slice_str(CLIENT_FIRST_BARE));
}

Test(scram, rfc_7677_server)
{
	struct scram_server s;
	struct slice reply;

	rfc_server(&s, false);
	cr_assert_eq(
		scram_server_first(&s, slice_str(SCRAM_MECHANISM), slice_str(CLIENT_FIRST), &reply),
		WEIR_OK);
	cr_assert(slice_is(reply, SERVER_FIRST));
	cr_assert_eq(scram_server_final(&s, slice_str(CLIENT_FINAL), &reply), WEIR_OK);
	cr_assert(slice_is(reply, SERVER_FINAL));
	cr_assert_eq(scram_server_final(&s, slice_str(CLIENT_FINAL), &reply), WEIR_ERR_PROTOCOL);
	scram_server_fini(&s);
}

Test(scram, rfc_7677_client)
{
	struct scram_client c;
	struct slice out;

	rfc_client(&c, slice_str("pencil"), SCRAM_ITERATIONS_MAX);
	cr_assert_eq(scram_client_final(&c, slice_str(SERVER_FIRST), &out), WEIR_OK);
	cr_assert(slice_is(out, CLIENT_FINAL));
	cr_assert_eq(scram_client_verify(&c, slice_str(SERVER_FINAL)), WEIR_OK);
	cr_assert_eq(scram_client_verify(&c, slice_str(SERVER_FINAL)), WEIR_ERR_PROTOCOL);
	scram_client_fini(&c);
}

Test(scram, doomed_exchange_differs_at_the_verdict_only)
{
	struct scram_server s;
	struct slice reply;

	rfc_server(&s, true);
	cr_assert_eq(
		scram_server_first(&s, slice_str(SCRAM_MECHANISM), slice_str(CLIENT_FIRST), &reply),
		WEIR_OK);
	cr_assert(slice_is(reply, SERVER_FIRST));
	cr_assert_eq(scram_server_final(&s, slice_str(CLIENT_FINAL), &reply), WEIR_ERR_AUTH);
}

/* Runs both sides; the verdicts as text. */
static const char *run(struct scram_client *c, const struct scram_cbind *client_cbind,
                       struct scram_server *s)
{
	const char *mechanism = client_cbind ? SCRAM_MECHANISM_PLUS : SCRAM_MECHANISM;
	struct slice out, reply;
	enum weir_err err;

	scram_client_first(c, client_cbind ? SCRAM_BINDING_PLUS : SCRAM_BINDING_NONE, client_cbind,
	                   &out);
	if (scram_server_first(s, slice_str(mechanism), out, &reply) != WEIR_OK)
		return "first refused";
	if (scram_client_final(c, reply, &out) != WEIR_OK)
		return "challenge refused";
	err = scram_server_final(s, out, &reply);
	if (err != WEIR_OK)
		return err == WEIR_ERR_AUTH ? "proof wrong" : "final malformed";
	return scram_client_verify(c, reply) == WEIR_OK ? "ok" : "server unproven";
}

Test(scram, both_sides_agree)
{
	const struct scram_secret secret = pencil();
	struct scram_server s;
	struct scram_client c;

	scram_server_init(&s, &secret, false, NULL);
	scram_client_init(&c, slice_str("pencil"), NULL, 4096);
	cr_assert_str_eq(run(&c, NULL, &s), "ok");
	scram_server_init(&s, &secret, false, NULL);
	scram_client_init(&c, slice_str("Pencil"), NULL, 4096);
	cr_assert_str_eq(run(&c, NULL, &s), "proof wrong");
}

Test(scram, captured_keys_log_in_elsewhere)
{
	const struct scram_secret secret = pencil();
	struct scram_server s;
	struct scram_client c;
	struct scram_keys keys;

	scram_server_init(&s, &secret, false, NULL);
	scram_client_init(&c, slice_str("pencil"), NULL, 4096);
	cr_assert_str_eq(run(&c, NULL, &s), "ok");
	keys = s.keys;
	scram_server_init(&s, &secret, false, NULL);
	scram_client_init(&c, slice_str(""), &keys, 4096);
	cr_assert_str_eq(run(&c, NULL, &s), "ok");
	keys.client_key[0] ^= 1;
	scram_server_init(&s, &secret, false, NULL);
	scram_client_init(&c, slice_str(""), &keys, 4096);
	cr_assert_str_eq(run(&c, NULL, &s), "proof wrong");
}

Test(scram, a_server_without_the_secret_is_found_out)
{
	struct scram_secret secret = pencil();
	struct scram_server s;
	struct scram_client c;

	secret.server_key[5] ^= 1;
	scram_server_init(&s, &secret, false, NULL);
	scram_client_init(&c, slice_str("pencil"), NULL, 4096);
	cr_assert_str_eq(run(&c, NULL, &s), "server unproven");
}

Test(scram, channel_binding)
{
	const struct scram_secret secret = pencil();
	struct scram_cbind ours = { "certificate hash", 16 };
	struct scram_cbind theirs = { "another one hash", 16 };
	struct scram_server s;
	struct scram_client c;
	struct slice reply;

	scram_server_init(&s, &secret, false, &ours);
	scram_client_init(&c, slice_str("pencil"), NULL, 4096);
	cr_assert_str_eq(run(&c, &ours, &s), "ok");
	scram_server_init(&s, &secret, false, &ours);
	scram_client_init(&c, slice_str("pencil"), NULL, 4096);
	cr_assert_str_eq(run(&c, &theirs, &s), "final malformed");
	scram_server_init(&s, &secret, false, NULL);
	scram_client_init(&c, slice_str("pencil"), NULL, 4096);
	cr_assert_str_eq(run(&c, &ours, &s), "first refused");
	/* "I could, you can't" although PLUS was on offer: somebody cut the list. */
	scram_server_init(&s, &secret, false, &ours);
	cr_assert_eq(
		scram_server_first(&s, slice_str(SCRAM_MECHANISM), slice_str("y,,n=,r=abc"), &reply),
		WEIR_ERR_PROTOCOL);
	scram_server_init(&s, &secret, false, NULL);
	cr_assert_eq(
		scram_server_first(&s, slice_str(SCRAM_MECHANISM), slice_str("y,,n=,r=abc"), &reply),
		WEIR_OK);
}

Test(scram, a_client_that_could_bind_says_so)
{
	const struct scram_secret secret = pencil();
	struct scram_cbind ours = { "certificate hash", 16 };
	struct scram_server s;
	struct scram_client c;
	struct slice out, reply;

	/* The list was cut on its way: the server knows better and ends it. */
	scram_server_init(&s, &secret, false, &ours);
	scram_client_init(&c, slice_str("pencil"), NULL, 4096);
	scram_client_first(&c, SCRAM_BINDING_UNOFFERED, &ours, &out);
	cr_assert_eq(scram_server_first(&s, slice_str(SCRAM_MECHANISM), out, &reply),
	             WEIR_ERR_PROTOCOL);
	/* A server without PLUS goes on, and the header is part of what is signed. */
	scram_server_init(&s, &secret, false, NULL);
	scram_client_init(&c, slice_str("pencil"), NULL, 4096);
	scram_client_first(&c, SCRAM_BINDING_UNOFFERED, &ours, &out);
	cr_assert_eq(scram_server_first(&s, slice_str(SCRAM_MECHANISM), out, &reply), WEIR_OK);
	cr_assert_eq(scram_client_final(&c, reply, &out), WEIR_OK);
	cr_assert_eq(scram_server_final(&s, out, &reply), WEIR_OK);
	cr_assert_eq(scram_client_verify(&c, reply), WEIR_OK);
}

Test(scram, malformed_client_first)
{
	static const char *const cases[] = {
		"",
		"n",
		"n,",
		"n,,",
		"n,,n=",
		"n,,n=,",
		"n,,n=,r=",
		"n,,r=abc",
		"n,,n=u,s=abc",
		"n,a=other,n=u,r=abc",
		"n,,m=ext,n=u,r=abc",
		"x,,n=u,r=abc",
		"p=tls-unique,,n=u,r=abc",
		"p=tls-server-end-point,,n=u,r=abc",
		"n,,n=u,r=a c",
		"n,,n=u,r=a\x80",
		",,n=u,r=abc",
		"nn,,n=u,r=abc",
		"n,,n,r=abc",
		"n,,N=u,r=abc",
		"y",
		"y,",
		"n,,=u,r=abc",
	};

	for (size_t i = 0; i < WEIR_COUNTOF(cases); i++) {
		struct scram_server s;
		struct slice reply;

		rfc_server(&s, false);
		cr_assert_eq(
			scram_server_first(&s, slice_str(SCRAM_MECHANISM), slice_str(cases[i]), &reply),
			WEIR_ERR_PROTOCOL, "case %zu: %s", i, cases[i]);
		cr_assert_eq(scram_server_final(&s, slice_str(CLIENT_FINAL), &reply), WEIR_ERR_PROTOCOL);
	}
}

Test(scram, mechanism_must_be_one_that_was_offered)
{
	static const char *const cases[] = { "", "SCRAM-SHA-1", "SCRAM-SHA-256-PLUS", "scram-sha-256" };

	for (size_t i = 0; i < WEIR_COUNTOF(cases); i++) {
		struct scram_server s;
		struct slice reply;

		rfc_server(&s, false);
		cr_assert_eq(scram_server_first(&s, slice_str(cases[i]), slice_str(CLIENT_FIRST), &reply),
		             WEIR_ERR_PROTOCOL, "%s", cases[i]);
	}
}

Test(scram, malformed_client_final)
{
	static const char *const cases[] = {
		"",
		"c=biws",
		"c=biws,r=" NONCE,
		"c=biws,r=" NONCE ",p=",
		"c=biws,r=" NONCE ",p=!!!!",
		"c=biws,r=" NONCE ",p=dHzb",
		CLIENT_FINAL ",",
		CLIENT_FINAL ",x=1",
		CLIENT_FINAL "=",
		"c=eSws,r=" NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
		"c=biws,r=" NONCE "x,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
		"c=biws,r=" CLIENT_NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
		"r=" NONCE ",c=biws,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
		"c=biws,r=" NONCE ",x,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
	};

	for (size_t i = 0; i < WEIR_COUNTOF(cases); i++) {
		struct scram_server s;
		struct slice reply;

		rfc_server(&s, false);
		cr_assert_eq(
			scram_server_first(&s, slice_str(SCRAM_MECHANISM), slice_str(CLIENT_FIRST), &reply),
			WEIR_OK);
		cr_assert_eq(scram_server_final(&s, slice_str(cases[i]), &reply), WEIR_ERR_PROTOCOL,
		             "case %zu: %s", i, cases[i]);
	}
}

Test(scram, extension_before_the_proof_is_signed_but_ignored)
{
	struct scram_server s;
	struct slice reply;

	rfc_server(&s, false);
	cr_assert_eq(
		scram_server_first(&s, slice_str(SCRAM_MECHANISM), slice_str(CLIENT_FIRST), &reply),
		WEIR_OK);
	cr_assert_eq(scram_server_final(&s,
	                                slice_str("c=biws,r=" NONCE ",x=1,"
	                                          "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="),
	                                &reply),
	             WEIR_ERR_AUTH);
}

Test(scram, hostile_server_first)
{
	static const struct {
		const char *text;
		enum weir_err err;
	} cases[] = {
		{ "", WEIR_ERR_PROTOCOL },
		{ "r=" CLIENT_NONCE ",s=W22Z,i=4096", WEIR_ERR_PROTOCOL }, /* nothing of its own */
		{ "r=stranger" NONCE ",s=W22Z,i=4096", WEIR_ERR_PROTOCOL },
		{ "r=" NONCE ",s=,i=4096", WEIR_ERR_PROTOCOL },
		{ "r=" NONCE ",s=!!!!,i=4096", WEIR_ERR_PROTOCOL },
		{ "r=" NONCE ",s=W22Z", WEIR_ERR_PROTOCOL },
		{ "r=" NONCE ",i=4096,s=W22Z", WEIR_ERR_PROTOCOL },
		{ "r=" NONCE ",s=W22Z,i=", WEIR_ERR_PROTOCOL },
		{ "r=" NONCE ",s=W22Z,i=0", WEIR_ERR_PROTOCOL },
		{ "r=" NONCE ",s=W22Z,i=-1", WEIR_ERR_PROTOCOL },
		{ "r=" NONCE ",s=W22Z,i=4096x", WEIR_ERR_PROTOCOL },
		{ "r=" NONCE ",s=W22Z,i=5001", WEIR_ERR_LIMIT },
		{ "r=" NONCE ",s=W22Z,i=2147483648", WEIR_ERR_LIMIT },
		{ "r=" NONCE ",s=W22Z,i=4294967297", WEIR_ERR_LIMIT },
		{ "r=" NONCE ",s=W22Z,i=99999999999999999999999999999999", WEIR_ERR_LIMIT },
		{ "m=must,r=" NONCE ",s=W22Z,i=4096", WEIR_ERR_PROTOCOL },
		{ "e=other-error", WEIR_ERR_PROTOCOL },
	};

	for (size_t i = 0; i < WEIR_COUNTOF(cases); i++) {
		struct scram_client c;
		struct slice out;

		rfc_client(&c, slice_str("pencil"), 5000);
		cr_assert_eq(scram_client_final(&c, slice_str(cases[i].text), &out), cases[i].err,
		             "case %zu: %s", i, cases[i].text);
		cr_assert_eq(scram_client_verify(&c, slice_str(SERVER_FINAL)), WEIR_ERR_PROTOCOL);
	}
}

/* A part of 64 Ki in every field that the server fills. */
Test(scram, hostile_server_sends_long_fields)
{
	static char text[70000];
	static const char *const heads[] = { "r=" NONCE, "r=" NONCE ",s=", "r=" NONCE ",s=W22Z,i=",
		                                 "r=" NONCE ",s=W22Z,i=4096,x=" };

	for (size_t i = 0; i < WEIR_COUNTOF(heads); i++) {
		for (size_t fill = 64; fill <= 65536; fill *= 2) {
			size_t head = strlen(heads[i]);
			struct scram_client c;
			struct slice out;
			enum weir_err err;

			memcpy(text, heads[i], head);
			memset(text + head, 'A', fill);
			rfc_client(&c, slice_str("pencil"), 5000);
			err = scram_client_final(&c, slice_of(text, head + fill), &out);
			cr_assert(err != WEIR_OK || i == 3, "head %zu, fill %zu", i, fill);
			cr_assert(err != WEIR_OK || head + fill <= SCRAM_MESSAGE_MAX);
		}
	}
}

Test(scram, hostile_server_final)
{
	static const struct {
		const char *text;
		enum weir_err err;
	} cases[] = {
		{ "", WEIR_ERR_PROTOCOL },
		{ "e=invalid-proof", WEIR_ERR_AUTH },
		{ "v=", WEIR_ERR_PROTOCOL },
		{ "v=6rri", WEIR_ERR_PROTOCOL },
		{ "v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", WEIR_ERR_AUTH },
		{ SERVER_FINAL "=", WEIR_ERR_PROTOCOL },
	};

	for (size_t i = 0; i < WEIR_COUNTOF(cases); i++) {
		struct scram_client c;
		struct slice out;

		rfc_client(&c, slice_str("pencil"), 5000);
		cr_assert_eq(scram_client_final(&c, slice_str(SERVER_FIRST), &out), WEIR_OK);
		cr_assert_eq(scram_client_verify(&c, slice_str(cases[i].text)), cases[i].err, "case %zu",
		             i);
	}
}

Test(scram, long_client_nonces)
{
	char text[SCRAM_MESSAGE_MAX + 64];

	for (size_t n = 1; n < sizeof(text) - 8; n += 13) {
		struct scram_server s;
		struct slice reply;
		enum weir_err err;

		memcpy(text, "n,,n=,r=", 8);
		memset(text + 8, 'A', n);
		rfc_server(&s, false);
		err = scram_server_first(&s, slice_str(SCRAM_MECHANISM), slice_of(text, 8 + n), &reply);
		cr_assert_eq(err, n <= SCRAM_NONCE_MAX ? WEIR_OK : WEIR_ERR_PROTOCOL, "%zu", n);
	}
}
