/* SPDX-License-Identifier: PostgreSQL */
/*
 * Readers for what a server sends. Each takes the body of one message (see
 * frame.h) and gives slices into it; malformed is WEIR_ERR_PROTOCOL and leaves
 * *out unspecified. A server may be hostile too. Pure, any thread.
 */
#ifndef WEIR_WIRE_BACKEND_H
#define WEIR_WIRE_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/slice.h"

enum backend_type {
	BE_AUTHENTICATION = 'R',
	BE_BACKEND_KEY_DATA = 'K',
	BE_BIND_COMPLETE = '2',
	BE_CLOSE_COMPLETE = '3',
	BE_COMMAND_COMPLETE = 'C',
	BE_COPY_BOTH = 'W',
	BE_COPY_DATA = 'd',
	BE_COPY_DONE = 'c',
	BE_COPY_IN = 'G',
	BE_COPY_OUT = 'H',
	BE_DATA_ROW = 'D',
	BE_EMPTY_QUERY = 'I',
	BE_ERROR = 'E',
	BE_FUNCTION_RESULT = 'V',
	BE_NEGOTIATE_VERSION = 'v',
	BE_NO_DATA = 'n',
	BE_NOTICE = 'N',
	BE_NOTIFICATION = 'A',
	BE_PARAMETER_DESCRIPTION = 't',
	BE_PARAMETER_STATUS = 'S',
	BE_PARSE_COMPLETE = '1',
	BE_PORTAL_SUSPENDED = 's',
	BE_READY = 'Z',
	BE_ROW_DESCRIPTION = 'T',
};

enum auth_code {
	AUTH_CODE_OK = 0,
	AUTH_CODE_CLEARTEXT = 3,
	AUTH_CODE_MD5 = 5,
	AUTH_CODE_SASL = 10,
	AUTH_CODE_SASL_CONTINUE = 11,
	AUTH_CODE_SASL_FINAL = 12,
};

struct msg_auth {
	uint32_t code;     /* an auth_code, or one that pgweir doesn't know */
	struct slice data; /* MD5: 4 bytes of salt, checked; SASL: mechanism list; else the rest */
};
enum weir_err backend_read_auth(struct slice body, struct msg_auth *out) WEIR_MUST_CHECK;
/* Mechanisms of AUTH_CODE_SASL: start with *rest = data; false at the end of the list. */
bool auth_mechanism_next(struct slice *rest, struct slice *name);

struct msg_name_value { /* ParameterStatus */
	struct slice name;
	struct slice value;
};
enum weir_err backend_read_parameter(struct slice body, struct msg_name_value *out) WEIR_MUST_CHECK;

struct msg_key_data {
	uint32_t pid;
	struct slice key; /* 4 to 256 bytes */
};
enum weir_err backend_read_key_data(struct slice body, struct msg_key_data *out) WEIR_MUST_CHECK;

/* *status is 'I', 'T' or 'E', nothing else. */
enum weir_err backend_read_ready(struct slice body, char *status) WEIR_MUST_CHECK;

/* ErrorResponse and NoticeResponse. */
struct msg_error {
	struct slice severity; /* the untranslated one where given; "ERROR" if missing */
	struct slice sqlstate; /* always 5 bytes; "XX000" if missing or of another length */
	struct slice message;  /* these are empty if missing */
	struct slice detail;
	struct slice hint;
};
/* Never fails: what is missing, doubled (the first wins) or cut off is made good. */
void backend_read_error(struct slice body, struct msg_error *out);
/* Any field by its code; false: not there. */
bool backend_error_field(struct slice body, char code, struct slice *value);

enum weir_err backend_read_command(struct slice body, struct slice *tag) WEIR_MUST_CHECK;
/* The count at the end of a tag such as "INSERT 0 5"; 0 if there is none. */
uint64_t command_tag_rows(struct slice tag);

/* DataRow: columns are length words and values, validated; iterate with data_row_next. */
struct msg_data_row {
	uint16_t column_count;
	struct slice columns;
};
enum weir_err backend_read_data_row(struct slice body, struct msg_data_row *out) WEIR_MUST_CHECK;
bool data_row_next(struct slice *rest, struct slice *value, bool *is_null);

#endif
