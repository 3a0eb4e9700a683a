/* SPDX-License-Identifier: PostgreSQL */
/*
 * TLS: handshakes by mode, bytes both ways, names and channel binding, plain
 * bytes injected before the handshake, peers that talk rubbish.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/loop_priv.h"
#include "net/tls.h"
#include "net/tls_rest.h"
#include "peer.h"
#include "tls_files.h"

enum { BIG = 1024 * 1024 };

/* Both ends of one connection, on one loop. */
struct pair {
	struct tls_files files;
	struct loop *loop;
	struct tls_context *server_ctx, *client_ctx;
	struct peer server, client;
};

static struct tls_options server_options(const struct pair *p, enum tls_mode mode)
{
	return (struct tls_options){ .side = TLS_SIDE_SERVER,
		                         .mode = mode,
		                         .cert_file = p->files.server_cert,
		                         .key_file = p->files.server_key,
		                         .ca_file = p->files.ca };
}

static struct tls_options client_options(const struct pair *p, enum tls_mode mode)
{
	return (struct tls_options){ .side = TLS_SIDE_CLIENT, .mode = mode, .ca_file = p->files.ca };
}

static struct tls_context *context(const struct tls_options *o)
{
	struct tls_context *ctx;
	char why[256] = "";

	cr_assert_eq(tls_context_create(o, &ctx, why, sizeof(why)), WEIR_OK, "%s", why);
	return ctx;
}

static void pair_begin(struct pair *p)
{
	memset(p, 0, sizeof(*p));
	tls_files_make(&p->files);
	p->loop = peer_loop();
}

static void pair_open(struct pair *p, const struct tls_options *server,
                      const struct tls_options *client)
{
	int fds[2];

	p->server_ctx = context(server);
	p->client_ctx = context(client);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	peer_wrap(&p->server, p->loop, fds[0]);
	peer_wrap(&p->client, p->loop, fds[1]);
}

static void pair_start(struct pair *p, const char *host)
{
	cr_assert_eq(conn_start_tls(&p->server.conn, p->server_ctx, NULL), WEIR_OK);
	cr_assert_eq(conn_start_tls(&p->client.conn, p->client_ctx, host), WEIR_OK);
	peer_turns(p->loop, 20);
}

static void pair_end(struct pair *p)
{
	peer_close(&p->server);
	peer_close(&p->client);
	tls_context_put(&p->server_ctx);
	tls_context_put(&p->client_ctx);
	loop_destroy(p->loop);
	tls_files_remove(&p->files);
}

static void pair_make(struct pair *p, enum tls_mode server_mode, enum tls_mode client_mode)
{
	struct tls_options server, client;

	pair_begin(p);
	server = server_options(p, server_mode);
	client = client_options(p, client_mode);
	pair_open(p, &server, &client);
}

Test(tls, handshake_and_bytes_both_ways)
{
	struct pair p;

	pair_make(&p, TLS_MODE_REQUIRE, TLS_MODE_REQUIRE);
	pair_start(&p, "db.test");
	cr_assert_str_eq(p.server.trace, "ready()");
	cr_assert_str_eq(p.client.trace, "ready()");
	conn_send(&p.client.conn, slice_str("ping"));
	peer_turns(p.loop, 3);
	conn_send(&p.server.conn, slice_str("po"));
	conn_send_copy(&p.server.conn, slice_str("ng"));
	peer_turns(p.loop, 3);
	cr_assert_str_eq(p.server.trace, "ready() bytes(ping)");
	cr_assert_str_eq(p.client.trace, "ready() bytes(pong)");
	cr_assert_str_eq(tls_version(conn_tls(&p.client.conn)), "TLSv1.3");
	cr_assert(strlen(tls_cipher(conn_tls(&p.server.conn))) > 0);
	cr_assert(conn_is_idle(&p.server.conn));
	pair_end(&p);
}

Test(tls, bytes_sent_before_the_handshake_ends_are_held)
{
	struct pair p;

	pair_make(&p, TLS_MODE_REQUIRE, TLS_MODE_REQUIRE);
	cr_assert_eq(conn_start_tls(&p.server.conn, p.server_ctx, NULL), WEIR_OK);
	cr_assert_eq(conn_start_tls(&p.client.conn, p.client_ctx, NULL), WEIR_OK);
	conn_send(&p.client.conn, slice_str("early"));
	peer_turns(p.loop, 20);
	cr_assert_str_eq(p.server.trace, "ready() bytes(early)");
	pair_end(&p);
}

Test(tls, large_transfer_with_back_pressure)
{
	struct pair p;
	char *all = malloc(BIG);

	pair_make(&p, TLS_MODE_REQUIRE, TLS_MODE_REQUIRE);
	pair_start(&p, NULL);
	memset(all, 'z', BIG);
	p.client.is_quiet = true;
	conn_send_copy(&p.server.conn, slice_of(all, BIG));
	peer_turns(p.loop, 1);
	for (int i = 0; i < 500 && p.client.total < BIG; i++)
		peer_turns(p.loop, 1);
	cr_assert_eq(p.client.total, BIG);
	cr_assert_eq(conn_backlog_bytes(&p.server.conn), 0);
	free(all);
	pair_end(&p);
}

Test(tls, many_small_spans_are_few_records)
{
	struct pair p;
	uint64_t before;

	pair_make(&p, TLS_MODE_REQUIRE, TLS_MODE_REQUIRE);
	pair_start(&p, NULL);
	p.client.is_quiet = true;
	before = loop_stats(p.loop)->writes;
	for (int i = 0; i < 100; i++)
		conn_send_copy(&p.server.conn, slice_str("0123456789"));
	peer_turns(p.loop, 1);
	/* A ring sends them without a call of their own. */
	cr_assert_eq(loop_stats(p.loop)->writes, before + (PEER_IS_RING ? 0 : 1));
	peer_turns(p.loop, 3);
	cr_assert_eq(p.client.total, 1000);
	pair_end(&p);
}

static void small_send_buffer(struct peer *peer)
{
	int size = 1; /* the least that the system has */

	cr_assert_eq(setsockopt(conn_fd(&peer->conn), SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
}

/* On a ring the rest of a record that the socket took in part goes first, as it is. */
Test(tls, records_that_fall_short_are_continued)
{
	enum { PIECE = 5000, PIECES = 40 };
	struct pair p;
	char piece[PIECE];

	pair_make(&p, TLS_MODE_REQUIRE, TLS_MODE_REQUIRE);
	pair_start(&p, NULL);
	small_send_buffer(&p.server);
	p.client.is_quiet = true;
	memset(piece, 'z', PIECE);
	for (int i = 0; i < PIECES; i++) {
		conn_send_copy(&p.server.conn, slice_of(piece, PIECE));
		if (i % 4 == 3)
			peer_turns(p.loop, 1);
	}
	for (int i = 0; i < 1000 && p.client.total < PIECE * PIECES; i++)
		peer_turns(p.loop, 1);
	cr_assert_eq(p.client.total, PIECE * PIECES);
	cr_assert_eq(conn_backlog_bytes(&p.server.conn), 0);
	conn_send(&p.client.conn, slice_str("thanks"));
	peer_turns(p.loop, 3);
	cr_assert_str_eq(p.server.trace, "ready() drained() bytes(thanks)");
	pair_end(&p);
}

enum { RECORD = 16000 };

static void send_record(struct pair *p)
{
	char piece[RECORD];

	memset(piece, 'z', RECORD);
	conn_send_copy(&p->server.conn, slice_of(piece, RECORD));
}

/* The client doesn't read, and a part of what the server sent is still in its backlog. */
static void pair_with_half_a_record(struct pair *p)
{
	pair_make(p, TLS_MODE_REQUIRE, TLS_MODE_REQUIRE);
	pair_start(p, NULL);
	small_send_buffer(&p->server);
	p->client.is_quiet = true;
	conn_pause_read(&p->client.conn);
	send_record(p);
	peer_turns(p->loop, 1);
	cr_assert_gt(conn_backlog_bytes(&p->server.conn), 0);
}

/* What is read while half a record waits holds nothing back that comes after the record. */
Test(tls, reading_behind_half_a_record_does_not_stop_what_follows)
{
	struct pair p;

	pair_with_half_a_record(&p);
	conn_send(&p.client.conn, slice_str("next"));
	send_record(&p);
	peer_turns(p.loop, 2);
	cr_assert_str_eq(p.server.trace, "ready() bytes(next)");
	conn_resume_read(&p.client.conn);
	for (int i = 0; i < 1000 && p.client.total < 2 * (size_t)RECORD; i++)
		peer_turns(p.loop, 1);
	cr_assert_eq(p.client.total, 2 * RECORD);
	pair_end(&p);
}

/* Nothing follows a record that left in part, so that the peer sees the end of the stream. */
Test(tls, closing_behind_half_a_record_is_an_end_of_stream)
{
	struct pair p;

	pair_with_half_a_record(&p);
	conn_close(&p.server.conn);
	conn_resume_read(&p.client.conn);
	peer_turns(p.loop, 4);
	cr_assert_str_eq(p.client.trace, "ready() closed(-6)");
	pair_end(&p);
}

/* Read while it waited, and then sent whole: what ends the session is still told. */
Test(tls, close_is_told_behind_half_a_record_that_left)
{
	struct pair p;
	int socket;

	pair_with_half_a_record(&p);
	conn_send(&p.client.conn, slice_str("bye"));
	peer_turns(p.loop, 2);
	socket = dup(conn_fd(&p.server.conn)); /* the stream itself goes on */
	conn_close_after_flush(&p.server.conn);
	conn_resume_read(&p.client.conn);
	cr_assert(peer_wait(&p.server, "closed(0)"));
	cr_assert_str_eq(p.server.trace, "ready() bytes(bye) closed(0)");
	peer_turns(p.loop, 4); /* the socket has room again */
	conn_close(&p.server.conn);
	peer_turns(p.loop, 4);
	cr_assert_str_eq(p.client.trace, "ready() closed(-6)");
	close(socket);
	pair_end(&p);
}

/* Behind a pause the end waits until what came before it was taken. */
Test(tls, paused_reader_hears_of_the_end_behind_the_bytes)
{
	struct pair p;

	pair_make(&p, TLS_MODE_REQUIRE, TLS_MODE_REQUIRE);
	pair_start(&p, NULL);
	conn_pause_read(&p.client.conn);
	conn_send(&p.server.conn, slice_str("last words"));
	peer_turns(p.loop, 1);
	conn_close(&p.server.conn);
	peer_turns(p.loop, 3);
	cr_assert_str_eq(p.client.trace, "ready()");
	conn_resume_read(&p.client.conn);
	peer_turns(p.loop, 3);
	cr_assert_str_eq(p.client.trace, "ready() bytes(last words) closed(-6)");
	pair_end(&p);
}

Test(tls, paused_reader_gets_what_the_session_holds)
{
	struct pair p;

	pair_make(&p, TLS_MODE_REQUIRE, TLS_MODE_REQUIRE);
	pair_start(&p, NULL);
	conn_pause_read(&p.client.conn);
	for (int i = 0; i < 5; i++) {
		conn_send(&p.server.conn, slice_str("x"));
		peer_turns(p.loop, 1);
	}
	peer_turns(p.loop, 3);
	cr_assert_str_eq(p.client.trace, "ready()");
	conn_resume_read(&p.client.conn);
	peer_turns(p.loop, 3);
	cr_assert_eq(p.client.total, 5);
	pair_end(&p);
}

Test(tls, close_is_told_to_the_other_end)
{
	struct pair p;

	pair_make(&p, TLS_MODE_REQUIRE, TLS_MODE_REQUIRE);
	pair_start(&p, NULL);
	conn_send(&p.server.conn, slice_str("bye"));
	conn_close_after_flush(&p.server.conn);
	peer_turns(p.loop, 2);
	cr_assert_str_eq(p.server.trace, "ready() closed(0)");
	conn_close(&p.server.conn);
	peer_turns(p.loop, 3);
	cr_assert_str_eq(p.client.trace, "ready() bytes(bye) closed(-6)");
	pair_end(&p);
}

static const struct {
	enum tls_mode mode;
	const char *host;
	bool is_other_ca, is_accepted;
} checks[] = {
	{ TLS_MODE_REQUIRE, "wrong.test", true, true },
	{ TLS_MODE_VERIFY_CA, "wrong.test", false, true },
	{ TLS_MODE_VERIFY_CA, "db.test", true, false },
	{ TLS_MODE_VERIFY_FULL, "db.test", false, true },
	{ TLS_MODE_VERIFY_FULL, "wrong.test", false, false },
	{ TLS_MODE_VERIFY_FULL, "127.0.0.1", false, true },
	{ TLS_MODE_VERIFY_FULL, "127.0.0.2", false, false },
	{ TLS_MODE_VERIFY_FULL, "db.test", true, false },
};

Test(tls, server_certificate_is_checked_by_mode, .timeout = 60)
{
	for (size_t i = 0; i < WEIR_COUNTOF(checks); i++) {
		struct pair p;
		struct tls_options server, client;

		pair_begin(&p);
		server = server_options(&p, TLS_MODE_REQUIRE);
		client = client_options(&p, checks[i].mode);
		if (checks[i].is_other_ca)
			client.ca_file = p.files.other_ca;
		pair_open(&p, &server, &client);
		pair_start(&p, checks[i].host);
		cr_assert_str_eq(p.client.trace, checks[i].is_accepted ? "ready()" : "closed(-9)",
		                 "case %zu", i);
		pair_end(&p);
	}
}

Test(tls, verify_full_needs_a_host)
{
	struct pair p;

	pair_make(&p, TLS_MODE_REQUIRE, TLS_MODE_VERIFY_FULL);
	cr_assert_eq(conn_start_tls(&p.client.conn, p.client_ctx, NULL), WEIR_ERR_TLS);
	pair_end(&p);
}

Test(tls, a_client_certificate_is_verified)
{
	struct pair p;
	struct tls_options server, client;

	pair_begin(&p);
	server = server_options(&p, TLS_MODE_VERIFY_FULL);
	client = client_options(&p, TLS_MODE_REQUIRE);
	client.cert_file = p.files.client_cert;
	client.key_file = p.files.client_key;
	pair_open(&p, &server, &client);
	pair_start(&p, NULL);
	cr_assert_str_eq(tls_version(conn_tls(&p.server.conn)), "TLSv1.3");
	pair_end(&p);
}

Test(tls, missing_client_certificate_is_refused)
{
	struct pair p;

	pair_make(&p, TLS_MODE_VERIFY_CA, TLS_MODE_REQUIRE);
	pair_start(&p, NULL);
	cr_assert_str_eq(p.server.trace, "closed(-9)");
	pair_end(&p);
}

Test(tls, session_moves_between_loops)
{
	struct pair p;
	struct loop *other = peer_loop();

	pair_make(&p, TLS_MODE_REQUIRE, TLS_MODE_REQUIRE);
	pair_start(&p, NULL);
	conn_adopt(&p.client.conn, other, conn_export(&p.client.conn), &peer_ops, &peer_limits);
	conn_send(&p.server.conn, slice_str("moved"));
	peer_turns(p.loop, 2);
	peer_turns(other, 2);
	cr_assert_str_eq(p.client.trace, "ready() bytes(moved)");
	conn_close(&p.client.conn);
	loop_destroy(other);
	pair_end(&p);
}

/* --- rest --- */

/* Criterion's own libraries use OpenSSL before any test does. */
__attribute__((constructor)) static void prepare(void)
{
	WEIR_ASSERT(tls_prepare());
}

/* Whoever wasn't used since the last look is put away. */
static void rest(struct pair *p)
{
	tls_rest_look(p->loop, p->loop->awake.count);
	tls_rest_look(p->loop, p->loop->awake.count);
	cr_assert_eq(p->loop->awake.count, 0);
}

Test(tls, a_session_that_rests_goes_on_where_it_was)
{
	struct pair p;

	pair_make(&p, TLS_MODE_REQUIRE, TLS_MODE_REQUIRE);
	pair_start(&p, "db.test");
	rest(&p);
	cr_assert_str_eq(tls_version(conn_tls(&p.client.conn)), "TLSv1.3");
	cr_assert(strlen(tls_cipher(conn_tls(&p.server.conn))) > 0);
	cr_assert_eq(p.loop->awake.count, 0);
	conn_send(&p.client.conn, slice_str("ping"));
	peer_turns(p.loop, 3);
	cr_assert_eq(p.loop->awake.count, 2);
	rest(&p);
	conn_send(&p.server.conn, slice_str("pong"));
	peer_turns(p.loop, 3);
	cr_assert_str_eq(p.server.trace, "ready() bytes(ping)");
	cr_assert_str_eq(p.client.trace, "ready() bytes(pong)");
	rest(&p);
	cr_assert(tls_has_alpn(conn_tls(&p.client.conn)));
	rest(&p);
	pair_end(&p);
}

Test(tls, a_session_in_use_does_not_rest)
{
	struct pair p;

	pair_make(&p, TLS_MODE_REQUIRE, TLS_MODE_REQUIRE);
	pair_start(&p, NULL);
	rest(&p);
	for (int i = 0; i < 5; i++) {
		conn_send(&p.client.conn, slice_str("x"));
		peer_turns(p.loop, 3);
		tls_rest_look(p.loop, p.loop->awake.count);
		cr_assert_eq(p.loop->awake.count, 2);
	}
	pair_end(&p);
}

Test(tls, a_resting_session_moves_and_ends)
{
	struct pair p;
	struct loop *other = peer_loop();

	pair_make(&p, TLS_MODE_REQUIRE, TLS_MODE_REQUIRE);
	pair_start(&p, NULL);
	rest(&p);
	conn_adopt(&p.client.conn, other, conn_export(&p.client.conn), &peer_ops, &peer_limits);
	cr_assert_eq(other->awake.count, 1);
	cr_assert_eq(p.loop->awake.count, 0);
	conn_send(&p.server.conn, slice_str("moved"));
	peer_turns(p.loop, 2);
	peer_turns(other, 2);
	cr_assert_str_eq(p.client.trace, "ready() bytes(moved)");
	rest(&p);
	conn_close(&p.server.conn);
	cr_assert_eq(p.loop->awake.count, 0);
	peer_turns(other, 2);
	cr_assert_str_eq(p.client.trace, "ready() bytes(moved) closed(-6)");
	conn_close(&p.client.conn);
	loop_destroy(other);
	pair_end(&p);
}

/* --- plaintext injection --- */

static void answer_and_start(struct peer *peer, struct slice bytes)
{
	struct pair *p = peer->arg;

	(void)bytes;
	peer->on_bytes = NULL;
	conn_send(&peer->conn, slice_str("S"));
	cr_assert_eq(conn_start_tls(&peer->conn, p->server_ctx, NULL), WEIR_OK);
}

Test(tls, bytes_behind_the_request_are_refused)
{
	struct pair p;

	pair_make(&p, TLS_MODE_REQUIRE, TLS_MODE_REQUIRE);
	p.server.arg = &p;
	p.server.on_bytes = answer_and_start;
	p.server.consume = 8;
	conn_send(&p.client.conn, slice_str("REQUEST.injected"));
	peer_turns(p.loop, 4);
	cr_assert_str_eq(p.server.trace, "bytes(REQUEST.injected) closed(-3)");
	pair_end(&p);
}

Test(tls, request_alone_is_answered_in_plain_first)
{
	struct pair p;

	pair_make(&p, TLS_MODE_REQUIRE, TLS_MODE_REQUIRE);
	p.server.arg = &p;
	p.server.on_bytes = answer_and_start;
	conn_send(&p.client.conn, slice_str("REQUEST."));
	peer_turns(p.loop, 4);
	cr_assert_str_eq(p.client.trace, "bytes(S)");
	cr_assert_eq(conn_start_tls(&p.client.conn, p.client_ctx, NULL), WEIR_OK);
	peer_turns(p.loop, 20);
	cr_assert_str_eq(p.server.trace, "bytes(REQUEST.) ready()");
	pair_end(&p);
}

Test(tls, kept_bytes_forbid_the_start)
{
	struct pair p;

	pair_make(&p, TLS_MODE_REQUIRE, TLS_MODE_REQUIRE);
	p.server.consume = 1;
	conn_send(&p.client.conn, slice_str("Sx"));
	peer_turns(p.loop, 3);
	cr_assert_eq(conn_start_tls(&p.server.conn, p.server_ctx, NULL), WEIR_ERR_PROTOCOL);
	pair_end(&p);
}

Test(tls, plain_bytes_instead_of_a_handshake)
{
	struct pair p;

	pair_make(&p, TLS_MODE_REQUIRE, TLS_MODE_REQUIRE);
	cr_assert_eq(conn_start_tls(&p.server.conn, p.server_ctx, NULL), WEIR_OK);
	conn_send(&p.client.conn, slice_str("SELECT 1; this is not a handshake"));
	peer_turns(p.loop, 4);
	cr_assert_str_eq(p.server.trace, "closed(-9)");
	pair_end(&p);
}

/* --- contexts --- */

static void refuse(const struct tls_options *o, const char *option)
{
	struct tls_context *ctx;
	char why[256] = "";

	cr_assert_eq(tls_context_create(o, &ctx, why, sizeof(why)), WEIR_ERR_CONFIG, "%s", option);
	cr_assert_null(ctx);
	cr_assert(strncmp(why, option, strlen(option)) == 0, "%s", why);
}

Test(tls, refused_options_are_named)
{
	struct pair p;
	struct tls_options good, o;

	pair_begin(&p);
	good = server_options(&p, TLS_MODE_REQUIRE);
	o = good, o.protocols = "tlsv9";
	refuse(&o, "protocols");
	o = good, o.ciphers = "nonsense";
	refuse(&o, "ciphers");
	o = good, o.tls13_ciphers = "nonsense";
	refuse(&o, "tls13_ciphers");
	o = good, o.ecdh_curve = "nonsense";
	refuse(&o, "ecdhcurve");
	o = good, o.cert_file = "/nonexistent";
	refuse(&o, "cert_file");
	o = good, o.key_file = p.files.client_key;
	refuse(&o, "key_file");
	o = good, o.ca_file = "/nonexistent";
	refuse(&o, "ca_file");
	o = good, o.key_file = NULL;
	refuse(&o, "key_file");
	o = good, o.mode = TLS_MODE_VERIFY_CA, o.ca_file = NULL;
	refuse(&o, "ca_file");
	loop_destroy(p.loop);
	tls_files_remove(&p.files);
}

Test(tls, words_that_pgbouncer_has_for_lists)
{
	static const char *const ciphers[] = { "default", "secure", "normal", "fast", "compat",
		                                   "all",     "legacy", "insecure" };
	static const char *const curves[] = { "auto", "none", "prime256v1" };
	static const char *const protocols[] = { "secure", "all", "legacy", "tlsv1.2,tlsv1.3" };

	for (size_t i = 0; i < WEIR_COUNTOF(ciphers); i++) {
		struct pair p;
		struct tls_options server, client;

		pair_begin(&p);
		server = server_options(&p, TLS_MODE_REQUIRE);
		server.ciphers = ciphers[i];
		server.ecdh_curve = curves[i % WEIR_COUNTOF(curves)];
		server.protocols = protocols[i % WEIR_COUNTOF(protocols)];
		client = client_options(&p, TLS_MODE_REQUIRE);
		client.protocols = "tlsv1.2";
		pair_open(&p, &server, &client);
		pair_start(&p, NULL);
		cr_expect_str_eq(tls_version(conn_tls(&p.client.conn)), "TLSv1.2", "%s", ciphers[i]);
		pair_end(&p);
	}
}

Test(tls, protocols_are_bounded)
{
	struct pair p;
	struct tls_options server, client;

	pair_begin(&p);
	server = server_options(&p, TLS_MODE_REQUIRE);
	server.protocols = "tlsv1.2";
	client = client_options(&p, TLS_MODE_REQUIRE);
	pair_open(&p, &server, &client);
	pair_start(&p, NULL);
	cr_assert_str_eq(tls_version(conn_tls(&p.client.conn)), "TLSv1.2");
	pair_end(&p);
}

Test(tls, both_ends_know_the_same_end_point)
{
	uint8_t server[TLS_ENDPOINT_MAX_BYTES], client[TLS_ENDPOINT_MAX_BYTES];
	struct pair p;

	pair_make(&p, TLS_MODE_REQUIRE, TLS_MODE_REQUIRE);
	pair_start(&p, "db.test");
	cr_assert_eq(tls_endpoint(conn_tls(&p.server.conn), server), 32);
	cr_assert_eq(tls_endpoint(conn_tls(&p.client.conn), client), 32);
	cr_assert_arr_eq(server, client, 32);
	cr_assert(tls_has_alpn(conn_tls(&p.server.conn)));
	cr_assert(tls_has_alpn(conn_tls(&p.client.conn)));
	pair_end(&p);
}

static void say_hello(struct pair *p)
{
	conn_expect_tls(&p->server.conn);
	p->server.hello_ctx = p->server_ctx;
}

Test(tls, a_handshake_that_comes_unasked)
{
	struct pair p;

	pair_make(&p, TLS_MODE_REQUIRE, TLS_MODE_REQUIRE);
	say_hello(&p);
	peer_turns(p.loop, 2); /* nothing has come: it goes on waiting */
	cr_assert_eq(conn_start_tls(&p.client.conn, p.client_ctx, "db.test"), WEIR_OK);
	peer_turns(p.loop, 20);
	cr_assert_str_eq(p.server.trace, "hello() ready()");
	conn_send(&p.client.conn, slice_str("ping"));
	peer_turns(p.loop, 3);
	cr_assert_str_eq(p.server.trace, "hello() ready() bytes(ping)");
	pair_end(&p);
}

/* A client's hello, heard by nobody but us. */
static size_t hello_bytes(struct pair *p, char *out, size_t size)
{
	struct peer client;
	size_t len;

	peer_open(&client, p->loop);
	cr_assert_eq(conn_start_tls(&client.conn, p->client_ctx, "db.test"), WEIR_OK);
	peer_turns(p->loop, 2);
	len = peer_hear(&client, out, size);
	cr_assert_gt(len, 3);
	peer_close(&client);
	return len;
}

Test(tls, an_unasked_handshake_in_two_pieces)
{
	char hello[4096];
	struct pair p;
	size_t len;

	pair_make(&p, TLS_MODE_REQUIRE, TLS_MODE_REQUIRE);
	say_hello(&p);
	len = hello_bytes(&p, hello, sizeof(hello));
	conn_send(&p.client.conn, slice_of(hello, 3));
	peer_turns(p.loop, 3);
	cr_assert_str_eq(p.server.trace, "hello()");
	cr_assert_str_eq(p.client.trace, "");
	conn_send(&p.client.conn, slice_of(hello + 3, len - 3));
	peer_turns(p.loop, 4);
	cr_assert_str_eq(p.server.trace, "hello()");
	cr_assert_eq(strncmp(p.client.trace, "bytes(\x16\x03\x03", 9), 0, "the server's answer");
	pair_end(&p);
}

Test(tls, what_calls_itself_a_handshake_and_is_none)
{
	struct pair p;

	pair_make(&p, TLS_MODE_REQUIRE, TLS_MODE_REQUIRE);
	say_hello(&p);
	conn_send(&p.client.conn, slice_of("\x16\x03\x01\0\4ping", 9));
	peer_turns(p.loop, 4);
	cr_assert_eq(strncmp(p.server.trace, "hello() closed(", 15), 0, "%s", p.server.trace);
	pair_end(&p);
}

Test(tls, plain_bytes_where_a_handshake_may_come)
{
	struct pair p;

	pair_make(&p, TLS_MODE_REQUIRE, TLS_MODE_REQUIRE);
	say_hello(&p);
	conn_send(&p.client.conn, slice_str("ping"));
	peer_turns(p.loop, 3);
	cr_assert_str_eq(p.server.trace, "bytes(ping)");
	/* Only the first byte counts. */
	conn_send(&p.client.conn, slice_str("\x16\x03\x01"));
	peer_turns(p.loop, 3);
	cr_assert_str_eq(p.server.trace, "bytes(ping) bytes(\x16\x03\x01)");
	pair_end(&p);
}

Test(tls, a_peer_that_leaves_without_a_byte)
{
	struct pair p;

	pair_make(&p, TLS_MODE_REQUIRE, TLS_MODE_REQUIRE);
	say_hello(&p);
	peer_close(&p.client);
	peer_turns(p.loop, 3);
	cr_assert_str_eq(p.server.trace, "closed(-6)");
	peer_close(&p.server);
	tls_context_put(&p.server_ctx);
	tls_context_put(&p.client_ctx);
	loop_destroy(p.loop);
	tls_files_remove(&p.files);
}
