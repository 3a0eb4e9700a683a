/* SPDX-License-Identifier: PostgreSQL */
/* Buffers: growth, the bound, the sticky error, big-endian numbers. */
#include "base/buf.h"

#include "base/mem.h"
#include "support/alloc.h"

#include <criterion/criterion.h>

static void expect(const struct buf *b, const char *bytes, size_t len)
{
	cr_assert(slice_equal(buf_slice(b), slice_of(bytes, len)), "got %.*s", (int)b->len, b->data);
}

Test(buf, appends_in_order_and_consumes_from_the_front)
{
	struct buf b;

	buf_init(&b, 1000);
	buf_append_str(&b, "one ");
	buf_append_slice(&b, slice_str("two "));
	buf_append(&b, "three", 5);
	expect(&b, "one two three", 13);
	buf_consume(&b, 4);
	expect(&b, "two three", 9);
	buf_consume(&b, 0);
	buf_consume(&b, 9);
	expect(&b, "", 0);
	buf_fini(&b);
	cr_assert_eq(b.max, 1000);
	cr_assert_null(b.data);
}

Test(buf, numbers_are_big_endian)
{
	struct buf b;

	buf_init(&b, 100);
	buf_append_u8(&b, 0xfe);
	buf_append_u16(&b, 0x0102);
	buf_append_u32(&b, 0x80a0b0c0);
	expect(&b, "\xfe\x01\x02\x80\xa0\xb0\xc0", 7);
	buf_fini(&b);
}

Test(buf, the_bound_is_exact_and_the_error_sticks)
{
	struct buf b;

	buf_init(&b, 10);
	buf_append_str(&b, "0123456789");
	cr_assert_eq(b.err, WEIR_OK);
	buf_append_u8(&b, 'x');
	cr_assert_eq(b.err, WEIR_ERR_LIMIT);
	buf_consume(&b, 5);
	buf_append_u8(&b, 'y');
	expect(&b, "56789", 5);
	cr_assert_null(buf_reserve(&b, 1));
	buf_clear(&b);
	buf_append_u8(&b, 'z');
	expect(&b, "z", 1);
	buf_fini(&b);
}

Test(buf, a_huge_request_does_not_wrap)
{
	struct buf b;

	buf_init(&b, SIZE_MAX / 2);
	buf_append_str(&b, "abc");
	cr_assert_null(buf_reserve(&b, SIZE_MAX - 1));
	cr_assert_eq(b.err, WEIR_ERR_LIMIT);
	buf_fini(&b);
}

Test(buf, grows_past_any_size_and_keeps_its_bytes)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	for (unsigned i = 0; i < 100000; i++)
		buf_append_u32(&b, i);
	cr_assert_eq(b.len, 400000);
	for (unsigned i = 0; i < 100000; i++) {
		const unsigned char *p = (const unsigned char *)b.data + (size_t)i * 4;

		cr_assert_eq((unsigned)(p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3]), i);
	}
	buf_fini(&b);
}

Test(buf, appendf_fits_tightly_and_refuses_past_the_bound)
{
	struct buf b;

	buf_init(&b, 12);
	buf_appendf(&b, "%s=%d", "key", 42);
	expect(&b, "key=42", 6);
	buf_appendf(&b, "%05d", 7);
	expect(&b, "key=4200007", 11);
	buf_appendf(&b, "%s", "too long for what is left");
	cr_assert_eq(b.err, WEIR_ERR_LIMIT);
	expect(&b, "key=4200007", 11);
	buf_fini(&b);
}

Test(buf, nothing_appended_is_no_error)
{
	struct buf b;

	buf_init(&b, 0);
	buf_append(&b, NULL, 0);
	buf_append_slice(&b, slice_of(NULL, 0));
	cr_assert_eq(b.err, WEIR_OK);
	buf_fini(&b);
}

static bool build_message(void *ctx)
{
	struct buf b;
	bool is_whole;

	(void)ctx;
	buf_init(&b, 4096);
	for (int i = 0; i < 200; i++)
		buf_append_str(&b, "0123456789");
	is_whole = b.err == WEIR_OK;
	cr_assert(is_whole ? b.len == 2000 : b.err == WEIR_ERR_MEMORY && b.len % 10 == 0);
	buf_fini(&b);
	return is_whole;
}

Test(buf, no_memory_leaves_a_prefix_and_the_error)
{
	cr_assert_eq(alloc_fail_each(build_message, NULL), 4);
}
