/* SPDX-License-Identifier: PostgreSQL */
/*
 * The end of the process when one of pgweir's own invariants is broken: one log
 * line that names the place, then abort(), so that a core file shows the rest.
 * Any thread; owns nothing.
 */
#include "base/assert.h"

#include "base/log.h"

#include <stdlib.h>

void weir_assert_fail(const char *expr, const char *file, int line, const char *func)
{
	log_error("assertion_failed", "file=%s line=%d function=%s expr=%s", file, line, func, expr);
	abort();
}
