/* SPDX-License-Identifier: PostgreSQL */
/*
 * W3C Trace Context: the header traceparent, checked, and the SQL comment that
 * carries it to the server's log (sqlcommenter's form). Pure.
 *
 * pgweir's cache of statements knows a text without its comments (by shape), so
 * a changing comment costs a tokenisation and nothing more. The key of its
 * result cache is the whole text: a comment that changes with each request
 * would make every cached read a miss. So only sampled requests carry it, and
 * only in statements that are never answered from the cache.
 */
#ifndef FINAI_TRACE_H
#define FINAI_TRACE_H

#include <stdbool.h>

enum { TRACE_TEXT_LEN = 55, TRACE_COMMENT_MAX = 80 };

struct trace {
	char text[TRACE_TEXT_LEN + 1]; /* empty: none */
	bool is_sampled;
};

/* header may be NULL. False, and an empty trace: absent or not valid. */
bool trace_parse(struct trace *t, const char *header);
/* Comment to put behind a statement, with a blank before it; empty unless sampled. */
void trace_comment(const struct trace *t, char comment[TRACE_COMMENT_MAX]);

#endif
