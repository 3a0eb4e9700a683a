/* SPDX-License-Identifier: PostgreSQL */
/*
 * Reads the untyped first packet. The checks are those of the manual's
 * "Message Flow, Start-up" and of a PostgreSQL server: the length is bounded
 * before the body is awaited, so an unauthenticated peer can't make us keep
 * more than STARTUP_MAX_BYTES. Pure, any thread.
 */
#include "wire/startup.h"

#include "wire/reader.h"

enum {
	LENGTH_BYTES = 4, /* the length word, which counts itself */
	CODE_BYTES = 4,
	SPECIAL_MAJOR = 1234, /* a protocol "version" that is a request code */
};

static const char protocol_option_prefix[] = "_pq_.";

/* Checks the name/value list and its terminator: a lone NUL as the very last byte. */
static enum weir_err read_params(struct reader *r, struct startup *out)
{
	const char *start = r->pos;
	struct slice name;

	for (;;) {
		const char *at = r->pos;

		name = reader_cstring(r);
		if (r->failed)
			return WEIR_ERR_PROTOCOL;
		if (name.len == 0) {
			out->params = slice_of(start, (size_t)(at - start));
			return reader_end(r);
		}
		(void)reader_cstring(r);
		if (r->failed)
			return WEIR_ERR_PROTOCOL;
		if (++out->param_count > STARTUP_MAX_PARAMS)
			return WEIR_ERR_LIMIT;
	}
}

static enum weir_err read_cancel(struct reader *r, struct startup *out)
{
	out->kind = STARTUP_CANCEL;
	out->cancel_pid = reader_u32(r);
	out->cancel_key = reader_rest(r);
	if (r->failed || out->cancel_key.len < STARTUP_MIN_KEY_BYTES ||
	    out->cancel_key.len > STARTUP_MAX_KEY_BYTES)
		return WEIR_ERR_PROTOCOL;
	return WEIR_OK;
}

static enum weir_err read_body(struct reader *r, struct startup *out)
{
	uint32_t code = reader_u32(r);

	*out = (struct startup){ .kind = STARTUP_UNSUPPORTED,
		                     .major = (uint16_t)(code >> 16),
		                     .minor = (uint16_t)(code & 0xffff) };
	if (code == PG_CODE_CANCEL)
		return read_cancel(r, out);
	if (code == PG_CODE_SSL || code == PG_CODE_GSSENC) {
		out->kind = code == PG_CODE_SSL ? STARTUP_SSL : STARTUP_GSSENC;
		return reader_end(r);
	}
	if (out->major != 3)
		return reader_status(r);
	out->kind = STARTUP_SESSION;
	return read_params(r, out);
}

bool startup_has_length(struct slice in)
{
	struct reader head = reader_of(in);
	uint32_t len = reader_u32(&head);

	return len >= LENGTH_BYTES + CODE_BYTES && len - LENGTH_BYTES <= STARTUP_MAX_BYTES;
}

enum weir_err startup_next(struct slice in, struct startup *out, size_t *consumed)
{
	struct reader head = reader_of(in);
	struct reader body;
	uint32_t len;
	enum weir_err err;

	if (in.len < LENGTH_BYTES)
		return WEIR_ERR_AGAIN;
	if (!startup_has_length(in))
		return WEIR_ERR_PROTOCOL;
	len = reader_u32(&head);
	if (len - LENGTH_BYTES > head.left)
		return WEIR_ERR_AGAIN;
	body = reader_of(reader_bytes(&head, len - LENGTH_BYTES));
	err = read_body(&body, out);
	if (err == WEIR_OK)
		*consumed = len;
	return err;
}

bool startup_param_next(struct slice *rest, struct startup_param *out)
{
	const size_t prefix = sizeof(protocol_option_prefix) - 1;
	struct reader r = reader_of(*rest);

	out->name = reader_cstring(&r);
	out->value = reader_cstring(&r);
	if (r.failed)
		return false;
	out->is_protocol_option =
		out->name.len > prefix && memcmp(out->name.ptr, protocol_option_prefix, prefix) == 0;
	*rest = reader_rest(&r);
	return true;
}

bool startup_param_find(const struct startup *s, const char *name, struct slice *value)
{
	struct slice rest = s->params;
	struct startup_param p;
	bool found = false;

	while (startup_param_next(&rest, &p)) {
		if (slice_is(p.name, name)) {
			*value = p.value;
			found = true;
		}
	}
	return found;
}
