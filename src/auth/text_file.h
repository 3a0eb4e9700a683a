/* SPDX-License-Identifier: PostgreSQL */
/*
 * Reading a whole text file and saying where it is wrong: shared by the
 * readers of user lists and log-in rules. Private to auth/. Any thread.
 */
#ifndef WEIR_AUTH_TEXT_FILE_H
#define WEIR_AUTH_TEXT_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/slice.h"

enum { TEXT_FILE_MAX_BYTES = 64 * 1024 * 1024, TEXT_FILE_ERROR_MAX = 256 };

/* *out is owned: text_file_free. On WEIR_ERR_IO error holds "path: why". */
enum weir_err text_file_read(const char *path, struct slice *out,
                             char error[TEXT_FILE_ERROR_MAX]) WEIR_MUST_CHECK;
void text_file_free(struct slice text); /* wipes */

/* A place in a text; errors go to `error`, which has TEXT_FILE_ERROR_MAX bytes. */
struct text_line {
	const char *path;  /* borrowed */
	unsigned number;   /* from 1 */
	unsigned depth;    /* files that name this one */
	struct slice rest; /* of this line, without its end */
	char *error;
};

/* Takes the next line off *text; false at its end. One that begins with ; is empty. */
bool text_line_next(struct text_line *line, struct slice *text);
/* Skips blanks; true when something other than a comment in # follows. */
bool text_line_has_more(struct text_line *line);
/* Writes "path:line: text"; always WEIR_ERR_CONFIG. */
enum weir_err text_line_broken(const struct text_line *line, const char *fmt, ...)
	WEIR_PRINTF(2, 3);

#endif
