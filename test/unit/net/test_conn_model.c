/* SPDX-License-Identifier: PostgreSQL */
/*
 * Random runs against a model: whatever mixture of pauses, partial
 * consumption, redelivery, sends, full sockets and closes, every byte comes
 * once and in order, on both ways, plain and through TLS.
 */
#include <criterion/criterion.h>
#include <unistd.h>

#include "net/loop_priv.h"
#include "net/tls.h"
#include "net/tls_rest.h"
#include "peer.h"
#include "tls_files.h"

enum { STEPS = 400, RUNS = 60, CHUNK_MAX = 40000, PERIOD = 251 };

struct model {
	struct loop *loop;
	struct peer a, b; /* the two ends */
	uint64_t random;
	size_t sent_by_b; /* bytes given to conn_send */
};

static uint64_t next_random(struct model *m)
{
	m->random ^= m->random << 13;
	m->random ^= m->random >> 7;
	m->random ^= m->random << 17;
	return m->random;
}

static size_t below(struct model *m, size_t bound)
{
	return (size_t)(next_random(m) % bound);
}

/* Byte i of the stream is i mod PERIOD. */
static void check_stream(struct peer *peer, struct slice bytes)
{
	struct model *m = peer->arg;

	for (size_t i = 0; i < bytes.len; i += 97)
		cr_assert_eq((unsigned char)bytes.ptr[i], (unsigned char)((peer->total + i) % PERIOD));
	cr_assert_eq((unsigned char)bytes.ptr[bytes.len - 1],
	             (unsigned char)((peer->total + bytes.len - 1) % PERIOD));
	peer->consume = below(m, 3) ? bytes.len : below(m, bytes.len + 1);
	if (below(m, 8) == 0)
		conn_pause_read(&peer->conn);
}

static void send_some(struct model *m)
{
	char chunk[CHUNK_MAX];
	size_t len = below(m, 4) ? below(m, 200) : below(m, CHUNK_MAX);

	for (size_t i = 0; i < len; i++)
		chunk[i] = (char)((m->sent_by_b + i) % PERIOD);
	conn_send_copy(&m->b.conn, slice_of(chunk, len));
	m->sent_by_b += len;
}

static void step(struct model *m)
{
	switch (below(m, 6)) {
	case 0:
	case 1:
		if (!conn_is_congested(&m->b.conn))
			send_some(m);
		break;
	case 2:
		conn_redeliver(&m->a.conn);
		break;
	case 3:
		conn_resume_read(&m->a.conn);
		break;
	case 4: /* with TLS: who wasn't used since the last time is put away */
		tls_rest_look(m->loop, m->loop->awake.count);
		/* fall through */
	default:
		peer_turns(m->loop, 1);
		break;
	}
}

static void drain(struct model *m)
{
	for (int i = 0; i < 2000 && m->a.total < m->sent_by_b; i++) {
		conn_resume_read(&m->a.conn);
		conn_redeliver(&m->a.conn);
		peer_turns(m->loop, 1);
	}
	cr_assert_eq(m->a.total, m->sent_by_b);
}

static void model_open(struct model *m, uint64_t seed)
{
	int fds[2];

	m->random = seed * 0x9e3779b97f4a7c15u + 1;
	m->sent_by_b = 0;
	m->loop = peer_loop();
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	peer_wrap(&m->a, m->loop, fds[0]);
	peer_wrap(&m->b, m->loop, fds[1]);
	m->a.is_quiet = m->b.is_quiet = true;
	m->a.arg = m;
	m->a.on_bytes = check_stream;
}

static void model_run(struct model *m)
{
	for (int i = 0; i < STEPS; i++)
		step(m);
	drain(m);
	if (below(m, 2))
		conn_close(&m->b.conn);
	for (int i = 0; i < 5; i++)
		step(m);
	conn_close(&m->a.conn);
	conn_close(&m->b.conn);
	loop_destroy(m->loop);
}

Test(conn_model, plain, .timeout = 60)
{
	static struct model m;

	for (uint64_t seed = 1; seed <= RUNS; seed++) {
		model_open(&m, seed);
		model_run(&m);
	}
}

static struct tls_context *context(const struct tls_options *o)
{
	struct tls_context *ctx;
	char why[256] = "";

	cr_assert_eq(tls_context_create(o, &ctx, why, sizeof(why)), WEIR_OK, "%s", why);
	return ctx;
}

Test(conn_model, tls, .timeout = 60)
{
	static struct model m;
	struct tls_files files;
	struct tls_options o = { .side = TLS_SIDE_SERVER, .mode = TLS_MODE_REQUIRE };
	struct tls_context *server, *client;

	tls_files_make(&files);
	o.cert_file = files.server_cert;
	o.key_file = files.server_key;
	server = context(&o);
	client = context(&(struct tls_options){ .side = TLS_SIDE_CLIENT, .mode = TLS_MODE_REQUIRE });
	for (uint64_t seed = 1; seed <= RUNS / 4; seed++) {
		model_open(&m, seed);
		cr_assert_eq(conn_start_tls(&m.a.conn, server, NULL), WEIR_OK);
		cr_assert_eq(conn_start_tls(&m.b.conn, client, NULL), WEIR_OK);
		model_run(&m);
	}
	tls_context_put(&server);
	tls_context_put(&client);
	tls_files_remove(&files);
}
