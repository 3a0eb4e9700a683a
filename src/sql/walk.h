/* SPDX-License-Identifier: PostgreSQL */
/*
 * Goes over queries and expressions: relations read and written, functions,
 * row locks, what makes a result uncacheable. Pure on the analysis.
 */
#ifndef WEIR_SQL_WALK_H
#define WEIR_SQL_WALK_H

#include "sql/analysis.h"

/* Any node: a statement, an expression, a list. Raises a->class to WRITE where it must. */
void walk(struct analysis *a, const struct tree_node *node);
/* A RangeVar, wrapped or not, as a table written. */
void walk_target(struct analysis *a, const struct tree_node *range_var);
/* True if something in the tree is temporary: made so, or named in schema pg_temp. */
bool walk_finds_temporary(const struct tree_node *node);
/* True if currval or lastval is in a name or a text of the tree (a default, a function's body). */
bool walk_finds_sequence_value(const struct tree_node *node);
/* Name of a FuncCall; name.name NULL if it has none. */
struct statement_name walk_function_name(const struct tree_node *call);

#endif
