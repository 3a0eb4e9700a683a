/* SPDX-License-Identifier: PostgreSQL */
/*
 * Hints to pgweir in SQL comments. Pure, any thread.
 */
#ifndef WEIR_SQL_HINT_H
#define WEIR_SQL_HINT_H

#include "base/slice.h"
#include "sql/statement.h"

/*
 * Takes the body of one comment. Comments that don't begin with "pgweir:"
 * (sqlcommenter's, ORMs', pg_hint_plan's) change nothing; unknown names and
 * values are skipped; of several hints of one kind the last wins.
 */
void hint_read(struct statement_hints *hints, struct slice comment);

#endif
