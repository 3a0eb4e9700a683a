/* SPDX-License-Identifier: PostgreSQL */
/*
 * Statements that commit while they run, or do what no rollback takes back: if
 * they end with an error, a part of their work may be done. Pure.
 */
#ifndef WEIR_SQL_INSIDE_H
#define WEIR_SQL_INSIDE_H

#include <stdbool.h>

#include "sql/tree.h"

/* `node`: a statement's. Not for CALL and DO, whose code decides, nor for transaction control. */
bool inside_commits(const struct tree_node *node);

#endif
