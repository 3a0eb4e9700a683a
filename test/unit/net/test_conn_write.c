/* SPDX-License-Identifier: PostgreSQL */
/*
 * Writing: one system call per turn, merged and gathered spans, backlog and
 * water marks.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/loop_priv.h"
#include "peer.h"

enum { BIG = 3 * 1024 * 1024 };

Test(conn_write, spans_of_a_turn_leave_in_one_call)
{
	struct loop *loop = peer_loop();
	struct peer p;
	char heard[64];

	peer_open(&p, loop);
	conn_send(&p.conn, slice_str("a"));
	conn_send_copy(&p.conn, slice_str("b"));
	conn_send(&p.conn, slice_str("c"));
	peer_turns(loop, 1);
	peer_hear(&p, heard, sizeof(heard));
	cr_assert_str_eq(heard, "abc");
	cr_assert_eq(loop_stats(loop)->writes, PEER_IS_RING ? 0 : 1);
	peer_close(&p);
	loop_destroy(loop);
}

Test(conn_write, adjacent_spans_are_one)
{
	static const char text[] = "abcdef";
	struct loop *loop = peer_loop();
	struct peer p;

	peer_open(&p, loop);
	conn_send(&p.conn, slice_of(text, 2));
	conn_send(&p.conn, slice_of(text + 2, 4));
	cr_assert_eq(p.conn.span_count, 1);
	conn_send(&p.conn, slice_of(text, 2));
	conn_send(&p.conn, slice_of(text + 2, 2));
	cr_assert_eq(p.conn.span_count, 2);
	peer_close(&p);
	loop_destroy(loop);
}

static size_t hear_all(struct peer *p, unsigned char *out, size_t size)
{
	size_t total = 0;

	for (int idle = 0; idle < 50 && total < size;) {
		ssize_t n = read(p->raw, out + total, size - total);

		if (n > 0)
			total += (size_t)n;
		else
			idle++;
		peer_turns(p->loop, 1);
	}
	return total;
}

Test(conn_write, many_spans_keep_their_order)
{
	enum { SPANS = 500, STEP = 700 };
	struct loop *loop = peer_loop();
	struct peer p;
	unsigned char *all = malloc(SPANS * STEP), *got = malloc(SPANS * STEP);

	peer_open(&p, loop);
	for (size_t i = 0; i < SPANS * STEP; i++)
		all[i] = (unsigned char)(i % 253);
	for (size_t i = 0; i < SPANS; i++)
		conn_send_copy(&p.conn, slice_of(all + i * STEP, STEP));
	cr_assert(p.conn.span_count > 1);
	cr_assert_eq(hear_all(&p, got, SPANS * STEP), SPANS * STEP);
	cr_assert_eq(memcmp(all, got, SPANS * STEP), 0);
	free(all);
	free(got);
	peer_close(&p);
	loop_destroy(loop);
}

Test(conn_write, backlog_congests_and_drains)
{
	struct loop *loop = peer_loop();
	struct peer p;
	unsigned char *all = malloc(BIG), *got = malloc(BIG);

	for (size_t i = 0; i < BIG; i++)
		all[i] = (unsigned char)(i % 255);
	peer_open(&p, loop);
	conn_send_copy(&p.conn, slice_of(all, BIG - 10));
	peer_turns(loop, 1);
	cr_assert(conn_is_congested(&p.conn));
	conn_send(&p.conn, slice_of(all + BIG - 10, 10));
	cr_assert_str_eq(p.trace, "");
	cr_assert_eq(hear_all(&p, got, BIG), BIG);
	peer_turns(loop, 2);
	cr_assert_eq(memcmp(all, got, BIG), 0);
	cr_assert_str_eq(p.trace, "drained()");
	cr_assert_eq(conn_backlog_bytes(&p.conn), 0);
	cr_assert_null(p.conn.backlog);
	free(all);
	free(got);
	peer_close(&p);
	loop_destroy(loop);
}

Test(conn_write, close_after_flush_waits_for_the_backlog)
{
	struct loop *loop = peer_loop();
	struct peer p;
	unsigned char *all = calloc(1, BIG);

	peer_open(&p, loop);
	conn_send_copy(&p.conn, slice_of(all, BIG));
	conn_close_after_flush(&p.conn);
	peer_turns(loop, 2);
	cr_assert_str_eq(p.trace, "");
	cr_assert_eq(hear_all(&p, all, BIG), BIG);
	peer_turns(loop, 2);
	cr_assert_str_eq(p.trace, "closed(0)");
	free(all);
	peer_close(&p);
	loop_destroy(loop);
}

Test(conn_write, closing_with_a_backlog_is_safe)
{
	struct loop *loop = peer_loop();
	struct peer p;
	unsigned char *all = calloc(1, BIG);

	peer_open(&p, loop);
	conn_send_copy(&p.conn, slice_of(all, BIG));
	peer_turns(loop, 1);
	cr_assert(conn_backlog_bytes(&p.conn) > 0);
	conn_close(&p.conn);
	peer_turns(loop, 1);
	cr_assert_str_eq(p.trace, "");
	free(all);
	peer_close(&p);
	loop_destroy(loop);
}

Test(conn_write, peer_gone_with_a_backlog_is_told_once)
{
	struct loop *loop = peer_loop();
	struct peer p;
	unsigned char *all = calloc(1, BIG);

	peer_open(&p, loop);
	conn_send_copy(&p.conn, slice_of(all, BIG));
	peer_turns(loop, 1);
	peer_hang_up(&p);
	peer_turns(loop, 4);
	cr_assert(strncmp(p.trace, "closed(-", 8) == 0, "%s", p.trace);
	cr_assert_null(strstr(p.trace + 1, "closed"));
	free(all);
	peer_close(&p);
	loop_destroy(loop);
}

Test(conn_write, no_memory_for_the_backlog_ends_the_connection)
{
	struct loop *loop = peer_loop();
	struct peer p;
	unsigned char *all = calloc(1, BIG);

	peer_open(&p, loop);
	conn_send_copy(&p.conn, slice_of(all, BIG));
	mem_fail_after(1);
	peer_turns(loop, 1);
	mem_fail_after(0);
	cr_assert_str_eq(p.trace, "closed(-1)");
	free(all);
	peer_close(&p);
	loop_destroy(loop);
}
