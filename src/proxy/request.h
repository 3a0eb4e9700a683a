/* SPDX-License-Identifier: PostgreSQL */
/*
 * Cuts a client's bytes into requests: one simple message, or extended
 * messages up to Sync or Flush, or a run of COPY data. What is too long to
 * keep is cut early, at a message's end or inside its last message, whose rest
 * is then streamed. Pure.
 */
#ifndef WEIR_PROXY_REQUEST_H
#define WEIR_PROXY_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/slice.h"

enum request_kind {
	REQUEST_QUERY,     /* one simple Query */
	REQUEST_FUNCTION,  /* one FunctionCall */
	REQUEST_EXTENDED,
	REQUEST_COPY,      /* CopyData, CopyDone, CopyFail */
	REQUEST_TERMINATE,
};

struct request {
	enum request_kind kind;
	struct slice bytes;   /* what is there; the last message may be cut off */
	uint64_t missing;     /* bytes of the last message not there yet */
	bool has_sync;        /* EXTENDED: ends with Sync */
	uint16_t copy_ends;   /* COPY: how many CopyDone and CopyFail are among it */
};

/*
 * AGAIN: wait for more. LIMIT: a message longer than max_message. PROTOCOL: a bad length
 * or an unknown type, given in *bad_type. max_kept: requests up to this size are waited for.
 */
enum weir_err request_next(struct slice in, size_t max_kept, size_t max_message,
			   struct request *out, char *bad_type) WEIR_MUST_CHECK;

/*
 * The batch that drivers send: at most one Parse, Bind, Describe, Execute of all rows and Sync,
 * in this order, all of one portal.
 */
bool request_is_plain_batch(struct slice batch);

#endif
