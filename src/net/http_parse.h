/* SPDX-License-Identifier: PostgreSQL */
/*
 * Reading of HTTP/1.x heads and of URLs: only what a small client and a small
 * server need, everything else is refused. Pure: no I/O, no allocation; slices
 * point into the input. Any thread.
 */
#ifndef WEIR_NET_HTTP_PARSE_H
#define WEIR_NET_HTTP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/slice.h"

enum { HTTP_HEAD_MAX = 8 * 1024, HTTP_URL_HOST_MAX = 255, HTTP_URL_PATH_MAX = 1024 };

struct http_head {
	struct slice method;   /* requests */
	struct slice target;   /* requests */
	int status;            /* responses */
	size_t head_len;       /* with the empty line */
	bool has_length;       /* Content-Length was given */
	size_t content_length; /* 0 unless given */
	bool is_chunked;       /* any Transfer-Encoding */
};

/* WEIR_ERR_AGAIN: more bytes; _LIMIT: longer than HTTP_HEAD_MAX; _PROTOCOL: not HTTP/1.x. */
enum weir_err http_parse_request(struct slice bytes, struct http_head *head) WEIR_MUST_CHECK;
enum weir_err http_parse_response(struct slice bytes, struct http_head *head) WEIR_MUST_CHECK;

struct http_url {
	bool is_tls;
	uint16_t port;
	char host[HTTP_URL_HOST_MAX + 1]; /* without the brackets of an IPv6 address */
	char path[HTTP_URL_PATH_MAX + 1]; /* "/" at least, with the query */
};

enum weir_err http_parse_url(const char *text, struct http_url *url) WEIR_MUST_CHECK;

/* Percent-decodes into out, NUL added; false: too long, malformed, or a NUL inside. */
bool http_decode(struct slice text, char *out, size_t out_size);

#endif
