/* SPDX-License-Identifier: PostgreSQL */
/*
 * Finding a command in a text. Words are compared without case, blanks and
 * comments before and between don't matter. Pure.
 */
#include "admin/command.h"

#include <stdarg.h>
#include <stdio.h>

#include "wire/build.h"

static const struct admin_command commands[] = {
#define COMMAND(words, argument, role, want, handler, help) \
	{ words, ARGUMENT_##argument, ADMIN_ROLE_##role, want, handler, help },
#include "admin/commands.def"
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\v';
}

static struct slice skip(struct slice s, size_t n)
{
	return slice_of(s.ptr + n, s.len - n);
}

static bool starts_with(struct slice s, const char *text)
{
	size_t len = strlen(text);

	return s.len >= len && memcmp(s.ptr, text, len) == 0;
}

/* Past one comment; the whole text when it isn't closed. */
static struct slice skip_comment(struct slice s)
{
	const char *end = s.ptr[0] == '-' ? "\n" : "*/";
	const char *at = memmem(s.ptr + 2, s.len - 2, end, strlen(end));

	return at ? skip(s, (size_t)(at - s.ptr) + strlen(end)) : skip(s, s.len);
}

static struct slice skip_space(struct slice s)
{
	for (;;) {
		if (s.len && is_blank(s.ptr[0]))
			s = skip(s, 1);
		else if (starts_with(s, "--") || starts_with(s, "/*"))
			s = skip_comment(s);
		else
			return s;
	}
}

struct slice command_trim(struct slice sql)
{
	return command_trim_blanks(skip_space(sql));
}

struct slice command_trim_blanks(struct slice sql)
{
	while (sql.len && is_blank(sql.ptr[0]))
		sql = skip(sql, 1);
	while (sql.len && (is_blank(sql.ptr[sql.len - 1]) || sql.ptr[sql.len - 1] == ';'))
		sql.len--;
	return sql;
}

static struct slice take_word(struct slice *rest)
{
	struct slice s = skip_space(*rest);
	size_t n = 0;

	while (n < s.len && !is_blank(s.ptr[n]) && s.ptr[n] != ';' && s.ptr[n] != '=')
		n++;
	*rest = skip(s, n);
	return slice_of(s.ptr, n);
}

/* Compares word by word; *rest is what follows. */
static bool words_match(const char *words, struct slice text, struct slice *rest)
{
	struct slice wanted = slice_str(words);

	while (wanted.len) {
		struct slice word = take_word(&wanted), got = take_word(&text);
		char upper[64];

		snprintf(upper, sizeof(upper), "%.*s", (int)word.len, word.ptr);
		if (!slice_is_nocase(got, upper))
			return false;
	}
	*rest = text;
	return true;
}

const struct admin_command *command_find(struct slice sql, struct slice *argument)
{
	const struct admin_command *best = NULL;
	struct slice rest;

	sql = command_trim(sql);
	for (size_t i = 0; i < WEIR_COUNTOF(commands); i++) {
		if (best && strlen(commands[i].words) <= strlen(best->words))
			continue;
		if (words_match(commands[i].words, sql, &rest)) {
			best = &commands[i];
			*argument = command_trim_blanks(rest);
		}
	}
	return best;
}

const struct admin_command *command_at(size_t index)
{
	return index < WEIR_COUNTOF(commands) ? &commands[index] : NULL;
}

static bool unquote(struct slice argument, char *out, size_t size)
{
	char quote = argument.ptr[0];
	size_t len = 0;

	for (size_t i = 1; i + 1 < argument.len; i++) {
		if (argument.ptr[i] == quote && argument.ptr[++i] != quote)
			return false;
		if (len + 1 >= size || i + 1 >= argument.len)
			return false;
		out[len++] = argument.ptr[i];
	}
	out[len] = '\0';
	return argument.ptr[argument.len - 1] == quote;
}

bool command_word(struct slice argument, char *out, size_t size)
{
	if (argument.len >= 2 && (argument.ptr[0] == '"' || argument.ptr[0] == '\''))
		return unquote(argument, out, size);
	if (argument.len >= size)
		return false;
	for (size_t i = 0; i < argument.len; i++)
		if (is_blank(argument.ptr[i]))
			return false;
	snprintf(out, size, "%.*s", (int)argument.len, argument.ptr);
	return true;
}

void command_fail(struct show *s, const char *sqlstate, const char *fmt, ...)
{
	char message[PG_ERROR_MESSAGE_MAX];
	struct pg_error err;
	va_list args;

	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	pg_error_set(&err, sqlstate, "%s", message);
	build_error(s->out, "ERROR", &err);
}

void command_unknown(struct show *s)
{
	command_fail(s, "42601", "invalid command '%.200s', use SHOW HELP;", s->request->sql);
}

void command_done(struct show *s, const char *tag)
{
	build_command_complete(s->out, tag);
}
