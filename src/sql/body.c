/* SPDX-License-Identifier: PostgreSQL */
/*
 * A DO block can do to the session whatever a client can. Its language isn't
 * parsed here: the lexer goes over the words, those inside strings included
 * (EXECUTE 'SET ...'), and looks for the few that leave something behind. It
 * finds too much rather than too little: a pin costs a server connection, a
 * setting that stays behind would reach the next client. Any thread, no state.
 */
#include "sql/body.h"

#include "base/assert.h"
#include "sql/lexer.h"

enum { NEST_MAX = 3 }; /* strings in strings */

enum where { ANYWHERE, AT_START, AFTER_CREATE };

static const struct {
	const char *word;
	enum where where;
	uint32_t pins;
} marks[] = {
	{ "set", AT_START, PIN_SESSION_STATE },
	{ "reset", AT_START, PIN_SESSION_STATE },
	{ "discard", AT_START, PIN_SESSION_STATE },
	{ "listen", AT_START, PIN_LISTEN },
	{ "load", AT_START, PIN_LOAD },
	{ "prepare", AT_START, PIN_SQL_PREPARE },
	{ "temp", AFTER_CREATE, PIN_TEMP_TABLE },
	{ "temporary", AFTER_CREATE, PIN_TEMP_TABLE },
	{ "pg_temp", ANYWHERE, PIN_TEMP_TABLE },
	{ "set_config", ANYWHERE, PIN_SESSION_STATE },
	{ "dblink_connect", ANYWHERE, PIN_SESSION_STATE },
	{ "dblink_connect_u", ANYWHERE, PIN_SESSION_STATE },
	{ "pg_advisory_lock", ANYWHERE, PIN_ADVISORY_LOCK },
	{ "pg_advisory_lock_shared", ANYWHERE, PIN_ADVISORY_LOCK },
	{ "pg_try_advisory_lock", ANYWHERE, PIN_ADVISORY_LOCK },
	{ "pg_try_advisory_lock_shared", ANYWHERE, PIN_ADVISORY_LOCK },
};

static bool is_word_of(const struct token *t, const char *const *words)
{
	for (; *words; words++)
		if (t->kind == TOKEN_WORD && slice_is_nocase(t->text, *words))
			return true;
	return false;
}

/* The token before the first word of a statement, in PL/pgSQL or SQL. */
static bool is_boundary(const struct token *t)
{
	static const char *const words[] = { "begin", "then", "else", "loop", "declare", NULL };

	return t->kind == TOKEN_END || is_word_of(t, words) ||
	       (t->kind == TOKEN_PUNCT && *t->text.ptr == ';');
}

static bool stands_at(enum where where, const struct token *before)
{
	static const char *const creators[] = { "create", "into", "replace", "local", "global", NULL };

	return where == ANYWHERE || (where == AT_START && is_boundary(before)) ||
	       (where == AFTER_CREATE && is_word_of(before, creators));
}

/* SET LOCAL, SET TRANSACTION and SET CONSTRAINTS end with the transaction. */
static bool is_passing(const struct token *first, const struct token *next)
{
	static const char *const words[] = { "local", "transaction", "constraints", NULL };

	return slice_is_nocase(first->text, "set") && is_word_of(next, words);
}

static void judge_word(struct analysis *a, const struct token *before, const struct token *t,
                       const struct token *next)
{
	for (size_t i = 0; i < WEIR_COUNTOF(marks); i++) {
		if (!slice_is_nocase(t->text, marks[i].word) || !stands_at(marks[i].where, before) ||
		    is_passing(t, next))
			continue;
		if (marks[i].pins == PIN_SESSION_STATE && !(a->pins & PIN_SESSION_STATE))
			analysis_opaque(a);
		a->pins |= marks[i].pins;
	}
}

/* What stands between the quotes, prefix and dollar tags taken off. */
static struct slice unquote(struct slice s)
{
	const char *open = memchr(s.ptr, *s.ptr == '$' ? '$' : '\'', s.len);
	size_t tag = 1;

	if (*s.ptr == '$')
		tag = (size_t)((const char *)memchr(s.ptr + 1, '$', s.len - 1) - s.ptr) + 1;
	WEIR_ASSERT(open != NULL);
	open += tag;
	if ((size_t)(open - s.ptr) + tag > s.len)
		return slice_of(open, 0);
	return slice_of(open, s.len - (size_t)(open - s.ptr) - tag);
}

static void judge_text(struct analysis *a, struct slice text, int nest)
{
	struct token before = { .kind = TOKEN_END }, t, next;
	struct lexer l;

	lexer_init(&l, text);
	for (t = lexer_next(&l); t.kind != TOKEN_END; before = t, t = next) {
		next = lexer_next(&l);
		if (t.kind == TOKEN_WORD)
			judge_word(a, &before, &t, &next);
		else if (t.kind == TOKEN_STRING && nest < NEST_MAX)
			judge_text(a, unquote(t.text), nest + 1);
	}
}

void body_judge(struct analysis *a, struct slice body)
{
	judge_text(a, body, 0);
}
