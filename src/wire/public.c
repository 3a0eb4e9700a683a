/* SPDX-License-Identifier: PostgreSQL */
/*
 * The wire codec as <pgweir/wire.h> shows it to other programs: plain pointers
 * and lengths over this folder's slices. Nothing in the daemon calls it. Pure.
 */
#include <pgweir/wire.h>

#include "wire/backend.h"
#include "wire/frame.h"
#include "wire/startup.h"

static enum pgweir_result result_of(enum weir_err err)
{
	switch (err) {
	case WEIR_OK:
		return PGWEIR_OK;
	case WEIR_ERR_AGAIN:
		return PGWEIR_MORE;
	case WEIR_ERR_LIMIT:
		return PGWEIR_TOO_LONG;
	default:
		return PGWEIR_BROKEN;
	}
}

enum pgweir_result pgweir_message_next(const void *bytes, size_t len, size_t max_body,
                                       struct pgweir_message *out)
{
	struct frame frame;
	size_t consumed;
	enum weir_err err = frame_next(slice_of(bytes, len), max_body, &frame, &consumed);

	if (err == WEIR_OK) {
		*out = (struct pgweir_message){
			.type = frame.type,
			.body = frame.body.ptr,
			.body_len = frame.body.len,
			.whole_len = consumed,
		};
	}
	return result_of(err);
}

static enum pgweir_startup_kind kind_of(enum startup_kind kind)
{
	switch (kind) {
	case STARTUP_SSL:
		return PGWEIR_STARTUP_SSL;
	case STARTUP_GSSENC:
		return PGWEIR_STARTUP_GSSENC;
	case STARTUP_CANCEL:
		return PGWEIR_STARTUP_CANCEL;
	case STARTUP_SESSION:
		return PGWEIR_STARTUP_SESSION;
	case STARTUP_UNSUPPORTED:
		break;
	}
	return PGWEIR_STARTUP_UNSUPPORTED;
}

enum pgweir_result pgweir_startup_next(const void *bytes, size_t len, struct pgweir_startup *out)
{
	struct startup startup = { .kind = STARTUP_UNSUPPORTED };
	size_t consumed;
	enum weir_err err = startup_next(slice_of(bytes, len), &startup, &consumed);

	if (err == WEIR_OK) {
		bool has_params = startup.kind == STARTUP_SESSION;

		*out = (struct pgweir_startup){
			.kind = kind_of(startup.kind),
			.major = startup.major,
			.minor = startup.minor,
			.cancel_pid = startup.kind == STARTUP_CANCEL ? startup.cancel_pid : 0,
			.params = has_params ? startup.params.ptr : NULL,
			.params_len = has_params ? startup.params.len : 0,
			.whole_len = consumed,
		};
	}
	return result_of(err);
}

const char *pgweir_startup_param(const struct pgweir_startup *startup, const char *name)
{
	struct startup inner = { .params = slice_of(startup->params, startup->params_len) };
	struct slice value;

	return startup_param_find(&inner, name, &value) ? value.ptr : NULL;
}

bool pgweir_error_field(const struct pgweir_message *message, char code, const char **value,
                        size_t *value_len)
{
	struct slice found;

	if (!backend_error_field(slice_of(message->body, message->body_len), code, &found))
		return false;
	*value = found.ptr;
	*value_len = found.len;
	return true;
}
