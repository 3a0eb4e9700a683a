/* SPDX-License-Identifier: PostgreSQL */
/*
 * A text to a statement, without any cache. Any thread.
 */
#ifndef WEIR_SQL_ANALYSE_H
#define WEIR_SQL_ANALYSE_H

#include "base/arena.h"
#include "sql/shape.h"
#include "sql/statement.h"

struct analysed {
	struct statement *statement; /* one reference, the caller's */
	bool is_shared;              /* holds for every text of this shape */
	bool is_parsed;              /* the parser took it */
};

/* shape: of this text. The arena is scratch: nothing in it is needed afterwards. */
struct analysed analyse_text(struct arena *arena, struct slice text, const struct shape *shape);
/* A text over the bound: by its key words only. */
struct statement *analyse_large(struct arena *arena, struct slice text);

#endif
