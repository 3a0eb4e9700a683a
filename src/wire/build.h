/* SPDX-License-Identifier: PostgreSQL */
/*
 * Builders of messages of both directions, appended to a buffer. Running out
 * of room shows in the buffer's sticky error. Texts that protocol 3 ends with
 * a NUL are cut at the first NUL they contain. Messages that never vary are
 * constant slices, to be sent without a copy. Pure, any thread.
 */
#ifndef WEIR_WIRE_BUILD_H
#define WEIR_WIRE_BUILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/* From the server. */
extern const struct slice wire_auth_ok, wire_auth_cleartext, wire_parse_complete;
extern const struct slice wire_bind_complete, wire_close_complete, wire_no_data;
extern const struct slice wire_empty_query, wire_portal_suspended;
extern const struct slice wire_plan_outdated; /* an ErrorResponse, 0A000 */
extern const struct slice wire_ready_idle, wire_ready_txn, wire_ready_failed;
/* From the client. */
extern const struct slice wire_execute_all; /* the unnamed portal, every row */
extern const struct slice wire_sync, wire_flush, wire_terminate, wire_copy_done;
extern const struct slice wire_ssl_request, wire_gssenc_request;

/* A message of any kind: begin, append the body, end with what begin gave. */
size_t build_begin(struct buf *b, char type);
void build_end(struct buf *b, size_t start);
/* Text and NUL; for string fields of a body. */
void build_cstring(struct buf *b, struct slice text);

/* severity "ERROR", "FATAL", "PANIC"; for notices "NOTICE", "WARNING", ... */
void build_error(struct buf *b, const char *severity, const struct pg_error *e);
void build_notice(struct buf *b, const char *severity, const struct pg_error *e);

void build_auth_md5(struct buf *b, const uint8_t salt[4]);
void build_auth_sasl(struct buf *b, const char *const *mechanisms, size_t count);
void build_auth_sasl_continue(struct buf *b, struct slice data);
void build_auth_sasl_final(struct buf *b, struct slice data);
void build_parameter_status(struct buf *b, struct slice name, struct slice value);
void build_backend_key_data(struct buf *b, uint32_t pid, struct slice key);
/* version: the newest one supported, in full such as PG_PROTOCOL_3_0, as PostgreSQL sends it;
 * options: names of the unrecognised "_pq_." options. */
void build_negotiate_version(struct buf *b, uint32_t version, const struct slice *options,
                             size_t count);

/* Results in text format, for the console. A column's type is an OID such as PG_OID_TEXT. */
enum { PG_OID_INT8 = 20, PG_OID_INT4 = 23, PG_OID_TEXT = 25, PG_OID_NUMERIC = 1700 };
struct build_column {
	const char *name;
	uint32_t type_oid;
};
void build_row_description(struct buf *b, const struct build_column *columns, size_t count);
/* A value whose ptr is NULL is SQL NULL. */
void build_data_row(struct buf *b, const struct slice *values, size_t count);
void build_command_complete(struct buf *b, const char *tag);

/* Params are given as name, value, name, value; count is the number of pairs. */
void build_startup(struct buf *b, uint32_t version, const struct slice *pairs, size_t count);
void build_cancel_request(struct buf *b, uint32_t pid, struct slice key);
void build_password(struct buf *b, struct slice password);
void build_sasl_initial(struct buf *b, const char *mechanism, struct slice data);
void build_sasl_response(struct buf *b, struct slice data);

void build_query(struct buf *b, struct slice sql);
/* types: raw big-endian OIDs, 4 bytes each. */
void build_parse(struct buf *b, struct slice name, struct slice sql, struct slice types);
/* before and after are msg_bind.before_statement and .after_statement. */
void build_bind_renamed(struct buf *b, struct slice before, struct slice statement,
                        struct slice after);
void build_describe(struct buf *b, char kind, struct slice name); /* kind 'S' or 'P' */
void build_close(struct buf *b, char kind, struct slice name);

#endif
