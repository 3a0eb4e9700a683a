/* SPDX-License-Identifier: PostgreSQL */
/*
 * Statements by kind: one rule for each node type that isn't plain DDL.
 */
#ifndef WEIR_SQL_UTILITY_H
#define WEIR_SQL_UTILITY_H

#include "sql/analysis.h"

/*
 * node: the wrapped statement, its key is the node type. Sets a->class from
 * scratch, adds the rest. What no rule knows is DDL: a write to unknown tables.
 */
void utility_judge(struct analysis *a, const struct tree_node *node);

#endif
