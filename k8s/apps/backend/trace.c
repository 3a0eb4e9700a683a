/* SPDX-License-Identifier: PostgreSQL */
/*
 * Trace Context, level 1, section 3.2: version "-" trace-id "-" parent-id "-"
 * flags, lower-case hexadecimal. Version ff is forbidden, and so are ids of
 * zeros; a later version may have more behind a further "-".
 */
#include "backend/trace.h"

#include <stdio.h>
#include <string.h>

static bool is_hex(const char *p, int count)
{
	for (int i = 0; i < count; i++) {
		if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'f')))
			return false;
	}
	return true;
}

static bool is_zero(const char *p, int count)
{
	for (int i = 0; i < count; i++) {
		if (p[i] != '0')
			return false;
	}
	return true;
}

/* The first 55 characters; the caller knows that there are as many. */
static bool is_valid(const char *p)
{
	return is_hex(p, 2) && memcmp(p, "ff", 2) != 0 && p[2] == '-' && is_hex(p + 3, 32) &&
	       !is_zero(p + 3, 32) && p[35] == '-' && is_hex(p + 36, 16) && !is_zero(p + 36, 16) &&
	       p[52] == '-' && is_hex(p + 53, 2);
}

bool trace_parse(struct trace *t, const char *header)
{
	size_t len = header ? strlen(header) : 0;
	char low;

	memset(t, 0, sizeof *t);
	if (len < TRACE_TEXT_LEN || !is_valid(header))
		return false;
	if (len > TRACE_TEXT_LEN && (memcmp(header, "00", 2) == 0 || header[TRACE_TEXT_LEN] != '-'))
		return false;
	memcpy(t->text, header, TRACE_TEXT_LEN);
	low = header[TRACE_TEXT_LEN - 1];
	t->is_sampled = ((low <= '9' ? low - '0' : low - 'a' + 10) & 1) != 0;
	return true;
}

void trace_comment(const struct trace *t, char comment[TRACE_COMMENT_MAX])
{
	comment[0] = '\0';
	if (t->is_sampled)
		snprintf(comment, TRACE_COMMENT_MAX, " /*traceparent='%s'*/", t->text);
}
