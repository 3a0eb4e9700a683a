/* SPDX-License-Identifier: PostgreSQL */
/*
 * finai-backend: the API of the sample application. Arguments only; everything
 * else comes from the environment (options.def).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/app.h"
#include "backend/journal.h"
#include "backend/migrate.h"
#include "backend/options.h"
#include "pgweir/version.h"

enum { EXIT_USAGE = 2, WHY_MAX = 256 };

static int usage(FILE *out)
{
	fputs("usage: finai-backend            serve, until SIGTERM\n"
	      "       finai-backend migrate    bring the schema up to date\n"
	      "       finai-backend --options  every option, from the environment\n"
	      "       finai-backend --version\n",
	      out);
	return out == stdout ? EXIT_SUCCESS : EXIT_USAGE;
}

static int with_options(int (*run)(const struct options *options))
{
	struct options options;
	char why[WHY_MAX];

	if (options_load(&options, environ, why, sizeof why) < 0) {
		journal(JOURNAL_ERROR, "bad_option", "{s:s}", "reason", why);
		return EXIT_USAGE;
	}
	if (journal_set_level(options.log_level) < 0) {
		journal(JOURNAL_ERROR, "bad_option", "{s:s}", "reason",
		        "FINAI_LOG_LEVEL is error, warn, info or debug");
		return EXIT_USAGE;
	}
	return run(&options);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (argc > 2)
		return usage(stderr);
	if (argc == 1)
		return with_options(app_run);
	if (strcmp(what, "migrate") == 0)
		return with_options(migrate_run);
	if (strcmp(what, "--version") == 0) {
		puts("finai-backend " PGWEIR_VERSION);
		return EXIT_SUCCESS;
	}
	if (strcmp(what, "--options") == 0) {
		options_print(stdout);
		return EXIT_SUCCESS;
	}
	return usage(strcmp(what, "--help") == 0 ? stdout : stderr);
}
