/* SPDX-License-Identifier: PostgreSQL */
/*
 * Files: %include, its section and its line numbers, quoted names.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "config/config.h"

static void write_file(char *path, const char *text)
{
	int fd = mkstemp(path);
	FILE *file;

	cr_assert(fd >= 0);
	file = fdopen(fd, "w");
	fputs(text, file);
	fclose(file);
}

Test(reader, the_section_of_an_included_file_goes_on)
{
	char inner[] = "/tmp/weir-test-XXXXXX", outer[] = "/tmp/weir-test-XXXXXX", text[200];
	struct config_error err;
	struct config *cfg;

	write_file(inner, "b = host=h\n[pgweir]\nworkers = 3\n");
	snprintf(text, sizeof(text), "[databases]\na = host=h\n%%include %s\npidfile = p\n", inner);
	write_file(outer, text);
	cfg = config_load(outer, &err);
	unlink(inner);
	unlink(outer);
	cr_assert_not_null(cfg, "%s", err.message);
	cr_expect_eq(cfg->global.workers, 3);
	cr_expect_str_eq(cfg->global.pidfile, "p");
	cr_expect_eq(cfg->database_count, 2);
	cr_expect_str_eq(cfg->path, outer);
	config_put(&cfg);
}

/* Files that each include the next one; the last has the database. */
static struct config *load_chain(int includes, struct config_error *err)
{
	char folder[] = "/tmp/weir-test-XXXXXX", path[64], text[100];
	struct config *cfg;

	cr_assert_not_null(mkdtemp(folder));
	for (int i = 0; i <= includes; i++) {
		FILE *file;

		snprintf(path, sizeof(path), "%s/%d", folder, i);
		snprintf(text, sizeof(text), "%%include %s/%d\n", folder, i + 1);
		file = fopen(path, "w");
		cr_assert_not_null(file);
		fputs(i < includes ? text : "[databases]\na = host=h\n", file);
		fclose(file);
	}
	snprintf(path, sizeof(path), "%s/0", folder);
	cfg = config_load(path, err);
	for (int i = 0; i <= includes; i++) {
		snprintf(path, sizeof(path), "%s/%d", folder, i);
		unlink(path);
	}
	rmdir(folder);
	return cfg;
}

Test(reader, ten_includes_deep)
{
	struct config_error err;
	struct config *cfg = load_chain(10, &err);

	cr_assert_not_null(cfg, "%s", err.message);
	cr_expect_eq(cfg->database_count, 1);
	config_put(&cfg);
	cr_expect_null(load_chain(11, &err));
	cr_expect_str_eq(err.message, "files are included too deeply");
}

Test(reader, errors_name_the_included_file)
{
	char inner[] = "/tmp/weir-test-XXXXXX", outer[] = "/tmp/weir-test-XXXXXX", text[200];
	struct config_error err;

	write_file(inner, "[pgweir]\n\nworker = 3\n");
	snprintf(text, sizeof(text), "%%include %s\n", inner);
	write_file(outer, text);
	cr_expect_null(config_load(outer, &err));
	unlink(inner);
	unlink(outer);
	cr_expect_str_eq(err.file, inner);
	cr_expect_eq(err.line, 3);
	cr_expect_str_eq(err.option, "worker");
}

Test(reader, endless_include_is_refused)
{
	char path[] = "/tmp/weir-test-XXXXXX", text[100];
	struct config_error err;
	FILE *file;

	write_file(path, "");
	snprintf(text, sizeof(text), "%%include %s\n", path);
	file = fopen(path, "w");
	fputs(text, file);
	fclose(file);
	cr_expect_null(config_load(path, &err));
	unlink(path);
	cr_expect_str_eq(err.message, "files are included too deeply");
}

Test(reader, missing_file)
{
	struct config_error err;
	char text[600];

	cr_expect_null(config_load("/nonexistent/pgweir.ini", &err));
	config_error_text(&err, text, sizeof(text));
	cr_expect_str_eq(text, "can't open \"/nonexistent/pgweir.ini\": No such file or directory");
}

Test(reader, quoted_names)
{
	struct config_error err;
	struct config *cfg =
		config_load_text("[databases]\n\"my db\" = host=h\n\"a\"\"b\"= host=h\n"
	                     "'c = d:e' =host=h\n  'f''g' = host=h dbname='x=y' \n", &err);

	cr_assert_not_null(cfg);
	cr_expect_not_null(config_database_find(cfg, slice_str("my db")));
	cr_expect_not_null(config_database_find(cfg, slice_str("a\"b")));
	cr_expect_not_null(config_database_find(cfg, slice_str("c = d:e")));
	cr_expect_str_eq(config_database_find(cfg, slice_str("f'g"))->dbname, "x=y");
	config_put(&cfg);
}

Test(reader, broken_quoted_names)
{
	static const char *const texts[] = { "[databases]\n\"a = host=h\n", "[databases]\n'a' host=h\n",
		                                 "[databases]\n'' = host=h\n" };
	struct config_error err;

	for (size_t i = 0; i < WEIR_COUNTOF(texts); i++) {
		cr_expect_null(config_load_text(texts[i], &err), "%s", texts[i]);
		cr_expect_eq(err.line, 2);
	}
	cr_expect_null(config_load_text("'a' = host=h\n", &err));
	cr_expect_str_eq(err.message, "stands before the first [section]");
}

Test(reader, too_long_a_line_is_refused)
{
	static char text[70000];
	struct config_error err;

	memset(text, 'x', sizeof(text) - 1);
	memcpy(text, "[pgweir]\nlogfile = ", 19);
	cr_expect_null(config_load_text(text, &err));
	cr_expect_str_eq(err.message, "the line is too long");
	cr_expect_eq(err.line, 2);
}

static struct config *load_text(const char *text)
{
	struct config_error err;
	struct config *cfg = config_load_text(text, &err);

	cr_assert_not_null(cfg, "%s: line %u: %s", text, err.line, err.message);
	return cfg;
}

Test(reader, what_stands_behind_a_section_is_read)
{
	struct config *cfg = load_text("[pgweir] workers = 3\n"
	                               "[databases] ; a comment\n"
	                               "  [databases]\ta = host=h\nb = host=h\n"
	                               "[users] [pgweir] pidfile = p\n");

	cr_expect_eq(cfg->global.workers, 3);
	cr_expect_str_eq(cfg->global.pidfile, "p");
	cr_expect_eq(cfg->database_count, 2);
	config_put(&cfg);
}

Test(reader, an_include_may_be_indented_or_behind_a_section)
{
	char inner[] = "/tmp/weir-test-XXXXXX", text[200];
	struct config *cfg;

	write_file(inner, "workers = 3\n");
	snprintf(text, sizeof(text), "[users]\n[pgweir] \t%%include  %s \npidfile = p\n", inner);
	cfg = load_text(text);
	cr_expect_eq(cfg->global.workers, 3);
	cr_expect_str_eq(cfg->global.pidfile, "p");
	config_put(&cfg);
	unlink(inner);
}

Test(reader, broken_sections)
{
	static const char *const rows[][2] = {
		{ "[pgweir]\n[users\n", "a section's name has no ]" },
		{ "[pgweir] junk\n", "neither name = value nor [section]" },
		{ "[database]\n", "unknown section" },
		{ "[ users ]\n", "unknown section" },
	};

	for (size_t i = 0; i < WEIR_COUNTOF(rows); i++) {
		struct config_error err;

		cr_expect_null(config_load_text(rows[i][0], &err), "%s", rows[i][0]);
		cr_expect_str_eq(err.message, rows[i][1], "%s", rows[i][0]);
	}
}
