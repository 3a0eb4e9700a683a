/* SPDX-License-Identifier: PostgreSQL */
/* The invalidation message: round trip, and refusal of everything that isn't one. */
#include "cache/change.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/mem.h"

static void make(struct buf *out)
{
	struct change_message m = {
		.sender = 0x1122334455667788u,
		.token = slice_str("0123456789abcdef"),
		.count = 3,
		.items = { { GENERATION_TABLE, 4711, slice_str("main/app") },
		           { GENERATION_CLUSTER, 0, slice_str("main") },
		           { GENERATION_ALL, 0, slice_of("", 0) } },
	};

	buf_init(out, 65536);
	change_encode(&m, out);
}

Test(change, comes_back_as_it_was)
{
	struct buf b;
	struct change_message m;

	make(&b);
	cr_assert(change_decode(buf_slice(&b), &m));
	cr_assert_eq(m.sender, 0x1122334455667788u);
	cr_assert(slice_is(m.token, "0123456789abcdef"));
	cr_assert_eq(m.count, 3);
	cr_assert_eq(m.items[0].kind, GENERATION_TABLE);
	cr_assert_eq(m.items[0].oid, 4711);
	cr_assert(slice_is(m.items[0].scope, "main/app"));
	cr_assert_eq(m.items[1].kind, GENERATION_CLUSTER);
	cr_assert_eq(m.items[2].kind, GENERATION_ALL);
	buf_fini(&b);
}

/* Cut between two things it's a shorter message; anywhere else it isn't understood. */
Test(change, truncations)
{
	struct buf b;
	struct change_message m;
	unsigned whole = 0;

	make(&b);
	for (size_t len = 0; len < b.len; len++) {
		char *exact = mem_alloc(len + 1);

		memcpy(exact, b.data, len);
		whole += change_decode(slice_of(exact, len), &m);
		mem_free(exact);
	}
	cr_assert_eq(whole, 3, "after the token, and after the first and second thing");
	buf_fini(&b);
}

Test(change, too_many_things_and_unknown_kinds_are_refused)
{
	struct buf b;
	struct change_message m;

	buf_init(&b, 65536);
	buf_append(&b, "pgw1", 4);
	buf_append(&b, "senderse0123456789abcdef", 24);
	for (unsigned i = 0; i < CHANGE_ITEMS_MAX; i++)
		buf_append(&b, "t\0\0\0\1\0\0", 7);
	cr_assert(change_decode(buf_slice(&b), &m));
	cr_assert_eq(m.count, CHANGE_ITEMS_MAX);
	buf_append(&b, "t\0\0\0\1\0\0", 7);
	cr_assert_not(change_decode(buf_slice(&b), &m));
	b.len = 28;
	buf_append(&b, "x\0\0\0\1\0\0", 7);
	cr_assert_not(change_decode(buf_slice(&b), &m));
	b.data[3] = '2';
	b.len = 28;
	cr_assert_not(change_decode(buf_slice(&b), &m), "another version");
	buf_fini(&b);
}

Test(change, random_bytes_are_survived)
{
	struct change_message m;

	srandom(1);
	for (unsigned round = 0; round < 20000; round++) {
		size_t len = (size_t)random() % 100;
		uint8_t bytes[100];

		for (size_t i = 0; i < len; i++)
			bytes[i] = (uint8_t)random();
		if (len >= 4)
			memcpy(bytes, "pgw1", 4);
		if (change_decode(slice_of(bytes, len), &m))
			cr_assert_leq(m.count, CHANGE_ITEMS_MAX);
	}
}
