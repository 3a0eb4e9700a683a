/* SPDX-License-Identifier: PostgreSQL */
/*
 * An entry as it lies in Redis: a BSON document. Whoever can write to Redis is
 * trusted with the contents of results but not with our memory or our
 * protocol: decoding accepts one exact form and checks that the messages are
 * whole and of the kinds that a result has; all else is a miss. Pure.
 */
#ifndef WEIR_CACHE_ENTRY_H
#define WEIR_CACHE_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/slice.h"

struct shared_entry {
	struct hash128 key;
	uint64_t shared_sum; /* the generations it was computed under */
	int64_t computed_wall_us;
	uint32_t ttl_ms;          /* from its computation */
	struct slice description; /* one RowDescription or NoData; empty: not asked for */
	struct slice rows;        /* DataRow* CommandComplete */
};

enum { SHARED_ENTRY_OVERHEAD = 256 }; /* the document without the two messages, rounded up */

/* Appends the document; false and nothing appended: too large for out. */
bool shared_entry_encode(const struct shared_entry *e, struct buf *out);
/* The slices point into `bytes`. False: not exactly what encode makes. */
bool shared_entry_decode(struct slice bytes, struct shared_entry *out);

/* Whole messages with true lengths: one 'T' or 'n', or nothing; any 'D' and then one 'C'. */
bool result_is_well_formed(struct slice description, struct slice rows);

#endif
