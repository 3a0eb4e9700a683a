/* SPDX-License-Identifier: PostgreSQL */
/*
 * The recording connection of the net tests: see peer.h.
 */
#include "peer.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "net/loop_priv.h"

enum { PEER_WAIT_TURNS = 20000, PEER_WAIT_US = 1000 };

const struct conn_limits peer_limits = {
	.max_kept_bytes = 1024 * 1024,
	.high_water_bytes = 64 * 1024,
	.low_water_bytes = 16 * 1024,
};

static struct peer *peer_of(struct conn *conn)
{
	return (struct peer *)(void *)((char *)conn - offsetof(struct peer, conn));
}

static void note(struct peer *peer, const char *event, struct slice detail)
{
	size_t len = strlen(peer->trace);

	snprintf(peer->trace + len, sizeof(peer->trace) - len, "%s%s(%.*s)", len ? " " : "", event,
	         (int)detail.len, detail.ptr);
}

static size_t on_bytes(struct conn *conn, struct slice bytes)
{
	struct peer *peer = peer_of(conn);
	size_t consumed;

	if (!peer->is_quiet)
		note(peer, "bytes", bytes);
	if (peer->on_bytes)
		peer->on_bytes(peer, bytes);
	consumed = bytes.len < peer->consume ? bytes.len : peer->consume;
	peer->total += consumed;
	return consumed;
}

static void on_drained(struct conn *conn)
{
	note(peer_of(conn), "drained", slice_str(""));
}

static void on_connected(struct conn *conn)
{
	note(peer_of(conn), "connected", slice_str(""));
}

static void on_tls_hello(struct conn *conn)
{
	struct peer *peer = peer_of(conn);

	note(peer, "hello", slice_str(""));
	WEIR_ASSERT(conn_start_tls(conn, peer->hello_ctx, NULL) == WEIR_OK);
}

static void on_tls_ready(struct conn *conn)
{
	struct peer *peer = peer_of(conn);

	note(peer, "ready", slice_str(""));
	if (peer->on_ready)
		peer->on_ready(peer);
}

static void on_closed(struct conn *conn, enum weir_err why)
{
	struct peer *peer = peer_of(conn);
	char code[16];

	snprintf(code, sizeof(code), "%d", (int)why);
	note(peer, "closed", slice_str(code));
	if (peer->on_closed)
		peer->on_closed(peer);
}

const struct conn_ops peer_ops = {
	.on_bytes = on_bytes,
	.on_drained = on_drained,
	.on_connected = on_connected,
	.on_tls_hello = on_tls_hello,
	.on_tls_ready = on_tls_ready,
	.on_closed = on_closed,
};

struct loop *peer_loop_of(const struct loop_options *options)
{
	char why[256];

	signal(SIGPIPE, SIG_IGN);
	if (options->backend == LOOP_RING && !loop_ring_probe(why, sizeof(why)))
		cr_skip_test("%s", why);
	return loop_create(options);
}

struct loop *peer_loop(void)
{
	return peer_loop_of(&(struct loop_options){ .backend = NET_TEST_BACKEND });
}

static void peer_init(struct peer *peer, struct loop *loop)
{
	memset(peer, 0, sizeof(*peer));
	peer->loop = loop;
	peer->raw = -1;
	peer->consume = SIZE_MAX;
}

void peer_open(struct peer *peer, struct loop *loop)
{
	int fds[2];

	peer_init(peer, loop);
	WEIR_ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
	peer->raw = fds[1];
	conn_open(&peer->conn, loop, fds[0], &peer_ops, &peer_limits);
}

void peer_wrap(struct peer *peer, struct loop *loop, int fd)
{
	peer_init(peer, loop);
	conn_open(&peer->conn, loop, fd, &peer_ops, &peer_limits);
}

void peer_hang_up(struct peer *peer)
{
	if (peer->raw >= 0)
		close(peer->raw);
	peer->raw = -1;
}

void peer_close(struct peer *peer)
{
	conn_close(&peer->conn);
	peer_hang_up(peer);
}

void peer_say(struct peer *peer, const char *text)
{
	WEIR_ASSERT(write(peer->raw, text, strlen(text)) == (ssize_t)strlen(text));
}

size_t peer_hear(struct peer *peer, char *out, size_t size)
{
	ssize_t got = read(peer->raw, out, size - 1);

	out[got > 0 ? got : 0] = '\0';
	return got > 0 ? (size_t)got : 0;
}

void peer_turns(struct loop *loop, unsigned count)
{
	while (count--)
		loop_turn(loop, false);
}

bool peer_wait(struct peer *peer, const char *text)
{
	for (unsigned i = 0; i < PEER_WAIT_TURNS; i++) {
		if (strstr(peer->trace, text))
			return true;
		loop_turn(peer->loop, false);
		usleep(PEER_WAIT_US);
	}
	return false;
}
