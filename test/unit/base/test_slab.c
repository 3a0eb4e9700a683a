/* SPDX-License-Identifier: PostgreSQL */
/* Slab: no overlap, zeroed again, blocks that are empty go. */
#include "base/slab.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

enum { OBJECTS = 1000, BYTES = 700 };

static unsigned char *objects[OBJECTS];

static void take_all(struct slab *s)
{
	for (size_t i = 0; i < OBJECTS; i++) {
		objects[i] = slab_zalloc(s);
		cr_assert_eq((uintptr_t)objects[i] % 8, 0);
		for (size_t k = 0; k < BYTES; k++)
			cr_assert_eq(objects[i][k], 0);
		memset(objects[i], (int)(i & 0xff) | 1, BYTES);
	}
}

Test(slab, objects_are_zeroed_and_do_not_overlap)
{
	struct slab s;

	slab_init(&s, BYTES);
	take_all(&s);
	for (size_t i = 0; i < OBJECTS; i++) {
		for (size_t k = 0; k < BYTES; k++)
			cr_assert_eq(objects[i][k], (i & 0xff) | 1);
	}
	cr_assert_eq(s.live, OBJECTS);
	for (size_t i = 0; i < OBJECTS; i += 2)
		slab_free(&s, objects[i]);
	for (size_t i = 0; i < OBJECTS; i += 2) {
		objects[i] = slab_zalloc(&s);
		cr_assert_eq(objects[i][0], 0);
		cr_assert_eq(objects[i][BYTES - 1], 0);
	}
	for (size_t i = 0; i < OBJECTS; i++)
		slab_free(&s, objects[i]);
	cr_assert_eq(s.live, 0);
	cr_assert_eq(s.freed, OBJECTS + OBJECTS / 2);
	slab_fini(&s);
}

Test(slab, empty_blocks_are_freed_but_one)
{
	struct slab s;

	slab_init(&s, BYTES);
	take_all(&s);
	for (size_t i = 0; i < OBJECTS; i++)
		slab_free(&s, objects[i]);
	cr_assert_leq(s.roomy.count, 1);
	cr_assert_eq(s.roomy.count, s.empty_count);
	take_all(&s);
	for (size_t i = OBJECTS; i > 0; i--)
		slab_free(&s, objects[i - 1]);
	cr_assert_leq(s.roomy.count, 1);
	slab_fini(&s);
}

Test(slab, small_objects_have_room_for_what_a_free_one_needs)
{
	struct slab s;
	char *a, *b;

	slab_init(&s, 1);
	a = slab_zalloc(&s);
	b = slab_zalloc(&s);
	*a = *b = 1;
	slab_free(&s, a);
	cr_assert_eq(*b, 1);
	slab_free(&s, b);
	slab_fini(&s);
}
