/* SPDX-License-Identifier: PostgreSQL */
/* What a server has under the clients' own names. */
#include "pool/plain_names.h"

#include <criterion/criterion.h>

static struct plain_names p;

static void set_up(void)
{
	plain_names_init(&p);
}

static void tear_down(void)
{
	plain_names_fini(&p);
}

TestSuite(plain_names, .init = set_up, .fini = tear_down);

static uint64_t id(const char *name)
{
	return plain_names_id(&p, slice_str(name));
}

static void set(const char *name, uint64_t value)
{
	plain_names_set(&p, slice_str(name), value);
}

Test(plain_names, a_name_stands_for_one_statement)
{
	cr_assert_eq(id("a"), PLAIN_NONE);
	set("a", 7);
	set("b", 8);
	cr_assert_eq(id("a"), 7);
	set("a", 9);
	cr_assert_eq(id("a"), 9);
	set("a", PLAIN_NONE);
	cr_assert_eq(id("a"), PLAIN_NONE);
	set("never", PLAIN_NONE);
	cr_assert_eq(plain_names_count(&p), 1);
}

Test(plain_names, doubt_is_about_all_that_are_there)
{
	set("a", 7);
	plain_names_doubt_all(&p);
	cr_assert_eq(id("a"), PLAIN_UNKNOWN);
	cr_assert_eq(id("b"), PLAIN_NONE);
	set("a", 7);
	cr_assert_eq(id("a"), 7);
}

Test(plain_names, the_least_recently_used_is_in_excess)
{
	set("a", 1);
	set("b", 2);
	set("c", 3);
	cr_assert_null(plain_names_excess(&p, 3).ptr);
	cr_assert_eq(id("a"), 1); /* used */
	cr_assert(slice_is(plain_names_excess(&p, 2), "b"));
	set("b", PLAIN_NONE);
	cr_assert_null(plain_names_excess(&p, 2).ptr);
	plain_names_clear(&p);
	cr_assert_eq(plain_names_count(&p), 0);
}
