/* SPDX-License-Identifier: PostgreSQL */
/*
 * A parse tree as nodes: what the JSON that libpg_query gives says, read in
 * place into an arena, with a bound on depth. Knows nothing of SQL.
 */
#ifndef WEIR_SQL_TREE_H
#define WEIR_SQL_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

enum { TREE_DEPTH_MAX = 4000 };

enum tree_kind {
	TREE_OBJECT,
	TREE_ARRAY,
	TREE_STRING,
	TREE_NUMBER,
	TREE_TRUE,
	TREE_FALSE,
	TREE_NULL,
};

struct tree_node {
	const char *key;         /* borrowed from the JSON; NULL in arrays and at the root */
	const char *text;        /* strings and numbers; borrowed from the JSON, else "" */
	struct tree_node *child; /* first member or element */
	struct tree_node *next;  /* next sibling */
	enum tree_kind kind;
	int32_t location; /* of an object that has one: offset in the SQL text */
};

/*
 * Overwrites json, which must outlive the tree. NULL: malformed or too deep.
 * Members "location" become the field of their object.
 */
struct tree_node *tree_read(struct arena *arena, char *json);

/* NULL: no such member, or no object. */
const struct tree_node *tree_member(const struct tree_node *object, const char *key);
const char *tree_text(const struct tree_node *object, const char *key); /* string or number */
bool tree_flag(const struct tree_node *object, const char *key);        /* is there and true */
/* The text of String nodes in a list: {"String":{"sval":"x"}}; NULL for other nodes. */
const char *tree_string_node(const struct tree_node *node);

#endif
