/* SPDX-License-Identifier: PostgreSQL */
/* Slices: comparison with and without case. */
#include "base/slice.h"

#include <criterion/criterion.h>

Test(slice, equal_compares_length_and_bytes)
{
	cr_assert(slice_equal(slice_str("abc"), slice_of("abcd", 3)));
	cr_assert(!slice_equal(slice_str("abc"), slice_str("abd")));
	cr_assert(!slice_equal(slice_str("abc"), slice_str("ab")));
	cr_assert(slice_equal(slice_of("a\0b", 3), slice_of("a\0b", 3)));
	cr_assert(slice_equal(slice_of(NULL, 0), slice_str("")));
	cr_assert(slice_is(slice_str("select"), "select"));
}

Test(slice, nocase_folds_ascii_only)
{
	cr_assert(slice_is_nocase(slice_str("SeLeCT"), "select"));
	cr_assert(slice_is_nocase(slice_str("x_1"), "X_1"));
	cr_assert(slice_is_nocase(slice_of(NULL, 0), ""));
	cr_assert(!slice_is_nocase(slice_str("select"), "selec"));
	cr_assert(!slice_is_nocase(slice_str("selec"), "select"));
	cr_assert(!slice_is_nocase(slice_str("\xc3\x84"), "\xc3\xa4"));
	cr_assert(!slice_is_nocase(slice_str("["), "{"));
}

Test(slice, nocase_stops_at_the_text_s_end)
{
	cr_assert(!slice_is_nocase(slice_of("on\0off", 6), "on"));
	cr_assert(!slice_is_nocase(slice_of("\0", 1), ""));
}
