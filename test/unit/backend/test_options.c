/* SPDX-License-Identifier: PostgreSQL */
/* Options from an environment: defaults, values, and what is refused with its reason. */
#include "backend/options.h"

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

enum { WHY_MAX = 256 };

static int load(struct options *o, const char *const *environment, char why[WHY_MAX])
{
	return options_load(o, (char *const *)environment, why, WHY_MAX);
}

static const char *refused(const char *entry)
{
	static char why[WHY_MAX];
	const char *const environment[] = { "DATABASE_URL=postgresql://x", entry, NULL };
	struct options o;

	why[0] = '\0';
	return load(&o, environment, why) < 0 ? why : NULL;
}

Test(options, defaults_and_values)
{
	const char *const environment[] = { "PATH=/bin", "DATABASE_URL=postgresql://x",
		                                "FINAI_RETRY_MAX=0", "FINAI_LISTEN=[::1]:80", NULL };
	struct options o;
	char why[WHY_MAX];

	cr_assert_eq(load(&o, environment, why), 0);
	cr_assert_str_eq(o.database_url, "postgresql://x");
	cr_assert_str_eq(o.listen, "[::1]:80");
	cr_assert_str_eq(o.sql_dir, "/usr/share/finai/sql");
	cr_assert_eq(o.retry_max, 0);
	cr_assert_eq(o.db_pool_size, 8);
	cr_assert_eq(o.ready_grace_ms, 60000);
}

Test(options, what_is_refused)
{
	static const struct {
		const char *entry, *in_reason;
	} table[] = {
		{ "FINAI_RETRY_MAX=21", "0 to 20" },
		{ "FINAI_RETRY_MAX=-1", "FINAI_RETRY_MAX" },
		{ "FINAI_RETRY_MAX=", "0 to 20" },
		{ "FINAI_RETRY_MAX=5s", "0 to 20" },
		{ "FINAI_RETRY_MAX= 5", "0 to 20" },
		{ "FINAI_RETRY_MAX=99999999999999999999", "20" },
		{ "FINAI_DB_POOL_SIZE=0", "1 to 256" },
		{ "FINAI_RETRYMAX=1", "FINAI_RETRYMAX is no option" },
		{ "FINAI_=1", "FINAI_ is no option" },
	};

	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		const char *why = refused(table[i].entry);

		cr_assert(why, "%s was taken", table[i].entry);
		cr_assert(strstr(why, table[i].in_reason), "%s: %s", table[i].entry, why);
	}
	cr_assert_null(refused("FINAX_RETRY=1"));
}

Test(options, the_address_is_required)
{
	const char *const environment[] = { "FINAI_RETRY_MAX=1", NULL };
	char why[WHY_MAX];
	struct options o;

	cr_assert_lt(load(&o, environment, why), 0);
	cr_assert(strstr(why, "DATABASE_URL"), "%s", why);
}

Test(options, the_printed_table_has_every_row_once)
{
	static const char *const names[] = {
#define TEXT(field, name, value, text) name,
#define NUMBER(field, name, value, least, most, text) name,
#include "backend/options.def"
#undef TEXT
#undef NUMBER
	};
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	options_print(out);
	fclose(out);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		const char *first = strstr(text, names[i]);

		cr_assert(first, "%s isn't there", names[i]);
		cr_assert_null(strstr(first + 1, names[i]), "%s is there twice", names[i]);
	}
	free(text);
}
