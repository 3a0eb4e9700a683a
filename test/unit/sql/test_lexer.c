/* SPDX-License-Identifier: PostgreSQL */
/*
 * Tokens as PostgreSQL cuts them, written as kind:text.
 */
#include <criterion/criterion.h>

#include "base/buf.h"
#include "sql/lexer.h"

static const char *tokens(const char *sql)
{
	static const char kinds[] = "eWQUSNPOpX";
	static char text[4096];
	struct lexer l;
	struct buf b;

	buf_init(&b, sizeof(text) - 1);
	lexer_init(&l, slice_str(sql));
	for (struct token t = lexer_next(&l); t.kind != TOKEN_END; t = lexer_next(&l))
		buf_appendf(&b, "%s%c%s:%.*s", b.len ? " " : "", kinds[t.kind], t.has_escape ? "!" : "",
		            (int)t.text.len, t.text.ptr);
	memcpy(text, b.data ? b.data : "", b.len);
	text[b.len] = '\0';
	buf_fini(&b);
	return text;
}

#define EXPECT(sql, want) cr_expect_str_eq(tokens(sql), want)

Test(lexer, words_and_identifiers)
{
	EXPECT("select a1$_b, \"a b\"\"c\"", "W:select W:a1$_b p:, Q:\"a b\"\"c\"");
	EXPECT("U&\"d!0061\" u&x", "U:U&\"d!0061\" W:u O:& W:x");
	EXPECT("\xc3\xa4x", "W:\xc3\xa4x");
	EXPECT("", "");
}

Test(lexer, strings)
{
	EXPECT("'a''b' 'c\\' 'd'", "S:'a''b' S:'c\\' S:'d'");
	EXPECT("E'a\\'b' e'\\\\'", "S:E'a\\'b' S:e'\\\\'");
	EXPECT("B'01' x'1f' N'n' U&'\\0061'", "S:B'01' S:x'1f' S:N'n' S!:U&'\\0061'");
	EXPECT("E'\\x61' E'\\n' E'n\\ow'", "S!:E'\\x61' S:E'\\n' S!:E'n\\ow'");
}

Test(lexer, a_string_goes_on_in_the_next_line_only)
{
	EXPECT("'a'\n 'b'", "S!:'a'\n 'b'");
	EXPECT("'a' -- c\n 'b'", "S!:'a' -- c\n 'b'");
	EXPECT("'a' 'b'", "S:'a' S:'b'");
	EXPECT("'a' /* c\n */ 'b'", "S:'a' S:'b'");
	EXPECT("E'a'\n'\\'b'", "S!:E'a'\n'\\'b'");
}

Test(lexer, dollar_quotes_and_parameters)
{
	EXPECT("$$a;$b$ $$ $1", "S:$$a;$b$ $$ P:$1");
	EXPECT("$t$ $$ $T$ $t$", "S:$t$ $$ $T$ $t$");
	EXPECT("a$b$c $12+$3", "W:a$b$c P:$12 O:+ P:$3");
	EXPECT("$ x", "X:$ W:x");
}

Test(lexer, numbers)
{
	EXPECT("1 1.5 .5 1. 1e5 1E-5 1e", "N:1 N:1.5 N:.5 N:1. N:1e5 N:1E-5 N:1 W:e");
	EXPECT("1..10", "N:1 p:.. N:10");
	EXPECT("0x1F 1_000", "N:0 W:x1F N:1 W:_000");
}

Test(lexer, operators_end_where_a_comment_begins)
{
	EXPECT("a<-1", "W:a O:<- N:1");
	EXPECT("1*--x\n2", "N:1 O:* N:2");
	EXPECT("1+/*c*/2", "N:1 O:+ N:2");
	EXPECT("a::int := b..c[1]", "W:a p::: W:int p::= W:b p:.. W:c p:[ N:1 p:]");
}

Test(lexer, comments_nest)
{
	EXPECT("a /* b /* c */ ; d */ e -- f\n;", "W:a W:e p:;");
}

Test(lexer, what_never_ends_takes_the_rest)
{
	EXPECT("a 'b c", "W:a X:'b c");
	EXPECT("a \"b", "W:a X:\"b");
	EXPECT("a /* b", "W:a X:/* b");
	EXPECT("a $x$ b $y$", "W:a X:$x$ b $y$");
	EXPECT("E'\\", "X:E'\\");
}
