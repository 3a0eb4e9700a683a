/* SPDX-License-Identifier: PostgreSQL */
/*
 * Bump allocator: many small objects, freed or reset at once. Blocks are kept
 * across resets up to a bound. One thread.
 */
#ifndef WEIR_BASE_ARENA_H
#define WEIR_BASE_ARENA_H

#include <stddef.h>

#include "base/slice.h"

struct arena_block;

struct arena {
	struct arena_block *first; /* owned */
	struct arena_block *current;
	size_t used;        /* bytes handed out since the last reset */
	size_t block_bytes; /* size of a regular block */
};

void arena_init(struct arena *a, size_t block_bytes);
void arena_fini(struct arena *a);
void arena_reset(struct arena *a);               /* keeps the first block only */
void *arena_alloc(struct arena *a, size_t size); /* 16-aligned, uninitialised, never NULL */
void *arena_zalloc(struct arena *a, size_t size);
char *arena_strdup(struct arena *a, struct slice s); /* NUL added */

#endif
