/* SPDX-License-Identifier: PostgreSQL */
/* Fields of a head: found whatever their case, once or twice, and as lists. */
#include "backend/header.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

static struct slice head(const char *fields)
{
	static char text[1024];

	snprintf(text, sizeof text, "GET / HTTP/1.1\r\n%s\r\n", fields);
	return slice_str(text);
}

Test(header, one_field)
{
	char text[16];

	cr_assert(header_text(head("a: 1\r\nX-Key: \t some \r\n"), "x-key", text, sizeof text));
	cr_assert_str_eq(text, "some");
	cr_assert_not(header_text(head("X-Keys: 1\r\n"), "X-Key", text, sizeof text));
	cr_assert_not(header_text(head("X-Key: 1\r\nx-key: 2\r\n"), "X-Key", text, sizeof text));
	cr_assert_not(header_text(head("X-Key: 1234567890123456\r\n"), "X-Key", text, sizeof text));
	cr_assert(header_text(head("X-Key: 123456789012345\r\n"), "X-Key", text, sizeof text));
	cr_assert(header_text(head("X-Key:\r\n"), "X-Key", text, sizeof text));
	cr_assert_str_empty(text);
}

Test(header, the_request_line_is_no_field)
{
	struct slice value;

	cr_assert_eq(header_find(slice_str("GET:x / HTTP/1.1\r\n\r\n"), "GET", &value), 0);
}

Test(header, words)
{
	struct slice h = head("Cache-Control: max-age=0,  No-Cache \r\n");

	cr_assert(header_has_word(h, "cache-control", "no-cache"));
	cr_assert_not(header_has_word(h, "cache-control", "no"));
	cr_assert_not(header_has_word(h, "pragma", "no-cache"));
}

Test(header, keep_alive)
{
	cr_assert(header_keeps_alive(head("")));
	cr_assert_not(header_keeps_alive(head("Connection: close\r\n")));
	cr_assert_not(header_keeps_alive(head("Connection: x, Close\r\n")));
	cr_assert_not(header_keeps_alive(slice_str("GET / HTTP/1.0\r\n\r\n")));
	cr_assert(header_keeps_alive(slice_str("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")));
}

Test(header, entity_tags)
{
	cr_assert(header_matches_tag(head("If-None-Match: \"a\"\r\n"), "\"a\""));
	cr_assert(header_matches_tag(head("If-None-Match: \"x\", W/\"a\"\r\n"), "\"a\""));
	cr_assert(header_matches_tag(head("If-None-Match: *\r\n"), "\"a\""));
	cr_assert_not(header_matches_tag(head("If-None-Match: \"x\", *\r\n"), "\"a\""));
	cr_assert_not(header_matches_tag(head("If-None-Match: a\r\n"), "\"a\""));
	cr_assert_not(header_matches_tag(head(""), "\"a\""));
}
