/* SPDX-License-Identifier: PostgreSQL */
/*
 * What can be told of a text by its key words alone: for texts that the parser
 * refuses or that are too large for it. Pure, any thread.
 */
#ifndef WEIR_SQL_KEYWORD_H
#define WEIR_SQL_KEYWORD_H

#include "sql/analysis.h"

/* The first word, upper case and static; "" if it isn't one that begins a statement. */
const char *keyword_tag(struct slice text);
/* Judges the whole text: always a write to unknown tables. */
void keyword_judge(struct analysis *a, struct slice text);

#endif
