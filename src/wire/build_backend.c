/* SPDX-License-Identifier: PostgreSQL */
/*
 * Builders of the messages that a server sends (manual, "Message Formats").
 * Pure, any thread.
 */
#include "wire/build.h"

#include "wire/backend.h"

static void error_field(struct buf *b, char code, const char *text)
{
	if (text[0] == '\0')
		return;
	buf_append_u8(b, (uint8_t)code);
	build_cstring(b, slice_str(text));
}

static void error_report(struct buf *b, char type, const char *severity, const struct pg_error *e)
{
	size_t start = build_begin(b, type);

	error_field(b, 'S', severity);
	error_field(b, 'V', severity);
	error_field(b, 'C', e->sqlstate);
	error_field(b, 'M', e->message);
	error_field(b, 'D', e->detail);
	error_field(b, 'H', e->hint);
	buf_append_u8(b, 0);
	build_end(b, start);
}

void build_error(struct buf *b, const char *severity, const struct pg_error *e)
{
	error_report(b, BE_ERROR, severity, e);
}

void build_notice(struct buf *b, const char *severity, const struct pg_error *e)
{
	error_report(b, BE_NOTICE, severity, e);
}

static size_t auth_begin(struct buf *b, enum auth_code code)
{
	size_t start = build_begin(b, BE_AUTHENTICATION);

	buf_append_u32(b, (uint32_t)code);
	return start;
}

void build_auth_md5(struct buf *b, const uint8_t salt[4])
{
	size_t start = auth_begin(b, AUTH_CODE_MD5);

	buf_append(b, salt, 4);
	build_end(b, start);
}

void build_auth_sasl(struct buf *b, const char *const *mechanisms, size_t count)
{
	size_t start = auth_begin(b, AUTH_CODE_SASL);

	for (size_t i = 0; i < count; i++)
		build_cstring(b, slice_str(mechanisms[i]));
	buf_append_u8(b, 0);
	build_end(b, start);
}

void build_auth_sasl_continue(struct buf *b, struct slice data)
{
	size_t start = auth_begin(b, AUTH_CODE_SASL_CONTINUE);

	buf_append_slice(b, data);
	build_end(b, start);
}

void build_auth_sasl_final(struct buf *b, struct slice data)
{
	size_t start = auth_begin(b, AUTH_CODE_SASL_FINAL);

	buf_append_slice(b, data);
	build_end(b, start);
}

void build_parameter_status(struct buf *b, struct slice name, struct slice value)
{
	size_t start = build_begin(b, BE_PARAMETER_STATUS);

	build_cstring(b, name);
	build_cstring(b, value);
	build_end(b, start);
}

void build_backend_key_data(struct buf *b, uint32_t pid, struct slice key)
{
	size_t start = build_begin(b, BE_BACKEND_KEY_DATA);

	buf_append_u32(b, pid);
	buf_append_slice(b, key);
	build_end(b, start);
}

void build_negotiate_version(struct buf *b, uint32_t version, const struct slice *options,
                             size_t count)
{
	size_t start = build_begin(b, BE_NEGOTIATE_VERSION);

	buf_append_u32(b, version);
	buf_append_u32(b, (uint32_t)count);
	for (size_t i = 0; i < count; i++)
		build_cstring(b, options[i]);
	build_end(b, start);
}

/* pg_type.typlen of the types that the console uses; -1: varying. */
static int16_t type_len(uint32_t type_oid)
{
	if (type_oid == PG_OID_INT8)
		return 8;
	return type_oid == PG_OID_INT4 ? 4 : -1;
}

void build_row_description(struct buf *b, const struct build_column *columns, size_t count)
{
	size_t start = build_begin(b, BE_ROW_DESCRIPTION);

	buf_append_u16(b, (uint16_t)count);
	for (size_t i = 0; i < count; i++) {
		build_cstring(b, slice_str(columns[i].name));
		buf_append_u32(b, 0); /* no table */
		buf_append_u16(b, 0); /* no column of a table */
		buf_append_u32(b, columns[i].type_oid);
		buf_append_u16(b, (uint16_t)type_len(columns[i].type_oid));
		buf_append_u32(b, UINT32_MAX); /* type modifier: none */
		buf_append_u16(b, 0);          /* text */
	}
	build_end(b, start);
}

void build_data_row(struct buf *b, const struct slice *values, size_t count)
{
	size_t start = build_begin(b, BE_DATA_ROW);

	buf_append_u16(b, (uint16_t)count);
	for (size_t i = 0; i < count; i++) {
		buf_append_u32(b, values[i].ptr ? (uint32_t)values[i].len : UINT32_MAX);
		if (values[i].ptr)
			buf_append_slice(b, values[i]);
	}
	build_end(b, start);
}

void build_command_complete(struct buf *b, const char *tag)
{
	size_t start = build_begin(b, BE_COMMAND_COMPLETE);

	build_cstring(b, slice_str(tag));
	build_end(b, start);
}
