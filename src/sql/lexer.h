/* SPDX-License-Identifier: PostgreSQL */
/*
 * Tokens of SQL text by PostgreSQL's lexical rules (manual, section 4.1), with
 * standard_conforming_strings on. Never fails: what isn't a token comes out as
 * one TOKEN_OTHER, and the parser decides. Pure, allocates nothing.
 */
#ifndef WEIR_SQL_LEXER_H
#define WEIR_SQL_LEXER_H

#include <stdbool.h>

#include "base/slice.h"

enum token_kind {
	TOKEN_END,
	TOKEN_WORD,           /* key word or plain identifier */
	TOKEN_QUOTED,         /* "identifier" */
	TOKEN_QUOTED_UNICODE, /* U&"identifier" */
	TOKEN_STRING,         /* every kind of string, continued lines included */
	TOKEN_NUMBER,
	TOKEN_PARAM, /* $1 */
	TOKEN_OPERATOR,
	TOKEN_PUNCT, /* ( ) [ ] , ; . : and the pairs :: := .. */
	TOKEN_OTHER, /* a byte that starts nothing, or an unterminated quote or comment */
};

struct token {
	enum token_kind kind;
	bool has_escape;   /* TOKEN_STRING: escapes may spell letters that aren't there */
	struct slice text; /* as written */
};

struct lexer {
	const char *at; /* borrowed */
	const char *end;
	void (*on_comment)(void *arg, struct slice body); /* without the delimiters; may be NULL */
	void *arg;
};

void lexer_init(struct lexer *l, struct slice text);
struct token lexer_next(struct lexer *l); /* TOKEN_END again and again at the end */

#endif
