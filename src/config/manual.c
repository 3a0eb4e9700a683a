/* SPDX-License-Identifier: PostgreSQL */
/*
 * The manual page of the configuration file, docs/pgweir.ini.5, from the
 * option rows. Pure but for the writing.
 */
#include "base/buf.h"
#include "config/print.h"
#include "config/value.h"

enum { TEXT_BYTES_MAX = 65536 };

/* Text with roff's own characters escaped. */
static void roff(const char *text, FILE *out)
{
	if (text[0] == '.' || text[0] == '\'')
		fputs("\\&", out);
	for (; *text; text++) {
		if (*text == '\\')
			fputs("\\e", out);
		else if (*text == '-')
			fputs("\\-", out);
		else
			fputc(*text, out);
	}
}

static void print_facts(const struct option *o, FILE *out)
{
	struct buf range;

	buf_init(&range, TEXT_BYTES_MAX);
	option_print_range(o, &range);
	buf_append_u8(&range, '\0');
	fputs(".br\n", out);
	if (range.len > 1) {
		fputs("Takes ", out);
		roff(range.data, out);
		fputs(".\n", out);
	}
	if (o->default_text[0]) {
		fputs("Default: ", out);
		roff(o->default_text, out);
		fputs(".\n", out);
	}
	if (o->needs_restart)
		fputs("Needs a restart.\n", out);
	buf_fini(&range);
}

static void print_option(const struct option *o, bool has_facts, FILE *out)
{
	fprintf(out, ".TP\n.B %s\n", o->name);
	roff(o->doc, out);
	fputc('\n', out);
	if (has_facts)
		print_facts(o, out);
}

static void print_globals(FILE *out)
{
	struct option_table table = option_table(OPTION_SCOPE_GLOBAL);

	fputs(".SH SECTION [pgweir]\n", out);
	for (size_t i = 0; i < table.count; i++) {
		if (table.rows[i].group)
			fprintf(out, ".SS %s\n", table.rows[i].group);
		else if (!table.rows[i].is_ignored)
			print_option(&table.rows[i], true, out);
	}
	fputs(".SS Accepted without effect\nBecause\n.I pgbouncer.ini\nmay have them:\n", out);
	for (size_t i = 0; i < table.count; i++)
		if (table.rows[i].name && table.rows[i].is_ignored)
			fprintf(out, ".br\n%s\n", table.rows[i].name);
}

static void print_section(enum option_scope scope, const char *title, const char *about, FILE *out)
{
	struct option_table table = option_table(scope);

	fprintf(out, ".SH SECTION [%s]\n%s\n", title, about);
	for (size_t i = 0; i < table.count; i++)
		if (!table.rows[i].is_ignored)
			print_option(&table.rows[i], false, out);
}

void config_print_manual(FILE *out)
{
	fputs(".\\\" SPDX-License-Identifier: PostgreSQL\n"
	      ".\\\" Generated from the option table: pgweir --print-manual\n"
	      ".TH PGWEIR.INI 5 \"\" pgweir \"File Formats\"\n"
	      ".SH NAME\npgweir.ini \\- configuration of pgweir\n"
	      ".SH DESCRIPTION\n"
	      "Lines of the form\n.I name = value\nin sections. A line that begins with ; or # is a "
	      "comment.\n"
	      "Times are seconds, fractions allowed, or have us, ms, s, min, h or d behind them;\n"
	      "sizes take kB, MB, GB and TB.\n"
	      "[pgbouncer] is another name of [pgweir], and an existing\n.I pgbouncer.ini\n"
	      "can be read as it is.\n"
	      ".B %include\n.I file\nreads another file.\n"
	      "The environment's\n.B PGWEIR_<OPTION>\nwins over the section [pgweir].\n"
	      "An unknown option is an error.\n",
	      out);
	print_globals(out);
	print_section(OPTION_SCOPE_CLUSTER, "clusters",
	              "One line per PostgreSQL cluster:\n.I name = key=value ...", out);
	print_section(OPTION_SCOPE_DATABASE, "databases",
	              "One line per database that clients ask for; * stands for every other name:\n"
	              ".I name = key=value ...",
	              out);
	print_section(OPTION_SCOPE_USER, "users", "Limits of single users.", out);
	fputs(".SH SEE ALSO\n.BR pgweir (1)\n", out);
}
