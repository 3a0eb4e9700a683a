/* SPDX-License-Identifier: PostgreSQL */
/*
 * Walks every path on which memory runs out: the step is repeated with its
 * first, second, ... mem_try_* call failing, until it succeeds.
 */
#ifndef WEIR_TEST_SUPPORT_ALLOC_H
#define WEIR_TEST_SUPPORT_ALLOC_H

#include <stdbool.h>

/* Builds its own state, tries, frees all; true: it did what it should. */
typedef bool alloc_step_fn(void *ctx);

/* How many calls were made to fail before the step succeeded. At most 1000. */
unsigned alloc_fail_each(alloc_step_fn *step, void *ctx);

#endif
