/* SPDX-License-Identifier: PostgreSQL */
/*
 * Small address and pair syntaxes of the ini. Each parser takes a slice, gives
 * slices or arena texts, and refuses what it doesn't know. Pure.
 */
#include "config/connstr.h"

#include "config/hostlist.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct slice skip(struct slice s, size_t n)
{
	return slice_of(s.ptr + n, s.len - n);
}

static struct slice skip_blanks(struct slice s)
{
	while (s.len && is_blank(s.ptr[0]))
		s = skip(s, 1);
	return s;
}

static bool find_char(struct slice s, char c, size_t *at)
{
	const char *p = s.len ? memchr(s.ptr, c, s.len) : NULL;

	if (p)
		*at = (size_t)(p - s.ptr);
	return p != NULL;
}

/* The value in quotes at the start of *rest, whose first byte is the quote; '' is one inside. */
static bool take_quoted(struct slice *rest, char *out, size_t *len)
{
	struct slice s = skip(*rest, 1);

	for (*len = 0; s.len; s = skip(s, 1)) {
		if (s.ptr[0] == '\'') {
			if (s.len < 2 || s.ptr[1] != '\'') {
				*rest = skip(s, 1);
				return true;
			}
			s = skip(s, 1);
		}
		out[(*len)++] = s.ptr[0];
	}
	return false;
}

static void take_bare(struct slice *rest, char *out, size_t *len)
{
	struct slice s = *rest;

	for (*len = 0; s.len && !is_blank(s.ptr[0]); s = skip(s, 1))
		out[(*len)++] = s.ptr[0];
	*rest = s;
}

static bool take_key(struct slice *rest, struct slice *key)
{
	struct slice s = *rest;
	size_t n = 0;

	while (n < s.len && !is_blank(s.ptr[n]) && s.ptr[n] != '=')
		n++;
	*key = slice_of(s.ptr, n);
	s = skip_blanks(skip(s, n));
	if (n == 0 || s.len == 0 || s.ptr[0] != '=')
		return false;
	*rest = skip_blanks(skip(s, 1));
	return true;
}

enum weir_err connstr_next(struct slice *rest, struct arena *arena, struct slice *key,
                           struct slice *value, const char **why)
{
	char *out;
	size_t len;

	*rest = skip_blanks(*rest);
	if (rest->len == 0)
		return WEIR_ERR_NOT_FOUND;
	if (!take_key(rest, key)) {
		*why = "key=value pairs are expected";
		return WEIR_ERR_CONFIG;
	}
	out = arena_alloc(arena, rest->len + 1);
	if (rest->len && rest->ptr[0] == '\'') {
		if (!take_quoted(rest, out, &len)) {
			*why = "a quote isn't closed";
			return WEIR_ERR_CONFIG;
		}
	} else {
		take_bare(rest, out, &len);
	}
	out[len] = '\0';
	*value = slice_of(out, len);
	return WEIR_OK;
}

bool port_parse(struct slice text, uint16_t *out)
{
	unsigned value = 0;

	if (text.len == 0 || text.len > 5)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return false;
		value = value * 10 + (unsigned)(text.ptr[i] - '0');
	}
	if (value == 0 || value > 65535)
		return false;
	*out = (uint16_t)value;
	return true;
}

/* Splits [v6]:port; port is empty where none is given. */
static bool split_brackets(struct slice text, struct slice *host, struct slice *port)
{
	size_t end;

	if (!find_char(text, ']', &end))
		return false;
	*host = slice_of(text.ptr + 1, end - 1);
	*port = skip(text, end + 1);
	if (port->len == 0)
		return true;
	if (port->ptr[0] != ':' || port->len == 1)
		return false;
	*port = skip(*port, 1);
	return true;
}

/* A folder's name may have colons in it: only digits behind the last one are a port. */
static void split_socket(struct slice text, struct slice *host, struct slice *port)
{
	size_t at = text.len;

	while (text.ptr[at - 1] >= '0' && text.ptr[at - 1] <= '9')
		at--;
	if (at == text.len || text.ptr[at - 1] != ':')
		return;
	*host = slice_of(text.ptr, at - 1);
	*port = skip(text, at);
}

static bool split_host(struct slice text, struct slice *host, struct slice *port)
{
	size_t colon, second;

	*host = text;
	*port = slice_of(text.ptr, 0);
	if (text.len == 0)
		return false;
	if (text.ptr[0] == '[')
		return split_brackets(text, host, port);
	if (text.ptr[0] == '/' || text.ptr[0] == '@') {
		split_socket(text, host, port);
		return true;
	}
	if (!find_char(text, ':', &colon))
		return true;
	if (find_char(skip(text, colon + 1), ':', &second))
		return true; /* a bare IPv6 address */
	*host = slice_of(text.ptr, colon);
	*port = skip(text, colon + 1);
	return port->len > 0;
}

bool endpoint_split(struct slice text, uint16_t default_port, struct slice *host, uint16_t *port)
{
	struct slice digits;

	if (!split_host(text, host, &digits) || host->len == 0 || host->len > HOSTLIST_HOST_MAX)
		return false;
	*port = default_port;
	return digits.len == 0 || port_parse(digits, port);
}

bool endpoint_parse(struct slice text, uint16_t default_port, struct arena *arena,
                    struct config_endpoint *out)
{
	struct slice host;

	if (!endpoint_split(text, default_port, &host, &out->port))
		return false;
	out->host = arena_strdup(arena, host);
	return true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool percent_decode(struct slice text, struct arena *arena, const char **out)
{
	char *to = arena_alloc(arena, text.len + 1);

	*out = to;
	for (size_t i = 0; i < text.len; i++) {
		int high, low;

		if (text.ptr[i] != '%') {
			*to++ = text.ptr[i];
			continue;
		}
		if (text.len - i < 3)
			return false;
		high = hex_digit(text.ptr[i + 1]);
		low = hex_digit(text.ptr[i + 2]);
		if (high < 0 || low < 0 || (high == 0 && low == 0))
			return false;
		*to++ = (char)(high * 16 + low);
		i += 2;
	}
	*to = '\0';
	return true;
}

/* user:password; an empty user means the default one. */
static bool parse_userinfo(struct slice info, struct arena *arena, struct config_redis *out)
{
	size_t colon = info.len;
	bool has_password = find_char(info, ':', &colon);

	if (colon > 0 && !percent_decode(slice_of(info.ptr, colon), arena, &out->user))
		return false;
	return !has_password || percent_decode(skip(info, colon + 1), arena, &out->password);
}

enum { REDIS_PORT = 6379, SENTINEL_PORT = 26379 };

static bool take_prefix(struct slice *s, const char *prefix)
{
	size_t len = strlen(prefix);

	if (s->len < len || memcmp(s->ptr, prefix, len) != 0)
		return false;
	*s = skip(*s, len);
	return true;
}

static bool parse_scheme(struct slice *url, struct config_redis *out)
{
	if (take_prefix(url, "rediss"))
		out->is_tls = true;
	else if (!take_prefix(url, "redis"))
		return false;
	if (take_prefix(url, "+cluster"))
		out->mode = CONFIG_REDIS_CLUSTER;
	else if (take_prefix(url, "+sentinel"))
		out->mode = CONFIG_REDIS_SENTINEL;
	return take_prefix(url, "://");
}

/* One server, or a list of them. */
static bool parse_seeds(struct slice list, struct arena *arena, struct config_redis *out)
{
	uint16_t port = out->mode == CONFIG_REDIS_SENTINEL ? SENTINEL_PORT : REDIS_PORT;
	size_t most = out->mode == CONFIG_REDIS_SINGLE ? 1 : CONFIG_REDIS_SEEDS_MAX;
	size_t comma = 0;

	for (;;) {
		bool is_last = !find_char(list, ',', &comma);
		struct slice one = is_last ? list : slice_of(list.ptr, comma);

		if (out->seed_count == most ||
		    !endpoint_parse(one, port, arena, &out->seeds[out->seed_count]))
			return false;
		out->seed_count++;
		if (is_last)
			return true;
		list = skip(list, comma + 1);
	}
}

bool redis_url_parse(struct slice url, struct arena *arena, struct config_redis *out)
{
	struct slice path = { "", 0 };
	size_t at;

	memset(out, 0, sizeof(*out));
	if (!parse_scheme(&url, out))
		return false;
	if (find_char(url, '/', &at)) {
		path = skip(url, at + 1);
		url.len = at;
	}
	if (find_char(url, '@', &at)) {
		if (!parse_userinfo(slice_of(url.ptr, at), arena, out))
			return false;
		url = skip(url, at + 1);
	}
	if (out->mode == CONFIG_REDIS_SENTINEL && path.len > 0)
		out->master = arena_strdup(arena, path);
	return (out->mode != CONFIG_REDIS_SENTINEL || out->master) && parse_seeds(url, arena, out);
}
