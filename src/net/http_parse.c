/* SPDX-License-Identifier: PostgreSQL */
/*
 * HTTP/1.x heads (RFC 9112) and http URLs. Strict where looseness has made
 * others interpret a message differently: one Content-Length, digits only, no
 * folded lines, no white space before a colon.
 */
#include "net/http_parse.h"

#include <stdlib.h>
#include <string.h>

enum {
	HTTP_PORT = 80,
	HTTPS_PORT = 443,
	HTTP_LENGTH_DIGITS_MAX = 12,
	HTTP_STATUS_MIN = 100,
	HTTP_STATUS_MAX = 599,
	HTTP_PORT_MAX = 65535,
};

/* The next line without its end; false: no complete line is left. */
static bool take_line(struct slice *rest, struct slice *line)
{
	const char *end = rest->len ? memchr(rest->ptr, '\n', rest->len) : NULL;

	if (!end)
		return false;
	*line = slice_of(rest->ptr, (size_t)(end - rest->ptr));
	*rest = slice_of(end + 1, rest->len - line->len - 1);
	if (line->len && line->ptr[line->len - 1] == '\r')
		line->len--;
	return true;
}

/* Up to `separator`, which is skipped; false: it isn't there. */
static bool take_word(struct slice *rest, char separator, struct slice *word)
{
	const char *end = rest->len ? memchr(rest->ptr, separator, rest->len) : NULL;

	if (!end)
		return false;
	*word = slice_of(rest->ptr, (size_t)(end - rest->ptr));
	*rest = slice_of(end + 1, rest->len - word->len - 1);
	return true;
}

static struct slice trim(struct slice s)
{
	while (s.len && (*s.ptr == ' ' || *s.ptr == '\t'))
		s = slice_of(s.ptr + 1, s.len - 1);
	while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
		s.len--;
	return s;
}

static bool parse_digits(struct slice s, size_t digits_max, size_t *value)
{
	*value = 0;
	if (s.len == 0 || s.len > digits_max)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] < '0' || s.ptr[i] > '9')
			return false;
		*value = *value * 10 + (size_t)(s.ptr[i] - '0');
	}
	return true;
}

static bool is_version(struct slice s)
{
	return slice_is(s, "HTTP/1.0") || slice_is(s, "HTTP/1.1");
}

static bool is_token(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] <= ' ' || s.ptr[i] == 0x7f)
			return false;
	}
	return s.len > 0;
}

static bool parse_field(struct slice line, struct http_head *head)
{
	struct slice name;

	if (!take_word(&line, ':', &name) || !is_token(name))
		return false;
	if (slice_is_nocase(name, "Transfer-Encoding"))
		head->is_chunked = true;
	if (!slice_is_nocase(name, "Content-Length"))
		return true;
	if (head->has_length)
		return false;
	head->has_length = true;
	return parse_digits(trim(line), HTTP_LENGTH_DIGITS_MAX, &head->content_length);
}

/* The first line, and all fields into `head`. */
static enum weir_err parse_head(struct slice bytes, struct slice *first, struct http_head *head)
{
	struct slice rest = bytes, line;

	memset(head, 0, sizeof(*head));
	if (rest.len > HTTP_HEAD_MAX)
		rest.len = HTTP_HEAD_MAX;
	if (!take_line(&rest, first))
		return bytes.len >= HTTP_HEAD_MAX ? WEIR_ERR_LIMIT : WEIR_ERR_AGAIN;
	while (take_line(&rest, &line)) {
		if (line.len == 0) {
			head->head_len = (size_t)(rest.ptr - bytes.ptr);
			return WEIR_OK;
		}
		if (!parse_field(line, head))
			return WEIR_ERR_PROTOCOL;
	}
	return bytes.len >= HTTP_HEAD_MAX ? WEIR_ERR_LIMIT : WEIR_ERR_AGAIN;
}

enum weir_err http_parse_request(struct slice bytes, struct http_head *head)
{
	struct slice line;
	enum weir_err err = parse_head(bytes, &line, head);

	if (err != WEIR_OK)
		return err;
	if (!take_word(&line, ' ', &head->method) || !take_word(&line, ' ', &head->target))
		return WEIR_ERR_PROTOCOL;
	if (!is_version(line) || !is_token(head->method) || !is_token(head->target))
		return WEIR_ERR_PROTOCOL;
	return head->target.ptr[0] == '/' ? WEIR_OK : WEIR_ERR_PROTOCOL;
}

enum weir_err http_parse_response(struct slice bytes, struct http_head *head)
{
	struct slice line, version, status;
	size_t number;
	enum weir_err err = parse_head(bytes, &line, head);

	if (err != WEIR_OK)
		return err;
	if (!take_word(&line, ' ', &version) || !is_version(version))
		return WEIR_ERR_PROTOCOL;
	if (!take_word(&line, ' ', &status))
		status = line;
	if (!parse_digits(status, 3, &number) || number < HTTP_STATUS_MIN || number > HTTP_STATUS_MAX)
		return WEIR_ERR_PROTOCOL;
	head->status = (int)number;
	return WEIR_OK;
}

/* --- URLs --- */

static bool starts_with(struct slice s, const char *prefix)
{
	size_t len = strlen(prefix);

	return s.len >= len && memcmp(s.ptr, prefix, len) == 0;
}

static bool copy_text(struct slice s, char *out, size_t out_size)
{
	if (s.len >= out_size)
		return false;
	memcpy(out, s.ptr, s.len);
	out[s.len] = '\0';
	return true;
}

/* "host", "host:port", "[address]:port" */
static bool parse_authority(struct slice s, struct http_url *url)
{
	struct slice host = s, port = { 0 };
	size_t number;

	if (s.len && s.ptr[0] == '[') {
		s = slice_of(s.ptr + 1, s.len - 1);
		if (!take_word(&s, ']', &host) || (s.len && s.ptr[0] != ':'))
			return false;
		port = s.len ? slice_of(s.ptr + 1, s.len - 1) : s;
	} else if (take_word(&s, ':', &host)) {
		port = s;
	}
	if (!is_token(host) || memchr(host.ptr, '@', host.len))
		return false;
	if (port.len) {
		if (!parse_digits(port, 5, &number) || number == 0 || number > HTTP_PORT_MAX)
			return false;
		url->port = (uint16_t)number;
	}
	return copy_text(host, url->host, sizeof(url->host));
}

enum weir_err http_parse_url(const char *text, struct http_url *url)
{
	struct slice s = slice_str(text), authority;
	size_t scheme_len;

	memset(url, 0, sizeof(*url));
	url->is_tls = starts_with(s, "https://");
	if (!url->is_tls && !starts_with(s, "http://"))
		return WEIR_ERR_CONFIG;
	url->port = url->is_tls ? HTTPS_PORT : HTTP_PORT;
	scheme_len = url->is_tls ? strlen("https://") : strlen("http://");
	s = slice_of(s.ptr + scheme_len, s.len - scheme_len);
	authority = slice_of(s.ptr, strcspn(s.ptr, "/"));
	s = slice_of(s.ptr + authority.len, s.len - authority.len);
	if (s.len == 0)
		s = slice_str("/");
	if (!parse_authority(authority, url) || !is_token(s) ||
	    !copy_text(s, url->path, sizeof(url->path)))
		return WEIR_ERR_CONFIG;
	return WEIR_OK;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool http_decode(struct slice text, char *out, size_t out_size)
{
	size_t len = 0;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (c == '%') {
			int high = text.len - i > 2 ? hex_value(text.ptr[i + 1]) : -1;
			int low = text.len - i > 2 ? hex_value(text.ptr[i + 2]) : -1;

			if (high < 0 || low < 0)
				return false;
			c = (char)(high * 16 + low);
			i += 2;
		}
		if (c == '\0' || len + 1 >= out_size)
			return false;
		out[len++] = c;
	}
	if (out_size == 0)
		return false;
	out[len] = '\0';
	return true;
}
