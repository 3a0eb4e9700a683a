/* SPDX-License-Identifier: PostgreSQL */
/*
 * A walk over the lines of the head. Lists are split at commas, which is right
 * for the fields that are asked for here: none has quoted commas but
 * If-None-Match, and our own tags hold none.
 */
#include "backend/header.h"

#include <string.h>

static struct slice trim(struct slice s)
{
	while (s.len && (*s.ptr == ' ' || *s.ptr == '\t'))
		s = slice_of(s.ptr + 1, s.len - 1);
	while (s.len && strchr(" \t\r", s.ptr[s.len - 1]))
		s.len--;
	return s;
}

/* Up to the separator or the end; *rest goes on behind it. False: nothing is left. */
static bool take_part(struct slice *rest, char separator, struct slice *part)
{
	const char *end = rest->len ? memchr(rest->ptr, separator, rest->len) : NULL;

	if (rest->len == 0)
		return false;
	*part = slice_of(rest->ptr, end ? (size_t)(end - rest->ptr) : rest->len);
	*rest = end ? slice_of(end + 1, rest->len - part->len - 1) : slice_of(rest->ptr, 0);
	return true;
}

int header_find(struct slice head, const char *name, struct slice *value)
{
	struct slice line, field;
	int count = 0;

	*value = slice_of("", 0);
	take_part(&head, '\n', &line); /* the request line */
	while (take_part(&head, '\n', &line)) {
		if (!take_part(&line, ':', &field) || !slice_is_nocase(field, name))
			continue;
		if (count++ == 0)
			*value = trim(line);
	}
	return count;
}

bool header_text(struct slice head, const char *name, char *text, size_t text_size)
{
	struct slice value;

	text[0] = '\0';
	if (header_find(head, name, &value) != 1 || value.len >= text_size)
		return false;
	if (memchr(value.ptr, '\0', value.len))
		return false;
	memcpy(text, value.ptr, value.len);
	text[value.len] = '\0';
	return true;
}

bool header_has_word(struct slice head, const char *name, const char *word)
{
	struct slice value, part;

	header_find(head, name, &value);
	while (take_part(&value, ',', &part)) {
		if (slice_is_nocase(trim(part), word))
			return true;
	}
	return false;
}

bool header_keeps_alive(struct slice head)
{
	static const char old[] = "HTTP/1.0";
	struct slice line = slice_of("", 0), rest = head;

	take_part(&rest, '\n', &line);
	line = trim(line);
	if (line.len >= sizeof old - 1 &&
	    memcmp(line.ptr + line.len - (sizeof old - 1), old, sizeof old - 1) == 0)
		return header_has_word(head, "Connection", "keep-alive");
	return !header_has_word(head, "Connection", "close");
}

bool header_matches_tag(struct slice head, const char *tag)
{
	struct slice value, part;

	if (header_find(head, "If-None-Match", &value) == 1 && slice_is(value, "*"))
		return true;
	while (take_part(&value, ',', &part)) {
		part = trim(part);
		if (part.len > 2 && memcmp(part.ptr, "W/", 2) == 0)
			part = slice_of(part.ptr + 2, part.len - 2);
		if (slice_is(part, tag))
			return true;
	}
	return false;
}
