/* SPDX-License-Identifier: PostgreSQL */
/*
 * See sqlname.h. Only a single EXECUTE in a simple query is looked at; in any
 * other form the name is PostgreSQL's to find, or not.
 */
#include "proxy/sqlname.h"

#include <ctype.h>

#include "sql/lexer.h"
#include "wire/build.h"

enum { NAME_MAX_BYTES = 256 };

/* The identifier that a token spells: folded, or unquoted. False: not one, or too long. */
static bool identifier_of(const struct token *t, char out[NAME_MAX_BYTES], size_t *len)
{
	size_t n = 0;

	if ((t->kind != TOKEN_WORD && t->kind != TOKEN_QUOTED) || t->text.len >= NAME_MAX_BYTES)
		return false;
	for (size_t i = 0; i < t->text.len; i++) {
		char ch = t->text.ptr[i];

		if (t->kind == TOKEN_WORD) {
			out[n++] = (char)tolower((unsigned char)ch);
			continue;
		}
		if (i == 0 || i + 1 == t->text.len)
			continue; /* the quotes around it */
		out[n++] = ch;
		if (ch == '"')
			i++; /* doubled */
	}
	*len = n;
	return n > 0;
}

struct prepared *sqlname_executed(const struct client *c, const struct statement *s,
				  struct slice sql, struct slice *name)
{
	struct prepared_name *found;
	char text[NAME_MAX_BYTES];
	struct lexer lexer;
	struct token token;
	size_t len;

	if (!c->names || strcmp(s->tag, "EXECUTE") != 0 || (s->flags & STATEMENT_MULTI))
		return NULL;
	lexer_init(&lexer, sql);
	token = lexer_next(&lexer);
	if (token.kind != TOKEN_WORD || !slice_is_nocase(token.text, "execute"))
		return NULL;
	token = lexer_next(&lexer);
	if (!identifier_of(&token, text, &len))
		return NULL;
	found = prepared_names_find(c->names, slice_of(text, len));
	*name = token.text;
	return found ? found->prepared : NULL;
}

struct request sqlname_request(struct client *c, struct slice sql, struct slice name,
			       const struct prepared *p)
{
	size_t before = (size_t)(name.ptr - sql.ptr);
	size_t behind = before + name.len;
	struct slice whole;
	struct buf b;
	size_t start;
	char *copy;

	buf_init(&b, sql.len + PREPARED_SERVER_NAME_MAX + 16);
	start = build_begin(&b, 'Q');
	buf_append(&b, sql.ptr, before);
	buf_append(&b, p->server_name, p->server_name_len);
	buf_append(&b, sql.ptr + behind, sql.len - behind);
	buf_append_u8(&b, '\0');
	build_end(&b, start);
	whole = buf_slice(&b);
	copy = loop_turn_alloc(c->proxy->loop, whole.len);
	memcpy(copy, whole.ptr, whole.len);
	buf_fini(&b);
	return (struct request){ .kind = REQUEST_QUERY, .bytes = slice_of(copy, whole.len) };
}
