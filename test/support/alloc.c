/* SPDX-License-Identifier: PostgreSQL */
/* Repeats a step with each of its allocations failing in turn. */
#include "support/alloc.h"

#include "base/mem.h"

#include <criterion/criterion.h>

enum { FAILURES_MAX = 1000 };

unsigned alloc_fail_each(alloc_step_fn *step, void *ctx)
{
	unsigned failures = 0;
	bool is_done = false;

	while (!is_done) {
		cr_assert(failures < FAILURES_MAX, "the step never succeeds");
		mem_fail_after(failures + 1);
		is_done = step(ctx);
		mem_fail_after(0);
		failures += !is_done;
	}
	return failures;
}
