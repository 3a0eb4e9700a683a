/* SPDX-License-Identifier: PostgreSQL */
/*
 * The table of texts, test/integration/routes.tsv: class and details of every
 * row, and that a text made from the shape has the same analysis.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "sql/analyse.h"
#include "unit/sql/describe.h"
#include "unit/sql/rebuild.h"

enum { COLUMNS = 5, ROWS_MIN = 370 };

struct row {
	char *column[COLUMNS]; /* class, route, how, details, sql */
};

/* Cuts the line in place; false: not a row. */
static bool row_cut(struct row *row, char *line)
{
	line[strcspn(line, "\n")] = '\0';
	if (*line == '#')
		return false;
	for (int i = 0; i < COLUMNS; i++) {
		row->column[i] = line;
		if (i == COLUMNS - 1)
			break;
		line = strchr(line, '\t');
		cr_assert_not_null(line, "columns are missing");
		*line++ = '\0';
	}
	return true;
}

static size_t for_each_row(void (*check)(const struct row *row))
{
	FILE *file = fopen(TEST_SRCDIR "/test/integration/routes.tsv", "r");
	char *line = NULL;
	size_t cap = 0, count = 0;
	struct row row;

	cr_assert_not_null(file);
	while (getline(&line, &cap, file) > 0) {
		if (!row_cut(&row, line))
			continue;
		check(&row);
		count++;
	}
	free(line);
	fclose(file);
	return count;
}

static void check_details(const struct row *row)
{
	const char *got = describe_text(row->column[4]);
	size_t len = strlen(row->column[0]);

	cr_expect(strncmp(got, row->column[0], len) == 0 && got[len] == ' ' &&
	              strcmp(got + len + 1, row->column[3]) == 0,
	          "%s\n  got  %s\n  want %s %s", row->column[4], got, row->column[0], row->column[3]);
}

Test(routes, every_text_is_judged_as_the_table_says)
{
	cr_expect_geq(for_each_row(check_details), ROWS_MIN);
}

static bool is_in(const char *word, const char *const *list)
{
	for (; *list; list++)
		if (strcmp(word, *list) == 0)
			return true;
	return false;
}

static void check_words(const struct row *row)
{
	static const char *const routes[] = { "replica", "primary", "any", "txn", NULL };
	static const char *const hows[] = { "run", "in-txn", "copy", "classify-only", NULL };

	cr_expect(is_in(row->column[1], routes), "%s", row->column[4]);
	cr_expect(is_in(row->column[2], hows), "%s", row->column[4]);
	/* A write never leaves the primary, whatever the catalog knows. */
	if (strcmp(row->column[0], "write") == 0)
		cr_expect_str_eq(row->column[1], "primary", "%s", row->column[4]);
}

Test(routes, routes_agree_with_classes)
{
	for_each_row(check_words);
}

static bool is_shared(const char *sql)
{
	struct slice text = slice_str(sql);
	char *out = mem_alloc(shape_bound(text.len));
	struct analysed result;
	struct arena arena;
	struct shape shape;

	arena_init(&arena, 4096);
	shape_make(&shape, text, out);
	result = analyse_text(&arena, text, &shape);
	statement_put(&result.statement);
	arena_fini(&arena);
	mem_free(out);
	return result.is_shared;
}

static void check_rebuilt(const struct row *row)
{
	const char *sql = row->column[4];
	char *before;
	struct buf b;

	if (!is_shared(sql) || strstr(sql, "pgweir:"))
		return;
	before = mem_strdup(describe_text(sql));
	buf_init(&b, 65536);
	rebuild_text(&b, slice_str(sql));
	buf_append_u8(&b, 0);
	cr_expect_str_eq(describe_text(b.data), before, "%s became %s", sql, b.data);
	buf_fini(&b);
	mem_free(before);
}

Test(routes, texts_of_one_shape_have_one_analysis)
{
	for_each_row(check_rebuilt);
}
