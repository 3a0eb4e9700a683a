/* SPDX-License-Identifier: PostgreSQL */
/*
 * PostgreSQL's own grammar, by libpg_query. The only door to that library.
 * Safe from several threads at once; the library keeps memory per thread and
 * gives it back when the thread ends.
 */
#ifndef WEIR_SQL_PARSE_H
#define WEIR_SQL_PARSE_H

#include "base/arena.h"
#include "base/assert.h"
#include "base/err.h"
#include "sql/tree.h"

struct parse {
	/* The first of a list of {"stmt":{"<Node>":{...}}}; NULL: none. */
	const struct tree_node *statements;
	void *memory; /* owned; parse_fini */
};

/*
 * text ends with a NUL and has been bounded in nesting (shape.h). Tree nodes
 * are in the arena. WEIR_ERR_UNSUPPORTED: a syntax error or too deep; then
 * nothing needs parse_fini.
 */
enum weir_err parse_text(struct parse *p, struct arena *arena, const char *text) WEIR_MUST_CHECK;
void parse_fini(struct parse *p);

#endif
