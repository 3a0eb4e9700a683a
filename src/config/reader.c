/* SPDX-License-Identifier: PostgreSQL */
/*
 * The ini reader. inih splits lines into section, name and value; this file
 * feeds it line by line, so that it always knows file and line and follows
 * %include (PgBouncer's: relative to the working folder; a section that the
 * included file began goes on behind it). A line whose name is quoted is read
 * here, since inih would look for its = inside. The only includer of ini.h.
 */
#include "config/reader.h"

#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"

enum { LINE_BYTES_MAX = 65536, INCLUDE_DEPTH_MAX = 10, ENTRIES_MAX = 200000, SECTION_MAX = 64 };

#define BLANKS " \t\r\n\f\v"

struct source {
	FILE *file;
	const char *name; /* in the arena */
	unsigned line;
};

struct reader {
	struct source stack[INCLUDE_DEPTH_MAX + 1]; /* the first is the file itself */
	size_t depth;              /* sources open */
	struct source last;        /* where the latest line came from, for errors */
	char section[SECTION_MAX]; /* of the latest header; empty: none yet */
	const char *rest;          /* of the header's line, still to be read; in the arena */
	struct arena *arena;
	struct config_entries *out;
	struct config_error *err;
	bool failed;
};

void config_error_set(struct config_error *err, const struct config_entry *at, const char *option,
                      const char *fmt, ...)
{
	va_list args;

	memset(err, 0, sizeof(*err));
	if (at) {
		snprintf(err->file, sizeof(err->file), "%s", at->file);
		err->line = at->line;
	}
	if (option)
		snprintf(err->option, sizeof(err->option), "%s", option);
	va_start(args, fmt);
	vsnprintf(err->message, sizeof(err->message), fmt, args);
	va_end(args);
}

void config_entries_fini(struct config_entries *entries)
{
	mem_free(entries->rows);
	memset(entries, 0, sizeof(*entries));
}

void config_entries_add(struct config_entries *entries, struct arena *arena,
                        const struct config_entry *entry)
{
	struct config_entry *e;

	if (entries->count == entries->cap) {
		entries->cap = entries->cap ? entries->cap * 2 : 64;
		entries->rows = mem_realloc(entries->rows, entries->cap * sizeof(*entries->rows));
	}
	e = &entries->rows[entries->count++];
	*e = *entry;
	e->name = arena_strdup(arena, slice_str(entry->name));
	e->value = arena_strdup(arena, slice_str(entry->value));
	e->file = arena_strdup(arena, slice_str(entry->file));
}

static struct config_entry reader_position(const struct reader *r)
{
	return (struct config_entry){ .file = r->last.name, .line = r->last.line };
}

static int reader_fail(struct reader *r, const char *option, const char *message)
{
	struct config_entry at = reader_position(r);

	if (!r->failed)
		config_error_set(r->err, &at, option, "%s", message);
	r->failed = true;
	return 0;
}

static void reader_push(struct reader *r, FILE *file, const char *name)
{
	struct source *s = &r->stack[r->depth++];

	*s = (struct source){ .file = file, .name = arena_strdup(r->arena, slice_str(name)) };
	r->last = *s;
}

static void reader_open(struct reader *r, const char *path)
{
	struct config_entry at = reader_position(r);
	FILE *file;

	if (r->depth == WEIR_COUNTOF(r->stack)) {
		reader_fail(r, "%include", "files are included too deeply");
		return;
	}
	file = fopen(path, "re");
	if (file) {
		reader_push(r, file, path);
		return;
	}
	config_error_set(r->err, r->depth ? &at : NULL, NULL, "can't open \"%s\": %s", path,
	                 strerror(errno));
	r->failed = true;
}

static char *trim_end(char *text)
{
	size_t len = strlen(text);

	while (len && strchr(" \t\r\n", text[len - 1]))
		text[--len] = '\0';
	return text;
}

/* True when the line was a directive and has been followed. */
static bool reader_directive(struct reader *r, char *line)
{
	static const char word[] = "%include";
	char *path;

	line += strspn(line, BLANKS);
	if (line[0] != '%')
		return false;
	if (strncmp(line, word, sizeof(word) - 1) != 0 || !strchr(" \t", line[sizeof(word) - 1])) {
		reader_fail(r, NULL, "unknown directive, only %include is known");
		return true;
	}
	path = trim_end(line + sizeof(word) - 1);
	path += strspn(path, " \t");
	if (*path == '\0')
		reader_fail(r, "%include", "a file name is missing");
	else
		reader_open(r, path);
	return true;
}

static bool reader_line(struct reader *r, char *line, int size)
{
	struct source *s = &r->stack[r->depth - 1];

	if (r->rest) {
		snprintf(line, (size_t)size, "%s", r->rest);
		r->rest = NULL;
		return true;
	}
	if (!fgets(line, size, s->file)) {
		if (ferror(s->file))
			reader_fail(r, NULL, strerror(errno)); /* a folder, for one */
		return false;
	}
	s->line++;
	r->last = *s;
	if (strlen(line) == (size_t)size - 1 && line[size - 2] != '\n')
		reader_fail(r, NULL, "the line is too long");
	return true;
}

static void reader_pop(struct reader *r)
{
	fclose(r->stack[--r->depth].file);
	if (r->depth > 0)
		r->last = r->stack[r->depth - 1];
}

static bool section_scope(const char *section, enum option_scope *scope)
{
	static const struct {
		const char *name;
		enum option_scope scope;
	} sections[] = {
		{ "pgweir", OPTION_SCOPE_GLOBAL },      { "pgbouncer", OPTION_SCOPE_GLOBAL },
		{ "databases", OPTION_SCOPE_DATABASE }, { "users", OPTION_SCOPE_USER },
		{ "clusters", OPTION_SCOPE_CLUSTER },   { "peers", OPTION_SCOPE_PEER },
	};

	for (size_t i = 0; i < WEIR_COUNTOF(sections); i++) {
		if (strcmp(section, sections[i].name) == 0) {
			*scope = sections[i].scope;
			return true;
		}
	}
	return false;
}

/* What stands behind the header in its line is read as the next one, as PgBouncer reads it. */
static void reader_section(struct reader *r, char *line)
{
	char *text = line + strspn(line, BLANKS), *end;
	enum option_scope scope;

	if (text[0] != '[')
		return;
	end = text + strcspn(text, "]\r\n");
	if (*end != ']') {
		reader_fail(r, NULL, "a section's name has no ]");
		return;
	}
	snprintf(r->section, sizeof(r->section), "%.*s", (int)(end - text - 1), text + 1);
	if (!section_scope(r->section, &scope))
		reader_fail(r, r->section, "unknown section");
	if (end[1 + strspn(end + 1, BLANKS)])
		r->rest = arena_strdup(r->arena, slice_str(end + 1));
	end[1] = '\0';
}

static int on_entry(void *user, const char *section, const char *name, const char *value)
{
	struct reader *r = user;
	struct config_entry entry = {
		.name = name, .value = value, .file = r->last.name, .line = r->last.line
	};

	if (section[0] == '\0')
		return reader_fail(r, name, "stands before the first [section]");
	if (!section_scope(section, &entry.scope))
		return reader_fail(r, section, "unknown section");
	if (name[0] == '\0')
		return reader_fail(r, NULL, "the name before = is missing");
	if (r->out->count >= ENTRIES_MAX)
		return reader_fail(r, name, "too many settings");
	config_entries_add(r->out, r->arena, &entry);
	return 1;
}

/* The end of the quoted name, which loses its quotes: a doubled one inside stands for one. */
static char *unquote(char *name)
{
	const char quote = name[0];
	char *out = name, *in = name + 1;

	for (; *in && !(in[0] == quote && in[1] != quote); in++) {
		if (*in == quote)
			in++;
		*out++ = *in;
	}
	if (*in == '\0')
		return NULL;
	*out = '\0';
	return in + 1;
}

/* True when the line was 'name' = value or "name" = value, and has been taken. */
static bool reader_quoted(struct reader *r, char *line)
{
	char *name = line + strspn(line, BLANKS), *rest;

	if (name[0] != '\'' && name[0] != '"')
		return false;
	rest = unquote(name);
	if (rest)
		rest += strspn(rest, " \t");
	if (!rest || *rest != '=')
		reader_fail(r, NULL, "neither name = value nor [section]");
	else
		on_entry(r, r->section, name, trim_end(rest + 1 + strspn(rest + 1, " \t")));
	return true;
}

/* inih's source of lines, called like fgets; NULL ends the parse. */
static char *on_line(char *line, int size, void *stream)
{
	struct reader *r = stream;

	while (r->depth > 0 && !r->failed) {
		if (!reader_line(r, line, size)) {
			reader_pop(r);
		} else if (!reader_directive(r, line) && !reader_quoted(r, line)) {
			reader_section(r, line);
			return r->failed ? NULL : line;
		}
	}
	return NULL;
}

static void ini_switches(void)
{
	ini_use_stack = false;
	ini_max_line = LINE_BYTES_MAX;
	ini_initial_alloc = LINE_BYTES_MAX;
	ini_allow_multiline = false;
	ini_allow_inline_comments = false;
	ini_stop_on_first_error = true;
}

static enum weir_err reader_run(struct reader *r)
{
	int rc;

	ini_switches();
	rc = ini_parse_stream(on_line, r, on_entry, r);
	if (rc == -2)
		reader_fail(r, NULL, "out of memory");
	else if (rc != 0)
		reader_fail(r, NULL, "neither name = value nor [section]");
	while (r->depth > 0)
		reader_pop(r);
	return r->failed ? WEIR_ERR_CONFIG : WEIR_OK;
}

enum weir_err config_read_file(const char *path, struct arena *arena, struct config_entries *out,
                               struct config_error *err)
{
	struct reader r = { .arena = arena, .out = out, .err = err };

	reader_open(&r, path);
	if (r.failed)
		return WEIR_ERR_CONFIG;
	return reader_run(&r);
}

enum weir_err config_read_text(const char *text, struct arena *arena, struct config_entries *out,
                               struct config_error *err)
{
	struct reader r = { .arena = arena, .out = out, .err = err };
	/* fmemopen refuses an empty text. */
	const char *body = *text ? text : "\n";
	FILE *file = fmemopen((void *)(uintptr_t)body, strlen(body), "r");

	if (!file) {
		config_error_set(err, NULL, NULL, "out of memory");
		return WEIR_ERR_MEMORY;
	}
	reader_push(&r, file, "text");
	return reader_run(&r);
}
