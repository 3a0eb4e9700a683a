/* SPDX-License-Identifier: PostgreSQL */
/* Arena: alignment, no overlap, what a reset keeps. */
#include "base/arena.h"

#include <criterion/criterion.h>

#include <stdint.h>
#include <string.h>

enum { OBJECTS = 500 };

Test(arena, objects_are_aligned_and_do_not_overlap)
{
	struct arena a;
	unsigned char *objects[OBJECTS];

	arena_init(&a, 256);
	for (size_t i = 0; i < OBJECTS; i++) {
		objects[i] = arena_alloc(&a, i);
		cr_assert_eq((uintptr_t)objects[i] % 16, 0);
		memset(objects[i], (int)(i & 0xff), i);
	}
	for (size_t i = 0; i < OBJECTS; i++) {
		for (size_t k = 0; k < i; k++)
			cr_assert_eq(objects[i][k], i & 0xff);
	}
	arena_fini(&a);
}

Test(arena, a_reset_reuses_the_first_block)
{
	struct arena a;
	void *first;

	arena_init(&a, 1024);
	first = arena_alloc(&a, 100);
	for (int i = 0; i < 100; i++)
		arena_alloc(&a, 100);
	cr_assert_geq(a.used, 101 * 100);
	arena_reset(&a);
	cr_assert_eq(a.used, 0);
	cr_assert_eq(arena_alloc(&a, 100), first);
	arena_fini(&a);
}

Test(arena, an_oversized_first_block_is_not_kept)
{
	struct arena a;

	arena_init(&a, 64);
	memset(arena_alloc(&a, 100000), 1, 100000);
	arena_reset(&a);
	cr_assert_null(a.first);
	memset(arena_alloc(&a, 32), 1, 32);
	arena_fini(&a);
	cr_assert_null(a.first);
	arena_reset(&a);
}

Test(arena, zalloc_clears_what_was_used_before)
{
	struct arena a;
	unsigned char *p;

	arena_init(&a, 256);
	memset(arena_alloc(&a, 200), 0xff, 200);
	arena_reset(&a);
	p = arena_zalloc(&a, 200);
	for (int i = 0; i < 200; i++)
		cr_assert_eq(p[i], 0);
	arena_fini(&a);
}

Test(arena, strdup_adds_the_nul)
{
	struct arena a;

	arena_init(&a, 256);
	cr_assert_str_eq(arena_strdup(&a, slice_of("tablename", 5)), "table");
	cr_assert_str_eq(arena_strdup(&a, slice_of(NULL, 0)), "");
	arena_fini(&a);
}
