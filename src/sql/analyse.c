/* SPDX-License-Identifier: PostgreSQL */
/*
 * The analysis of a whole text: parse, judge statement by statement, join.
 * The strongest class wins: WRITE, then READ, then SESSION; transaction control
 * beside anything else makes the text a WRITE, because only the server can tell
 * where its transactions begin and end. No cache for anything but one plain
 * read; what else forbids it is in walk.c, functions.c and shape.c.
 *
 * An analysis holds for a whole shape if its statements are SELECT, INSERT,
 * UPDATE, DELETE or MERGE without session effects. In all others literals say
 * what is done (SET, COPY files, EXPLAIN options, NOTIFY, DO bodies), and so
 * they do in set_config(). Any thread.
 */
#include "sql/analyse.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "sql/analysis.h"
#include "sql/keyword.h"
#include "sql/parse.h"
#include "sql/utility.h"

enum { ARENA_BLOCK_BYTES = 64 * 1024, ANALYSE_TEXT_MAX = 1024 * 1024 };

/* Flags that speak of the only statement in the text. */
static const uint32_t single_flags =
	STATEMENT_BEGIN | STATEMENT_BEGIN_READ_ONLY | STATEMENT_BEGIN_READ_WRITE |
	STATEMENT_BEGIN_ISOLATED | STATEMENT_BEGIN_SERIALIZABLE | STATEMENT_COMMIT | STATEMENT_ROLLBACK;

static bool is_plain_dml(const char *node)
{
	static const char *const nodes[] = { "SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt",
		                                 "MergeStmt" };

	for (size_t i = 0; i < WEIR_COUNTOF(nodes); i++)
		if (strcmp(node, nodes[i]) == 0)
			return true;
	return false;
}

static enum statement_class join_class(enum statement_class a, enum statement_class b)
{
	if (a == STATEMENT_EMPTY)
		return b;
	if (a == STATEMENT_WRITE || b == STATEMENT_WRITE || a == STATEMENT_TXN || b == STATEMENT_TXN)
		return STATEMENT_WRITE;
	return a == STATEMENT_READ || b == STATEMENT_READ ? STATEMENT_READ : STATEMENT_SESSION;
}

/* The part of the text that a RawStmt is; without a length it goes to the end. */
static struct slice text_of(const struct analysis *a, const struct tree_node *raw)
{
	const char *start = tree_text(raw, "stmt_location"), *len = tree_text(raw, "stmt_len");
	size_t at = start ? strtoul(start, NULL, 10) : 0;
	size_t left = at < a->text.len ? a->text.len - at : 0;
	size_t n = len ? strtoul(len, NULL, 10) : left;

	return slice_of(a->text.ptr + (a->text.len - left), n < left ? n : left);
}

/* What the statement at hand does to the transaction; 0: nothing, then the one before counts. */
static uint32_t multi_end(uint32_t flags)
{
	if (flags & (STATEMENT_BEGIN | STATEMENT_CHAIN))
		return STATEMENT_MULTI_OPENS;
	if (flags & STATEMENT_COMMIT)
		return STATEMENT_MULTI_COMMITS;
	return flags & STATEMENT_ROLLBACK ? STATEMENT_MULTI_ROLLS_BACK : 0;
}

/* One of several; the union of all flags stays, the end of the transaction is *end's. */
static void judge_one(struct analysis *a, const struct tree_node *stmt, uint32_t *end)
{
	uint32_t before = a->flags, own;

	a->flags = 0;
	utility_judge(a, stmt);
	own = multi_end(a->flags);
	if (own)
		*end = own;
	a->flags |= before;
}

static void judge_all(struct analysis *a, const struct tree_node *statements)
{
	enum statement_class class = STATEMENT_EMPTY;
	uint32_t end = 0;
	bool has_txn = false;

	for (const struct tree_node *n = statements; n; n = n->next) {
		const struct tree_node *stmt = tree_member(n, "stmt");

		if (!stmt || !stmt->child)
			continue;
		a->class = STATEMENT_WRITE;
		/* Alone it is what came, semicolon and all, as pg_prepared_statements shows it. */
		a->statement_text = statements->next ? text_of(a, n) : a->text;
		a->is_plain_dml &= is_plain_dml(stmt->child->key);
		judge_one(a, stmt->child, &end);
		has_txn |= a->class == STATEMENT_TXN || (a->flags & STATEMENT_TWO_PHASE);
		class = join_class(class, a->class);
		if (a->statement_count < UINT16_MAX)
			a->statement_count++;
	}
	a->class = class;
	if (a->statement_count > 1) {
		a->flags &= ~single_flags;
		a->flags |= STATEMENT_MULTI | STATEMENT_NO_CACHE;
		if (has_txn)
			a->flags |= STATEMENT_TXN_INSIDE_MULTI | end;
	}
}

/* False: not parsed. */
static bool judge_parsed(struct analysis *a, struct slice text)
{
	struct parse parse;

	if (a->shape->is_too_deep || (text.len && memchr(text.ptr, '\0', text.len) != NULL))
		return false;
	a->text = text;
	if (parse_text(&parse, a->arena, arena_strdup(a->arena, text)) != WEIR_OK)
		return false;
	judge_all(a, parse.statements);
	parse_fini(&parse);
	if (a->shape->has_time_word || a->class != STATEMENT_READ)
		a->flags |= STATEMENT_NO_CACHE;
	a->tag = keyword_tag(text);
	return true;
}

struct analysed analyse_text(struct arena *arena, struct slice text, const struct shape *shape)
{
	struct analysed result = { 0 };
	struct analysis a;

	analysis_init(&a, arena, shape);
	result.is_parsed = judge_parsed(&a, text);
	if (!result.is_parsed) {
		analysis_init(&a, arena, shape);
		a.flags = STATEMENT_UNPARSED;
		keyword_judge(&a, text);
	}
	result.is_shared =
		result.is_parsed && a.is_plain_dml && a.effect_count == 0 && !shape->is_text_only;
	result.statement = analysis_build(&a);
	return result;
}

struct statement *analyse_large(struct arena *arena, struct slice text)
{
	const struct shape none = { 0 };
	struct analysis a;

	analysis_init(&a, arena, &none);
	a.flags = STATEMENT_LARGE;
	keyword_judge(&a, text);
	return analysis_build(&a);
}

struct statement *statement_analyse(struct slice text)
{
	struct statement *s;
	struct shape shape;
	struct arena arena;
	char *out;

	arena_init(&arena, ARENA_BLOCK_BYTES);
	out = text.len > ANALYSE_TEXT_MAX ? NULL : mem_try_alloc(shape_bound(text.len));
	if (out) {
		shape_make(&shape, text, out);
		s = analyse_text(&arena, text, &shape).statement;
	} else {
		s = analyse_large(&arena, text);
	}
	mem_free(out);
	arena_fini(&arena);
	return s;
}

struct statement *statement_get(struct statement *s)
{
	WEIR_ASSERT(s->refcount > 0);
	s->refcount++;
	return s;
}

void statement_put(struct statement **s)
{
	struct statement *own = *s;

	*s = NULL;
	if (!own)
		return;
	WEIR_ASSERT(own->refcount > 0);
	if (--own->refcount == 0)
		mem_free(own);
}
