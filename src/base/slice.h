/* SPDX-License-Identifier: PostgreSQL */
/*
 * A slice borrows bytes: pointer and length, never owned, never NUL-terminated
 * by contract. All parsers take and give slices. Pure, any thread.
 */
#ifndef WEIR_BASE_SLICE_H
#define WEIR_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct slice {
	const char *ptr; /* borrowed */
	size_t len;
};

static inline struct slice slice_of(const void *ptr, size_t len)
{
	return (struct slice){ (const char *)ptr, len };
}

static inline struct slice slice_str(const char *text)
{
	return (struct slice){ text, strlen(text) };
}

static inline bool slice_equal(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool slice_is(struct slice a, const char *text)
{
	return slice_equal(a, slice_str(text));
}

/* ASCII case-insensitive; SQL key words and option names only. */
bool slice_is_nocase(struct slice a, const char *text);

#endif
