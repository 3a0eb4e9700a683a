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

#define APPLICATION_NAME "application_name"

enum { OPTION_TEXT_MAX = SESSION_TEXT_MAX, SETTING_NAME_MAX = 128, ESCAPES_SINCE = 16 };

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

/* The next word of `options`: split at blanks, a backslash keeps what follows. False at the end. */
static bool next_word(struct slice *rest, struct buf *word)
{
	size_t i = 0;

	buf_clear(word);
	while (i < rest->len && isspace((unsigned char)rest->ptr[i]))
		i++;
	if (i == rest->len)
		return false;
	for (; i < rest->len && !isspace((unsigned char)rest->ptr[i]); i++) {
		if (rest->ptr[i] == '\\' && i + 1 < rest->len)
			i++;
		buf_append(word, rest->ptr + i, 1);
	}
	*rest = slice_of(rest->ptr + i, rest->len - i);
	return true;
}

static enum weir_err add_assignment(struct session_state **state, struct slice text)
{
	const char *equals = memchr(text.ptr, '=', text.len);
	size_t at;

	if (!equals)
		return WEIR_ERR_PROTOCOL;
	at = (size_t)(equals - text.ptr);
	return add_setting(state, slice_of(text.ptr, at),
			   slice_of(equals + 1, text.len - at - 1));
}

static enum weir_err take_switches(struct session_state **state, struct slice options)
{
	enum weir_err err = WEIR_OK;
	struct buf word;

	buf_init(&word, OPTION_TEXT_MAX);
	while (!err && next_word(&options, &word)) {
		struct slice w = buf_slice(&word);

		if (w.len == 2 && memcmp(w.ptr, "-c", 2) == 0)
			err = next_word(&options, &word) ? add_assignment(state, buf_slice(&word)) :
							   WEIR_ERR_PROTOCOL;
		else if (w.len > 2 && (memcmp(w.ptr, "-c", 2) == 0 || memcmp(w.ptr, "--", 2) == 0))
			err = add_assignment(state, slice_of(w.ptr + 2, w.len - 2));
		else
			err = WEIR_ERR_PROTOCOL;
	}
	buf_fini(&word);
	return err;
}

static enum weir_err take_param(struct session_state **state, const struct startup_param *param)
{
	if (slice_is(param->name, "options"))
		return take_switches(state, param->value);
	if (is_connection_parameter(param->name))
		return WEIR_OK;
	return add_setting(state, param->name, param->value);
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
		err = take_param(state, &param);
		if (err)
			pg_error_set(e, "08P01", "invalid startup parameter \"%.*s\"",
				     (int)(param.name.len > 64 ? 64 : param.name.len),
				     param.name.ptr);
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
