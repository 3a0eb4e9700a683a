/* SPDX-License-Identifier: PostgreSQL */
/*
 * Traces: a test feeds events, writes the actions that come out as lines of
 * text, and compares them with what it expects. A difference is shown by its
 * first line. One thread.
 */
#ifndef WEIR_TEST_SUPPORT_TRACE_H
#define WEIR_TEST_SUPPORT_TRACE_H

#include "base/buf.h"

struct trace {
	struct buf text; /* one line per action */
};

void trace_init(struct trace *t);
void trace_fini(struct trace *t);

/* Adds one line; the newline is added. */
void trace_add(struct trace *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * Compares with `expected`, lines apart, leading tabs of a line and a last
 * newline ignored; then empties the trace. Ends the test where they differ.
 */
#define trace_expect(t, expected) trace_expect_at((t), (expected), __FILE__, __LINE__)
void trace_expect_at(struct trace *t, const char *expected, const char *file, int line);

#endif
