/* SPDX-License-Identifier: PostgreSQL */
/*
 * Framing of protocol 3: one type byte, a big-endian length that counts
 * itself, the body. frame_next cuts whole messages out of a byte range,
 * frame_peek reads only the header, for bodies that are streamed on. Inline,
 * since both run once per DataRow. Pure, no allocation, any thread.
 */
#ifndef WEIR_WIRE_FRAME_H
#define WEIR_WIRE_FRAME_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "base/slice.h"

enum { FRAME_HEADER_BYTES = 5, FRAME_LENGTH_BYTES = 4 };

struct frame_header {
	char type;
	uint32_t body_len; /* bytes behind the 5-byte header */
};

struct frame {
	char type;
	struct slice body;  /* borrowed: points into the input */
	struct slice whole; /* borrowed: header and body */
};

static inline uint32_t frame_load_u32(const char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

/* AGAIN: fewer than 5 bytes; PROTOCOL: the length doesn't even count itself. */
static inline enum weir_err frame_peek(struct slice in, struct frame_header *out)
{
	uint32_t len;

	if (in.len < FRAME_HEADER_BYTES)
		return WEIR_ERR_AGAIN;
	len = frame_load_u32(in.ptr + 1);
	if (len < FRAME_LENGTH_BYTES || len > INT32_MAX)
		return WEIR_ERR_PROTOCOL;
	out->type = in.ptr[0];
	out->body_len = len - FRAME_LENGTH_BYTES;
	return WEIR_OK;
}

/*
 * The next whole message. AGAIN: header or body incomplete, nothing consumed;
 * LIMIT: the body is longer than max_body, known from the header alone;
 * PROTOCOL as frame_peek. *consumed is set on WEIR_OK only.
 */
static inline enum weir_err frame_next(struct slice in, size_t max_body, struct frame *out,
                                       size_t *consumed)
{
	struct frame_header head;
	enum weir_err err = frame_peek(in, &head);

	if (err != WEIR_OK)
		return err;
	if (head.body_len > max_body)
		return WEIR_ERR_LIMIT;
	if (head.body_len > in.len - FRAME_HEADER_BYTES)
		return WEIR_ERR_AGAIN;
	out->type = head.type;
	out->body = slice_of(in.ptr + FRAME_HEADER_BYTES, head.body_len);
	out->whole = slice_of(in.ptr, FRAME_HEADER_BYTES + (size_t)head.body_len);
	*consumed = out->whole.len;
	return WEIR_OK;
}

#endif
