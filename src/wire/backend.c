/* SPDX-License-Identifier: PostgreSQL */
/*
 * Readers for a server's messages (manual, "Message Formats" and "Error and
 * Notice Message Fields"). An error report is read as far as it makes sense,
 * since it must be shown or acted upon even if the server is broken; all
 * others are all or nothing. Pure, any thread.
 */
#include "wire/backend.h"

#include "wire/reader.h"

enum { MD5_SALT_BYTES = 4, KEY_MIN_BYTES = 4, KEY_MAX_BYTES = 256, NULL_LENGTH = -1 };

enum weir_err backend_read_auth(struct slice body, struct msg_auth *out)
{
	struct reader r = reader_of(body);

	out->code = reader_u32(&r);
	out->data = reader_rest(&r);
	if (r.failed || (out->code == AUTH_CODE_MD5 && out->data.len != MD5_SALT_BYTES))
		return WEIR_ERR_PROTOCOL;
	if ((out->code == AUTH_CODE_OK || out->code == AUTH_CODE_CLEARTEXT) && out->data.len != 0)
		return WEIR_ERR_PROTOCOL;
	return WEIR_OK;
}

bool auth_mechanism_next(struct slice *rest, struct slice *name)
{
	struct reader r = reader_of(*rest);

	*name = reader_cstring(&r);
	if (r.failed || name->len == 0)
		return false;
	*rest = reader_rest(&r);
	return true;
}

enum weir_err backend_read_parameter(struct slice body, struct msg_name_value *out)
{
	struct reader r = reader_of(body);

	out->name = reader_cstring(&r);
	out->value = reader_cstring(&r);
	return reader_end(&r);
}

enum weir_err backend_read_key_data(struct slice body, struct msg_key_data *out)
{
	struct reader r = reader_of(body);

	out->pid = reader_u32(&r);
	out->key = reader_rest(&r);
	if (r.failed || out->key.len < KEY_MIN_BYTES || out->key.len > KEY_MAX_BYTES)
		return WEIR_ERR_PROTOCOL;
	return WEIR_OK;
}

enum weir_err backend_read_ready(struct slice body, char *status)
{
	if (body.len != 1)
		return WEIR_ERR_PROTOCOL;
	*status = body.ptr[0];
	return *status == 'I' || *status == 'T' || *status == 'E' ? WEIR_OK : WEIR_ERR_PROTOCOL;
}

/* A cut-off last value counts as far as it goes; false at the terminator or the end. */
static bool error_field_next(struct reader *r, char *code, struct slice *value)
{
	struct reader before;

	*code = (char)reader_u8(r);
	if (r->failed || *code == '\0')
		return false;
	before = *r;
	*value = reader_cstring(r);
	if (r->failed) {
		*value = reader_rest(&before);
		*r = before;
	}
	return true;
}

bool backend_error_field(struct slice body, char code, struct slice *value)
{
	struct reader r = reader_of(body);
	char found;

	while (error_field_next(&r, &found, value)) {
		if (found == code)
			return true;
	}
	return false;
}

static struct slice error_text(struct slice body, char code)
{
	struct slice value;

	return backend_error_field(body, code, &value) ? value : slice_of("", 0);
}

void backend_read_error(struct slice body, struct msg_error *out)
{
	out->severity = error_text(body, 'V'); /* since 9.6 */
	if (out->severity.len == 0)
		out->severity = error_text(body, 'S');
	if (out->severity.len == 0)
		out->severity = slice_str("ERROR");
	out->sqlstate = error_text(body, 'C');
	if (out->sqlstate.len != PG_SQLSTATE_LEN)
		out->sqlstate = slice_str("XX000");
	out->message = error_text(body, 'M');
	out->detail = error_text(body, 'D');
	out->hint = error_text(body, 'H');
}

enum weir_err backend_read_command(struct slice body, struct slice *tag)
{
	struct reader r = reader_of(body);

	*tag = reader_cstring(&r);
	return reader_end(&r);
}

uint64_t command_tag_rows(struct slice tag)
{
	enum { MAX_DIGITS = 19 };
	size_t start = tag.len;
	uint64_t rows = 0;

	while (start > 0 && tag.ptr[start - 1] >= '0' && tag.ptr[start - 1] <= '9')
		start--;
	if (start == 0 || tag.ptr[start - 1] != ' ' || tag.len - start > MAX_DIGITS)
		return 0;
	for (size_t i = start; i < tag.len; i++)
		rows = rows * 10 + (uint64_t)(tag.ptr[i] - '0');
	return rows;
}

bool data_row_next(struct slice *rest, struct slice *value, bool *is_null)
{
	struct reader r = reader_of(*rest);
	int32_t len = reader_i32(&r);

	if (r.failed || len < NULL_LENGTH)
		return false;
	*is_null = len == NULL_LENGTH;
	*value = *is_null ? slice_of(NULL, 0) : reader_bytes(&r, (size_t)len);
	if (r.failed)
		return false;
	*rest = reader_rest(&r);
	return true;
}

enum weir_err backend_read_data_row(struct slice body, struct msg_data_row *out)
{
	struct reader r = reader_of(body);
	struct slice rest, value;
	bool is_null;

	out->column_count = reader_u16(&r);
	out->columns = rest = reader_rest(&r);
	if (r.failed)
		return WEIR_ERR_PROTOCOL;
	for (unsigned i = 0; i < out->column_count; i++) {
		if (!data_row_next(&rest, &value, &is_null))
			return WEIR_ERR_PROTOCOL;
	}
	return rest.len == 0 ? WEIR_OK : WEIR_ERR_PROTOCOL;
}
