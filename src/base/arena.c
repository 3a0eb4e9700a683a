/* SPDX-License-Identifier: PostgreSQL */
/*
 * Bump allocator. A chain of blocks; an allocation moves a mark in the newest
 * one. What doesn't fit a regular block gets a block of its own size. A reset
 * keeps one regular block, so that a steady user stops calling malloc. One
 * thread; never for sizes that a peer chooses without a bound above it.
 */
#include "base/arena.h"

#include "base/assert.h"
#include "base/mem.h"

#include <stdint.h>
#include <string.h>

enum { ARENA_ALIGN = 16 };

struct arena_block {
	struct arena_block *next; /* owned */
	size_t cap;               /* bytes of data */
	size_t used;
	_Alignas(ARENA_ALIGN) char data[];
};

void arena_init(struct arena *a, size_t block_bytes)
{
	WEIR_ASSERT(block_bytes > 0);
	*a = (struct arena){ .block_bytes = block_bytes };
}

static void free_chain(struct arena_block *b)
{
	while (b) {
		struct arena_block *next = b->next;

		mem_free(b);
		b = next;
	}
}

void arena_fini(struct arena *a)
{
	free_chain(a->first);
	a->first = a->current = NULL;
	a->used = 0;
}

void arena_reset(struct arena *a)
{
	a->used = 0;
	if (!a->first)
		return;
	if (a->first->cap > a->block_bytes) {
		arena_fini(a);
		return;
	}
	free_chain(a->first->next);
	a->first->next = NULL;
	a->first->used = 0;
	a->current = a->first;
}

static struct arena_block *add_block(struct arena *a, size_t size)
{
	size_t cap = size > a->block_bytes ? size : a->block_bytes;
	struct arena_block *b = mem_alloc(sizeof(*b) + cap);

	b->next = NULL;
	b->cap = cap;
	b->used = 0;
	if (a->current)
		a->current->next = b;
	else
		a->first = b;
	a->current = b;
	return b;
}

void *arena_alloc(struct arena *a, size_t size)
{
	struct arena_block *b = a->current;
	void *p;

	WEIR_ASSERT(size <= SIZE_MAX / 2);
	size = (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
	if (!b || size > b->cap - b->used)
		b = add_block(a, size);
	p = b->data + b->used;
	b->used += size;
	a->used += size;
	return p;
}

void *arena_zalloc(struct arena *a, size_t size)
{
	void *p = arena_alloc(a, size);

	memset(p, 0, size);
	return p;
}

char *arena_strdup(struct arena *a, struct slice s)
{
	char *p = arena_alloc(a, s.len + 1);

	if (s.len)
		memcpy(p, s.ptr, s.len);
	p[s.len] = '\0';
	return p;
}
