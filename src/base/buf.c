/* SPDX-License-Identifier: PostgreSQL */
/*
 * Growable byte buffer. The idea: an append never returns an error, the first
 * refused one makes the buffer deaf until it is cleared, so that a builder
 * checks once and never sends a message with a hole. Owned by one thread.
 */
#include "base/buf.h"

#include "base/assert.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { BUF_MIN_BYTES = 256 };

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){ .max = max };
}

void buf_fini(struct buf *b)
{
	mem_free(b->data);
	buf_init(b, b->max);
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	b->err = WEIR_OK;
}

/* Doubles up to the bound; `need` is at most b->max. */
static size_t next_cap(const struct buf *b, size_t need)
{
	size_t cap = b->cap ? b->cap : BUF_MIN_BYTES;

	while (cap < need)
		cap = cap > b->max / 2 ? b->max : cap * 2;
	return cap < b->max ? cap : b->max;
}

static bool grow(struct buf *b, size_t need)
{
	size_t cap = next_cap(b, need);
	char *data = mem_try_realloc(b->data, cap);

	if (!data) {
		b->err = WEIR_ERR_MEMORY;
		return false;
	}
	b->data = data;
	b->cap = cap;
	return true;
}

char *buf_reserve(struct buf *b, size_t more)
{
	WEIR_ASSERT(b->len <= b->cap && b->cap <= b->max);
	if (b->err != WEIR_OK)
		return NULL;
	if (more > b->max - b->len) {
		b->err = WEIR_ERR_LIMIT;
		return NULL;
	}
	if ((more > b->cap - b->len || !b->data) && !grow(b, b->len + more))
		return NULL;
	return b->data + b->len;
}

void buf_append(struct buf *b, const void *data, size_t len)
{
	char *to = buf_reserve(b, len);

	if (!to || len == 0)
		return;
	memcpy(to, data, len);
	b->len += len;
}

void buf_append_slice(struct buf *b, struct slice s)
{
	buf_append(b, s.ptr, s.len);
}

void buf_append_str(struct buf *b, const char *text)
{
	buf_append(b, text, strlen(text));
}

void buf_append_u8(struct buf *b, uint8_t v)
{
	buf_append(b, &v, sizeof(v));
}

void buf_append_u16(struct buf *b, uint16_t v)
{
	uint8_t be[2] = { (uint8_t)(v >> 8), (uint8_t)v };

	buf_append(b, be, sizeof(be));
}

void buf_append_u32(struct buf *b, uint32_t v)
{
	uint8_t be[4] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v };

	buf_append(b, be, sizeof(be));
}

/* Formats into what is free; returns the length that was or would be needed. */
__attribute__((format(printf, 2, 0))) static int format_into(struct buf *b, const char *fmt,
                                                             va_list args)
{
	size_t room = b->cap - b->len;

	return vsnprintf(room ? b->data + b->len : NULL, room, fmt, args);
}

void buf_appendf(struct buf *b, const char *fmt, ...)
{
	va_list args;
	int n;

	if (b->err != WEIR_OK)
		return;
	va_start(args, fmt);
	n = format_into(b, fmt, args);
	va_end(args);
	WEIR_ASSERT(n >= 0);
	if ((size_t)n >= b->cap - b->len) {
		/* The terminating NUL needs a byte of room too. */
		if (!buf_reserve(b, (size_t)n + 1))
			return;
		va_start(args, fmt);
		format_into(b, fmt, args);
		va_end(args);
	}
	b->len += (size_t)n;
}

void buf_consume(struct buf *b, size_t len)
{
	WEIR_ASSERT(len <= b->len);
	b->len -= len;
	if (b->len && len)
		memmove(b->data, b->data + len, b->len);
}

struct slice buf_slice(const struct buf *b)
{
	return slice_of(b->data ? b->data : "", b->len);
}
