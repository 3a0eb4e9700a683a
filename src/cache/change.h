/* SPDX-License-Identifier: PostgreSQL */
/*
 * What travels on the invalidation channel. Pure, any thread.
 */
#ifndef WEIR_CACHE_CHANGE_H
#define WEIR_CACHE_CHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"
#include "cache/key.h"

enum { CHANGE_TOKEN_BYTES = 16, CHANGE_ITEMS_MAX = 64, CHANGE_SCOPE_MAX = 512 };
enum { CHANGE_DDL = 1 }; /* in a database's oid: what tables it has changed too */

struct change_item {
	enum generation_kind kind;
	uint32_t oid;
	struct slice scope; /* at most CHANGE_SCOPE_MAX */
};

struct change_message {
	uint64_t sender; /* the process */
	struct slice token;
	unsigned count;
	struct change_item items[CHANGE_ITEMS_MAX];
};

void change_encode(const struct change_message *m, struct buf *out);
/* Slices point into bytes. False: not understood, so anything may have changed. */
bool change_decode(struct slice bytes, struct change_message *out);

#endif
