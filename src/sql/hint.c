/* SPDX-License-Identifier: PostgreSQL */
/*
 * Hint grammar: "pgweir:" then name=value pairs divided by commas, semicolons
 * or blanks, in a block or line comment anywhere outside strings:
 *     route=primary | route=replica
 *     cache=on | cache=off | cache=<seconds>   (0 is off)
 * A hint only chooses among what is right: route=replica never sends a write to
 * a replica, cache=on never caches what must not be. Any thread, no state.
 */
#include "sql/hint.h"

#include <stdint.h>

enum { TTL_SECONDS_MAX = 31 * 24 * 3600 };

static const char prefix[] = "pgweir:";

static bool is_gap(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == ',' || c == ';';
}

static struct slice skip_gaps(struct slice s)
{
	while (s.len > 0 && is_gap(*s.ptr)) {
		s.ptr++;
		s.len--;
	}
	return s;
}

/* Cuts the next piece up to a gap off the front of *rest. */
static struct slice take_pair(struct slice *rest)
{
	struct slice s = skip_gaps(*rest);
	size_t len = 0;

	while (len < s.len && !is_gap(s.ptr[len]))
		len++;
	*rest = slice_of(s.ptr + len, s.len - len);
	return slice_of(s.ptr, len);
}

static void read_route(struct statement_hints *hints, struct slice value)
{
	if (slice_is_nocase(value, "primary"))
		hints->route = HINT_ROUTE_PRIMARY;
	else if (slice_is_nocase(value, "replica"))
		hints->route = HINT_ROUTE_REPLICA;
}

/* -1: not a number. */
static int64_t read_seconds(struct slice value)
{
	int64_t n = 0;

	if (value.len == 0)
		return -1;
	for (size_t i = 0; i < value.len; i++) {
		if (value.ptr[i] < '0' || value.ptr[i] > '9')
			return -1;
		n = n * 10 + (value.ptr[i] - '0');
		if (n > TTL_SECONDS_MAX)
			n = TTL_SECONDS_MAX;
	}
	return n;
}

static void read_cache(struct statement_hints *hints, struct slice value)
{
	int64_t seconds = read_seconds(value);

	if (slice_is_nocase(value, "off") || seconds == 0) {
		hints->cache = HINT_CACHE_OFF;
		hints->cache_ttl_ms = 0;
	} else if (slice_is_nocase(value, "on") || seconds > 0) {
		hints->cache = HINT_CACHE_ON;
		hints->cache_ttl_ms = seconds > 0 ? (uint32_t)seconds * 1000u : 0;
	}
}

void hint_read(struct statement_hints *hints, struct slice comment)
{
	struct slice rest = skip_gaps(comment);
	const size_t skip = sizeof(prefix) - 1;

	if (rest.len < skip || !slice_is_nocase(slice_of(rest.ptr, skip), prefix))
		return;
	rest = slice_of(rest.ptr + skip, rest.len - skip);
	for (;;) {
		struct slice pair = take_pair(&rest);
		const char *equals;
		struct slice name, value;

		if (pair.len == 0)
			return;
		equals = memchr(pair.ptr, '=', pair.len);
		if (!equals)
			continue;
		name = slice_of(pair.ptr, (size_t)(equals - pair.ptr));
		value = slice_of(equals + 1, pair.len - name.len - 1);
		if (slice_is_nocase(name, "route"))
			read_route(hints, value);
		else if (slice_is_nocase(name, "cache"))
			read_cache(hints, value);
	}
}
