/* SPDX-License-Identifier: PostgreSQL */
/*
 * A ring of which more is asked than it holds: buffers, places in its queues.
 * Everybody is heard all the same, and in time.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "net/loop_priv.h"
#include "net/ring_priv.h"
#include "peer.h"

enum { FEW_BUFFERS = 16, MANY_PEERS = 50 };

static void stop_loop(struct peer *peer)
{
	loop_stop(peer->loop);
}

static void raise_file_limit(rlim_t need)
{
	struct rlimit files;

	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_max < need + 100)
		cr_skip_test("too few descriptors");
}

static struct loop *few_buffers(void)
{
	return peer_loop_of(&(struct loop_options){
		.backend = LOOP_RING, .ring_buffers = FEW_BUFFERS, .ring_buffer_bytes = 1024 });
}

Test(ring_full, more_bytes_than_buffers_arrive_all_the_same)
{
	struct loop *loop = few_buffers();
	static struct peer p[MANY_PEERS];

	for (int i = 0; i < MANY_PEERS; i++) {
		peer_open(&p[i], loop);
		peer_say(&p[i], "all of us");
	}
	peer_turns(loop, MANY_PEERS);
	for (int i = 0; i < MANY_PEERS; i++) {
		cr_assert_str_eq(p[i].trace, "bytes(all of us)");
		peer_close(&p[i]);
	}
	loop_destroy(loop);
}

/* Those who always have more to say can't keep the buffers from the rest. */
Test(ring_full, without_a_buffer_a_socket_is_read_as_ever)
{
	struct loop *loop = few_buffers();
	static struct peer p[FEW_BUFFERS + 1];
	struct peer *last = &p[FEW_BUFFERS];

	for (int i = 0; i <= FEW_BUFFERS; i++) {
		peer_open(&p[i], loop);
		p[i].is_quiet = true;
	}
	for (int turn = 0; turn < 4; turn++) {
		for (int i = 0; i <= FEW_BUFFERS; i++)
			peer_say(&p[i], "more");
		peer_turns(loop, 1);
	}
	cr_assert(last->total >= 2 * strlen("more"), "%zu", last->total);
	cr_assert(loop_stats(loop)->reads > 0);
	for (int i = 0; i <= FEW_BUFFERS; i++)
		peer_close(&p[i]);
	loop_destroy(loop);
}

/*
 * A crowd comes in one turn: more is asked for than the submission queue holds, so some of it is
 * submitted before the wait. What failed then is told although nothing else happens.
 */
enum { CROWD = RING_SQ_ENTRIES + 10 };

struct crowd {
	struct peer first, deaf, others[CROWD];
};

static void crowd_comes(struct peer *peer, struct slice bytes)
{
	struct crowd *crowd = peer->arg;

	(void)bytes;
	conn_send(&crowd->deaf.conn, slice_str("does anybody hear?"));
	for (int i = 0; i < CROWD; i++)
		peer_open(&crowd->others[i], peer->loop);
}

/* Its other end is gone, and it isn't read from, so only sending can tell. */
static void deaf_open(struct peer *p, struct loop *loop)
{
	static char unread[32 * 1024];

	peer_open(p, loop);
	conn_pause_read(&p->conn);
	cr_assert_eq(write(p->raw, unread, sizeof(unread)), (ssize_t)sizeof(unread));
	peer_turns(loop, 10);
	cr_assert_not(p->conn.is_read_armed, "it has read ahead all that it may");
	peer_hang_up(p);
	p->on_closed = stop_loop;
}

Test(ring_full, failure_of_an_early_submission_is_told_before_the_wait, .timeout = 60)
{
	struct loop *loop = peer_loop();
	static struct crowd c;

	raise_file_limit(2 * CROWD);
	deaf_open(&c.deaf, loop);
	peer_open(&c.first, loop);
	c.first.arg = &c;
	c.first.on_bytes = crowd_comes;
	peer_say(&c.first, "come");
	loop_run(loop);
	for (int i = 0; i < CROWD; i++)
		peer_close(&c.others[i]);
	peer_close(&c.first);
	peer_close(&c.deaf);
	loop_destroy(loop);
}

Test(ring_full, all_of_more_than_the_completion_queue_holds_are_heard, .timeout = 60)
{
	enum { MANY = RING_CQ_ENTRIES + 500 };
	struct loop *loop = peer_loop_of(&(struct loop_options){
		.backend = LOOP_RING, .ring_buffers = FEW_BUFFERS, .ring_buffer_bytes = 1024 });
	struct peer *p = calloc(MANY, sizeof(*p));

	raise_file_limit(2 * MANY);
	for (int i = 0; i < MANY; i++) {
		peer_open(&p[i], loop);
		p[i].is_quiet = true;
	}
	peer_turns(loop, 1);
	for (int i = 0; i < MANY; i++)
		peer_say(&p[i], "all");
	peer_turns(loop, MANY / 4); /* some kernels tell few completions at once */
	for (int i = 0; i < MANY; i++) {
		cr_assert_eq(p[i].total, strlen("all"), "%d", i);
		peer_close(&p[i]);
	}
	free(p);
	loop_destroy(loop);
}
