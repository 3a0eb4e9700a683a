/* SPDX-License-Identifier: PostgreSQL */
/* Slices: comparison with and without case. */
#include <criterion/criterion.h>

#include "base/slice.h"

Test(slice, equal)
{
	cr_assert(slice_equal(slice_str("abc"), slice_of("abcd", 3)));
	cr_assert(!slice_equal(slice_str("abc"), slice_str("abd")));
	cr_assert(slice_equal(slice_of(NULL, 0), slice_str("")));
}
