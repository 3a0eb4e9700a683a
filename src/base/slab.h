/* SPDX-License-Identifier: PostgreSQL */
/*
 * Objects of one size in blocks of their own. What lives long isn't scattered
 * between what lived as long as a log-in, so that the memory of a burst can be
 * given back; a block without an object is freed. One thread.
 */
#ifndef WEIR_BASE_SLAB_H
#define WEIR_BASE_SLAB_H

#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

struct slab {
	size_t stride;      /* an object and the pointer to its block */
	size_t per_block;
	size_t live;        /* objects */
	uint64_t freed;     /* objects, ever */
	struct list roomy;  /* blocks with room */
	struct list full;
	size_t empty_count; /* of them without an object: at most one is kept */
};

void slab_init(struct slab *s, size_t object_bytes);
void slab_fini(struct slab *s);    /* objects that are left go with it */
void *slab_zalloc(struct slab *s); /* 8-aligned, never NULL */
void slab_free(struct slab *s, void *object);

#endif
