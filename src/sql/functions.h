/* SPDX-License-Identifier: PostgreSQL */
/*
 * Functions whose call means something that volatility doesn't say: session
 * effects, pins, results that move. Everything else is the catalog's to judge.
 */
#ifndef WEIR_SQL_FUNCTIONS_H
#define WEIR_SQL_FUNCTIONS_H

#include "sql/analysis.h"

/* call: the FuncCall node. True: fully dealt with, the catalog needn't judge it. */
bool functions_judge(struct analysis *a, struct statement_name name, const struct tree_node *call);

#endif
