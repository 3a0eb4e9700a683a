/* SPDX-License-Identifier: PostgreSQL */
/* What makes two descriptions different, and what doesn't. */
#include "pool/description.h"

#include <criterion/criterion.h>

#define BYTES(text) slice_of(text, sizeof(text) - 1)

/* One column: name, table, number in it, type, length, modifier, format. */
#define COLUMN(name, table, type, modifier, format)                                    \
	name "\0\0\0\0" table "\0" table "\0\0\0" type "\0\4\377\377\377" modifier "\0" format

static uint64_t columns(struct slice body)
{
	uint64_t hash = description_of_columns(body);

	cr_assert_neq(hash, 0);
	cr_assert_eq(hash, description_of_columns(body));
	return hash;
}

Test(description, name_type_and_modifier_count)
{
	uint64_t one = columns(BYTES("\0\1" COLUMN("a", "\1", "\27", "\377", "\0")));

	cr_assert_neq(one, columns(BYTES("\0\1" COLUMN("b", "\1", "\27", "\377", "\0"))));
	cr_assert_neq(one, columns(BYTES("\0\1" COLUMN("a", "\1", "\31", "\377", "\0"))));
	cr_assert_neq(one, columns(BYTES("\0\1" COLUMN("a", "\1", "\27", "\3", "\0"))));
	cr_assert_neq(one, columns(BYTES("\0\2" COLUMN("a", "\1", "\27", "\377", "\0")
					 COLUMN("a", "\1", "\27", "\377", "\0"))));
}

Test(description, table_and_format_do_not)
{
	uint64_t one = columns(BYTES("\0\1" COLUMN("a", "\1", "\27", "\377", "\0")));

	cr_assert_eq(one, columns(BYTES("\0\1" COLUMN("a", "\2", "\27", "\377", "\0"))));
	cr_assert_eq(one, columns(BYTES("\0\1" COLUMN("a", "\1", "\27", "\377", "\1"))));
}

Test(description, no_data_is_not_no_columns)
{
	cr_assert_neq(description_of_no_data(), 0);
	cr_assert_neq(description_of_no_data(), columns(BYTES("\0\0")));
}

Test(description, malformed_ones_count_by_their_bytes)
{
	cr_assert_neq(columns(BYTES("")), columns(BYTES("\0\0")));
	cr_assert_neq(columns(BYTES("\377\377a")), columns(BYTES("\377\377b")));
	cr_assert_neq(columns(BYTES("\0\0x")), columns(BYTES("\0\0y")));
	cr_assert_neq(description_of_length(70000), description_of_length(70001));
}

Test(description, parameters_count_if_they_were_told)
{
	struct description told = { .columns = 7 };
	struct description has = { .columns = 7, .parameters = description_of_parameters(
							BYTES("\0\1\0\0\0\27")) };

	cr_assert(description_fits(&told, &has));
	cr_assert_not(description_fits(&has, &told));
	told.parameters = description_of_parameters(BYTES("\0\1\0\0\0\31"));
	cr_assert_not(description_fits(&told, &has));
	description_learn(&told, &has);
	cr_assert(description_fits(&told, &has));
	description_learn(&told, &(struct description){ .columns = 8 });
	cr_assert(told.columns == 8 && told.parameters == has.parameters);
}
