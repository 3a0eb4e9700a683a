/* SPDX-License-Identifier: PostgreSQL */
/*
 * The life of a connection: close from inside callbacks, close after flush,
 * connect, export and adopt.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <pthread.h>
#include <unistd.h>

#include "net/loop_priv.h"
#include "peer.h"

enum { SIZE_TARGET = 300 };

static void close_it(struct peer *peer, struct slice bytes)
{
	(void)bytes;
	conn_close(&peer->conn);
}

static void close_on_closed(struct peer *peer)
{
	conn_close(&peer->conn);
}

Test(conn, idle_connection_is_small)
{
	cr_assert(sizeof(struct conn) <= SIZE_TARGET);
}

Test(conn, close_inside_on_bytes)
{
	struct loop *loop = peer_loop();
	struct peer p;

	peer_open(&p, loop);
	p.on_bytes = close_it;
	p.consume = 1;
	peer_say(&p, "abc");
	peer_turns(loop, 2);
	cr_assert_str_eq(p.trace, "bytes(abc)");
	cr_assert_not(conn_is_open(&p.conn));
	peer_close(&p);
	loop_destroy(loop);
}

Test(conn, peer_hangs_up)
{
	struct loop *loop = peer_loop();
	struct peer p;

	peer_open(&p, loop);
	p.on_closed = close_on_closed;
	peer_say(&p, "bye");
	peer_hang_up(&p);
	peer_turns(loop, 4);
	cr_assert_str_eq(p.trace, "bytes(bye) closed(-6)");
	peer_close(&p);
	loop_destroy(loop);
}

Test(conn, broken_pipe_is_told_after_the_send)
{
	struct loop *loop = peer_loop();
	struct peer p;

	peer_open(&p, loop);
	conn_pause_read(&p.conn);
	peer_hang_up(&p);
	conn_send(&p.conn, slice_str("lost"));
	cr_assert_str_eq(p.trace, "");
	peer_turns(loop, 2);
	cr_assert(strncmp(p.trace, "closed(", 7) == 0, "%s", p.trace);
	peer_turns(loop, 2);
	cr_assert_null(strstr(p.trace + 1, "closed("));
	peer_close(&p);
	loop_destroy(loop);
}

Test(conn, close_after_flush_sends_and_reports)
{
	struct loop *loop = peer_loop();
	struct peer p;
	char heard[64];

	peer_open(&p, loop);
	p.on_closed = close_on_closed;
	conn_send(&p.conn, slice_str("last "));
	conn_send(&p.conn, slice_str("words"));
	conn_close_after_flush(&p.conn);
	conn_send(&p.conn, slice_str("dropped"));
	peer_say(&p, "unread");
	peer_turns(loop, 2);
	peer_hear(&p, heard, sizeof(heard));
	cr_assert_str_eq(heard, "last words");
	cr_assert_str_eq(p.trace, "closed(0)");
	cr_assert_not(conn_is_open(&p.conn));
	peer_close(&p);
	loop_destroy(loop);
}

static void flush_and_close(struct peer *peer, struct slice bytes)
{
	conn_send(&peer->conn, bytes);
	conn_close_after_flush(&peer->conn);
}

Test(conn, close_after_flush_inside_on_bytes)
{
	struct loop *loop = peer_loop();
	struct peer p;
	char heard[64];

	peer_open(&p, loop);
	p.on_bytes = flush_and_close;
	p.consume = 0;
	peer_say(&p, "echo");
	peer_turns(loop, 2);
	peer_hear(&p, heard, sizeof(heard));
	cr_assert_str_eq(heard, "echo");
	cr_assert_str_eq(p.trace, "bytes(echo) closed(0)");
	peer_close(&p);
	loop_destroy(loop);
}

static int listen_any(struct sockaddr_in *addr)
{
	socklen_t len = sizeof(*addr);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	*addr =
		(struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	cr_assert_eq(bind(fd, (struct sockaddr *)addr, sizeof(*addr)), 0);
	cr_assert_eq(listen(fd, 4), 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)addr, &len), 0);
	return fd;
}

Test(conn, connect_then_send_what_was_queued)
{
	struct loop *loop = peer_loop();
	struct sockaddr_in addr;
	int listening = listen_any(&addr);
	struct peer p = { .loop = loop, .raw = -1, .consume = SIZE_MAX };
	char host[64], heard[64];
	uint16_t port;

	cr_assert_eq(conn_connect(&p.conn, loop, (struct sockaddr *)&addr, sizeof(addr), &peer_ops,
	                          &peer_limits),
	             WEIR_OK);
	conn_send(&p.conn, slice_str("early"));
	cr_assert(peer_wait(&p, "connected()"));
	p.raw = accept(listening, NULL, NULL);
	conn_send(&p.conn, slice_str(" late"));
	peer_turns(loop, 4);
	peer_hear(&p, heard, sizeof(heard));
	cr_assert_str_eq(heard, "early late");
	conn_peer_name(&p.conn, host, sizeof(host), &port);
	cr_assert_str_eq(host, "127.0.0.1");
	cr_assert_eq(port, ntohs(addr.sin_port));
	peer_say(&p, "hi");
	cr_assert(peer_wait(&p, "bytes(hi)"));
	peer_close(&p);
	close(listening);
	loop_destroy(loop);
}

Test(conn, connect_refused_is_told_by_the_loop)
{
	struct loop *loop = peer_loop();
	struct sockaddr_in addr;
	struct peer p = { .loop = loop, .raw = -1 };

	close(listen_any(&addr));
	if (conn_connect(&p.conn, loop, (struct sockaddr *)&addr, sizeof(addr), &peer_ops,
	                 &peer_limits) == WEIR_OK) {
		cr_assert(peer_wait(&p, "closed(-5)"));
		cr_assert_str_eq(p.trace, "closed(-5)");
		cr_expect_str_eq(conn_error_text(&p.conn, WEIR_ERR_IO), "Connection refused");
		cr_expect_str_eq(conn_error_text(&p.conn, WEIR_ERR_TLS), weir_err_text(WEIR_ERR_TLS));
	}
	peer_close(&p);
	loop_destroy(loop);
}

Test(conn, export_and_adopt)
{
	struct loop *first = peer_loop(), *second = peer_loop();
	struct peer p;
	char heard[64];

	peer_open(&p, first);
	peer_say(&p, "one");
	peer_turns(first, 1);
	cr_assert(conn_is_idle(&p.conn));
	conn_adopt(&p.conn, second, conn_export(&p.conn), &peer_ops, &peer_limits);
	p.loop = second;
	peer_say(&p, "two");
	peer_turns(first, 2);
	cr_assert_str_eq(p.trace, "bytes(one)");
	peer_turns(second, 2);
	cr_assert_str_eq(p.trace, "bytes(one) bytes(two)");
	conn_send(&p.conn, slice_str("ok"));
	peer_turns(second, 1);
	peer_hear(&p, heard, sizeof(heard));
	cr_assert_str_eq(heard, "ok");
	peer_close(&p);
	loop_destroy(first);
	loop_destroy(second);
}

Test(conn, leave_ends_our_side_only)
{
	struct loop *loop = peer_loop();
	struct peer p, heir;
	char heard[64];

	peer_open(&p, loop);
	peer_say(&p, "one");
	conn_send(&p.conn, slice_str("last words"));
	peer_turns(loop, 2);
	conn_send(&p.conn, slice_str("too late"));
	peer_wrap(&heir, loop, conn_leave(&p.conn));
	cr_assert_not(conn_is_open(&p.conn));
	peer_turns(loop, 2);
	peer_hear(&p, heard, sizeof(heard));
	cr_assert_str_eq(heard, "last words");
	cr_assert_eq(read(p.raw, heard, sizeof(heard)), 0, "the end");
	peer_say(&p, "two");
	cr_assert(peer_wait(&heir, "bytes(two)"), "%s", heir.trace);
	peer_hang_up(&p);
	cr_assert(peer_wait(&heir, "closed("), "%s", heir.trace);
	cr_assert_str_eq(p.trace, "bytes(one)");
	conn_close(&heir.conn);
	peer_turns(loop, 1);
	peer_close(&p);
	loop_destroy(loop);
}

Test(conn, not_idle_while_bytes_are_kept_or_queued)
{
	struct loop *loop = peer_loop();
	struct peer p;

	peer_open(&p, loop);
	conn_send(&p.conn, slice_str("x"));
	cr_assert_not(conn_is_idle(&p.conn));
	peer_turns(loop, 1);
	cr_assert(conn_is_idle(&p.conn));
	p.consume = 0;
	peer_say(&p, "kept");
	peer_turns(loop, 1);
	cr_assert_not(conn_is_idle(&p.conn));
	peer_close(&p);
	loop_destroy(loop);
}
