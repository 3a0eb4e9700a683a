/* SPDX-License-Identifier: PostgreSQL */
/*
 * See auth_token.h. As PostgreSQL's tokenizer has it, quotes may begin inside
 * a word, two of them inside of quotes are one, and only a word that begins
 * with a quote is no key word.
 */
#include "auth/auth_token.h"

bool auth_token_is(const struct auth_token *t, const char *word)
{
	return !t->is_quoted && slice_is(slice_of(t->text, t->len), word);
}

static bool ends_token(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == ',' || c == '#';
}

static char take(struct slice *s)
{
	char c = *s->ptr;

	*s = slice_of(s->ptr + 1, s->len - 1);
	return c;
}

/* Reads the text of a word, quoted parts joined; the comma stays. */
static enum weir_err read_word(struct text_line *line, struct auth_token *out)
{
	struct slice *s = &line->rest;
	bool in_quotes = false, is_first = true;

	while (s->len > 0 && (in_quotes || !ends_token(*s->ptr))) {
		char c = take(s);

		if (c == '"' && !(in_quotes && s->len > 0 && *s->ptr == '"')) {
			in_quotes = !in_quotes;
			out->is_quoted = out->is_quoted || is_first;
			is_first = false;
			continue;
		}
		if (c == '"')
			(void)take(s);
		is_first = false;
		if (out->len == sizeof(out->text) - 1)
			return text_line_broken(line, "a word is too long");
		out->text[out->len++] = c;
	}
	out->text[out->len] = '\0';
	return in_quotes ? text_line_broken(line, "a quote isn't closed") : WEIR_OK;
}

enum weir_err auth_token_read(struct text_line *line, const char *what, struct auth_token *out)
{
	enum weir_err err;

	*out = (struct auth_token){ .len = 0 };
	if (!text_line_has_more(line))
		return text_line_broken(line, "%s expected", what);
	err = read_word(line, out);
	if (err != WEIR_OK)
		return err;
	if (out->len == 0 && !out->is_quoted)
		return text_line_broken(line, "%s expected", what);
	(void)text_line_has_more(line);
	if (line->rest.len > 0 && *line->rest.ptr == ',') {
		(void)take(&line->rest);
		out->has_comma = true;
	}
	return WEIR_OK;
}
