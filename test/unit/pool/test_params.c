/* SPDX-License-Identifier: PostgreSQL */
/* Reported parameters: immutable, replaced in place, bounded. */
#include "pool/params.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

static void change(struct params **p, const char *name, const char *value)
{
	struct params *changed = params_with(*p, slice_str(name), slice_str(value));

	cr_assert_not_null(changed);
	params_put(p);
	*p = changed;
}

Test(params, a_change_keeps_the_place_and_the_old_set)
{
	struct params *p = params_empty(), *before;

	change(&p, "server_version", "15.4");
	change(&p, "TimeZone", "UTC");
	before = params_get(p);
	change(&p, "server_version", "15.10 (a longer one)");
	cr_assert_eq(params_count(p), 2);
	cr_assert(slice_is(params_name(p, 0), "server_version"));
	cr_assert(slice_is(params_value(p, 0), "15.10 (a longer one)"));
	cr_assert(slice_is(params_find(p, slice_str("TimeZone")), "UTC"));
	cr_assert(slice_is(params_find(before, slice_str("server_version")), "15.4"));
	cr_assert_null(params_find(p, slice_str("timezone")).ptr);
	params_put(&before);
	params_put(&p);
	cr_assert_null(p);
}

Test(params, equal_are_those_with_the_same_values)
{
	struct params *a = params_empty(), *b = params_empty();

	cr_assert(params_equal(a, b));
	change(&a, "TimeZone", "UTC");
	cr_assert_not(params_equal(a, b));
	change(&b, "TimeZone", "UTX");
	cr_assert_not(params_equal(a, b));
	change(&b, "TimeZone", "UTC");
	cr_assert(params_equal(a, b));
	cr_assert_not(params_equal(a, NULL));
	params_put(&a);
	params_put(&b);
}

Test(params, all_are_reported_by_messages_at_hand)
{
	static const char first[] = "S\0\0\0\21TimeZone\0UTC";
	static const char both[] = "S\0\0\0\22TimeZone\0CEST\0S\0\0\0\10is\0";
	struct params *p = params_empty();

	cr_assert_eq(params_messages(p).len, 0);
	change(&p, "TimeZone", "UTC");
	cr_assert(slice_equal(params_messages(p), slice_of(first, sizeof(first))));
	change(&p, "TimeZone", "CEST");
	change(&p, "is", "");
	cr_assert(slice_equal(params_messages(p), slice_of(both, sizeof(both))));
	params_put(&p);
}

Test(params, an_empty_value_is_a_value)
{
	struct params *p = params_empty();

	change(&p, "application_name", "");
	cr_assert_not_null(params_find(p, slice_str("application_name")).ptr);
	cr_assert_eq(params_find(p, slice_str("application_name")).len, 0);
	params_put(&p);
}

Test(params, number_and_text_are_bounded)
{
	static char text[PARAMS_TEXT_MAX];
	struct params *p = params_empty();
	char name[16];

	for (int i = 0; i < PARAMS_MAX; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		change(&p, name, "x");
	}
	cr_assert_null(params_with(p, slice_str("more"), slice_str("x")));
	change(&p, "p3", "y");
	memset(text, 't', sizeof(text) - 1);
	cr_assert_null(params_with(p, slice_str("p4"), slice_str(text)));
	cr_assert_eq(params_count(p), PARAMS_MAX);
	params_put(&p);
}

Test(params, nothing_is_an_empty_set_too)
{
	struct params *none = NULL;

	cr_assert_eq(params_count(none), 0);
	cr_assert_null(params_find(none, slice_str("x")).ptr);
	cr_assert_eq(params_messages(none).len, 0);
	cr_assert_null(params_get(none));
	params_put(&none);
}
