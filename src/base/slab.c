/* SPDX-License-Identifier: PostgreSQL */
/*
 * A block hands out its objects in order first and its freed ones again later.
 * Each is preceded by a pointer to its block. Under AddressSanitizer a block
 * holds one object, so that every use after its end is seen.
 */
#include "base/slab.h"

#include <string.h>

#include "base/mem.h"

enum { SLAB_BLOCK_BYTES = 64 * 1024 };

struct slab_block {
	struct list_node node; /* in slab->roomy or slab->full */
	size_t handed_out;     /* objects given at least once: they are the first ones */
	size_t live;
	struct slab_object *free; /* given back */
	char objects[];
};

struct slab_object {
	struct slab_block *block; /* borrowed: holds us */
	union {
		struct slab_object *next; /* while it is free */
		uint64_t first;
	};
};

enum { OBJECT_AT = offsetof(struct slab_object, first) };

static size_t block_objects(size_t stride)
{
#if defined(__SANITIZE_ADDRESS__)
	(void)stride;
	return 1;
#else
	size_t room = SLAB_BLOCK_BYTES - sizeof(struct slab_block);

	return room > stride ? room / stride : 1;
#endif
}

void slab_init(struct slab *s, size_t object_bytes)
{
	size_t bytes = object_bytes > sizeof(uint64_t) ? object_bytes : sizeof(uint64_t);

	*s = (struct slab){ .stride = (OBJECT_AT + bytes + 7) / 8 * 8 };
	s->per_block = block_objects(s->stride);
	list_init(&s->roomy);
	list_init(&s->full);
}

static void blocks_free(struct list *blocks)
{
	struct list_node *n;

	while ((n = list_pop(blocks)) != NULL)
		mem_free(list_entry(n, struct slab_block, node));
}

void slab_fini(struct slab *s)
{
	blocks_free(&s->roomy);
	blocks_free(&s->full);
}

static struct slab_block *block_with_room(struct slab *s)
{
	struct list_node *n = list_first(&s->roomy);
	struct slab_block *b;

	if (n)
		return list_entry(n, struct slab_block, node);
	b = mem_alloc(sizeof(*b) + s->per_block * s->stride);
	*b = (struct slab_block){ 0 };
	list_append(&s->roomy, &b->node);
	s->empty_count++;
	return b;
}

void *slab_zalloc(struct slab *s)
{
	struct slab_block *b = block_with_room(s);
	struct slab_object *o = b->free;

	if (o)
		b->free = o->next;
	else
		o = (void *)(b->objects + b->handed_out++ * s->stride);
	s->empty_count -= b->live == 0;
	b->live++;
	s->live++;
	if (b->live == s->per_block) {
		list_remove(&s->roomy, &b->node);
		list_append(&s->full, &b->node);
	}
	o->block = b;
	return memset(&o->first, 0, s->stride - OBJECT_AT);
}

void slab_free(struct slab *s, void *object)
{
	struct slab_object *o = (void *)((char *)object - OBJECT_AT);
	struct slab_block *b = o->block;

	WEIR_ASSERT(b->live > 0 && s->live > 0);
	if (b->live == s->per_block) {
		list_remove(&s->full, &b->node);
		list_prepend(&s->roomy, &b->node);
	}
	o->next = b->free;
	b->free = o;
	b->live--;
	s->live--;
	s->freed++;
	if (b->live > 0)
		return;
	if (s->empty_count > 0 || s->per_block == 1) {
		list_remove(&s->roomy, &b->node);
		mem_free(b);
	} else {
		s->empty_count++;
	}
}
