/* SPDX-License-Identifier: PostgreSQL */
/*
 * A stream of messages from either side, whole and cut into chunks: the same
 * frames come out, and no reader leaves its message.
 */
#include <stdint.h>

#include "base/assert.h"
#include "base/buf.h"
#include "pool/description.h"
#include "wire/backend.h"
#include "wire/build.h"
#include "wire/frame.h"
#include "wire/frontend.h"

enum { MAX_BODY = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_bind(struct slice body)
{
	struct msg_bind m, again;
	struct slice rest, value;
	struct buf b;
	bool is_null;
	unsigned n = 0;

	if (frontend_read_bind(body, &m) != WEIR_OK)
		return;
	for (rest = m.params; bind_param_next(&rest, &value, &is_null); n++)
		WEIR_ASSERT(value.len <= body.len);
	WEIR_ASSERT(n == m.param_count && rest.len == 0);
	buf_init(&b, 3 * MAX_BODY);
	build_bind_renamed(&b, m.before_statement, slice_str("renamed"), m.after_statement);
	WEIR_ASSERT(frontend_read_bind(slice_of(b.data + 5, b.len - 5), &again) == WEIR_OK);
	WEIR_ASSERT(slice_is(again.statement, "renamed") && slice_equal(again.portal, m.portal));
	WEIR_ASSERT(slice_equal(again.params, m.params));
	buf_fini(&b);
}

static void read_frontend(struct slice body)
{
	struct slice text;
	struct msg_parse parse;
	struct msg_target target;
	struct msg_execute execute;
	struct msg_sasl_initial sasl;

	(void)!frontend_read_query(body, &text);
	(void)!frontend_read_parse(body, &parse);
	(void)!frontend_read_target(body, &target);
	(void)!frontend_read_execute(body, &execute);
	(void)!frontend_read_password(body, &text);
	(void)!frontend_read_sasl_initial(body, &sasl);
	check_bind(body);
}

static void check_row(struct slice body)
{
	struct msg_data_row row;
	struct slice rest, value;
	bool is_null;
	unsigned n = 0;

	if (backend_read_data_row(body, &row) != WEIR_OK)
		return;
	for (rest = row.columns; data_row_next(&rest, &value, &is_null); n++)
		WEIR_ASSERT(value.len <= body.len);
	WEIR_ASSERT(n == row.column_count);
}

static void read_backend(struct slice body)
{
	struct msg_auth auth;
	struct msg_name_value parameter;
	struct msg_key_data key;
	struct msg_error error;
	struct slice text;
	char status;

	if (backend_read_auth(body, &auth) == WEIR_OK) {
		while (auth_mechanism_next(&auth.data, &text))
			WEIR_ASSERT(text.len > 0);
	}
	(void)!backend_read_parameter(body, &parameter);
	(void)!backend_read_key_data(body, &key);
	(void)!backend_read_ready(body, &status);
	if (backend_read_command(body, &text) == WEIR_OK)
		(void)command_tag_rows(text);
	backend_read_error(body, &error);
	WEIR_ASSERT(error.sqlstate.len == PG_SQLSTATE_LEN && error.severity.len > 0);
	WEIR_ASSERT(description_of_columns(body) && description_of_parameters(body));
	check_row(body);
}

/* Cuts frames off the front; how many, and why it stopped. */
static size_t cut_frames(struct slice *in, bool reads, enum weir_err *why)
{
	struct frame f;
	size_t used, n = 0;

	while ((*why = frame_next(*in, MAX_BODY, &f, &used)) == WEIR_OK) {
		WEIR_ASSERT(used == f.whole.len && f.whole.len == f.body.len + FRAME_HEADER_BYTES);
		WEIR_ASSERT(used <= in->len);
		if (reads) {
			read_frontend(f.body);
			read_backend(f.body);
		}
		*in = slice_of(in->ptr + used, in->len - used);
		n++;
	}
	return n;
}

/* The same bytes, arriving `chunk` at a time. */
static size_t cut_in_chunks(struct slice in, size_t chunk, enum weir_err *why)
{
	struct slice seen = slice_of(in.ptr, 0);
	size_t n = 0;

	*why = WEIR_ERR_AGAIN;
	while (*why == WEIR_ERR_AGAIN && seen.ptr + seen.len < in.ptr + in.len) {
		size_t left = (size_t)(in.ptr + in.len - (seen.ptr + seen.len));

		seen.len += chunk < left ? chunk : left;
		n += cut_frames(&seen, false, why);
	}
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in, whole;
	enum weir_err why, why_in_chunks;
	size_t n;

	if (size == 0)
		return 0;
	in = whole = slice_of(data + 1, size - 1);
	n = cut_frames(&in, true, &why);
	WEIR_ASSERT(cut_in_chunks(whole, 1 + (size_t)data[0] % 64, &why_in_chunks) == n);
	WEIR_ASSERT(why == why_in_chunks);
	read_frontend(whole);
	read_backend(whole);
	return 0;
}
