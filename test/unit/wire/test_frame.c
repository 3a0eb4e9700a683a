/* SPDX-License-Identifier: PostgreSQL */
/* Framing: whole, partial, too long and hostile messages. */
#include <criterion/criterion.h>

#include "unit/wire/bytes.h"
#include "wire/frame.h"

Test(frame, cuts_messages_one_by_one)
{
	struct slice in = BYTES("Q\0\0\0\6a\0S\0\0\0\4Z");
	struct frame f;
	size_t used;

	cr_assert_eq(frame_next(in, 100, &f, &used), WEIR_OK);
	cr_assert(f.type == 'Q' && used == 7);
	cr_assert(slice_equal(f.body, BYTES("a\0")));
	cr_assert(slice_equal(f.whole, BYTES("Q\0\0\0\6a\0")));
	in = slice_of(in.ptr + used, in.len - used);
	cr_assert_eq(frame_next(in, 100, &f, &used), WEIR_OK);
	cr_assert(f.type == 'S' && f.body.len == 0 && used == 5);
	in = slice_of(in.ptr + used, in.len - used);
	cr_assert_eq(frame_next(in, 100, &f, &used), WEIR_ERR_AGAIN);
}

Test(frame, every_prefix_needs_more)
{
	struct slice whole = BYTES("Q\0\0\0\12abcdef");
	struct frame f;
	size_t used = 77;

	for (size_t n = 0; n < whole.len; n++) {
		struct slice part = heap_copy(slice_of(whole.ptr, n));

		cr_assert_eq(frame_next(part, 100, &f, &used), WEIR_ERR_AGAIN);
		cr_assert_eq(used, 77u);
		heap_free(part);
	}
	cr_assert_eq(frame_next(whole, 100, &f, &used), WEIR_OK);
}

Test(frame, limit_is_told_from_the_header)
{
	struct frame f;
	size_t used;

	cr_assert_eq(frame_next(BYTES("Q\0\0\0\12"), 5, &f, &used), WEIR_ERR_LIMIT);
	cr_assert_eq(frame_next(BYTES("Q\0\0\0\12"), 6, &f, &used), WEIR_ERR_AGAIN);
}

Test(frame, hostile_lengths)
{
	static const enum weir_err expected[] = {
		WEIR_ERR_PROTOCOL, WEIR_ERR_PROTOCOL, WEIR_ERR_PROTOCOL, WEIR_ERR_LIMIT,
		WEIR_ERR_PROTOCOL, WEIR_ERR_PROTOCOL, WEIR_ERR_PROTOCOL, WEIR_ERR_LIMIT,
	};
	struct frame f;
	size_t used;

	for (size_t i = 0; i < WEIR_COUNTOF(hostile_lengths); i++) {
		struct slice in = heap_patched(BYTES("Q\0\0\0\4"), 1, hostile_lengths[i]);

		cr_assert_eq(frame_next(in, 1 << 20, &f, &used), expected[i], "length %x",
		             hostile_lengths[i]);
		heap_free(in);
	}
}

Test(frame, peek_reads_the_header_alone)
{
	struct frame_header h;

	cr_assert_eq(frame_peek(BYTES("D\0\0\0"), &h), WEIR_ERR_AGAIN);
	cr_assert_eq(frame_peek(BYTES("D\x7f\xff\xff\xff"), &h), WEIR_OK);
	cr_assert(h.type == 'D' && h.body_len == 0x7ffffffb);
	cr_assert_eq(frame_peek(BYTES("D\0\0\0\3"), &h), WEIR_ERR_PROTOCOL);
}
