/* SPDX-License-Identifier: PostgreSQL */
/* The reply script: what is to come, in order, through growth and errors. */
#include "pool/replies.h"

#include <criterion/criterion.h>

static void expect_op(struct replies *r, enum reply_op_kind kind, uint64_t id)
{
	struct reply_op op = replies_take_op(r);

	cr_assert_eq(op.kind, kind);
	cr_assert_eq(op.id, id);
}

Test(replies, segments_come_in_order)
{
	struct replies r;

	replies_init(&r);
	cr_assert_null(replies_current(&r));
	cr_assert_null(replies_newest(&r));
	cr_assert_eq(replies_push(&r, REPLY_SYNC, true), WEIR_OK);
	cr_assert_eq(replies_push(&r, REPLY_BEGIN, true), WEIR_OK);
	cr_assert_eq(replies_push(&r, REPLY_EXTENDED, false), WEIR_OK);
	cr_assert(replies_is_internal(replies_current(&r)));
	cr_assert_not(replies_is_internal(replies_newest(&r)));
	replies_pop(&r);
	cr_assert_eq(replies_current(&r)->kind, REPLY_BEGIN);
	replies_pop(&r);
	cr_assert_eq(replies_current(&r)->kind, REPLY_EXTENDED);
	cr_assert_not(replies_current(&r)->has_sync);
	cr_assert_eq(replies_count(&r), 1);
	replies_pop(&r);
	cr_assert_eq(replies_count(&r), 0);
	replies_fini(&r);
}

Test(replies, ops_belong_to_their_segment)
{
	struct replies r;

	replies_init(&r);
	replies_push(&r, REPLY_EXTENDED, true);
	replies_push_op(&r, REPLY_OP_OWN_CLOSE, 5);
	replies_push_op(&r, REPLY_OP_PARSED, 6);
	replies_push(&r, REPLY_EXTENDED, true);
	replies_push_op(&r, REPLY_OP_AS_PARSED, 7);
	cr_assert_eq(replies_unconfirmed(&r), 1);
	cr_assert_eq(replies_op_at(&r, 1).id, 6);
	expect_op(&r, REPLY_OP_OWN_CLOSE, 5);
	expect_op(&r, REPLY_OP_PARSED, 6);
	expect_op(&r, REPLY_OP_FORWARD, 0);
	cr_assert_eq(replies_unconfirmed(&r), 0);
	replies_pop(&r);
	expect_op(&r, REPLY_OP_AS_PARSED, 7);
	replies_pop(&r);
	expect_op(&r, REPLY_OP_FORWARD, 0);
	replies_fini(&r);
}

Test(replies, an_error_skips_the_ops_that_are_left)
{
	struct replies r;

	replies_init(&r);
	replies_push(&r, REPLY_EXTENDED, true);
	replies_push_op(&r, REPLY_OP_PARSED, 1);
	replies_push_op(&r, REPLY_OP_PARSED, 2);
	replies_push(&r, REPLY_EXTENDED, true);
	replies_push_op(&r, REPLY_OP_PARSED, 3);
	expect_op(&r, REPLY_OP_PARSED, 1);
	replies_pop(&r);
	expect_op(&r, REPLY_OP_PARSED, 3);
	replies_fini(&r);
}

/* A queue that is pushed and popped in turns walks round its ring while it grows. */
Test(replies, parses_due_are_of_all_segments)
{
	struct replies r;

	replies_init(&r);
	replies_add(&r, REPLY_EXTENDED, true)->unnamed_due = 2;
	replies_add(&r, REPLY_EXTENDED, true)->unnamed_due = 3;
	cr_assert_eq(replies_unnamed_due(&r), 5);
	replies_extend(&r);
	cr_assert_eq(replies_current(&r)->unnamed_due, 5);
	replies_add(&r, REPLY_EXTENDED, true)->unnamed_due = 1;
	replies_pop(&r);
	cr_assert_eq(replies_unnamed_due(&r), 1);
	replies_skip_all_ops(&r);
	cr_assert_eq(replies_unnamed_due(&r), 0);
	replies_fini(&r);
}

Test(replies, order_survives_growth_and_wrapping)
{
	uint64_t pushed = 0, popped = 0;
	struct replies r;

	replies_init(&r);
	for (int round = 0; round < 200; round++) {
		for (int i = 0; i < 3; i++) {
			replies_push(&r, REPLY_EXTENDED, true);
			replies_push_op(&r, REPLY_OP_OWN_PARSE, 2 * pushed);
			replies_push_op(&r, REPLY_OP_PARSED, 2 * pushed + 1);
			pushed++;
		}
		for (int i = 0; i < 2; i++) {
			expect_op(&r, REPLY_OP_OWN_PARSE, 2 * popped);
			expect_op(&r, REPLY_OP_PARSED, 2 * popped + 1);
			replies_pop(&r);
			popped++;
		}
	}
	cr_assert_eq(replies_count(&r), pushed - popped);
	replies_fini(&r);
	cr_assert_eq(replies_count(&r), 0);
}

Test(replies, a_pipeline_is_bounded)
{
	struct replies r;

	replies_init(&r);
	for (int i = 0; i < REPLIES_MAX; i++)
		cr_assert_eq(replies_push(&r, REPLY_SIMPLE, true), WEIR_OK);
	cr_assert_eq(replies_push(&r, REPLY_SIMPLE, true), WEIR_ERR_LIMIT);
	replies_pop(&r);
	cr_assert_eq(replies_push(&r, REPLY_SIMPLE, true), WEIR_OK);
	replies_fini(&r);
}

Test(replies, disowned_replies_are_for_nobody)
{
	struct replies r;

	replies_init(&r);
	replies_push(&r, REPLY_SYNC, true);
	replies_push(&r, REPLY_EXTENDED, true);
	replies_push(&r, REPLY_SIMPLE, true);
	replies_disown(&r);
	for (int i = 0; i < 3; i++) {
		cr_assert(replies_is_internal(replies_current(&r)));
		replies_pop(&r);
	}
	replies_fini(&r);
}

Test(replies, an_extended_segment_takes_in_the_next)
{
	struct replies r;

	replies_init(&r);
	replies_push(&r, REPLY_EXTENDED, true);
	replies_push_op(&r, REPLY_OP_FORWARD, 0);
	replies_push(&r, REPLY_EXTENDED, true);
	replies_push_op(&r, REPLY_OP_PARSED, 7);
	replies_current(&r)->has_error = true;
	replies_extend(&r);
	cr_assert_eq(replies_count(&r), 1);
	cr_assert(replies_current(&r)->has_error && replies_current(&r)->has_sync);
	expect_op(&r, REPLY_OP_FORWARD, 0);
	expect_op(&r, REPLY_OP_PARSED, 7);
	replies_extend(&r);
	cr_assert_eq(replies_count(&r), 1);
	cr_assert_not(replies_current(&r)->has_sync);
	replies_fini(&r);
}

Test(replies, a_statement_under_way_in_an_earlier_segment_is_unsure)
{
	struct replies r;

	replies_init(&r);
	replies_push(&r, REPLY_EXTENDED, true);
	replies_push_op(&r, REPLY_OP_OWN_PARSE, 7);
	cr_assert_not(replies_is_unsure(&r, 7));
	replies_push(&r, REPLY_EXTENDED, true);
	replies_push_op(&r, REPLY_OP_OWN_CLOSE, 8);
	cr_assert(replies_is_unsure(&r, 7));
	cr_assert_not(replies_is_unsure(&r, 8));
	expect_op(&r, REPLY_OP_OWN_PARSE, 7);
	cr_assert_not(replies_is_unsure(&r, 7));
	replies_fini(&r);
}

Test(replies, all_ops_can_be_skipped)
{
	struct replies r;

	replies_init(&r);
	replies_push(&r, REPLY_EXTENDED, true);
	replies_push_op(&r, REPLY_OP_CLOSED, 0);
	replies_push(&r, REPLY_EXTENDED, true);
	replies_push_op(&r, REPLY_OP_CLOSED, 0);
	replies_push_op(&r, REPLY_OP_PARSED, 3);
	cr_assert_eq(replies_unclosed(&r), 1);
	cr_assert_eq(replies_op_at(&r, 2).id, 3);
	replies_skip_all_ops(&r);
	cr_assert_eq(replies_count(&r), 2);
	replies_pop(&r);
	expect_op(&r, REPLY_OP_FORWARD, 0);
	replies_pop(&r);
	replies_fini(&r);
}

Test(replies, a_disowned_begin_counts_to_the_request_behind_it)
{
	struct replies r;

	replies_init(&r);
	replies_push(&r, REPLY_NAMES, true);
	replies_push(&r, REPLY_BEGIN, false);
	replies_push_op(&r, REPLY_OP_OWN_PARSE, 1);
	replies_push(&r, REPLY_EXTENDED, true);
	replies_push_op(&r, REPLY_OP_PARSED, 2);
	replies_disown(&r);
	cr_assert_eq(replies_count(&r), 2);
	replies_pop(&r);
	cr_assert_eq(replies_current(&r)->kind, REPLY_RESET);
	cr_assert_eq(replies_current(&r)->op_count, 2);
	replies_pop(&r);
	cr_assert_eq(replies_count(&r), 0);
	replies_fini(&r);
}
