/* SPDX-License-Identifier: PostgreSQL */
/*
 * Allocation in two kinds. Small objects whose size pgweir chooses: running out
 * ends the process with one line, since no caller could go on. Sizes that a
 * peer chooses: the _try calls give NULL, and tests make the n-th of them fail
 * to walk every such path. Any thread.
 */
#include "base/mem.h"

#include "base/log.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Countdown to the failing _try call; 0: off. Only tests set it. */
static atomic_uint fail_countdown;

static _Noreturn void die_of_memory(size_t size)
{
	log_error("out_of_memory", "size_bytes=%zu", size);
	abort();
}

static bool is_made_to_fail(void)
{
	if (atomic_load_explicit(&fail_countdown, memory_order_relaxed) == 0)
		return false;
	return atomic_fetch_sub(&fail_countdown, 1) == 1;
}

void *mem_alloc(size_t size)
{
	void *p = malloc(size ? size : 1);

	if (!p)
		die_of_memory(size);
	return p;
}

void *mem_zalloc(size_t size)
{
	void *p = calloc(1, size ? size : 1);

	if (!p)
		die_of_memory(size);
	return p;
}

void *mem_realloc(void *ptr, size_t size)
{
	void *p = realloc(ptr, size ? size : 1);

	if (!p)
		die_of_memory(size);
	return p;
}

char *mem_strdup(const char *text)
{
	return mem_slicedup(slice_str(text));
}

char *mem_slicedup(struct slice s)
{
	char *p = mem_alloc(s.len + 1);

	if (s.len)
		memcpy(p, s.ptr, s.len);
	p[s.len] = '\0';
	return p;
}

void *mem_try_alloc(size_t size)
{
	if (is_made_to_fail())
		return NULL;
	return malloc(size ? size : 1);
}

void *mem_try_realloc(void *ptr, size_t size)
{
	if (is_made_to_fail())
		return NULL;
	return realloc(ptr, size ? size : 1);
}

void mem_free(void *ptr)
{
	free(ptr);
}

void mem_wipe(void *ptr, size_t size)
{
	if (size)
		explicit_bzero(ptr, size);
}

void mem_trim(void)
{
	/*
	 * A sanitizer has a heap of its own. glibc's, never used there, would be set up by this
	 * call: by two threads at once, perhaps, and the process aborted when the second ends.
	 */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	malloc_trim(0);
#endif
}

void mem_fail_after(unsigned n)
{
	atomic_store(&fail_countdown, n);
}
