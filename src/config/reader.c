/* SPDX-License-Identifier: PostgreSQL */
/*
 * The ini reader. inih splits lines into section, name and value; this file
 * feeds it line by line, so that it always knows file and line, follows
 * %include (PgBouncer's: relative to the working folder), and restores the
 * section of the including file afterwards. The only includer of ini.h.
 */
#include "config/reader.h"

#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"

enum { LINE_BYTES_MAX = 65536, INCLUDE_DEPTH_MAX = 10, ENTRIES_MAX = 200000, SECTION_MAX = 64 };

struct source {
	FILE *file;
	const char *name; /* in the arena */
	unsigned line;
	char section[SECTION_MAX]; /* header line to repeat after an include; empty: none yet */
};

struct reader {
	struct source stack[INCLUDE_DEPTH_MAX];
	size_t depth;       /* sources open */
	bool resume;        /* the next line is the section header of the top source */
	struct source last; /* where the latest line came from, for errors */
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

	if (r->depth == INCLUDE_DEPTH_MAX) {
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
	char *path = line;

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
	const char *text;

	if (!fgets(line, size, s->file)) {
		if (ferror(s->file))
			reader_fail(r, NULL, strerror(errno)); /* a folder, for one */
		return false;
	}
	s->line++;
	r->last = *s;
	if (strlen(line) == (size_t)size - 1 && line[size - 2] != '\n')
		reader_fail(r, NULL, "the line is too long");
	text = line + strspn(line, " \t");
	if (text[0] == '[')
		snprintf(s->section, sizeof(s->section), "%.*s\n", (int)strcspn(text, "\r\n"), text);
	return true;
}

static void reader_pop(struct reader *r)
{
	fclose(r->stack[--r->depth].file);
	r->resume = r->depth > 0;
	if (r->depth > 0)
		r->last = r->stack[r->depth - 1];
}

/* inih's source of lines, called like fgets; NULL ends the parse. */
static char *on_line(char *line, int size, void *stream)
{
	struct reader *r = stream;

	while (r->depth > 0 && !r->failed) {
		if (r->resume) {
			r->resume = false;
			if (r->stack[r->depth - 1].section[0]) {
				snprintf(line, (size_t)size, "%s", r->stack[r->depth - 1].section);
				return line;
			}
		}
		if (!reader_line(r, line, size))
			reader_pop(r);
		else if (!reader_directive(r, line))
			return r->failed ? NULL : line;
	}
	return NULL;
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

/* "my name" stands for my name; a doubled quote inside for one. In place. */
static char *unquote(char *name)
{
	char *out = name;

	if (name[0] != '"')
		return name;
	for (const char *in = name + 1; *in && !(in[0] == '"' && in[1] != '"'); in++) {
		if (*in == '"')
			in++;
		*out++ = *in;
	}
	*out = '\0';
	return name;
}

static int on_entry(void *user, const char *section, const char *name, const char *value)
{
	struct reader *r = user;
	struct config_entry entry = { .value = value, .file = r->last.name, .line = r->last.line };
	char *copy;

	if (section[0] == '\0')
		return reader_fail(r, name, "stands before the first [section]");
	if (!section_scope(section, &entry.scope))
		return reader_fail(r, section, "unknown section");
	if (name[0] == '\0')
		return reader_fail(r, NULL, "the name before = is missing");
	if (r->out->count >= ENTRIES_MAX)
		return reader_fail(r, name, "too many settings");
	copy = unquote(arena_strdup(r->arena, slice_str(name)));
	entry.name = copy;
	config_entries_add(r->out, r->arena, &entry);
	return 1;
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
