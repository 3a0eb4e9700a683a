/* SPDX-License-Identifier: PostgreSQL */
/*
 * Redis' wire form (RESP2): commands out, replies in. No socket: bytes come
 * from and go to the caller. What arrives is treated as hostile: bounded in
 * bytes and elements, every type is a value that the caller has to expect.
 * One thread per reader.
 */
#ifndef WEIR_CACHE_REDIS_H
#define WEIR_CACHE_REDIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum {
	REDIS_ELEMENTS_MAX = 64,
	REDIS_DEEP_MAX = 128 * 1024, /* values in a reply of a deep reader */
};

enum redis_type {
	REDIS_TYPE_NIL,
	REDIS_TYPE_STRING,
	REDIS_TYPE_STATUS,
	REDIS_TYPE_ERROR,
	REDIS_TYPE_INTEGER,
	REDIS_TYPE_ARRAY, /* inside an array: its contents are kept by deep readers only */
};

struct redis_value {
	enum redis_type type;
	struct slice text; /* string, status, error; else empty */
	int64_t integer;   /* also an array's number of elements */
};

struct redis_reply {
	struct redis_value value; /* type ARRAY: see elements */
	unsigned count;           /* 0 of a deep reader */
	struct redis_value elements[REDIS_ELEMENTS_MAX];
	/* Of a deep reader: all that is inside the value, depth first, arrays in front of theirs. */
	size_t deep_count;
	const struct redis_value *deep;
};

struct redis_reader;

/* max_bytes: the largest reply taken, as bytes on the wire. */
struct redis_reader *redis_reader_create(size_t max_bytes);
/* For nested replies of any width, such as CLUSTER SLOTS: all of it is kept. */
struct redis_reader *redis_reader_create_deep(size_t max_bytes);
void redis_reader_destroy(struct redis_reader *r);

/* WEIR_ERR_LIMIT or WEIR_ERR_PROTOCOL: the reader is of no more use. */
enum weir_err redis_reader_feed(struct redis_reader *r, struct slice bytes) WEIR_MUST_CHECK;
/* WEIR_OK: *reply is valid until the next call. WEIR_ERR_AGAIN: more bytes needed. */
enum weir_err redis_reader_next(struct redis_reader *r,
                                const struct redis_reply **reply) WEIR_MUST_CHECK;

/* An error that begins with this word. */
bool redis_error_is(const struct redis_value *value, const char *word);

void redis_append_command(struct buf *out, size_t argc, const struct slice *argv);

#endif
