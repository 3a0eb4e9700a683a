/* SPDX-License-Identifier: PostgreSQL */
/*
 * Judging without a parser. The lexer cuts the text at semicolons and the first
 * word of each piece tells transaction control and session effects apart from
 * the rest. Errs on the side of the primary and of pinning. Any thread, no state.
 */
#include "sql/keyword.h"

#include "base/assert.h"
#include "sql/lexer.h"

enum keyword_kind { KEYWORD_PLAIN, KEYWORD_TXN, KEYWORD_SESSION };

static const struct keyword {
	const char *word;
	enum keyword_kind kind;
} keywords[] = {
	{ "SELECT", KEYWORD_PLAIN },     { "INSERT", KEYWORD_PLAIN },
	{ "UPDATE", KEYWORD_PLAIN },     { "DELETE", KEYWORD_PLAIN },
	{ "WITH", KEYWORD_PLAIN },       { "BEGIN", KEYWORD_TXN },
	{ "COMMIT", KEYWORD_TXN },       { "ROLLBACK", KEYWORD_TXN },
	{ "SET", KEYWORD_SESSION },      { "SHOW", KEYWORD_PLAIN },
	{ "VALUES", KEYWORD_PLAIN },     { "TABLE", KEYWORD_PLAIN },
	{ "MERGE", KEYWORD_PLAIN },      { "START", KEYWORD_TXN },
	{ "END", KEYWORD_TXN },          { "ABORT", KEYWORD_TXN },
	{ "SAVEPOINT", KEYWORD_TXN },    { "RELEASE", KEYWORD_TXN },
	{ "RESET", KEYWORD_SESSION },    { "DISCARD", KEYWORD_SESSION },
	{ "COPY", KEYWORD_PLAIN },       { "CREATE", KEYWORD_PLAIN },
	{ "ALTER", KEYWORD_PLAIN },      { "DROP", KEYWORD_PLAIN },
	{ "TRUNCATE", KEYWORD_PLAIN },   { "EXPLAIN", KEYWORD_PLAIN },
	{ "PREPARE", KEYWORD_SESSION },  { "EXECUTE", KEYWORD_PLAIN },
	{ "DEALLOCATE", KEYWORD_PLAIN }, { "DECLARE", KEYWORD_SESSION },
	{ "FETCH", KEYWORD_PLAIN },      { "MOVE", KEYWORD_PLAIN },
	{ "CLOSE", KEYWORD_PLAIN },      { "CALL", KEYWORD_PLAIN },
	{ "DO", KEYWORD_PLAIN },         { "LISTEN", KEYWORD_SESSION },
	{ "UNLISTEN", KEYWORD_PLAIN },   { "NOTIFY", KEYWORD_PLAIN },
	{ "LOAD", KEYWORD_SESSION },     { "LOCK", KEYWORD_PLAIN },
	{ "GRANT", KEYWORD_PLAIN },      { "REVOKE", KEYWORD_PLAIN },
	{ "COMMENT", KEYWORD_PLAIN },    { "SECURITY", KEYWORD_PLAIN },
	{ "ANALYZE", KEYWORD_PLAIN },    { "VACUUM", KEYWORD_PLAIN },
	{ "REINDEX", KEYWORD_PLAIN },    { "CLUSTER", KEYWORD_PLAIN },
	{ "CHECKPOINT", KEYWORD_PLAIN }, { "REFRESH", KEYWORD_PLAIN },
	{ "IMPORT", KEYWORD_PLAIN },     { "REASSIGN", KEYWORD_PLAIN },
	{ "ANALYSE", KEYWORD_PLAIN },
};

static const struct keyword *find(struct slice word)
{
	for (size_t i = 0; i < WEIR_COUNTOF(keywords); i++)
		if (slice_is_nocase(word, keywords[i].word))
			return &keywords[i];
	return NULL;
}

static bool is_punct(const struct token *t, char c)
{
	return t->kind == TOKEN_PUNCT && t->text.len == 1 && *t->text.ptr == c;
}

const char *keyword_tag(struct slice text)
{
	const struct keyword *k = NULL;
	struct lexer l;
	struct token t;

	lexer_init(&l, text);
	do
		t = lexer_next(&l);
	while (is_punct(&t, '(') || is_punct(&t, ';'));
	if (t.kind == TOKEN_WORD)
		k = find(t.text);
	return k ? k->word : "";
}

/* DDL of a syntax that the parser doesn't know must still refresh the catalog. */
static bool is_ddl_word(const struct keyword *k)
{
	static const char *const words[] = { "CREATE", "ALTER", "DROP", "GRANT", "REVOKE" };

	for (size_t i = 0; k && i < WEIR_COUNTOF(words); i++)
		if (k->word && slice_is(slice_str(k->word), words[i]))
			return true;
	return !k;
}

struct scan {
	size_t statements;
	bool has_txn;
	bool has_session;
	bool has_ddl;
};

static void scan_first_word(struct scan *scan, const struct token *t)
{
	const struct keyword *k = t->kind == TOKEN_WORD ? find(t->text) : NULL;

	scan->statements++;
	scan->has_txn |= k && k->kind == KEYWORD_TXN;
	scan->has_session |= k && k->kind == KEYWORD_SESSION;
	scan->has_ddl |= is_ddl_word(k);
}

static void scan_text(struct scan *scan, struct slice text)
{
	struct lexer l;
	bool at_start = true;

	lexer_init(&l, text);
	for (struct token t = lexer_next(&l); t.kind != TOKEN_END; t = lexer_next(&l)) {
		if (is_punct(&t, ';')) {
			at_start = true;
			continue;
		}
		if (at_start && !is_punct(&t, '(')) {
			scan_first_word(scan, &t);
			at_start = false;
		}
	}
}

void keyword_judge(struct analysis *a, struct slice text)
{
	struct scan scan = { 0 };

	scan_text(&scan, text);
	analysis_write(a);
	a->flags |= STATEMENT_WRITES_UNKNOWN;
	if (scan.statements > 1)
		a->flags |= STATEMENT_MULTI | (scan.has_txn ? STATEMENT_TXN_INSIDE_MULTI : 0);
	if (scan.has_ddl)
		a->flags |= STATEMENT_DDL;
	if (scan.has_session)
		analysis_opaque(a);
	a->tag = keyword_tag(text);
	a->is_plain_dml = false;
}
