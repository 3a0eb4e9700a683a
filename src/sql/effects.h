/* SPDX-License-Identifier: PostgreSQL */
/*
 * Session effects: SET, RESET, DISCARD, SET TRANSACTION, set_config().
 */
#ifndef WEIR_SQL_EFFECTS_H
#define WEIR_SQL_EFFECTS_H

#include "sql/analysis.h"

void effects_set(struct analysis *a, const struct tree_node *node);     /* VariableSetStmt */
void effects_discard(struct analysis *a, const struct tree_node *node); /* DiscardStmt */
/*
 * call: the FuncCall node of set_config. is_certain: it runs exactly once, as an
 * item of a SELECT without FROM, so that constants are a known effect; elsewhere,
 * and with parameters, the effect is opaque unless it is local.
 */
void effects_set_config(struct analysis *a, const struct tree_node *call, bool is_certain);

#endif
