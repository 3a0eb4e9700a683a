/* SPDX-License-Identifier: PostgreSQL */
/*
 * The parse tree has no place for the inner query in the text, but the grammar
 * in front of it is so small that tokens will do. Pure, any thread.
 */
#include "sql/prepare.h"

#include "sql/lexer.h"

static bool is_punct(const struct token *t, char c)
{
	return t->kind == TOKEN_PUNCT && t->text.len == 1 && *t->text.ptr == c;
}

struct slice prepare_body(struct slice text)
{
	struct lexer l;
	struct token t;
	int depth = 0;

	lexer_init(&l, text);
	t = lexer_next(&l);
	if (t.kind != TOKEN_WORD || !slice_is_nocase(t.text, "prepare"))
		return slice_of(text.ptr, 0);
	lexer_next(&l); /* the name, which may be any word */
	for (t = lexer_next(&l); t.kind != TOKEN_END; t = lexer_next(&l)) {
		depth += is_punct(&t, '(') - is_punct(&t, ')');
		if (depth == 0 && t.kind == TOKEN_WORD && slice_is_nocase(t.text, "as"))
			return slice_of(l.at, (size_t)(l.end - l.at));
	}
	return slice_of(text.ptr, 0);
}
