/* SPDX-License-Identifier: PostgreSQL */
/*
 * Values are kept as raw text and set by set_config(), so that a list stays a
 * list and no quoting is ours to get wrong. Whether a setting exists and takes
 * the value is PostgreSQL's to say, when the settings reach a server.
 */
#include "proxy/options.h"

#include <ctype.h>

#include "base/buf.h"
#include "pool/session.h"
#include "proxy/switches.h"

#define APPLICATION_NAME "application_name"

enum {
	OPTION_TEXT_MAX = SESSION_TEXT_MAX,
	SETTING_NAME_MAX = 128,
	SHOWN_MAX = 64,
	ESCAPES_SINCE = 16,
};

static bool is_connection_parameter(struct slice name)
{
	return slice_is(name, "user") || slice_is(name, "database") ||
	       slice_is(name, "replication") || slice_is(name, "options");
}

static enum weir_err add_setting(struct session_state **state, struct slice name,
				 struct slice value)
{
	char lower[SETTING_NAME_MAX];
	struct session_state *changed;
	struct buf b;

	if (!name.len || name.len >= sizeof lower || memchr(value.ptr, '\0', value.len))
		return WEIR_ERR_PROTOCOL;
	for (size_t i = 0; i < name.len; i++) {
		char ch = name.ptr[i] == '-' ? '_' : name.ptr[i];

		lower[i] = (char)tolower((unsigned char)ch);
	}
	buf_init(&b, OPTION_TEXT_MAX);
	buf_append_u8(&b, SESSION_RAW_VALUE);
	buf_append_slice(&b, value);
	buf_append_u8(&b, '\0');
	changed = b.err ? NULL : session_with(*state, slice_of(lower, name.len), b.data);
	buf_fini(&b);
	if (!changed)
		return WEIR_ERR_LIMIT;
	session_put(state);
	*state = changed;
	return WEIR_OK;
}

static enum weir_err on_setting(void *ctx, struct slice name, struct slice value,
				struct pg_error *e)
{
	enum weir_err err = add_setting(ctx, name, value);
	int shown = (int)(name.len > SHOWN_MAX ? SHOWN_MAX : name.len);

	if (err == WEIR_ERR_PROTOCOL)
		pg_error_set(e, "42704", "unrecognized configuration parameter \"%.*s\"", shown,
			     name.ptr);
	else if (err)
		pg_error_set(e, "08P01", "invalid startup parameter \"%.*s\"", shown, name.ptr);
	return err;
}

static enum weir_err take_param(struct session_state **state, const struct startup_param *param,
				struct pg_error *e)
{
	if (slice_is(param->name, "options"))
		return switches_take(param->value, on_setting, state, e);
	if (is_connection_parameter(param->name))
		return WEIR_OK;
	return on_setting(state, param->name, param->value, e);
}

/* Those in `options`, or all the others. */
static enum weir_err take_some(struct session_state **state, const struct startup *s,
			       const char *ignored, bool is_switches, struct pg_error *e)
{
	struct slice rest = s->params;
	struct startup_param param;
	enum weir_err err = WEIR_OK;

	while (!err && startup_param_next(&rest, &param)) {
		if (param.is_protocol_option || config_list_has(ignored, param.name) ||
		    slice_is(param.name, "options") != is_switches)
			continue;
		err = take_param(state, &param, e);
	}
	return err;
}

void options_set(struct session_state **state, const char *name, const char *value)
{
	(void)add_setting(state, slice_str(name), slice_str(value));
}

/* Bytes, whatever the encoding: what isn't printable ASCII is replaced. */
static void append_clean(struct buf *b, const char *text, bool has_escapes)
{
	for (; *text; text++) {
		if (*text >= ' ' && *text <= '~')
			buf_append(b, text, 1);
		else if (has_escapes)
			buf_appendf(b, "\\x%02x", (unsigned char)*text);
		else
			buf_append_u8(b, '?');
	}
	buf_append_u8(b, '\0');
}

void options_clean_name(struct session_state **state, unsigned server_major)
{
	const char *value = session_find(*state, slice_str(APPLICATION_NAME));
	struct buf b;

	if (!value || *value != SESSION_RAW_VALUE)
		return;
	buf_init(&b, SESSION_TEXT_MAX);
	append_clean(&b, value + 1, server_major >= ESCAPES_SINCE);
	if (!b.err && strcmp(b.data, value + 1) != 0)
		options_set(state, APPLICATION_NAME, b.data);
	buf_fini(&b);
}

/* As PostgreSQL does it, a parameter of its own wins over one in `options`, in whatever order. */
enum weir_err options_take(struct proxy *p, const struct startup *s, const char *ignored,
			   struct session_state **out, struct pg_error *e)
{
	struct session_state *state = session_empty(p->shared->sessions);
	enum weir_err err = take_some(&state, s, ignored, true, e);

	if (!err)
		err = take_some(&state, s, ignored, false, e);
	if (err)
		session_put(&state);
	else
		*out = state;
	return err;
}
