/* SPDX-License-Identifier: PostgreSQL */
/*
 * State-machine checker: one bit test on the way that is allowed, a line that
 * names machine and states and then an assertion on the one that isn't. Any
 * thread; no state.
 */
#include "base/sm.h"

#include "base/assert.h"
#include "base/log.h"

#include <stdbool.h>

void sm_check(const struct sm_spec *spec, unsigned from, unsigned to)
{
	bool is_edge_allowed;

	WEIR_ASSERT(spec->state_count <= 32);
	WEIR_ASSERT(from < spec->state_count && to < spec->state_count);
	is_edge_allowed = (spec->edges[from] & SM_TO(to)) != 0;
	if (__builtin_expect(!is_edge_allowed, 0)) {
		log_error("state_edge_refused", "machine=%s from=%s to=%s", spec->name,
		          spec->state_names[from], spec->state_names[to]);
	}
	WEIR_ASSERT(is_edge_allowed);
}
