/* SPDX-License-Identifier: PostgreSQL */
/* The cursor: values, order, and an error that sticks. */
#include <criterion/criterion.h>

#include "unit/wire/bytes.h"
#include "wire/reader.h"

Test(reader, reads_big_endian_values_in_order)
{
	struct reader r = reader_of(BYTES("\1\2\3\377\376\0\0\1\0\377\377\377\377ab\0xyz"));

	cr_assert_eq(reader_u8(&r), 1);
	cr_assert_eq(reader_u16(&r), 0x203);
	cr_assert_eq(reader_i16(&r), -2);
	cr_assert_eq(reader_u32(&r), 256);
	cr_assert_eq(reader_i32(&r), -1);
	cr_assert(slice_is(reader_cstring(&r), "ab"));
	cr_assert(slice_is(reader_bytes(&r, 1), "x"));
	cr_assert(slice_is(reader_rest(&r), "yz"));
	cr_assert_eq(reader_end(&r), WEIR_OK);
}

Test(reader, error_sticks_and_later_reads_give_nothing)
{
	struct reader r = reader_of(BYTES("abc"));

	cr_assert_eq(reader_u32(&r), 0);
	cr_assert(r.failed);
	cr_assert_eq(reader_u8(&r), 0);
	cr_assert_eq(reader_cstring(&r).len, 0);
	cr_assert_eq(reader_rest(&r).len, 0);
	cr_assert_eq(reader_status(&r), WEIR_ERR_PROTOCOL);
	cr_assert_eq(reader_end(&r), WEIR_ERR_PROTOCOL);
}

Test(reader, huge_counts_do_not_overflow)
{
	struct slice in = heap_copy(BYTES("abcd"));
	const size_t counts[] = { 5, SIZE_MAX, SIZE_MAX - 3, (size_t)0x7fffffff, (size_t)0xffffffff };

	for (size_t i = 0; i < WEIR_COUNTOF(counts); i++) {
		struct reader r = reader_of(in);

		(void)reader_u8(&r);
		cr_assert_eq(reader_bytes(&r, counts[i]).len, 0);
		cr_assert(r.failed);
	}
	heap_free(in);
}

Test(reader, string_without_end_fails)
{
	struct slice in = heap_copy(BYTES("abcd"));
	struct reader r = reader_of(in);

	(void)reader_cstring(&r);
	cr_assert(r.failed);
	heap_free(in);
}

Test(reader, empty_input)
{
	struct reader r = reader_of(slice_of(NULL, 0));

	cr_assert_eq(reader_end(&r), WEIR_OK);
	cr_assert_eq(reader_rest(&r).len, 0);
	(void)reader_cstring(&r);
	cr_assert(r.failed);
}

Test(reader, bytes_left_over_are_an_error_at_the_end_only)
{
	struct reader r = reader_of(BYTES("ab"));

	(void)reader_u8(&r);
	cr_assert_eq(reader_status(&r), WEIR_OK);
	cr_assert_eq(reader_end(&r), WEIR_ERR_PROTOCOL);
}
