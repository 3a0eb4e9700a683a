/* SPDX-License-Identifier: PostgreSQL */
/* Readiness: from the first answer of the database to the grace behind its last; not in a drain. */
#include "backend/health.h"

#include <criterion/criterion.h>

Test(health, from_the_first_answer_to_the_end_of_the_grace)
{
	struct health h = { .grace_us = 100 };

	cr_assert(health_problem(&h, 1000));
	health_answered(&h, 1000);
	cr_assert_null(health_problem(&h, 1000));
	cr_assert_null(health_problem(&h, 1100));
	cr_assert(health_problem(&h, 1101));
	health_answered(&h, 1200);
	cr_assert_null(health_problem(&h, 1201));
	h.is_draining = true;
	cr_assert_str_eq(health_problem(&h, 1201), "draining");
}
