/* SPDX-License-Identifier: PostgreSQL */
/*
 * A cursor over a message body with a sticky error: read everything, then ask
 * once. After a failure every further read gives zero or an empty slice.
 * Lengths are compared by subtraction, so no hostile length can overflow.
 * Inline and pure, any thread.
 */
#ifndef WEIR_WIRE_READER_H
#define WEIR_WIRE_READER_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "base/slice.h"

struct reader {
	const char *pos; /* borrowed */
	size_t left;     /* bytes from pos to the end */
	bool failed;
};

static inline struct reader reader_of(struct slice body)
{
	return (struct reader){ body.ptr, body.len, false };
}

/* Exactly n bytes. */
static inline struct slice reader_bytes(struct reader *r, size_t n)
{
	struct slice out;

	if (r->failed || n > r->left) {
		r->failed = true;
		return slice_of("", 0);
	}
	out = slice_of(r->pos, n);
	r->pos += n;
	r->left -= n;
	return out;
}

static inline uint8_t reader_u8(struct reader *r)
{
	struct slice s = reader_bytes(r, 1);

	return s.len ? (uint8_t)s.ptr[0] : 0;
}

static inline uint16_t reader_u16(struct reader *r)
{
	struct slice s = reader_bytes(r, sizeof(uint16_t));
	uint16_t v = 0;

	memcpy(&v, s.ptr, s.len);
	return be16toh(v);
}

static inline int16_t reader_i16(struct reader *r)
{
	return (int16_t)reader_u16(r);
}

static inline uint32_t reader_u32(struct reader *r)
{
	struct slice s = reader_bytes(r, sizeof(uint32_t));
	uint32_t v = 0;

	memcpy(&v, s.ptr, s.len);
	return be32toh(v);
}

static inline int32_t reader_i32(struct reader *r)
{
	return (int32_t)reader_u32(r);
}

/* Up to the NUL, which is consumed and not part of the slice; no NUL: failure. */
static inline struct slice reader_cstring(struct reader *r)
{
	const char *end = r->failed || r->left == 0 ? NULL : memchr(r->pos, '\0', r->left);
	struct slice out;

	if (!end) {
		r->failed = true;
		return slice_of("", 0);
	}
	out = reader_bytes(r, (size_t)(end - r->pos));
	(void)reader_bytes(r, 1);
	return out;
}

/* All that is left, perhaps nothing. */
static inline struct slice reader_rest(struct reader *r)
{
	return reader_bytes(r, r->failed ? 0 : r->left);
}

/* WEIR_OK when nothing failed and nothing is left. */
static inline enum weir_err reader_end(const struct reader *r)
{
	return r->failed || r->left != 0 ? WEIR_ERR_PROTOCOL : WEIR_OK;
}

/* WEIR_OK when nothing failed; bytes may be left. */
static inline enum weir_err reader_status(const struct reader *r)
{
	return r->failed ? WEIR_ERR_PROTOCOL : WEIR_OK;
}

#endif
