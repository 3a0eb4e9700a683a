/* SPDX-License-Identifier: PostgreSQL */
/*
 * Readers for a client's messages (manual, "Message Formats"). Counts are
 * unsigned 16-bit as PostgreSQL takes them; a value's length is -1 for NULL or
 * not negative; nothing may stand behind the last field. Pure, any thread.
 */
#include "wire/frontend.h"

#include "wire/reader.h"

enum { OID_BYTES = 4, FORMAT_BYTES = 2, NULL_LENGTH = -1 };

bool frontend_type_is_known(char type)
{
	return type != '\0' && memchr("BCdcfDEHFPpQSX", type, 14) != NULL;
}

bool frontend_type_is_large(char type)
{
	return type != '\0' && memchr("BdFPQ", type, 5) != NULL;
}

enum weir_err frontend_read_query(struct slice body, struct slice *sql)
{
	struct reader r = reader_of(body);

	*sql = reader_cstring(&r);
	return reader_end(&r);
}

enum weir_err frontend_read_parse(struct slice body, struct msg_parse *out)
{
	struct reader r = reader_of(body);

	out->name = reader_cstring(&r);
	out->sql = reader_cstring(&r);
	out->type_count = reader_u16(&r);
	out->types = reader_bytes(&r, (size_t)out->type_count * OID_BYTES);
	return reader_end(&r);
}

/* A length word and its value. */
static inline struct slice read_value(struct reader *r, bool *is_null)
{
	int32_t len = reader_i32(r);

	*is_null = !r->failed && len == NULL_LENGTH;
	if (*is_null)
		return slice_of(NULL, 0);
	if (len < 0) {
		r->failed = true;
		return slice_of(NULL, 0);
	}
	return reader_bytes(r, (size_t)len);
}

static inline struct slice skip_values(struct reader *r, unsigned count)
{
	const char *start = r->pos;
	bool is_null;

	for (unsigned i = 0; i < count && !r->failed; i++)
		(void)read_value(r, &is_null);
	return slice_of(start, (size_t)(r->pos - start));
}

enum weir_err frontend_read_bind(struct slice body, struct msg_bind *out)
{
	struct reader r = reader_of(body);

	out->portal = reader_cstring(&r);
	out->before_statement = slice_of(body.ptr, (size_t)(r.pos - body.ptr));
	out->statement = reader_cstring(&r);
	out->after_statement = slice_of(r.pos, r.left);
	out->format_count = reader_u16(&r);
	out->formats = reader_bytes(&r, (size_t)out->format_count * FORMAT_BYTES);
	out->param_count = reader_u16(&r);
	out->params = skip_values(&r, out->param_count);
	out->result_format_count = reader_u16(&r);
	out->result_formats = reader_bytes(&r, (size_t)out->result_format_count * FORMAT_BYTES);
	return reader_end(&r);
}

bool bind_param_next(struct slice *rest, struct slice *value, bool *is_null)
{
	struct reader r = reader_of(*rest);

	*value = read_value(&r, is_null);
	if (r.failed)
		return false;
	*rest = reader_rest(&r);
	return true;
}

enum weir_err frontend_read_target(struct slice body, struct msg_target *out)
{
	struct reader r = reader_of(body);

	out->kind = (char)reader_u8(&r);
	out->name = reader_cstring(&r);
	if (out->kind != 'S' && out->kind != 'P')
		return WEIR_ERR_PROTOCOL;
	return reader_end(&r);
}

enum weir_err frontend_read_execute(struct slice body, struct msg_execute *out)
{
	struct reader r = reader_of(body);

	out->portal = reader_cstring(&r);
	out->max_rows = reader_i32(&r);
	return reader_end(&r);
}

enum weir_err frontend_read_password(struct slice body, struct slice *password)
{
	struct reader r = reader_of(body);

	*password = reader_cstring(&r);
	return reader_end(&r);
}

enum weir_err frontend_read_sasl_initial(struct slice body, struct msg_sasl_initial *out)
{
	struct reader r = reader_of(body);
	bool is_null;

	out->mechanism = reader_cstring(&r);
	out->data = read_value(&r, &is_null);
	out->has_data = !is_null;
	return reader_end(&r);
}
