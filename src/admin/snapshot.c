/* SPDX-License-Identifier: PostgreSQL */
/*
 * Life of a worker's part.
 */
#include "admin/snapshot.h"

#include "base/mem.h"

enum { PART_BLOCK_BYTES = 65536 };

struct admin_part *admin_part_create(unsigned worker)
{
	struct admin_part *p = mem_zalloc(sizeof(*p));

	arena_init(&p->arena, PART_BLOCK_BYTES);
	p->worker = worker;
	return p;
}

void admin_part_destroy(struct admin_part **list)
{
	while (*list) {
		struct admin_part *p = *list;

		*list = p->next;
		arena_fini(&p->arena);
		mem_free(p);
	}
}
