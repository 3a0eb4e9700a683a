/* SPDX-License-Identifier: PostgreSQL */
/* Traces: collects lines and compares them with the expected text. */
#include "support/trace.h"

#include <criterion/criterion.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { TRACE_MAX = 1 << 20, TRACE_LINE_MAX = 4096 };

void trace_init(struct trace *t)
{
	buf_init(&t->text, TRACE_MAX);
}

void trace_fini(struct trace *t)
{
	buf_fini(&t->text);
}

void trace_add(struct trace *t, const char *fmt, ...)
{
	char line[TRACE_LINE_MAX];
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	buf_append_str(&t->text, line);
	buf_append_u8(&t->text, '\n');
	cr_assert_eq(t->text.err, WEIR_OK, "the trace is too long");
}

static struct slice next_line(struct slice *rest)
{
	const char *end = rest->len ? memchr(rest->ptr, '\n', rest->len) : NULL;
	struct slice line = slice_of(rest->ptr, end ? (size_t)(end - rest->ptr) : rest->len);
	size_t used = line.len + (end ? 1 : 0);

	*rest = slice_of(rest->ptr + used, rest->len - used);
	return line;
}

static struct slice next_expected(struct slice *rest)
{
	struct slice line = next_line(rest);

	while (line.len && line.ptr[0] == '\t')
		line = slice_of(line.ptr + 1, line.len - 1);
	return line;
}

void trace_expect_at(struct trace *t, const char *expected, const char *file, int line)
{
	struct slice got = t->text.data ? buf_slice(&t->text) : slice_str("");
	struct slice want = slice_str(expected);

	for (unsigned number = 1; got.len || want.len; number++) {
		struct slice w = next_expected(&want), g = next_line(&got);

		cr_assert(slice_equal(w, g),
		          "%s:%d: line %u of the trace\n  expected: %.*s\n  got:      %.*s", file, line,
		          number, (int)w.len, w.ptr, (int)g.len, g.ptr);
	}
	buf_clear(&t->text);
}
