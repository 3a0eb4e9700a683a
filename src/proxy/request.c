/* SPDX-License-Identifier: PostgreSQL */
/*
 * Request cutting. The common case, one whole Query or one batch that ends in
 * Sync, is one pass over the message headers.
 */
#include "proxy/request.h"

#include "wire/frame.h"
#include "wire/frontend.h"

enum { COPY_ENDS_MAX = 1024 }; /* in one request */

static bool is_extended(char type)
{
	return type == FE_PARSE || type == FE_BIND || type == FE_DESCRIBE || type == FE_EXECUTE ||
	       type == FE_CLOSE || type == FE_SYNC || type == FE_FLUSH;
}

static bool is_copy(char type)
{
	return type == FE_COPY_DATA || type == FE_COPY_DONE || type == FE_COPY_FAIL;
}

/* The message at `at` goes past what is there: take it cut off, and stream the rest. */
static void cut_inside(struct slice in, size_t at, size_t total, struct request *out)
{
	out->bytes = in;
	out->missing = total - (in.len - at);
}

static enum weir_err check_length(const struct frame_header *head, size_t max_message)
{
	if (head->body_len > FRONTEND_SMALL_MAX_BYTES && !frontend_type_is_large(head->type))
		return WEIR_ERR_LIMIT;
	return head->body_len > max_message ? WEIR_ERR_LIMIT : WEIR_OK;
}

static enum weir_err next_extended(struct slice in, size_t max_kept, size_t max_message,
				   struct request *out)
{
	size_t at = 0;

	out->kind = REQUEST_EXTENDED;
	for (;;) {
		struct frame_header head;
		size_t total;
		enum weir_err err = frame_peek(slice_of(in.ptr + at, in.len - at), &head);

		if (err == WEIR_ERR_AGAIN)
			break;
		if (err)
			return err;
		if (!is_extended(head.type)) { /* the batch ends here, without Sync */
			out->bytes = slice_of(in.ptr, at);
			return WEIR_OK;
		}
		if ((err = check_length(&head, max_message)) != WEIR_OK)
			return err;
		total = FRAME_HEADER_BYTES + (size_t)head.body_len;
		if (total > in.len - at) {
			if (in.len < max_kept || at)
				break;
			cut_inside(in, at, total, out);
			return WEIR_OK;
		}
		at += total;
		if (head.type == FE_SYNC || head.type == FE_FLUSH) {
			out->bytes = slice_of(in.ptr, at);
			out->has_sync = head.type == FE_SYNC;
			return WEIR_OK;
		}
	}
	if (at == 0 || in.len < max_kept)
		return WEIR_ERR_AGAIN;
	out->bytes = slice_of(in.ptr, at);
	return WEIR_OK;
}

static enum weir_err next_copy(struct slice in, size_t max_kept, size_t max_message,
			       struct request *out)
{
	size_t at = 0;

	out->kind = REQUEST_COPY;
	while (at < in.len) {
		struct frame_header head;
		size_t total;
		enum weir_err err = frame_peek(slice_of(in.ptr + at, in.len - at), &head);

		if (err == WEIR_ERR_AGAIN || (!err && !is_copy(head.type)))
			break;
		if (err || (err = check_length(&head, max_message)) != WEIR_OK)
			return err;
		total = FRAME_HEADER_BYTES + (size_t)head.body_len;
		if (head.type != FE_COPY_DATA && total > in.len - at) {
			if (at == 0 && in.len >= max_kept)
				return WEIR_ERR_LIMIT; /* a CopyFail that can never be kept whole */
			break;
		}
		if (head.type != FE_COPY_DATA && out->copy_ends == COPY_ENDS_MAX)
			break;
		out->copy_ends = (uint16_t)(out->copy_ends + (head.type != FE_COPY_DATA));
		if (total > in.len - at) {
			cut_inside(in, at, total, out);
			return WEIR_OK;
		}
		at += total;
	}
	out->bytes = slice_of(in.ptr, at);
	return at ? WEIR_OK : WEIR_ERR_AGAIN;
}

static enum weir_err next_single(struct slice in, size_t max_kept,
				 const struct frame_header *head, struct request *out)
{
	size_t total = FRAME_HEADER_BYTES + (size_t)head->body_len;

	out->kind = head->type == FE_QUERY    ? REQUEST_QUERY :
		    head->type == FE_TERMINATE ? REQUEST_TERMINATE :
						 REQUEST_FUNCTION;
	if (total <= in.len)
		out->bytes = slice_of(in.ptr, total);
	else if (in.len < max_kept)
		return WEIR_ERR_AGAIN;
	else
		cut_inside(in, 0, total, out);
	return WEIR_OK;
}

enum weir_err request_next(struct slice in, size_t max_kept, size_t max_message,
			   struct request *out, char *bad_type)
{
	struct frame_header head;
	enum weir_err err;

	*out = (struct request){ .kind = REQUEST_QUERY };
	*bad_type = in.len ? in.ptr[0] : 0;
	if (in.len && !frontend_type_is_known(in.ptr[0]))
		return WEIR_ERR_PROTOCOL;
	err = frame_peek(in, &head);
	if (err || (err = check_length(&head, max_message)) != WEIR_OK)
		return err;
	if (is_extended(head.type))
		return next_extended(in, max_kept, max_message, out);
	if (is_copy(head.type))
		return next_copy(in, max_kept, max_message, out);
	if (head.type == FE_PASSWORD)
		return WEIR_ERR_PROTOCOL;
	return next_single(in, max_kept, &head, out);
}

/* The portal that a message of a plain batch names; false: it isn't one of a plain batch. */
static bool portal_of(const struct frame *f, struct slice *portal)
{
	struct msg_execute execute;
	struct msg_target target;
	struct msg_bind bind;

	switch (f->type) {
	case FE_BIND:
		if (frontend_read_bind(f->body, &bind) != WEIR_OK)
			return false;
		*portal = bind.portal;
		return true;
	case FE_DESCRIBE:
		if (frontend_read_target(f->body, &target) != WEIR_OK || target.kind != 'P')
			return false;
		*portal = target.name;
		return true;
	case FE_EXECUTE:
		if (frontend_read_execute(f->body, &execute) != WEIR_OK || execute.max_rows > 0)
			return false;
		*portal = execute.portal;
		return true;
	default:
		return true; /* Parse and Sync name none */
	}
}

bool request_is_plain_batch(struct slice batch)
{
	static const char order[] = { FE_PARSE, FE_BIND, FE_DESCRIBE, FE_EXECUTE, FE_SYNC };
	struct slice portal = slice_of(NULL, 0), first = portal;
	size_t at = 0, used;
	struct frame f;

	while (batch.len && frame_next(batch, SIZE_MAX, &f, &used) == WEIR_OK) {
		while (at < sizeof order && order[at] != f.type)
			at++;
		if (at++ == sizeof order || !portal_of(&f, &portal))
			return false;
		if (!first.ptr)
			first = portal;
		if (!slice_equal(first, portal))
			return false;
		batch = slice_of(batch.ptr + used, batch.len - used);
	}
	return batch.len == 0;
}
