/* SPDX-License-Identifier: PostgreSQL */
/*
 * Printed configurations: the sample ini is the generated one, what is printed
 * loads again, no secret is in it.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/print.h"

static char *printed(void (*print)(const struct config *, FILE *), const struct config *cfg)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	print(cfg, out);
	fclose(out);
	return text;
}

static void print_sample(const struct config *cfg, FILE *out)
{
	(void)cfg;
	config_print_sample(out);
}

static struct config *load(const char *text)
{
	struct config_error err;
	struct config *cfg = config_load_text(text, &err);

	cr_assert_not_null(cfg, "%s:%u: %s: %s", err.file, err.line, err.option, err.message);
	return cfg;
}

static const char full[] =
	"[pgweir]\nprobe_password = topsecret1\ncache_redis = redis://u:topsecret2@h:1\n"
	"auth_ldap_options = topsecret5\nadmin_users = root\n"
	"[clusters]\nm = patroni=http://x:1 password=topsecret3\n"
	"[databases]\n\"my db\" = cluster=m password='topsecret4 with blank' connect_query='select "
	"''x'''\n"
	"[users]\nu = pool_mode=session\n";

static void print_manual(const struct config *cfg, FILE *out)
{
	(void)cfg;
	config_print_manual(out);
}

static bool is_content_of(const char *path, const char *text)
{
	static char file[200000];
	FILE *in = fopen(path, "r");

	cr_assert_not_null(in);
	file[fread(file, 1, sizeof(file) - 1, in)] = '\0';
	fclose(in);
	return strcmp(text, file) == 0;
}

Test(print, sample_ini_is_generated)
{
	char *sample = printed(print_sample, NULL);

	cr_expect(is_content_of(TEST_SRCDIR "/etc/pgweir.ini", sample),
	          "run: pgweir --sample-config > etc/pgweir.ini");
	free(sample);
}

Test(print, manual_is_generated)
{
	char *manual = printed(print_manual, NULL);

	cr_expect(is_content_of(TEST_SRCDIR "/docs/pgweir.ini.5", manual),
	          "run: pgweir --print-manual > docs/pgweir.ini.5");
	free(manual);
}

Test(print, shipped_inis_load)
{
	static const char *const paths[] = { TEST_SRCDIR "/etc/pgweir.ini",
		                                 TEST_SRCDIR "/etc/minimal.ini" };

	for (size_t i = 0; i < WEIR_COUNTOF(paths); i++) {
		struct config_error err;
		struct config *cfg = config_load(paths[i], &err);

		cr_expect_not_null(cfg, "%s:%u: %s", err.file, err.line, err.message);
		cr_expect(cfg && cfg->note_count == 0);
		config_put(&cfg);
	}
}

Test(print, no_secret_is_printed)
{
	struct config *cfg = load(full);
	char *text = printed(config_print, cfg), *check = printed(config_print_check, cfg);

	cr_expect_null(strstr(text, "topsecret"), "%s", text);
	cr_expect_null(strstr(check, "topsecret"));
	cr_expect_not_null(strstr(text, "probe_password = ********\n"));
	cr_expect_not_null(strstr(text, "\"my db\" = cluster=m password=********"));
	free(text);
	free(check);
	config_put(&cfg);
}

Test(print, printed_loads_to_the_same)
{
	struct config *cfg = load(full);
	char *first = printed(config_print, cfg), *second;
	struct config *again = load(first);

	second = printed(config_print, again);
	cr_expect_str_eq(first, second);
	cr_expect_str_eq(config_database_find(again, slice_str("my db"))->connect_query, "select 'x'");
	free(first);
	free(second);
	config_put(&again);
	config_put(&cfg);
}

Test(print, check_says_what_there_is)
{
	struct config *cfg = load("[pgweir]\npkt_buf = 8192\n[databases]\na = host=h\n");
	char *text = printed(config_print_check, cfg);

	cr_expect_str_eq(text, "text:2: note: pkt_buf is accepted and has no effect: Idle "
	                       "connections own no buffer.\n: ok, 1 database, 1 cluster, 0 users\n");
	free(text);
	config_put(&cfg);
}
