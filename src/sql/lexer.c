/* SPDX-License-Identifier: PostgreSQL */
/*
 * The lexer. One idea: the first byte decides the kind, one small function per
 * kind finds the end. It must cut the text where the server cuts it, because
 * the shape cache trusts that two texts with equal tokens mean the same; where
 * versions differ (1_000, 0x1F, junk after numbers) it makes more tokens, not
 * fewer, so that unequal texts stay unequal. Any thread, no state.
 */
#include "sql/lexer.h"

#include <stdint.h>

enum {
	CHAR_SPACE = 1u << 0,
	CHAR_WORD_START = 1u << 1,
	CHAR_WORD = 1u << 2, /* may follow */
	CHAR_DIGIT = 1u << 3,
	CHAR_OPERATOR = 1u << 4,
	CHAR_TAG = 1u << 5, /* inside the tag of a dollar quote */
	CHAR_PUNCT = 1u << 6,
};

#define LETTER (CHAR_WORD_START | CHAR_WORD | CHAR_TAG)
#define DIGIT (CHAR_WORD | CHAR_DIGIT | CHAR_TAG)

static const uint8_t classes[256] = {
	[' '] = CHAR_SPACE,    ['\t'] = CHAR_SPACE,    ['\n'] = CHAR_SPACE,    ['\r'] = CHAR_SPACE,
	['\f'] = CHAR_SPACE,   ['0' ... '9'] = DIGIT,  ['A' ... 'Z'] = LETTER, ['a' ... 'z'] = LETTER,
	['_'] = LETTER,        [128 ... 255] = LETTER, ['$'] = CHAR_WORD,      ['~'] = CHAR_OPERATOR,
	['!'] = CHAR_OPERATOR, ['@'] = CHAR_OPERATOR,  ['#'] = CHAR_OPERATOR,  ['^'] = CHAR_OPERATOR,
	['&'] = CHAR_OPERATOR, ['|'] = CHAR_OPERATOR,  ['`'] = CHAR_OPERATOR,  ['?'] = CHAR_OPERATOR,
	['+'] = CHAR_OPERATOR, ['-'] = CHAR_OPERATOR,  ['*'] = CHAR_OPERATOR,  ['/'] = CHAR_OPERATOR,
	['%'] = CHAR_OPERATOR, ['<'] = CHAR_OPERATOR,  ['>'] = CHAR_OPERATOR,  ['='] = CHAR_OPERATOR,
	['('] = CHAR_PUNCT,    [')'] = CHAR_PUNCT,     ['['] = CHAR_PUNCT,     [']'] = CHAR_PUNCT,
	[','] = CHAR_PUNCT,    [';'] = CHAR_PUNCT,     ['.'] = CHAR_PUNCT,     [':'] = CHAR_PUNCT,
};

static inline bool has_class(char c, unsigned class)
{
	return (classes[(unsigned char)c] & class) != 0;
}

void lexer_init(struct lexer *l, struct slice text)
{
	const char *start = text.len ? text.ptr : ""; /* no bytes may come with no pointer */

	*l = (struct lexer){ .at = start, .end = start + text.len };
}

static bool starts(const struct lexer *l, const char *p, const char pair[2])
{
	return l->end - p >= 2 && p[0] == pair[0] && p[1] == pair[1];
}

static const char *line_end(const struct lexer *l, const char *p)
{
	while (p < l->end && *p != '\n' && *p != '\r')
		p++;
	return p;
}

static void report_comment(const struct lexer *l, const char *from, const char *to)
{
	if (l->on_comment)
		l->on_comment(l->arg, slice_of(from, (size_t)(to - from)));
}

/* Past a nested comment that starts at p, or NULL if it doesn't end. */
static const char *block_comment_end(const struct lexer *l, const char *p)
{
	size_t depth = 0;

	while (p < l->end) {
		if (starts(l, p, "/*")) {
			depth++;
			p += 2;
		} else if (starts(l, p, "*/")) {
			p += 2;
			if (--depth == 0)
				return p;
		} else {
			p++;
		}
	}
	return NULL;
}

/* False: an unterminated comment begins here. */
static bool skip_blank(struct lexer *l)
{
	while (l->at < l->end) {
		if (has_class(*l->at, CHAR_SPACE)) {
			l->at++;
		} else if (starts(l, l->at, "--")) {
			const char *to = line_end(l, l->at);

			report_comment(l, l->at + 2, to);
			l->at = to;
		} else if (starts(l, l->at, "/*")) {
			const char *to = block_comment_end(l, l->at);

			if (!to)
				return false;
			report_comment(l, l->at + 2, to - 2);
			l->at = to;
		} else {
			break;
		}
	}
	return true;
}

/*
 * A string goes on after its closing quote when nothing but blanks and line
 * comments with at least one line end stand before another quote. Returns the
 * place after that quote, or NULL.
 */
static const char *continuation(const struct lexer *l, const char *p)
{
	bool newline = false;

	while (p < l->end) {
		if (has_class(*p, CHAR_SPACE)) {
			newline |= *p == '\n' || *p == '\r';
			p++;
		} else if (starts(l, p, "--")) {
			p = line_end(l, p);
		} else {
			break;
		}
	}
	return newline && p < l->end && *p == '\'' ? p + 1 : NULL;
}

/* The backslash escapes that never give a letter. */
static bool is_plain_escape(char c)
{
	return strchr("bfnrt\\'\"", c) != NULL && c != '\0';
}

/* p is after the opening quote; past the closing one, or NULL. */
static const char *string_end(const struct lexer *l, const char *p, struct token *t, bool backslash)
{
	while (p < l->end) {
		if (*p == '\'') {
			const char *more;

			if (p + 1 < l->end && p[1] == '\'') {
				p += 2;
				continue;
			}
			more = continuation(l, p + 1);
			if (!more)
				return p + 1;
			t->has_escape = true; /* pieces may join to a word */
			p = more;
		} else if (*p == '\\' && backslash) {
			if (p + 1 < l->end && !is_plain_escape(p[1]))
				t->has_escape = true;
			p += 2;
		} else {
			p++;
		}
	}
	return NULL;
}

/* p is after the opening double quote. */
static const char *quoted_end(const struct lexer *l, const char *p)
{
	while (p < l->end) {
		if (*p++ != '"')
			continue;
		if (p < l->end && *p == '"')
			p++;
		else
			return p;
	}
	return NULL;
}

/* p is at the first dollar; NULL if no dollar quote starts or none ends. *is_open tells which. */
static const char *dollar_end(const struct lexer *l, const char *p, bool *is_open)
{
	const char *tag = p++;
	size_t len;

	*is_open = false;
	if (p < l->end && has_class(*p, CHAR_DIGIT))
		return NULL;
	while (p < l->end && has_class(*p, CHAR_TAG))
		p++;
	if (p >= l->end || *p != '$')
		return NULL;
	len = (size_t)(++p - tag);
	*is_open = true;
	p = memmem(p, (size_t)(l->end - p), tag, len);
	return p ? p + len : NULL;
}

static const char *digits_end(const struct lexer *l, const char *p)
{
	while (p < l->end && has_class(*p, CHAR_DIGIT))
		p++;
	return p;
}

static const char *number_end(const struct lexer *l, const char *p)
{
	const char *e;

	p = digits_end(l, p);
	if (p < l->end && *p == '.' && !starts(l, p, ".."))
		p = digits_end(l, p + 1);
	if (p >= l->end || (*p != 'e' && *p != 'E'))
		return p;
	e = p + 1;
	if (e < l->end && (*e == '+' || *e == '-'))
		e++;
	return e < l->end && has_class(*e, CHAR_DIGIT) ? digits_end(l, e) : p;
}

static const char *operator_end(const struct lexer *l, const char *p)
{
	while (p < l->end && has_class(*p, CHAR_OPERATOR) && !starts(l, p, "--") && !starts(l, p, "/*"))
		p++;
	return p;
}

static const char *word_end(const struct lexer *l, const char *p)
{
	while (p < l->end && has_class(*p, CHAR_WORD))
		p++;
	return p;
}

/* A word, or a string or identifier with a prefix letter. */
static const char *lex_word(const struct lexer *l, struct token *t)
{
	const char *p = l->at;
	char first = (char)(*p | 0x20);

	t->kind = TOKEN_STRING;
	if (p + 1 < l->end && p[1] == '\'' && strchr("exbn", first) && first)
		return string_end(l, p + 2, t, first == 'e');
	if (first == 'u' && starts(l, p + 1, "&'")) {
		t->has_escape = true;
		return string_end(l, p + 3, t, false);
	}
	if (first == 'u' && starts(l, p + 1, "&\"")) {
		t->kind = TOKEN_QUOTED_UNICODE;
		return quoted_end(l, p + 3);
	}
	t->kind = TOKEN_WORD;
	return word_end(l, p);
}

static const char *lex_dollar(const struct lexer *l, struct token *t)
{
	bool is_open;
	const char *to = dollar_end(l, l->at, &is_open);

	t->kind = TOKEN_STRING;
	if (to || is_open)
		return to;
	to = digits_end(l, l->at + 1);
	t->kind = to > l->at + 1 ? TOKEN_PARAM : TOKEN_OTHER;
	return to;
}

static const char *lex_punct(const struct lexer *l, struct token *t)
{
	const char *p = l->at;

	if (*p == '.' && p + 1 < l->end && has_class(p[1], CHAR_DIGIT)) {
		t->kind = TOKEN_NUMBER;
		return number_end(l, p);
	}
	t->kind = has_class(*p, CHAR_PUNCT) ? TOKEN_PUNCT : TOKEN_OTHER;
	if (starts(l, p, "::") || starts(l, p, ":=") || starts(l, p, ".."))
		return p + 2;
	return p + 1;
}

static const char *lex_token(const struct lexer *l, struct token *t)
{
	const char *p = l->at;

	if (has_class(*p, CHAR_WORD_START))
		return lex_word(l, t);
	if (has_class(*p, CHAR_DIGIT)) {
		t->kind = TOKEN_NUMBER;
		return number_end(l, p);
	}
	if (has_class(*p, CHAR_OPERATOR)) {
		t->kind = TOKEN_OPERATOR;
		return operator_end(l, p);
	}
	switch (*p) {
	case '\'':
		t->kind = TOKEN_STRING;
		return string_end(l, p + 1, t, false);
	case '"':
		t->kind = TOKEN_QUOTED;
		return quoted_end(l, p + 1);
	case '$':
		return lex_dollar(l, t);
	default:
		return lex_punct(l, t);
	}
}

struct token lexer_next(struct lexer *l)
{
	struct token t = { .kind = TOKEN_OTHER };
	const char *from, *to;

	if (!skip_blank(l)) {
		t.text = slice_of(l->at, (size_t)(l->end - l->at));
		l->at = l->end;
		return t;
	}
	from = l->at;
	if (from >= l->end)
		return (struct token){ .kind = TOKEN_END, .text = slice_of(l->end, 0) };
	to = lex_token(l, &t);
	if (!to || to > l->end) { /* a quote that never closes takes all the rest */
		t.kind = TOKEN_OTHER;
		to = l->end;
	}
	l->at = to;
	t.text = slice_of(from, (size_t)(to - from));
	return t;
}
