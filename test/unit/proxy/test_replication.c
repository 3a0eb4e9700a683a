/* SPDX-License-Identifier: PostgreSQL */
/* What `replication` in a start-up message asks for; which entry a nameless one is of. */
#include "proxy/replication.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

static const char *mode(const char *value)
{
	char packet[256];
	struct startup s = { .kind = STARTUP_SESSION };
	enum replication_mode out;
	int len = snprintf(packet, sizeof packet, "user%capp%creplication%c%s", 0, 0, 0, value) + 1;

	s.params = slice_of(packet, (size_t)len);
	return replication_mode_of(&s, &out) ? replication_text(out) : "refused";
}

Test(replication, value_as_postgresql_reads_it)
{
	static const char *const table[][2] = {
		{ "true", "physical" }, { "TRUE", "physical" }, { "t", "physical" },
		{ "tru", "physical" }, { "yes", "physical" }, { "y", "physical" },
		{ "on", "physical" }, { "1", "physical" }, { "false", "none" },
		{ "f", "none" }, { "n", "none" }, { "no", "none" },
		{ "off", "none" }, { "of", "none" }, { "0", "none" },
		{ "database", "logical" }, { "o", "refused" }, { "", "refused" },
		{ "Database", "refused" }, { "trues", "refused" }, { "2", "refused" },
		{ "data", "refused" }, { "10", "refused" },
	};

	for (size_t i = 0; i < WEIR_COUNTOF(table); i++)
		cr_assert_str_eq(mode(table[i][0]), table[i][1], "%s", table[i][0]);
}

Test(replication, none_without_the_parameter)
{
	struct startup s = { .kind = STARTUP_SESSION, .params = slice_of("user\0app", 9) };
	enum replication_mode out = REPLICATION_LOGICAL;

	cr_assert(replication_mode_of(&s, &out));
	cr_assert_eq(out, REPLICATION_NONE);
}

Test(replication, nameless_is_the_first_entry_of_the_only_cluster)
{
	struct config_cluster one = { 0 }, two = { 0 };
	struct config_database databases[] = { { .name = "a", .cluster = &one },
		                                   { .name = "b", .cluster = &one },
		                                   { .name = "c", .cluster = &two } };
	struct config cfg = { .databases = databases };

	cr_assert_null(replication_entry(&cfg));
	cfg.database_count = 1;
	cr_assert_str_eq(replication_entry(&cfg), "a");
	cfg.database_count = 2;
	cr_assert_str_eq(replication_entry(&cfg), "a");
	cfg.database_count = 3;
	cr_assert_null(replication_entry(&cfg));
}
