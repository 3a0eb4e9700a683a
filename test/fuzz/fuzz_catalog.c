/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a server tells of its catalogs: lines of a digit, which is the query that the row
 * answers, and the row's texts behind tabs. Whatever it tells, looking up ends, what
 * is known has an oid, and tables are in order and there once.
 */
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tier/catalog_sql.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 4096, ROWS_MAX = 256, COLUMNS_MAX = 8 };

struct pg_rows { /* one of them */
	int count;
	const char *texts[COLUMNS_MAX];
};

int pg_rows_count(const struct pg_rows *rows)
{
	(void)rows;
	return 1;
}

const char *pg_rows_text(const struct pg_rows *rows, int row, int column)
{
	return row == 0 && column < rows->count ? rows->texts[column] : NULL;
}

/* The next row and the query that it is of; false: none. */
static bool row_next(char **rest, struct pg_rows *row, size_t *query)
{
	char *line = strsep(rest, "\n");

	if (!line)
		return false;
	*query = (unsigned char)line[0] % catalog_query_count;
	line += line[0] != '\0';
	row->count = 0;
	while (line && row->count < COLUMNS_MAX)
		row->texts[row->count++] = strsep(&line, "\t");
	return true;
}

static void check_tables(const uint32_t *oids, uint32_t count)
{
	for (uint32_t i = 1; i < count; i++)
		WEIR_ASSERT(oids[i - 1] < oids[i]);
}

static void check_relation(const struct catalog_relation *r, const char *name)
{
	WEIR_ASSERT(r->oid != 0 && strcmp(r->name, name) == 0);
	check_tables(r->bases, r->base_count);
	check_tables(r->affected, r->affected_count);
}

static void check_names(const struct catalog *c, const char *schema, const char *name)
{
	bool several;
	const struct catalog_relation *exact = catalog_relation(c, schema, name, &several);
	const struct catalog_relation *any = catalog_relation(c, NULL, name, &several), *r;
	enum catalog_volatility volatility = catalog_function(c, schema, name);
	uint32_t session = catalog_function_session(c, schema, name);
	size_t n = 0;

	WEIR_ASSERT(!exact || any);
	if (exact)
		check_relation(exact, name);
	while ((r = catalog_relation_nth(c, name, n)) != NULL && ++n <= ROWS_MAX)
		check_relation(r, name);
	WEIR_ASSERT(n <= ROWS_MAX && several == (n > 1) && !any == (n == 0));
	/* Without schema: the worst, and all. */
	WEIR_ASSERT(volatility == CATALOG_FUNCTION_UNKNOWN ||
	            catalog_function(c, NULL, name) >= volatility);
	WEIR_ASSERT(!(session & ~catalog_function_session(c, NULL, name)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = mem_slicedup(slice_of(data, size < INPUT_MAX ? size : INPUT_MAX)), *rest = text;
	struct catalog_builder *b = catalog_builder_create();
	struct pg_rows rows[ROWS_MAX];
	struct catalog *c;
	size_t count = 0, query;

	for (; count < ROWS_MAX && row_next(&rest, &rows[count], &query); count++)
		catalog_queries[query].take(b, &rows[count]);
	c = catalog_builder_finish(&b);
	for (size_t i = 0; i < count; i++)
		if (rows[i].count > 2)
			check_names(c, rows[i].texts[1], rows[i].texts[2]);
	catalog_put(&c);
	mem_free(text);
	return 0;
}
