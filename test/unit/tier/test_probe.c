/* SPDX-License-Identifier: PostgreSQL */
/*
 * The texts of a probe's row.
 */
#include <criterion/criterion.h>

#include "tier/probe.h"

Test(probe, reads_role_position_and_timeline)
{
	struct probe_sample s = { .sent_us = 5 };

	cr_assert(probe_parse("f", "1/A0000028", "0000000B", &s));
	cr_assert(!s.in_recovery && s.lsn == 0x1A0000028ull && s.timeline == 11 && s.sent_us == 5);
	cr_assert(probe_parse("t", "FFFFFFFF/FFFFFFFF", "2", &s));
	cr_assert(s.in_recovery && s.lsn == UINT64_MAX && s.timeline == 2);
	cr_assert(probe_parse("t", "0/0", NULL, &s));
	cr_assert_eq(s.timeline, 0, "not known");
}

Test(probe, refuses_anything_else)
{
	struct probe_sample s;

	cr_assert_not(probe_parse(NULL, "0/1", "1", &s));
	cr_assert_not(probe_parse("", "0/1", "1", &s));
	cr_assert_not(probe_parse("x", "0/1", "1", &s));
	cr_assert_not(probe_parse("f", NULL, "1", &s));
	cr_assert_not(probe_parse("f", "17", "1", &s));
	cr_assert_not(probe_parse("f", "0/1 x", "1", &s));
	cr_assert_not(probe_parse("f", "0/1", "one", &s));
	cr_assert_not(probe_parse("f", "0/1", "", &s));
}
