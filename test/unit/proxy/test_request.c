/* SPDX-License-Identifier: PostgreSQL */
/* Requests cut out of a client's bytes, as traces. */
#include "proxy/request.h"

#include "support/script.h"
#include "support/trace.h"

#include <criterion/criterion.h>

enum { KEPT = 64, MESSAGE_MAX = 1000 };

static const char *const kinds[] = {
	[REQUEST_QUERY] = "query", [REQUEST_FUNCTION] = "function",   [REQUEST_EXTENDED] = "extended",
	[REQUEST_COPY] = "copy",   [REQUEST_TERMINATE] = "terminate",
};

static const char *error_name(enum weir_err err)
{
	return err == WEIR_ERR_AGAIN ? "again" : err == WEIR_ERR_LIMIT ? "limit" : "protocol";
}

static void add_request(struct trace *t, const struct request *r)
{
	buf_appendf(&t->text, "%s ", kinds[r->kind]);
	script_print(&t->text, r->bytes);
	if (r->missing)
		buf_appendf(&t->text, " missing=%llu", (unsigned long long)r->missing);
	trace_add(t, "%s%s", r->has_sync ? " sync" : "", r->copy_ends ? " end" : "");
}

/* Cuts all there is; the last line says why it ended, unless everything was used. */
static void expect_bytes(struct slice in, const char *expected)
{
	struct trace t;
	struct request r;
	char bad_type;

	trace_init(&t);
	while (in.len) {
		enum weir_err err = request_next(in, KEPT, MESSAGE_MAX, &r, &bad_type);

		if (err != WEIR_OK) {
			trace_add(&t, "%s", error_name(err));
			break;
		}
		cr_assert_eq(r.bytes.ptr, in.ptr);
		add_request(&t, &r);
		in = slice_of(in.ptr + r.bytes.len, in.len - r.bytes.len);
	}
	trace_expect(&t, expected);
	trace_fini(&t);
}

/* `drop` bytes of the end aren't there yet. */
static void expect_cut(const char *script, size_t drop, const char *expected)
{
	struct buf b;

	buf_init(&b, 100000);
	script_bytes(&b, script);
	expect_bytes(slice_of(b.data, b.len - drop), expected);
	buf_fini(&b);
}

static void expect(const char *script, const char *expected)
{
	expect_cut(script, 0, expected);
}

#define TEN "0123456789"
#define EIGHTY TEN TEN TEN TEN TEN TEN TEN TEN

Test(request, simple_ones_one_by_one)
{
	expect("Q{select 1\\0} Q{select 2\\0} F{x} X{}", "query Q{select 1\\0}\n"
	                                                 "query Q{select 2\\0}\n"
	                                                 "function F{x}\n"
	                                                 "terminate X{}\n");
}

Test(request, a_batch_ends_at_sync_or_flush)
{
	expect("P{s\\0q\\0\\0\\0} B{b} D{P\\0} E{e} S{} B{c} H{} S{}",
	       "extended P{s\\0q\\0\\0\\0} B{b} D{P\\0} E{e} S{} sync\n"
	       "extended B{c} H{}\n"
	       "extended S{} sync\n");
}

Test(request, a_batch_without_end_is_waited_for)
{
	expect("P{s\\0q\\0\\0\\0} B{b}", "again\n");
	expect_cut("P{s\\0q\\0\\0\\0} S{}", 1, "again\n");
}

Test(request, another_message_ends_a_batch_without_sync)
{
	expect("B{b} E{e} Q{q\\0}", "extended B{b} E{e}\n"
	                            "query Q{q\\0}\n");
}

Test(request, a_batch_too_long_to_keep_is_cut_at_a_message)
{
	expect_cut("B{" TEN TEN TEN "} E{e} B{" EIGHTY "} S{}", 50,
	           "extended B{" TEN TEN TEN "} E{e}\n"
	           "again\n");
}

Test(request, a_message_too_long_to_keep_is_cut_inside)
{
	expect_cut("B{" EIGHTY EIGHTY "} S{}", 65, "extended <105 bytes> missing=60\n");
	expect_cut("Q{" EIGHTY "\\0}", 6, "query <80 bytes> missing=6\n");
	expect_cut("Q{" EIGHTY "\\0}", 30, "again\n");
}

Test(request, copy_data_runs_and_is_never_waited_for)
{
	expect_cut("d{row1} d{row2} c{} S{}", 0,
	           "copy d{row1} d{row2} c{} end\n"
	           "extended S{} sync\n");
	expect_cut("d{row1} d{row2}", 2, "copy d{row1} <7 bytes> missing=2\n");
	expect("d{row1} f{why\\0} Q{q\\0}", "copy d{row1} f{why\\0} end\n"
	                                    "query Q{q\\0}\n");
}

Test(request, the_end_of_a_copy_is_taken_whole)
{
	expect_cut("d{row1} f{why\\0}", 2,
	           "copy d{row1}\n"
	           "again\n");
	expect_cut("f{" EIGHTY "\\0}", 40, "again\n");
	expect_cut("f{" EIGHTY "\\0}", 10, "limit\n");
}

Test(request, a_header_is_waited_for)
{
	for (size_t drop = 5; drop <= 9; drop++)
		expect_cut("Q{1234\\0}", drop, "again\n");
	expect_cut("d{1234\\0}", 7, "again\n");
}

Test(request, a_message_over_the_limit_is_refused_by_its_header)
{
	expect_bytes(slice_of("Q\0\0\3\xed", 5), "limit\n"); /* 1001 bytes of body */
	expect_bytes(slice_of("Q\0\0\3\xec", 5), "again\n"); /* 1000 */
	expect_bytes(slice_of("B\0\1\0\0", 5), "limit\n");
	expect_bytes(slice_of("d\0\1\0\0", 5), "limit\n");
}

Test(request, what_is_no_protocol_is_refused_by_its_first_byte)
{
	expect_bytes(slice_of("!", 1), "protocol\n");
	expect_bytes(slice_of("\0", 1), "protocol\n");
	expect_bytes(slice_of("Q\0\0\0\3", 5), "protocol\n");
	expect_bytes(slice_of("S\0\0\0\0", 5), "protocol\n");
	expect_bytes(slice_of("Q\xff\xff\xff\xff", 5), "protocol\n");
	expect("p{password\\0}", "protocol\n");
}

Test(request, names_the_byte_that_was_wrong)
{
	struct request r;
	char bad_type;

	cr_assert_eq(request_next(slice_str("~!"), KEPT, MESSAGE_MAX, &r, &bad_type),
	             WEIR_ERR_PROTOCOL);
	cr_assert_eq(bad_type, '~');
	cr_assert_eq(request_next(slice_str(""), KEPT, MESSAGE_MAX, &r, &bad_type), WEIR_ERR_AGAIN);
}

/* However the bytes come, what is cut out is the same in the end. */
Test(request, every_split_gives_the_same_bytes)
{
	static const char script[] = "Q{select 1\\0} P{\\0select\\0%0} B{\\0\\0%0%0%0} E{\\0#0} S{} "
				     "d{row} c{} P{s\\0x\\0%0} H{} F{#1%0%0%0} X{}";
	struct buf all, got;

	buf_init(&all, 100000);
	buf_init(&got, 100000);
	script_bytes(&all, script);
	for (size_t split = 0; split <= all.len; split++) {
		size_t at = 0, there = split;

		buf_clear(&got);
		while (at < all.len) {
			struct request r;
			char bad_type;
			enum weir_err err = request_next(slice_of(all.data + at, there - at), KEPT,
							 MESSAGE_MAX, &r, &bad_type);

			if (err == WEIR_ERR_AGAIN && there < all.len) {
				there = all.len;
				continue;
			}
			cr_assert_eq(err, WEIR_OK, "split %zu, at %zu: %d", split, at, (int)err);
			cr_assert_gt(r.bytes.len, 0);
			buf_append(&got, r.bytes.ptr, r.bytes.len + (size_t)r.missing);
			at += r.bytes.len + (size_t)r.missing;
			there = r.missing ? all.len : there;
		}
		cr_assert(slice_equal(buf_slice(&got), buf_slice(&all)), "split %zu", split);
	}
	buf_fini(&all);
	buf_fini(&got);
}

static bool is_plain(const char *script)
{
	struct buf b;
	bool is;

	buf_init(&b, 100000);
	script_bytes(&b, script);
	is = request_is_plain_batch(buf_slice(&b));
	buf_fini(&b);
	return is;
}

Test(request, a_plain_batch_is_of_one_portal)
{
	cr_assert(is_plain("P{\\0select\\0%0} B{\\0\\0%0%0%0} D{P\\0} E{\\0#0} S{}"));
	cr_assert(is_plain("B{\\0s\\0%0%0%0} E{\\0#0} S{}"));
	cr_assert(is_plain("B{p\\0s\\0%0%0%0} D{Pp\\0} E{p\\0#0} S{}"));
	cr_assert_not(is_plain("B{p\\0s\\0%0%0%0} E{\\0#0} S{}"));
	cr_assert_not(is_plain("B{\\0s\\0%0%0%0} D{Pp\\0} E{\\0#0} S{}"));
	cr_assert_not(is_plain("B{\\0s\\0%0%0%0} D{Ss\\0} E{\\0#0} S{}"));
	cr_assert_not(is_plain("B{\\0s\\0%0%0%0} E{\\0#5} S{}"));
	cr_assert_not(is_plain("B{\\0s\\0%0%0%0} E{\\0#0} E{\\0#0} S{}"));
	cr_assert_not(is_plain("B{\\0s\\0%0%0%0} P{\\0select\\0%0} S{}"));
	cr_assert_not(is_plain("B{\\0s\\0%0%0%0} C{P\\0} E{\\0#0} S{}"));
	cr_assert_not(is_plain("B{\\0s\\0} E{\\0#0} S{}"));
}
