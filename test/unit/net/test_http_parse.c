/* SPDX-License-Identifier: PostgreSQL */
/*
 * HTTP heads and URLs: what is read, what is refused, every cut of a message.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "net/http_parse.h"

static const char request[] = "POST /a%20b?x=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";

Test(http_parse, request)
{
	struct http_head head;

	cr_assert_eq(http_parse_request(slice_str(request), &head), WEIR_OK);
	cr_assert(slice_is(head.method, "POST"));
	cr_assert(slice_is(head.target, "/a%20b?x=1"));
	cr_assert_eq(head.content_length, 3);
	cr_assert_str_eq(request + head.head_len, "abc");
}

Test(http_parse, every_cut_needs_more)
{
	struct http_head head;

	for (size_t len = 0; len < strlen(request) - 3; len++)
		cr_assert_eq(http_parse_request(slice_of(request, len), &head), WEIR_ERR_AGAIN);
}

Test(http_parse, refused_requests)
{
	static const char *const bad[] = {
		"GET\r\n\r\n",
		"GET / HTTP/2.0\r\n\r\n",
		"GET  / HTTP/1.1\r\n\r\n",
		"GET http://h/ HTTP/1.1\r\n\r\n",
		"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
		"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
		"GET / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"GET / HTTP/1.1\r\nContent-Length : 1\r\n\r\n",
		"GET / HTTP/1.1\r\n folded\r\n\r\n",
		"GET / HTTP/1.1\r\nnocolon\r\n\r\n",
		"\r\n\r\n",
	};
	struct http_head head;

	for (size_t i = 0; i < WEIR_COUNTOF(bad); i++)
		cr_assert_eq(http_parse_request(slice_str(bad[i]), &head), WEIR_ERR_PROTOCOL, "%s", bad[i]);
}

Test(http_parse, endless_head_is_a_limit)
{
	static char text[HTTP_HEAD_MAX + 100];
	struct http_head head;

	memset(text, 'a', sizeof(text));
	cr_assert_eq(http_parse_request(slice_of(text, sizeof(text)), &head), WEIR_ERR_LIMIT);
	memcpy(text, "GET / HTTP/1.1\r\n", 16);
	cr_assert_eq(http_parse_request(slice_of(text, sizeof(text)), &head), WEIR_ERR_LIMIT);
}

Test(http_parse, response)
{
	struct http_head head;

	cr_assert_eq(http_parse_response(slice_str("HTTP/1.0 503 Service Unavailable\r\n"
	                                           "Transfer-Encoding: chunked\r\n\r\n"),
	                                 &head),
	             WEIR_OK);
	cr_assert_eq(head.status, 503);
	cr_assert(head.is_chunked);
	cr_assert_not(head.has_length);
	cr_assert_eq(http_parse_response(slice_str("HTTP/1.1 200\r\n\r\n"), &head), WEIR_OK);
	cr_assert_eq(http_parse_response(slice_str("HTTP/1.1 99 x\r\n\r\n"), &head), WEIR_ERR_PROTOCOL);
	cr_assert_eq(http_parse_response(slice_str("ICY 200 OK\r\n\r\n"), &head), WEIR_ERR_PROTOCOL);
}

static const struct {
	const char *text, *want;
} urls[] = {
	{ "http://127.0.0.1:8008/cluster", "0 127.0.0.1 8008 /cluster" },
	{ "https://db.example", "1 db.example 443 /" },
	{ "http://[::1]:9/x?y=z", "0 ::1 9 /x?y=z" },
	{ "http://h:80/", "0 h 80 /" },
	{ "ftp://h/", NULL },
	{ "http://", NULL },
	{ "http://h:0/", NULL },
	{ "http://h:65536/", NULL },
	{ "http://user@h/", NULL },
	{ "http://[::1/", NULL },
	{ "http://h/a b", NULL },
	{ "http://h/\r\nX: y", NULL },
};

Test(http_parse, urls)
{
	for (size_t i = 0; i < WEIR_COUNTOF(urls); i++) {
		struct http_url url;
		char got[2048];
		enum weir_err err = http_parse_url(urls[i].text, &url);

		cr_assert_eq(err == WEIR_OK, urls[i].want != NULL, "%s", urls[i].text);
		if (!urls[i].want)
			continue;
		snprintf(got, sizeof(got), "%d %s %u %s", url.is_tls, url.host, url.port, url.path);
		cr_assert_str_eq(got, urls[i].want);
	}
}

Test(http_parse, decode)
{
	char out[8];

	cr_assert(http_decode(slice_str("/a%2Fb"), out, sizeof(out)));
	cr_assert_str_eq(out, "/a/b");
	cr_assert_not(http_decode(slice_str("/%0"), out, sizeof(out)));
	cr_assert_not(http_decode(slice_str("/%zz"), out, sizeof(out)));
	cr_assert_not(http_decode(slice_str("/%00"), out, sizeof(out)));
	cr_assert_not(http_decode(slice_str("12345678"), out, sizeof(out)));
}
