/* SPDX-License-Identifier: PostgreSQL */
/*
 * Writing protocol bytes in tests: a string literal with its NULs as a slice,
 * and the lengths that hostile peers like. A copy on the heap makes ASan see
 * every read behind the end.
 */
#ifndef WEIR_TEST_WIRE_BYTES_H
#define WEIR_TEST_WIRE_BYTES_H

#include <stdint.h>

#include "base/mem.h"
#include "base/slice.h"

#define BYTES(literal) slice_of(literal, sizeof(literal) - 1)

/* The same as an initialiser of static data. */
#define LITERAL(literal)             \
	{                                \
		literal, sizeof(literal) - 1 \
	}

static const uint32_t hostile_lengths[] = { 0,          1,          3,          0x7fffffff,
	                                        0x80000000, 0xfffffffe, 0xffffffff, 0x40000000 };

static inline struct slice heap_copy(struct slice s)
{
	char *p = mem_alloc(s.len ? s.len : 1);

	if (s.len)
		memcpy(p, s.ptr, s.len);
	return slice_of(p, s.len);
}

static inline void heap_free(struct slice s)
{
	mem_free((void *)(uintptr_t)s.ptr);
}

/* A heap copy with the big-endian word at `at` replaced. */
static inline struct slice heap_patched(struct slice s, size_t at, uint32_t word)
{
	struct slice copy = heap_copy(s);
	char *p = (char *)(uintptr_t)copy.ptr + at;

	for (int i = 0; i < 4; i++)
		p[i] = (char)(word >> (24 - 8 * i));
	return copy;
}

#endif
