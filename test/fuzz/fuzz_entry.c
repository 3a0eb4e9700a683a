/* SPDX-License-Identifier: PostgreSQL */
/*
 * Cache entries of any bytes: a miss, or exactly the bytes that encoding what
 * was decoded makes. Also results whose bytes are chosen freely.
 */
#include "base/assert.h"
#include "base/buf.h"
#include "cache/entry.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ENCODED_MAX = 1 << 22 };

static void check_again(const struct shared_entry *entry, struct slice bytes)
{
	struct buf again;

	buf_init(&again, ENCODED_MAX);
	WEIR_ASSERT(shared_entry_encode(entry, &again));
	WEIR_ASSERT(slice_equal(buf_slice(&again), bytes));
	buf_fini(&again);
}

/* The first byte says where the description ends. */
static void check_result(const uint8_t *data, size_t size)
{
	size_t at = size ? data[0] % size : 0;
	struct shared_entry entry = { .description = slice_of(data, at) };

	entry.rows = slice_of(data + at, size - at);
	result_is_well_formed(entry.description, entry.rows);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice bytes = slice_of(data, size);
	struct shared_entry entry;

	if (shared_entry_decode(bytes, &entry)) {
		WEIR_ASSERT(result_is_well_formed(entry.description, entry.rows));
		check_again(&entry, bytes);
	}
	check_result(data, size);
	return 0;
}
