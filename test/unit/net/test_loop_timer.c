/* SPDX-License-Identifier: PostgreSQL */
/*
 * Coarse timers: due once and not too early, cancelled from anywhere, armed
 * again from their own callback.
 */
#include <criterion/criterion.h>

#include "base/clock.h"
#include "net/loop_priv.h"
#include "peer.h"

struct clockwork {
	struct loop_timer timer;
	struct loop *loop;
	struct clockwork *victim; /* cancelled when due */
	int due_count;
	int again; /* times to arm again */
};

static void on_due(struct loop_timer *timer)
{
	struct clockwork *c = (struct clockwork *)(void *)timer;

	c->due_count++;
	if (c->victim)
		loop_timer_cancel(&c->victim->timer);
	if (c->again-- > 0)
		loop_timer_arm(c->loop, timer, 1000, on_due);
	else
		loop_stop(c->loop);
}

Test(loop_timer, is_due_once_and_not_early, .timeout = 60)
{
	struct loop *loop = peer_loop();
	struct clockwork c = { .loop = loop };
	uint64_t before = clock_monotonic_us();

	loop_timer_arm(loop, &c.timer, 30000, on_due);
	loop_run(loop);
	cr_assert(clock_monotonic_us() - before >= 30000);
	cr_assert_eq(c.due_count, 1);
	cr_assert_null(c.timer.loop);
	peer_turns(loop, 3);
	cr_assert_eq(c.due_count, 1);
	loop_destroy(loop);
}

Test(loop_timer, arms_again_from_its_callback, .timeout = 60)
{
	struct loop *loop = peer_loop();
	struct clockwork c = { .loop = loop, .again = 3 };

	loop_timer_arm(loop, &c.timer, 1000, on_due);
	loop_run(loop);
	cr_assert_eq(c.due_count, 4);
	loop_destroy(loop);
}

Test(loop_timer, a_due_timer_can_be_cancelled_by_another, .timeout = 60)
{
	struct loop *loop = peer_loop();
	struct clockwork second = { .loop = loop };
	struct clockwork first = { .loop = loop, .victim = &second };

	loop_timer_arm(loop, &first.timer, 5000, on_due);
	loop_timer_arm(loop, &second.timer, 5000, on_due);
	loop_run(loop);
	peer_turns(loop, 3);
	cr_assert_eq(first.due_count, 1);
	cr_assert_eq(second.due_count, 0);
	cr_assert_eq(loop->wheel.armed, 0);
	loop_destroy(loop);
}

Test(loop_timer, rearming_moves_it, .timeout = 60)
{
	struct loop *loop = peer_loop();
	struct clockwork c = { .loop = loop };

	loop_timer_arm(loop, &c.timer, 3600ull * 1000000, on_due);
	loop_timer_arm(loop, &c.timer, 1000, on_due);
	cr_assert_eq(loop->wheel.armed, 1);
	loop_run(loop);
	cr_assert_eq(c.due_count, 1);
	loop_destroy(loop);
}

Test(loop_timer, a_later_rotation_is_not_due_now, .timeout = 60)
{
	struct loop *loop = peer_loop();
	struct clockwork soon = { .loop = loop }, later = { .loop = loop };

	loop_timer_arm(loop, &soon.timer, 20000, on_due);
	loop_timer_arm(loop, &later.timer, 20000 + (uint64_t)WHEEL_SLOTS * loop->wheel.tick_us, on_due);
	loop_run(loop);
	cr_assert_eq(soon.due_count, 1);
	cr_assert_eq(later.due_count, 0);
	loop_timer_cancel(&later.timer);
	loop_timer_cancel(&later.timer);
	loop_destroy(loop);
}

Test(loop_timer, outlives_its_loop_unharmed)
{
	struct loop *loop = peer_loop();
	struct clockwork c = { .loop = loop };

	loop_timer_arm(loop, &c.timer, 1000, on_due);
	loop_destroy(loop);
	loop_timer_cancel(&c.timer);
	cr_assert_null(c.timer.loop);
}
