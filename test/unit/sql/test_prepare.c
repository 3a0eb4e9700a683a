/* SPDX-License-Identifier: PostgreSQL */
/* The query inside a PREPARE. */
#include "sql/prepare.h"

#include <criterion/criterion.h>

#define EXPECT(text, body)                                                                       \
	cr_assert(slice_is(prepare_body(slice_str(text)), body), "%s", text)

Test(prepare, the_query_stands_behind_as)
{
	EXPECT("PREPARE q AS SELECT 1", " SELECT 1");
	EXPECT("/* c */ prepare q(int, numeric(5, 2)) as\nselect $1", "\nselect $1");
	EXPECT("PREPARE \"as\" AS SELECT 1 AS one", " SELECT 1 AS one");
	EXPECT("PREPARE q (\"as\") AS VALUES (1)", " VALUES (1)");
}

Test(prepare, anything_else_has_none)
{
	EXPECT("", "");
	EXPECT("SELECT 1 AS x", "");
	EXPECT("PREPARE", "");
	EXPECT("PREPARE TRANSACTION 'x'", "");
	EXPECT("PREPARE q (int", "");
}
