/* SPDX-License-Identifier: PostgreSQL */
/*
 * The shape of a text: its tokens with literals replaced, blanks and comments
 * gone, plain identifiers in lower case, hints appended. Two texts of one
 * shape have the same analysis, unless is_text_only. See README.md for the
 * literals that matter all the same. Pure, any thread.
 */
#ifndef WEIR_SQL_SHAPE_H
#define WEIR_SQL_SHAPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "sql/statement.h"

enum {
	SHAPE_NEST_MAX = 500,   /* open brackets */
	SHAPE_DEPTH_MAX = 6000, /* estimated height of the parse tree: bounds the parser's stack */
};

struct shape {
	uint64_t hash;
	struct statement_hints hints;
	uint16_t param_count;
	bool is_text_only;  /* a token depends on a literal beside it (U&"..." UESCAPE) */
	bool has_time_word; /* a literal that may be 'now', 'today' ...: not cacheable */
	bool is_too_deep;   /* must not reach the parser */
};

enum { SHAPE_LITERALS_MAX = 16 };

struct shape_literal {
	uint16_t from, len; /* in the text, quotes included */
	char kind;          /* 'n': digits only; 's': '...' without a quote inside, no moment */
};

struct shape_literals {
	bool are_plain; /* all of them are as above, and no more than fit */
	uint8_t count;
	struct shape_literal at[SHAPE_LITERALS_MAX];
};

/* Bytes that out needs for a text of that length. */
size_t shape_bound(size_t text_len);
/* Fills *shape, writes the normalised text to out and returns its length. */
size_t shape_make(struct shape *shape, struct slice text, char *out);
/* The same, and the places of the literals. */
size_t shape_make_noting(struct shape *shape, struct slice text, char *out,
                         struct shape_literals *literals);

/* True for a value in text form that date and time input may take for a moving moment. */
bool shape_names_moment(struct slice value);

#endif
