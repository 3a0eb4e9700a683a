/* SPDX-License-Identifier: PostgreSQL */
/*
 * Files: %include, its section and its line numbers, quoted names.
 */
#include <criterion/criterion.h>
#include <stdio.h>
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

Test(reader, include_keeps_the_section)
{
	char inner[] = "/tmp/weir-test-XXXXXX", outer[] = "/tmp/weir-test-XXXXXX", text[200];
	struct config_error err;
	struct config *cfg;

	write_file(inner, "[pgweir]\nworkers = 3\n");
	snprintf(text, sizeof(text), "[databases]\na = host=h\n%%include %s\nb = host=h\n", inner);
	write_file(outer, text);
	cfg = config_load(outer, &err);
	unlink(inner);
	unlink(outer);
	cr_assert_not_null(cfg, "%s", err.message);
	cr_expect_eq(cfg->global.workers, 3);
	cr_expect_eq(cfg->database_count, 2);
	cr_expect_str_eq(cfg->path, outer);
	config_put(&cfg);
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
		config_load_text("[databases]\n\"my db\" = host=h\n\"a\"\"b\"= host=h\n", &err);

	cr_assert_not_null(cfg);
	cr_expect_not_null(config_database_find(cfg, slice_str("my db")));
	cr_expect_not_null(config_database_find(cfg, slice_str("a\"b")));
	config_put(&cfg);
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
