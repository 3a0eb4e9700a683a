/* SPDX-License-Identifier: PostgreSQL */
/*
 * Printing from the option rows. Values go through option_print, which is the
 * only place that turns a field into text and hides what a secret is.
 */
#include "config/print.h"

#include "base/buf.h"
#include "config/value.h"

enum { VALUE_BYTES_MAX = 65536 };

static const struct {
	enum option_scope scope;
	const char *title;
	const char *about;
	const char *example;
} sections[] = {
	{ OPTION_SCOPE_CLUSTER, "clusters",
	  "One line per PostgreSQL cluster: a Patroni tier, or a fixed list of hosts.",
	  ";main = patroni=http://10.0.0.1:8008,http://10.0.0.2:8008 user=pgweir password=...\n"
	  ";fixed = hosts=10.0.0.1:5432,10.0.0.2:5432 user=pgweir password=...\n" },
	{ OPTION_SCOPE_DATABASE, "databases",
	  "One line per database that clients ask for; * stands for every other name.",
	  ";shop = cluster=main split=on cache=on consistency=session pool_size=20\n"
	  ";plain = host=127.0.0.1 port=5432\n;* = host=127.0.0.1\n" },
	{ OPTION_SCOPE_USER, "users", "Limits of single users.",
	  ";reporting = pool_mode=session max_user_connections=5\n" },
	{ OPTION_SCOPE_PEER, "peers", "Accepted for pgbouncer.ini's sake, without effect.", "" },
};

static void print_buf(const struct buf *text, FILE *out)
{
	fwrite(text->data ? text->data : "", 1, text->len, out);
}

/* A value as a connect string has it: quoted when it isn't plain. */
static void print_quoted(const struct buf *value, FILE *out)
{
	bool plain = value->len > 0;

	for (size_t i = 0; i < value->len && plain; i++)
		plain = !strchr(" \t'", value->data[i]);
	if (plain) {
		print_buf(value, out);
		return;
	}
	fputc('\'', out);
	for (size_t i = 0; i < value->len; i++) {
		if (value->data[i] == '\'')
			fputc('\'', out);
		fputc(value->data[i], out);
	}
	fputc('\'', out);
}

static void print_globals(const struct config *cfg, FILE *out)
{
	struct option_table table = option_table(OPTION_SCOPE_GLOBAL);
	struct buf value;

	buf_init(&value, VALUE_BYTES_MAX);
	fputs("[pgweir]\n", out);
	for (size_t i = 0; i < table.count; i++) {
		const struct option *o = &table.rows[i];

		if (!o->name || o->is_ignored)
			continue;
		buf_clear(&value);
		option_print(o, &cfg->global, &value);
		fprintf(out, "%s = ", o->name);
		print_buf(&value, out);
		fputc('\n', out);
	}
	buf_fini(&value);
}

/* A name as the reader takes it: quoted where another character than these is in it. */
static void print_name(const char *name, FILE *out)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
								"0123456789_.*-";

	if (name[strspn(name, plain)] == '\0') {
		fputs(name, out);
		return;
	}
	fputc('"', out);
	for (; *name; name++)
		fputs(*name == '"' ? "\"\"" : (const char[]){ *name, '\0' }, out);
	fputc('"', out);
}

static void print_row(enum option_scope scope, const void *row, const char *name, uint64_t given,
                      FILE *out)
{
	struct option_table table = option_table(scope);
	struct buf value;

	buf_init(&value, VALUE_BYTES_MAX);
	print_name(name, out);
	fputs(" =", out);
	for (size_t i = 0; i < table.count; i++) {
		if (!(given & (1ULL << i)))
			continue;
		buf_clear(&value);
		option_print(&table.rows[i], row, &value);
		fprintf(out, " %s=", table.rows[i].name);
		print_quoted(&value, out);
	}
	fputc('\n', out);
	buf_fini(&value);
}

void config_print(const struct config *cfg, FILE *out)
{
	print_globals(cfg, out);
	fputs("\n[clusters]\n", out);
	for (size_t i = 0; i < cfg->cluster_count; i++)
		if (!cfg->clusters[i].is_implicit)
			print_row(OPTION_SCOPE_CLUSTER, &cfg->clusters[i], cfg->clusters[i].name,
			          cfg->clusters[i].given, out);
	fputs("\n[databases]\n", out);
	for (size_t i = 0; i < cfg->database_count; i++)
		print_row(OPTION_SCOPE_DATABASE, &cfg->databases[i], cfg->databases[i].name,
		          cfg->databases[i].given, out);
	fputs("\n[users]\n", out);
	for (size_t i = 0; i < cfg->user_count; i++)
		print_row(OPTION_SCOPE_USER, &cfg->users[i], cfg->users[i].name, cfg->users[i].given, out);
}

static const char *plural(size_t n)
{
	return n == 1 ? "" : "s";
}

void config_print_check(const struct config *cfg, FILE *out)
{
	for (size_t i = 0; i < cfg->note_count; i++) {
		const struct config_note *n = &cfg->notes[i];

		if (n->line)
			fprintf(out, "%s:%u: note: %s\n", n->file, n->line, n->text);
		else
			fprintf(out, "%s: note: %s\n", n->file, n->text);
	}
	fprintf(out, "%s: ok, %zu database%s, %zu cluster%s, %zu user%s\n", cfg->path,
	        cfg->database_count, plural(cfg->database_count), cfg->cluster_count,
	        plural(cfg->cluster_count), cfg->user_count, plural(cfg->user_count));
}

/* --- the sample ---------------------------------------------------------------- */

static void sample_global(const struct option *o, FILE *out)
{
	struct buf range;

	buf_init(&range, VALUE_BYTES_MAX);
	option_print_range(o, &range);
	fprintf(out, "\n; %s\n", o->doc);
	if (range.len || o->needs_restart) {
		fputs("; (", out);
		print_buf(&range, out);
		fprintf(out, "%s%s)\n", range.len && o->needs_restart ? "; " : "",
		        o->needs_restart ? "needs a restart" : "");
	}
	fprintf(out, o->default_text[0] ? ";%s = %s\n" : ";%s =%s\n", o->name, o->default_text);
	buf_fini(&range);
}

static void sample_globals(FILE *out)
{
	struct option_table table = option_table(OPTION_SCOPE_GLOBAL);

	fputs("\n[pgweir]\n", out);
	for (size_t i = 0; i < table.count; i++) {
		const struct option *o = &table.rows[i];

		if (o->group)
			fprintf(out, "\n;;; %s\n", o->group);
		else if (!o->is_ignored)
			sample_global(o, out);
	}
	fputs("\n;;; Accepted because pgbouncer.ini may have them, without effect\n\n", out);
	for (size_t i = 0; i < table.count; i++)
		if (table.rows[i].name && table.rows[i].is_ignored)
			fprintf(out, "; %s\n", table.rows[i].name);
}

static void sample_section(size_t index, FILE *out)
{
	struct option_table table = option_table(sections[index].scope);

	fprintf(out, "\n[%s]\n\n; %s\n; Options:\n", sections[index].title, sections[index].about);
	for (size_t i = 0; i < table.count; i++)
		if (!table.rows[i].is_ignored || sections[index].scope == OPTION_SCOPE_PEER)
			fprintf(out, ";   %-26s %s\n", table.rows[i].name, table.rows[i].doc);
	fputs(sections[index].example, out);
}

void config_print_sample(FILE *out)
{
	fputs(";;;\n"
	      ";;; pgweir: every option with its default. Times are seconds, fractions allowed, or\n"
	      ";;; with us, ms, s, min, h, d; sizes take kB, MB, GB, TB. [pgbouncer] is another name\n"
	      ";;; of [pgweir]. The environment's PGWEIR_<OPTION> wins over [pgweir].\n"
	      ";;; %include <file> reads another file.\n"
	      ";;;\n",
	      out);
	sample_globals(out);
	for (size_t i = 0; i < WEIR_COUNTOF(sections); i++)
		sample_section(i, out);
}
