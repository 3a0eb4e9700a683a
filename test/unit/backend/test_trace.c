/* SPDX-License-Identifier: PostgreSQL */
/* traceparent by the rules of Trace Context, and the comment made of it. */
#include "backend/trace.h"

#include <criterion/criterion.h>

#include <string.h>

#define IDS "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"

Test(trace, good_ones)
{
	struct trace t;

	cr_assert(trace_parse(&t, "00-" IDS "-01"));
	cr_assert(t.is_sampled);
	cr_assert_str_eq(t.text, "00-" IDS "-01");
	cr_assert(trace_parse(&t, "00-" IDS "-00"));
	cr_assert_not(t.is_sampled);
	cr_assert(trace_parse(&t, "00-" IDS "-fe"));
	cr_assert_not(t.is_sampled);
	cr_assert(trace_parse(&t, "cc-" IDS "-01-what the future adds"));
	cr_assert_str_eq(t.text, "cc-" IDS "-01");
}

Test(trace, bad_ones_leave_nothing)
{
	static const char *const bad[] = {
		NULL,
		"",
		"00-" IDS,
		"ff-" IDS "-01",
		"00-" IDS "-01-more",
		"cc-" IDS "-01more",
		"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
		"00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
		"0g-" IDS "-01",
		"00-" IDS "-0'",
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct trace t;
		char comment[TRACE_COMMENT_MAX];

		cr_assert_not(trace_parse(&t, bad[i]), "%s was taken", bad[i] ? bad[i] : "NULL");
		cr_assert_str_empty(t.text);
		trace_comment(&t, comment);
		cr_assert_str_empty(comment);
	}
}

Test(trace, only_the_sampled_are_in_a_comment)
{
	char comment[TRACE_COMMENT_MAX];
	struct trace t;

	cr_assert(trace_parse(&t, "00-" IDS "-01"));
	trace_comment(&t, comment);
	cr_assert_str_eq(comment, " /*traceparent='00-" IDS "-01'*/");
	cr_assert(trace_parse(&t, "00-" IDS "-00"));
	trace_comment(&t, comment);
	cr_assert_str_empty(comment);
}
