/* SPDX-License-Identifier: PostgreSQL */
/* Allocation: what can fail fails on request, what can't never gives NULL. */
#include "base/mem.h"

#include <criterion/criterion.h>

#include <signal.h>

#include <string.h>

Test(mem, only_the_nth_try_fails)
{
	void *p[4];

	mem_fail_after(3);
	for (int i = 0; i < 4; i++)
		p[i] = mem_try_alloc(8);
	cr_assert(p[0] && p[1] && !p[2] && p[3]);
	for (int i = 0; i < 4; i++)
		mem_free(p[i]);
}

Test(mem, a_failed_realloc_keeps_the_old)
{
	char *p = mem_try_alloc(8), *q;

	cr_assert_not_null(p);
	memcpy(p, "content", 8);
	mem_fail_after(1);
	cr_assert_null(mem_try_realloc(p, 1000));
	cr_assert_str_eq(p, "content");
	q = mem_try_realloc(p, 1000);
	cr_assert_str_eq(q, "content");
	mem_free(q);
}

Test(mem, plain_calls_do_not_count)
{
	void *p;

	mem_fail_after(1);
	mem_free(mem_alloc(16));
	mem_free(mem_strdup("x"));
	p = mem_try_alloc(1);
	cr_assert_null(p);
}

Test(mem, no_size_is_a_size)
{
	mem_free(mem_alloc(0));
	mem_free(mem_zalloc(0));
	mem_free(mem_realloc(NULL, 0));
	mem_free(NULL);
}

Test(mem, copies_and_wipes)
{
	char *p = mem_slicedup(slice_of("secret and more", 6));

	cr_assert_str_eq(p, "secret");
	mem_wipe(p, 6);
	for (int i = 0; i < 6; i++)
		cr_assert_eq(p[i], 0);
	mem_wipe(NULL, 0);
	mem_free(p);
}

Test(mem, out_of_memory_ends_the_process, .signal = SIGABRT)
{
	mem_free(mem_alloc(((size_t)-1) / 4));
}
