/* SPDX-License-Identifier: PostgreSQL */
/*
 * Allocation. The plain calls never return NULL: running out of memory for a
 * small object ends the process with a clear line. Where a peer chooses the
 * size, use the *_try calls, which return NULL and count. Any thread.
 */
#ifndef WEIR_BASE_MEM_H
#define WEIR_BASE_MEM_H

#include <stddef.h>

#include "base/assert.h"
#include "base/slice.h"

void *mem_alloc(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_zalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_realloc(void *ptr, size_t size) __attribute__((returns_nonnull));
char *mem_strdup(const char *text) __attribute__((malloc, returns_nonnull));
char *mem_slicedup(struct slice s) __attribute__((malloc, returns_nonnull)); /* NUL added */
void *mem_try_alloc(size_t size) WEIR_MUST_CHECK;
void *mem_try_realloc(void *ptr, size_t size) WEIR_MUST_CHECK;
void mem_free(void *ptr);
void mem_wipe(void *ptr, size_t size); /* not optimised away; for secrets */

/* Gives whole pages that are free back to the system; looks at all of the heap. */
void mem_trim(void);

/* Tests only: the n-th *_try call from now fails; 0 turns it off. */
void mem_fail_after(unsigned n);

#endif
