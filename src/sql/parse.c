/* SPDX-License-Identifier: PostgreSQL */
/*
 * Calls libpg_query and reads the tree it prints. JSON rather than protobuf or
 * the raw tree: see docs/adr/0001. The result's memory lives until parse_fini,
 * because the tree's strings are in it. Any thread, no state of ours.
 */
#include "sql/parse.h"

#include <stdlib.h>

#include <pg_query.h>

enum weir_err parse_text(struct parse *p, struct arena *arena, const char *text)
{
	PgQueryParseResult result = pg_query_parse(text);
	const struct tree_node *root;

	*p = (struct parse){ 0 };
	root = result.error || !result.parse_tree ? NULL : tree_read(arena, result.parse_tree);
	if (!root) {
		pg_query_free_parse_result(result);
		return WEIR_ERR_UNSUPPORTED;
	}
	p->memory = result.parse_tree;
	result.parse_tree = NULL; /* taken */
	pg_query_free_parse_result(result);
	p->statements = tree_member(root, "stmts") ? tree_member(root, "stmts")->child : NULL;
	return WEIR_OK;
}

void parse_fini(struct parse *p)
{
	free(p->memory); /* the library's, from malloc */
	p->memory = NULL;
}
