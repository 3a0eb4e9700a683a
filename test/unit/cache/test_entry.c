/* SPDX-License-Identifier: PostgreSQL */
/* Shared entries: what is encoded comes back; every hostile form is refused, none is a crash. */
#include "cache/entry.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "support/script.h"

struct fixture {
	struct buf description, rows, doc;
	struct shared_entry e;
};

static void fixture_init(struct fixture *f, const char *description, const char *rows)
{
	buf_init(&f->description, 65536);
	buf_init(&f->rows, 65536);
	buf_init(&f->doc, 65536);
	script_bytes(&f->description, description);
	script_bytes(&f->rows, rows);
	f->e = (struct shared_entry){ .key = { 1, 2 },
		                          .shared_sum = 0xfedcba9876543210u,
		                          .computed_wall_us = 1234567,
		                          .ttl_ms = 30000,
		                          .description = buf_slice(&f->description),
		                          .rows = buf_slice(&f->rows) };
	cr_assert(shared_entry_encode(&f->e, &f->doc));
}

static void fixture_fini(struct fixture *f)
{
	buf_fini(&f->description);
	buf_fini(&f->rows);
	buf_fini(&f->doc);
}

#define ROW "D{\\0\\x01\\0\\0\\0\\x011}"
#define DONE "C{SELECT 1\\0}"

Test(entry, comes_back_as_it_was)
{
	struct fixture f;
	struct shared_entry out;

	fixture_init(&f, "T{\\0\\x01v\\0}", ROW ROW DONE);
	cr_assert(shared_entry_decode(buf_slice(&f.doc), &out));
	cr_assert_eq(out.key.hi, 1);
	cr_assert_eq(out.key.lo, 2);
	cr_assert_eq(out.shared_sum, f.e.shared_sum);
	cr_assert_eq(out.computed_wall_us, 1234567);
	cr_assert_eq(out.ttl_ms, 30000);
	cr_assert(slice_equal(out.description, f.e.description));
	cr_assert(slice_equal(out.rows, f.e.rows));
	cr_assert_leq(f.doc.len, out.description.len + out.rows.len + SHARED_ENTRY_OVERHEAD);
	fixture_fini(&f);
}

Test(entry, too_large_for_the_bound_is_not_encoded)
{
	struct fixture f;
	struct buf small;

	fixture_init(&f, "T{}", DONE);
	buf_init(&small, f.e.rows.len + f.e.description.len);
	cr_assert_not(shared_entry_encode(&f.e, &small));
	cr_assert_eq(small.len, 0);
	buf_fini(&small);
	fixture_fini(&f);
}

Test(entry, every_truncation_and_every_extension_is_refused)
{
	struct fixture f;
	struct shared_entry out;

	fixture_init(&f, "n{}", ROW DONE);
	for (size_t len = 0; len < f.doc.len; len++) {
		char *exact = mem_alloc(len + 1); /* its own block, so that a sanitizer sees an overrun */

		memcpy(exact, f.doc.data, len);
		cr_assert_not(shared_entry_decode(slice_of(exact, len), &out), "%zu bytes", len);
		mem_free(exact);
	}
	buf_append_u8(&f.doc, 0);
	cr_assert_not(shared_entry_decode(buf_slice(&f.doc), &out));
	fixture_fini(&f);
}

/* Any single byte changed, to several values: refused, or still a whole result. */
Test(entry, every_changed_byte_is_survived)
{
	static const uint8_t values[] = { 0, 1, 0x7f, 0x80, 0xff };
	struct fixture f;
	struct shared_entry out;
	unsigned accepted = 0;

	fixture_init(&f, "T{\\0\\0}", ROW DONE);
	for (size_t i = 0; i < f.doc.len; i++) {
		char kept = f.doc.data[i];

		for (size_t v = 0; v < sizeof values; v++) {
			f.doc.data[i] = (char)values[v];
			if (!shared_entry_decode(buf_slice(&f.doc), &out))
				continue;
			accepted++;
			cr_assert(result_is_well_formed(out.description, out.rows));
		}
		f.doc.data[i] = kept;
	}
	cr_assert_gt(accepted, 0, "values inside fields may change");
	fixture_fini(&f);
}

Test(entry, random_bytes_are_refused)
{
	struct shared_entry out;

	srandom(1);
	for (unsigned round = 0; round < 20000; round++) {
		size_t len = (size_t)random() % 200;
		uint8_t bytes[200];

		for (size_t i = 0; i < len; i++)
			bytes[i] = (uint8_t)random();
		if (len >= 4) { /* a true length in front, so that the reader goes on */
			memset(bytes, 0, 4);
			bytes[0] = (uint8_t)len;
			bytes[len - 1] = 0;
		}
		cr_assert_not(shared_entry_decode(slice_of(bytes, len), &out));
	}
}

Test(entry, only_whole_result_messages_pass)
{
	static const struct {
		const char *description, *rows;
		bool is_ok;
	} cases[] = {
		{ "T{\\0\\0}", DONE, true },
		{ "n{}", DONE, true },
		{ "T{\\0\\0}", ROW ROW ROW DONE, true },
		{ "T{\\0\\0}", ROW, false },
		{ "T{\\0\\0}", "", false },
		{ "T{\\0\\0}", DONE DONE, false },
		{ "T{\\0\\0}", DONE ROW, false },
		{ "T{\\0\\0}", ROW "Z{I}", false },
		{ "T{\\0\\0}", ROW DONE "Z{I}", false },
		{ "T{\\0\\0}", "E{SERROR\\0\\0}", false },
		{ "T{\\0\\0}", "S{TimeZone\\0UTC\\0}" DONE, false },
		{ "T{\\0\\0}T{\\0\\0}", DONE, false },
		{ "D{\\0\\0}", DONE, false },
		{ "", DONE, true },
		{ "T{\\0\\0}", "D{\\0\\0}C", false },
	};

	for (size_t i = 0; i < WEIR_COUNTOF(cases); i++) {
		struct buf d, r;

		buf_init(&d, 4096);
		buf_init(&r, 4096);
		script_bytes(&d, cases[i].description);
		if (i + 1 == WEIR_COUNTOF(cases)) { /* a header cut short */
			script_bytes(&r, "D{\\0\\0}");
			buf_append_str(&r, "C\0");
		} else {
			script_bytes(&r, cases[i].rows);
		}
		cr_expect_eq(result_is_well_formed(buf_slice(&d), buf_slice(&r)), cases[i].is_ok,
		             "case %zu", i);
		buf_fini(&d);
		buf_fini(&r);
	}
}

Test(entry, message_lengths_are_hostile)
{
	static const char *const lengths[] = { "\0\0\0\0",         "\0\0\0\3",   "\x7f\xff\xff\xff",
		                                   "\xff\xff\xff\xff", "\x80\0\0\0", "\0\0\0\6" };

	for (size_t i = 0; i < WEIR_COUNTOF(lengths); i++) {
		char rows[6] = { 'C', 0, 0, 0, 0, 0 };

		memcpy(rows + 1, lengths[i], 4);
		cr_expect_not(result_is_well_formed(slice_of("n\0\0\0\4", 5), slice_of(rows, 6)),
		              "case %zu", i);
	}
}
