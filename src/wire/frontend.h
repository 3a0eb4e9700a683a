/* SPDX-License-Identifier: PostgreSQL */
/*
 * Readers for what a client sends. Each takes the body of one message (see
 * frame.h), checks all of it, and gives slices into it. Anything malformed is
 * WEIR_ERR_PROTOCOL and leaves *out unspecified. Pure, any thread.
 */
#ifndef WEIR_WIRE_FRONTEND_H
#define WEIR_WIRE_FRONTEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/slice.h"

enum frontend_type {
	FE_BIND = 'B',
	FE_CLOSE = 'C',
	FE_COPY_DATA = 'd',
	FE_COPY_DONE = 'c',
	FE_COPY_FAIL = 'f',
	FE_DESCRIBE = 'D',
	FE_EXECUTE = 'E',
	FE_FLUSH = 'H',
	FE_FUNCTION_CALL = 'F',
	FE_PARSE = 'P',
	FE_PASSWORD = 'p', /* also SASLInitialResponse, SASLResponse, GSSResponse */
	FE_QUERY = 'Q',
	FE_SYNC = 'S',
	FE_TERMINATE = 'X',
};

/* True for a type byte that a client may send after log-in. */
bool frontend_type_is_known(char type);

/* PostgreSQL takes so much of the types that name things; it ends the session at more. */
enum { FRONTEND_SMALL_MAX_BYTES = 10000 - 4 };

/* True where a body may be longer than that. */
bool frontend_type_is_large(char type);

/* The NUL ends the text and the body. */
enum weir_err frontend_read_query(struct slice body, struct slice *sql) WEIR_MUST_CHECK;

struct msg_parse {
	struct slice name;
	struct slice sql;
	uint16_t type_count;
	struct slice types; /* type_count OIDs, 4 bytes each */
};
enum weir_err frontend_read_parse(struct slice body, struct msg_parse *out) WEIR_MUST_CHECK;

/* Rewriting a name: "B" length, before_statement, new name NUL, after_statement. */
struct msg_bind {
	struct slice portal;
	struct slice statement;
	uint16_t format_count;
	struct slice formats; /* 2 bytes each */
	uint16_t param_count;
	struct slice params; /* length words and values, validated; see bind_param_next */
	uint16_t result_format_count;
	struct slice result_formats;   /* 2 bytes each */
	struct slice before_statement; /* portal with its NUL */
	struct slice after_statement;  /* behind the statement's NUL to the end */
};
enum weir_err frontend_read_bind(struct slice body, struct msg_bind *out) WEIR_MUST_CHECK;

/* Iteration: start with *rest = bind.params; false at the end. NULL has is_null and no bytes. */
bool bind_param_next(struct slice *rest, struct slice *value, bool *is_null);

/* Describe and Close. */
struct msg_target {
	char kind; /* 'S' statement or 'P' portal, nothing else */
	struct slice name;
};
enum weir_err frontend_read_target(struct slice body, struct msg_target *out) WEIR_MUST_CHECK;

struct msg_execute {
	struct slice portal;
	int32_t max_rows; /* <= 0: all */
};
enum weir_err frontend_read_execute(struct slice body, struct msg_execute *out) WEIR_MUST_CHECK;

/* PasswordMessage; a NUL inside is malformed, an empty password is not. */
enum weir_err frontend_read_password(struct slice body, struct slice *password) WEIR_MUST_CHECK;

struct msg_sasl_initial {
	struct slice mechanism;
	bool has_data; /* false: length word -1 */
	struct slice data;
};
enum weir_err frontend_read_sasl_initial(struct slice body,
                                         struct msg_sasl_initial *out) WEIR_MUST_CHECK;
/* SASLResponse has no structure: the body is the data. */

#endif
