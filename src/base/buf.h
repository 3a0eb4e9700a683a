/* SPDX-License-Identifier: PostgreSQL */
/*
 * A growable byte buffer with a hard bound. Appending past the bound or out of
 * memory sets a sticky error that the caller reads once at the end. Owned by
 * one thread at a time.
 */
#ifndef WEIR_BASE_BUF_H
#define WEIR_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

struct buf {
	char *data; /* owned; NULL while empty */
	size_t len;
	size_t cap;
	size_t max; /* bytes; an append past it fails */
	enum weir_err err;
};

void buf_init(struct buf *b, size_t max);
void buf_fini(struct buf *b);  /* frees, keeps max */
void buf_clear(struct buf *b); /* len = 0, err = OK, keeps the memory */

/* Room for `more` further bytes; NULL and the sticky error when refused. */
char *buf_reserve(struct buf *b, size_t more);
void buf_append(struct buf *b, const void *data, size_t len);
void buf_append_slice(struct buf *b, struct slice s);
void buf_append_str(struct buf *b, const char *text); /* without the NUL */
void buf_append_u8(struct buf *b, uint8_t v);
void buf_append_u16(struct buf *b, uint16_t v); /* big-endian */
void buf_append_u32(struct buf *b, uint32_t v); /* big-endian */
void buf_appendf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_consume(struct buf *b, size_t len); /* drops from the front */
struct slice buf_slice(const struct buf *b); /* ptr is never NULL */

#endif
