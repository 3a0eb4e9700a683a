/* SPDX-License-Identifier: PostgreSQL */
/*
 * Reading: delivery in turn memory, kept bytes, partial consumption, pausing,
 * redelivery, bounds, end of stream.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/loop_priv.h"
#include "peer.h"

Test(conn_read, bytes_are_delivered_and_nothing_kept)
{
	struct loop *loop = peer_loop();
	struct peer p;

	peer_open(&p, loop);
	peer_say(&p, "hello");
	peer_turns(loop, 1);
	cr_assert_str_eq(p.trace, "bytes(hello)");
	cr_assert_eq(conn_kept_bytes(&p.conn), 0);
	cr_assert_null(p.conn.kept);
	cr_assert_eq(loop_stats(loop)->reads, PEER_IS_RING ? 0 : 1);
	peer_close(&p);
	loop_destroy(loop);
}

Test(conn_read, rest_is_kept_and_given_again_in_front)
{
	struct loop *loop = peer_loop();
	struct peer p;

	peer_open(&p, loop);
	p.consume = 2;
	peer_say(&p, "abcde");
	peer_turns(loop, 1);
	cr_assert_eq(conn_kept_bytes(&p.conn), 3);
	p.consume = 0;
	peer_say(&p, "fg");
	peer_turns(loop, 1);
	p.consume = SIZE_MAX;
	peer_say(&p, "h");
	peer_turns(loop, 1);
	cr_assert_str_eq(p.trace, "bytes(abcde) bytes(cdefg) bytes(cdefgh)");
	cr_assert_eq(conn_kept_bytes(&p.conn), 0);
	peer_close(&p);
	loop_destroy(loop);
}

Test(conn_read, redeliver_consumes_piece_by_piece)
{
	struct loop *loop = peer_loop();
	struct peer p;

	peer_open(&p, loop);
	p.consume = 0;
	peer_say(&p, "abcd");
	peer_turns(loop, 1);
	p.consume = 3;
	conn_redeliver(&p.conn);
	conn_redeliver(&p.conn);
	conn_redeliver(&p.conn);
	cr_assert_str_eq(p.trace, "bytes(abcd) bytes(abcd) bytes(d)");
	peer_close(&p);
	loop_destroy(loop);
}

Test(conn_read, pause_keeps_and_resume_delivers_this_turn)
{
	struct loop *loop = peer_loop();
	struct peer p;

	peer_open(&p, loop);
	conn_pause_read(&p.conn);
	peer_say(&p, "one ");
	peer_turns(loop, 2);
	peer_say(&p, "two");
	peer_turns(loop, 2);
	cr_assert_str_eq(p.trace, "");
	conn_resume_read(&p.conn);
	cr_assert_str_eq(p.trace, "", "not from inside conn_resume_read");
	peer_turns(loop, 1);
	cr_assert_str_eq(p.trace, "bytes(one two)");
	peer_close(&p);
	loop_destroy(loop);
}

Test(conn_read, pausing_makes_no_system_call)
{
	struct loop *loop = peer_loop();
	struct peer p;
	uint64_t before;

	peer_open(&p, loop);
	before = loop_stats(loop)->polls_changed;
	conn_pause_read(&p.conn);
	peer_turns(loop, 1);
	conn_resume_read(&p.conn);
	peer_turns(loop, 1);
	cr_assert_eq(loop_stats(loop)->polls_changed, before);
	peer_close(&p);
	loop_destroy(loop);
}

static void fill(int fd, size_t len)
{
	char block[4096];

	memset(block, 'x', sizeof(block));
	while (len > 0) {
		ssize_t sent = write(fd, block, len < sizeof(block) ? len : sizeof(block));

		if (sent < 0)
			return;
		len -= (size_t)sent;
	}
}

Test(conn_read, paused_connection_reads_ahead_within_a_bound)
{
	struct loop *loop = peer_loop();
	struct peer p;

	peer_open(&p, loop);
	p.is_quiet = true;
	conn_pause_read(&p.conn);
	fill(p.raw, 60000);
	peer_turns(loop, 20);
	cr_assert(conn_kept_bytes(&p.conn) <= 16 * 1024);
	cr_assert_not(p.conn.is_read_armed);
	conn_resume_read(&p.conn);
	peer_turns(loop, 20);
	cr_assert_eq(p.total, 60000);
	peer_close(&p);
	loop_destroy(loop);
}

Test(conn_read, paused_connection_notices_a_hang_up)
{
	struct loop *loop = peer_loop();
	struct peer p;

	peer_open(&p, loop);
	conn_pause_read(&p.conn);
	peer_hang_up(&p);
	peer_turns(loop, 2);
	cr_assert_str_eq(p.trace, "closed(-6)");
	peer_close(&p);
	loop_destroy(loop);
}

Test(conn_read, unread_bytes_come_before_the_end)
{
	struct loop *loop = peer_loop();
	struct peer p;

	peer_open(&p, loop);
	conn_pause_read(&p.conn);
	peer_say(&p, "terminate");
	peer_hang_up(&p);
	peer_turns(loop, 4);
	cr_assert_str_eq(p.trace, "");
	conn_resume_read(&p.conn);
	peer_turns(loop, 2);
	cr_assert_str_eq(p.trace, "bytes(terminate) closed(-6)");
	peer_close(&p);
	loop_destroy(loop);
}

Test(conn_read, keeps_no_more_than_the_limit)
{
	static const struct conn_limits small = { 1000, 1000, 10 };
	struct loop *loop = peer_loop();
	struct peer p;

	peer_open(&p, loop);
	p.conn.limits = &small;
	p.consume = 0;
	p.is_quiet = true;
	fill(p.raw, 5000);
	peer_turns(loop, 10);
	cr_assert_eq(conn_kept_bytes(&p.conn), 1000);
	p.consume = 400;
	for (int i = 0; i < 40; i++) {
		conn_redeliver(&p.conn);
		peer_turns(loop, 2);
		cr_assert(conn_kept_bytes(&p.conn) <= 1000);
	}
	cr_assert_eq(p.total, 5000);
	peer_close(&p);
	loop_destroy(loop);
}

/* A large message grows through scratch into the connection's own buffer, unharmed. */
static void check_pattern(struct peer *peer, struct slice bytes)
{
	for (size_t i = 0; i < bytes.len; i++)
		cr_assert_eq((unsigned char)bytes.ptr[i], (unsigned char)((peer->total + i) % 251));
	peer->consume = bytes.len >= 300000 ? 300000 : 0;
}

Test(conn_read, large_message_arrives_whole)
{
	enum { TOTAL = 600000 };
	struct loop *loop = peer_loop();
	struct peer p;
	unsigned char *all = malloc(TOTAL);
	size_t sent = 0;

	for (size_t i = 0; i < TOTAL; i++)
		all[i] = (unsigned char)(i % 251);
	peer_open(&p, loop);
	p.is_quiet = true;
	p.on_bytes = check_pattern;
	for (int i = 0; i < 2000 && p.total < TOTAL; i++) {
		ssize_t n = sent < TOTAL ? write(p.raw, all + sent, TOTAL - sent) : 0;

		sent += n > 0 ? (size_t)n : 0;
		peer_turns(loop, 1);
	}
	cr_assert_eq(p.total, TOTAL);
	free(all);
	peer_close(&p);
	loop_destroy(loop);
}

/* Consumed bytes may be queued on another connection: their memory lives to the turn's end. */
static void forward(struct peer *peer, struct slice bytes)
{
	struct peer *to = peer->arg;

	if (bytes.len > peer->consume)
		bytes.len = peer->consume;
	conn_send(&to->conn, bytes);
}

Test(conn_read, spans_of_kept_memory_survive_the_turn)
{
	struct loop *loop = peer_loop();
	struct peer from, to;
	char heard[64];

	peer_open(&from, loop);
	peer_open(&to, loop);
	from.arg = &to;
	from.consume = 0;
	peer_say(&from, "abcdef");
	peer_turns(loop, 1);
	from.on_bytes = forward;
	from.consume = 4;
	conn_redeliver(&from.conn);
	conn_redeliver(&from.conn);
	conn_close(&from.conn);
	peer_turns(loop, 1);
	peer_hear(&to, heard, sizeof(heard));
	cr_assert_str_eq(heard, "abcdef");
	peer_close(&from);
	peer_close(&to);
	loop_destroy(loop);
}

static void pause_it(struct peer *peer, struct slice bytes)
{
	(void)bytes;
	conn_pause_read(&peer->conn);
}

Test(conn_read, pause_inside_on_bytes_keeps_the_rest)
{
	struct loop *loop = peer_loop();
	struct peer p;

	peer_open(&p, loop);
	p.on_bytes = pause_it;
	p.consume = 3;
	peer_say(&p, "aaabbb");
	peer_turns(loop, 3);
	cr_assert_str_eq(p.trace, "bytes(aaabbb)");
	conn_resume_read(&p.conn);
	peer_turns(loop, 3);
	cr_assert_str_eq(p.trace, "bytes(aaabbb) bytes(bbb)");
	peer_close(&p);
	loop_destroy(loop);
}

Test(conn_read, no_memory_to_keep_ends_the_connection)
{
	struct loop *loop = peer_loop();
	struct peer p;

	peer_open(&p, loop);
	p.consume = 1;
	mem_fail_after(1);
	peer_say(&p, "abc");
	peer_turns(loop, 2);
	mem_fail_after(0);
	cr_assert_str_eq(p.trace, "bytes(abc) closed(-1)");
	peer_close(&p);
	loop_destroy(loop);
}

/* On a ring the buffers are the bound: test_ring.c. */
Test(conn_read, one_turn_reads_no_more_than_its_bound, .disabled = PEER_IS_RING)
{
	struct loop *loop = peer_loop();
	struct peer p;

	peer_open(&p, loop);
	peer_say(&p, "later");
	loop->turn_read_bytes = LOOP_TURN_READ_MAX + 1;
	peer_turns(loop, 1);
	cr_assert_str_eq(p.trace, "");
	peer_turns(loop, 1);
	cr_assert_str_eq(p.trace, "bytes(later)");
	peer_close(&p);
	loop_destroy(loop);
}

static void resume_it(struct peer *peer, struct slice bytes)
{
	(void)bytes;
	conn_pause_read(&peer->conn);
	conn_resume_read(&peer->conn);
	peer->on_bytes = NULL;
	peer->consume = SIZE_MAX;
}

Test(conn_read, resuming_inside_on_bytes_gives_the_rest_this_turn)
{
	struct loop *loop = peer_loop();
	struct peer p;

	peer_open(&p, loop);
	p.consume = 0;
	peer_say(&p, "ab");
	peer_turns(loop, 1);
	p.on_bytes = resume_it;
	peer_say(&p, "c");
	peer_turns(loop, 1);
	cr_assert_str_eq(p.trace, "bytes(ab) bytes(abc)");
	peer_close(&p);
	loop_destroy(loop);
}
