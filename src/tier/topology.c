/* SPDX-License-Identifier: PostgreSQL */
/*
 * Life of a topology snapshot: counted by everyone who holds it, freed by the
 * last. Any thread.
 */
#include "tier/topology.h"

#include "base/assert.h"
#include "base/mem.h"

struct topology *topology_get(struct topology *t)
{
	uint32_t before = atomic_fetch_add_explicit(&t->refcount, 1, memory_order_relaxed);

	WEIR_ASSERT(before > 0);
	return t;
}

void topology_put(struct topology **t)
{
	struct topology *old = *t;

	*t = NULL;
	if (old && atomic_fetch_sub_explicit(&old->refcount, 1, memory_order_acq_rel) == 1)
		mem_free(old);
}
