/* SPDX-License-Identifier: PostgreSQL */
/*
 * Texts cut at their plain literals. A text that has the same bytes between
 * them, and other digits or another plain string in their places, has the same
 * shape, so that it needs no lexer: programs that write values into few texts
 * are recognised by comparing bytes. One thread.
 */
#ifndef WEIR_SQL_TEMPLATE_H
#define WEIR_SQL_TEMPLATE_H

#include "base/slice.h"
#include "sql/shape.h"

struct statement;

enum {
	TEMPLATE_SETS = 64,
	TEMPLATE_WAYS = 4,
	TEMPLATE_TEXT_MAX = 1024, /* longer texts aren't kept: the table stays below 300 KiB */
};

struct template;

struct template_table { /* zero-initialise */
	struct template *at[TEMPLATE_SETS][TEMPLATE_WAYS]; /* owned */
	uint8_t next[TEMPLATE_SETS];                       /* the way to replace */
};

void template_table_fini(struct template_table *table);
/* Borrowed, valid until the next template_add; NULL: no template fits. */
struct statement *template_find(const struct template_table *table, struct slice text);
/*
 * literals: as shape_make_noting found them in text; nothing is kept unless all are plain and
 * there is one at least. Takes a reference of its own on the statement.
 */
void template_add(struct template_table *table, struct slice text,
                  const struct shape_literals *literals, struct statement *statement);

#endif
