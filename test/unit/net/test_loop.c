/* SPDX-License-Identifier: PostgreSQL */
/*
 * The turn: deferred work, turn memory, stopping from another thread.
 */
#include <criterion/criterion.h>
#include <pthread.h>

#include "net/loop_priv.h"
#include "peer.h"

struct step {
	struct loop_deferred deferred;
	struct loop *loop;
	int *count;
	struct step *next;
};

static void run_step(struct loop_deferred *deferred)
{
	struct step *step = (struct step *)(void *)deferred;

	++*step->count;
	if (step->next)
		loop_defer(step->loop, &step->next->deferred);
}

Test(loop, deferred_work_runs_once_and_may_defer)
{
	struct loop *loop = peer_loop();
	int count = 0;
	struct step second = { .deferred.run = run_step, .loop = loop, .count = &count };
	struct step first = {
		.deferred.run = run_step, .loop = loop, .count = &count, .next = &second
	};

	loop_defer(loop, &first.deferred);
	cr_assert_eq(count, 0);
	peer_turns(loop, 1);
	cr_assert_eq(count, 2);
	peer_turns(loop, 1);
	cr_assert_eq(count, 2);
	loop_destroy(loop);
}

Test(loop, turn_memory_is_reused)
{
	struct loop *loop = peer_loop();
	void *first = loop_turn_alloc(loop, 100);

	peer_turns(loop, 1);
	cr_assert_eq(loop_turn_alloc(loop, 100), first);
	cr_assert_not_null(loop_turn_alloc(loop, 1024 * 1024));
	peer_turns(loop, 1);
	loop_destroy(loop);
}

Test(loop, full_chunks_are_kept_for_the_next_turn)
{
	struct loop *loop = peer_loop();

	for (int i = 0; i < 10; i++) {
		loop_scratch(loop, 200 * 1024);
		loop_scratch_take(loop, 200 * 1024);
	}
	peer_turns(loop, 1);
	cr_assert_eq(loop->spare_count, LOOP_SPARE_CHUNKS);
	cr_assert_eq(loop->scratch->pos, 0);
	loop_destroy(loop);
}

static void *stop_it(void *arg)
{
	loop_stop_post(arg);
	return NULL;
}

Test(loop, stop_from_another_thread, .timeout = 60)
{
	struct loop *loop = peer_loop();
	pthread_t thread;

	cr_assert_eq(pthread_create(&thread, NULL, stop_it, loop), 0);
	loop_run(loop);
	pthread_join(thread, NULL);
	loop_destroy(loop);
}

static void stop_now(struct peer *peer, struct slice bytes)
{
	(void)bytes;
	loop_stop(peer->loop);
}

Test(loop, stop_ends_after_the_turn, .timeout = 60)
{
	struct loop *loop = peer_loop();
	struct peer p;
	char heard[8];

	peer_open(&p, loop);
	p.on_bytes = stop_now;
	peer_say(&p, "stop");
	conn_send(&p.conn, slice_str("queued"));
	loop_run(loop);
	peer_hear(&p, heard, sizeof(heard));
	cr_assert_str_eq(heard, "queued");
	peer_close(&p);
	loop_destroy(loop);
}
