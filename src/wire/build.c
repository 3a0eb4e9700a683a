/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the builders of both directions share: the frame with its length
 * patched in at the end, and the messages that never vary. Pure, any thread.
 */
#include "wire/build.h"

#include <endian.h>

#include "base/assert.h"
#include "wire/frame.h"

#define FIXED(name, bytes) const struct slice name = { bytes, sizeof(bytes) - 1 }

FIXED(wire_auth_ok, "R\0\0\0\10\0\0\0\0");
FIXED(wire_auth_cleartext, "R\0\0\0\10\0\0\0\3");
FIXED(wire_parse_complete, "1\0\0\0\4");
FIXED(wire_bind_complete, "2\0\0\0\4");
FIXED(wire_close_complete, "3\0\0\0\4");
FIXED(wire_no_data, "n\0\0\0\4");
FIXED(wire_empty_query, "I\0\0\0\4");
FIXED(wire_portal_suspended, "s\0\0\0\4");
FIXED(wire_ready_idle, "Z\0\0\0\5I");
FIXED(wire_ready_txn, "Z\0\0\0\5T");
FIXED(wire_ready_failed, "Z\0\0\0\5E");
/* With the routine, by which drivers know it. */
FIXED(wire_plan_outdated, "E\0\0\0\147SERROR\0VERROR\0C0A000\0"
			  "Mcached plan must not change result type\0"
			  "Fplancache.c\0RRevalidateCachedQuery\0\0");
FIXED(wire_execute_all, "E\0\0\0\11\0\0\0\0\0");
FIXED(wire_sync, "S\0\0\0\4");
FIXED(wire_flush, "H\0\0\0\4");
FIXED(wire_terminate, "X\0\0\0\4");
FIXED(wire_copy_done, "c\0\0\0\4");
FIXED(wire_ssl_request, "\0\0\0\10\4\322\26\57");
FIXED(wire_gssenc_request, "\0\0\0\10\4\322\26\60");

size_t build_begin(struct buf *b, char type)
{
	size_t start;

	if (type != '\0')
		buf_append_u8(b, (uint8_t)type);
	start = b->len;
	buf_append_u32(b, 0);
	return start;
}

void build_end(struct buf *b, size_t start)
{
	uint32_t len;

	if (b->err != WEIR_OK)
		return;
	WEIR_ASSERT(b->len >= start + FRAME_LENGTH_BYTES);
	if (b->len - start > INT32_MAX) {
		b->err = WEIR_ERR_LIMIT;
		return;
	}
	len = htobe32((uint32_t)(b->len - start));
	memcpy(b->data + start, &len, sizeof(len));
}

void build_cstring(struct buf *b, struct slice text)
{
	buf_append(b, text.ptr, text.len ? strnlen(text.ptr, text.len) : 0);
	buf_append_u8(b, 0);
}
