/* SPDX-License-Identifier: PostgreSQL */
/*
 * Quoting. A backslash makes it E'', so that standard_conforming_strings
 * doesn't matter. Any thread, no state.
 */
#include "sql/quote.h"

#include "base/assert.h"

static const char blanks[] = " \t\n\r\f";

void quote_literal(struct buf *b, struct slice text)
{
	bool backslash = text.len > 0 && memchr(text.ptr, '\\', text.len) != NULL;

	buf_append_str(b, backslash ? "E'" : "'");
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] == '\'' || text.ptr[i] == '\\')
			buf_append(b, text.ptr + i, 1);
		buf_append(b, text.ptr + i, 1);
	}
	buf_append_str(b, "'");
}

void quote_identifier(struct buf *b, struct slice name)
{
	buf_append_u8(b, '"');
	for (size_t i = 0; i < name.len; i++) {
		if (name.ptr[i] == '"')
			buf_append_u8(b, '"');
		buf_append(b, name.ptr + i, 1);
	}
	buf_append_u8(b, '"');
}

static bool is_list_setting(const char *name)
{
	static const char *const names[] = { "search_path", "temp_tablespaces",
		                                 "local_preload_libraries", "session_preload_libraries" };

	for (size_t i = 0; i < WEIR_COUNTOF(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

static bool is_blank(char c)
{
	return c && strchr(blanks, c) != NULL;
}

/* One identifier off the front of a list, folded unless quoted; *rest is moved past its comma. */
static void put_identifier(struct buf *b, struct slice *rest)
{
	const char *p = rest->ptr, *end = p + rest->len;
	size_t len = 0, kept = 0; /* kept: up to the last byte that isn't a blank outside quotes */
	bool quoted = false;
	char item[256];

	while (p < end && is_blank(*p))
		p++;
	for (; p < end && (quoted || *p != ','); p++) {
		char c = *p;

		if (c == '"' && !(quoted && p + 1 < end && p[1] == '"')) {
			quoted = !quoted;
			kept = len;
			continue;
		}
		p += c == '"';
		if (!quoted && c >= 'A' && c <= 'Z')
			c = (char)(c + ('a' - 'A'));
		if (len < sizeof(item))
			item[len++] = c;
		if (quoted || !is_blank(c))
			kept = len;
	}
	quote_literal(b, slice_of(item, kept));
	*rest = p < end ? slice_of(p + 1, (size_t)(end - p) - 1) : slice_of(NULL, 0);
}

void quote_config_value(struct buf *b, const char *name, struct slice value)
{
	if (!is_list_setting(name)) {
		quote_literal(b, value);
		return;
	}
	put_identifier(b, &value);
	while (value.ptr) {
		buf_append_str(b, ", ");
		put_identifier(b, &value);
	}
}

bool quote_cuts_name(const char *name)
{
	enum { IDENTIFIER_MAX = 63 };
	size_t len = 0;

	for (; *name && len <= IDENTIFIER_MAX; name++)
		len = *name == '.' ? 0 : len + 1;
	return len > IDENTIFIER_MAX;
}
