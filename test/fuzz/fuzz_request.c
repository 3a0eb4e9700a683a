/* SPDX-License-Identifier: PostgreSQL */
/*
 * A client's bytes cut into requests under small bounds: every request lies at
 * the front of what is there, only its last message may be cut off, and "more
 * bytes" is never asked for when the buffer is full already.
 */
#include "base/assert.h"
#include "proxy/request.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { KEPT_MIN = 8 };

/* How far a request took us; 0: the end. */
static size_t check_one(struct slice in, size_t max_kept, size_t max_message)
{
	struct request r;
	char bad_type;
	enum weir_err err = request_next(in, max_kept, max_message, &r, &bad_type);

	if (err == WEIR_ERR_AGAIN)
		WEIR_ASSERT(in.len < max_kept);
	if (err != WEIR_OK)
		return 0;
	WEIR_ASSERT(r.bytes.ptr == in.ptr && r.bytes.len > 0 && r.bytes.len <= in.len);
	if (r.missing) {
		WEIR_ASSERT(r.bytes.len == in.len && r.missing <= max_message + 5);
		WEIR_ASSERT(!r.has_sync && (r.kind == REQUEST_COPY || in.len >= max_kept));
	}
	return r.bytes.len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t max_kept, max_message, used;
	struct slice in;

	if (size < 2)
		return 0;
	max_kept = KEPT_MIN + data[0];
	max_message = (size_t)data[1] * 8;
	in = slice_of(data + 2, size - 2);
	while (in.len && (used = check_one(in, max_kept, max_message)) != 0)
		in = slice_of(in.ptr + used, in.len - used);
	return 0;
}
