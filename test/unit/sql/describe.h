/* SPDX-License-Identifier: PostgreSQL */
/*
 * A statement as one line of text, so that tests compare what they see.
 */
#ifndef TEST_UNIT_SQL_DESCRIBE_H
#define TEST_UNIT_SQL_DESCRIBE_H

#include "base/buf.h"
#include "sql/statement.h"

const char *describe_class(enum statement_class class);
/* Appends flags, pins, hints, names and effects, blanks between them; "-" if there is nothing. */
void describe_details(struct buf *b, const struct statement *s);
/* "class details" of one text, analysed without a cache; static until the next call. */
const char *describe_text(const char *sql);

#endif
