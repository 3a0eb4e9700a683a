/* SPDX-License-Identifier: PostgreSQL */
/*
 * Reader and matcher of user name maps. Lines are tried in order, and the
 * first that allows decides, as in PostgreSQL. Expressions are compiled at
 * load, so a bad one is an error with its line.
 */
#include "auth/ident.h"

#include <regex.h>
#include <stdio.h>

#include "auth/auth_token.h"
#include "base/arena.h"
#include "base/mem.h"

_Static_assert((int)IDENT_ERROR_MAX == (int)TEXT_FILE_ERROR_MAX, "one size of error texts");

enum { ARENA_BLOCK_BYTES = 1024, GROUPS = 2 };

struct ident_line {
	struct ident_line *next;
	const char *map;         /* in the arena, as all texts */
	const char *system_user; /* NULL: by the expression */
	regex_t expression;      /* only without system_user */
	const char *user;        /* NULL: all */
};

struct ident {
	struct arena arena;
	struct ident_line *first;
	struct ident_line **tail;
};

static enum weir_err read_text(struct text_line *line, const char *what, struct auth_token *t)
{
	enum weir_err err = auth_token_read(line, what, t);

	if (err == WEIR_OK && t->has_comma)
		return text_line_broken(line, "a list isn't supported here");
	return err;
}

/* Behind [:alpha:] and the like inside of brackets; else the next character. */
static const char *skip_class(const char *at)
{
	const char close[] = { at[1], ']', '\0' };
	const char *end = at[0] == '[' && at[1] && strchr(":.=", at[1]) ? strstr(at + 2, close) : NULL;

	return end ? end + 2 : at + 1;
}

/* Behind a bracket expression, in which ] may stand first. */
static const char *skip_brackets(const char *at)
{
	at += at[1] == '^' ? 2 : 1;
	at += *at == ']';
	while (*at && *at != ']')
		at = skip_class(at);
	return *at ? at + 1 : at;
}

/*
 * a** and the like: PostgreSQL refuses them, and the C library takes time and memory by powers
 * for them. One ? behind a repeat is none.
 */
static bool has_repeat_of_repeat(const char *at)
{
	unsigned repeats = 0;

	while (*at) {
		bool is_count = at[0] == '{' && at[1] >= '0' && at[1] <= '9';
		bool is_repeat = is_count || strchr("*+?", *at);

		if (is_repeat && (repeats > 1 || (repeats == 1 && *at != '?')))
			return true;
		repeats = is_repeat ? repeats + 1 : 0;
		if (*at == '[')
			at = skip_brackets(at);
		else if (is_count && strchr(at, '}'))
			at = strchr(at, '}') + 1;
		else
			at += at[0] == '\\' && at[1] ? 2 : 1;
	}
	return false;
}

static enum weir_err read_system_user(struct ident *ident, struct text_line *line,
                                      struct ident_line *out)
{
	struct auth_token t;
	char why[128];
	enum weir_err err = read_text(line, "a system user", &t);
	int rc;

	if (err != WEIR_OK)
		return err;
	if (t.text[0] != '/') {
		out->system_user = arena_strdup(&ident->arena, slice_of(t.text, t.len));
		return WEIR_OK;
	}
	if (has_repeat_of_repeat(t.text + 1)) {
		out->system_user = ""; /* nothing to free */
		return text_line_broken(line, "\"%s\": a repeat behind a repeat", t.text);
	}
	rc = regcomp(&out->expression, t.text + 1, REG_EXTENDED);
	if (rc != 0) {
		(void)regerror(rc, &out->expression, why, sizeof(why));
		out->system_user = ""; /* nothing to free */
		return text_line_broken(line, "\"%s\": %s", t.text, why);
	}
	return WEIR_OK;
}

/* Read last: a line is linked, and so freed, once its expression is there. */
static enum weir_err read_user(struct ident *ident, struct text_line *line, struct ident_line *out)
{
	struct auth_token t;
	enum weir_err err = read_text(line, "a database user", &t);

	if (err != WEIR_OK)
		return err;
	if (!auth_token_is(&t, "all"))
		out->user = arena_strdup(&ident->arena, slice_of(t.text, t.len));
	if (strstr(t.text, "\\1") && (out->system_user || out->expression.re_nsub == 0))
		return text_line_broken(line, "\\1 without a group in the system user's expression");
	if (text_line_has_more(line))
		return text_line_broken(line, "more than three words");
	return WEIR_OK;
}

static enum weir_err read_line(struct ident *ident, struct text_line *line)
{
	struct ident_line *l = arena_zalloc(&ident->arena, sizeof(*l));
	struct auth_token t;
	enum weir_err err = read_text(line, "a map", &t);

	if (err == WEIR_OK)
		err = read_system_user(ident, line, l);
	if (err != WEIR_OK)
		return err;
	l->map = arena_strdup(&ident->arena, slice_of(t.text, t.len));
	*ident->tail = l;
	ident->tail = &l->next;
	return read_user(ident, line, l);
}

enum weir_err ident_parse(struct slice text, const char *path, struct ident **out,
                          char error[IDENT_ERROR_MAX])
{
	struct text_line line = { .path = path, .error = error };
	struct ident *ident = mem_zalloc(sizeof(*ident));
	enum weir_err err = WEIR_OK;

	arena_init(&ident->arena, ARENA_BLOCK_BYTES);
	ident->tail = &ident->first;
	while (err == WEIR_OK && text_line_next(&line, &text)) {
		if (text_line_has_more(&line))
			err = read_line(ident, &line);
	}
	if (err == WEIR_OK)
		*out = ident;
	else
		ident_destroy(ident);
	return err;
}

enum weir_err ident_load(const char *path, struct ident **out, char error[IDENT_ERROR_MAX])
{
	struct slice text;
	enum weir_err err = text_file_read(path, &text, error);

	if (err != WEIR_OK)
		return err;
	err = ident_parse(text, path, out, error);
	text_file_free(text);
	return err;
}

void ident_destroy(struct ident *ident)
{
	if (!ident)
		return;
	for (struct ident_line *l = ident->first; l; l = l->next) {
		if (!l->system_user)
			regfree(&l->expression);
	}
	arena_fini(&ident->arena);
	mem_free(ident);
}

/* The database user of a line, \1 replaced by the group. False: it doesn't fit. */
static bool expand(const char *pattern, struct slice group, char out[IDENT_NAME_MAX])
{
	const char *at = strstr(pattern, "\\1");
	int len;

	if (at)
		len = snprintf(out, IDENT_NAME_MAX, "%.*s%.*s%s", (int)(at - pattern), pattern,
		               (int)group.len, group.ptr, at + 2);
	else
		len = snprintf(out, IDENT_NAME_MAX, "%s", pattern);
	return len >= 0 && len < IDENT_NAME_MAX;
}

static bool line_allows(const struct ident_line *l, const char *system_user, struct slice user)
{
	regmatch_t groups[GROUPS] = { { -1, -1 }, { -1, -1 } };
	struct slice group = slice_of("", 0);
	char name[IDENT_NAME_MAX];

	if (l->system_user && strcmp(l->system_user, system_user) != 0)
		return false;
	if (!l->system_user && regexec(&l->expression, system_user, GROUPS, groups, 0) != 0)
		return false;
	if (!l->user)
		return true;
	if (groups[1].rm_so >= 0)
		group = slice_of(system_user + groups[1].rm_so,
		                 (size_t)(groups[1].rm_eo - groups[1].rm_so));
	return expand(l->user, group, name) && slice_is(user, name);
}

bool ident_allows(const struct ident *ident, const char *map, const char *system_user,
                  struct slice user)
{
	if (!*map)
		return slice_is(user, system_user);
	for (const struct ident_line *l = ident ? ident->first : NULL; l; l = l->next) {
		if (strcmp(l->map, map) == 0 && line_allows(l, system_user, user))
			return true;
	}
	return false;
}
