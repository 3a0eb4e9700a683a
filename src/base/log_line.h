/* SPDX-License-Identifier: PostgreSQL */
/*
 * The text of one log line: a bounded buffer, and a printf that treats every
 * string argument as hostile. Private to base/log.c and its tests.
 */
#ifndef WEIR_BASE_LOG_LINE_H
#define WEIR_BASE_LOG_LINE_H

#include <stdarg.h>
#include <stddef.h>

enum { LOG_LINE_MAX = 4096 }; /* PIPE_BUF: a write of it to a pipe is not torn */

struct log_line {
	size_t len;
	size_t cut_at; /* bytes; what lies beyond is dropped, room for the end mark is kept */
	char text[LOG_LINE_MAX];
};

void log_line_init(struct log_line *line);

/* Constant text of ours: copied as it is. */
void log_line_raw(struct log_line *line, const char *text);

/*
 * The conversions d i u x X o c s p e f g m and %, with flags, width, precision
 * and length; no n, no long double. Any other ends in an assertion.
 */
void log_line_vformat(struct log_line *line, const char *fmt, va_list args)
	__attribute__((format(printf, 2, 0)));

/* Marks a cut line and ends it with newline and NUL; len counts the newline. */
void log_line_end(struct log_line *line);

#endif
