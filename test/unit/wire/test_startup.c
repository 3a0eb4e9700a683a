/* SPDX-License-Identifier: PostgreSQL */
/* The first packet: all kinds, every truncation, hostile lengths and names. */
#include <criterion/criterion.h>

#include "base/buf.h"
#include "unit/wire/bytes.h"
#include "wire/build.h"
#include "wire/startup.h"

#define SESSION "\0\0\0\51\0\3\0\0user\0joe\0database\0shop\0_pq_.x\0001\0\0"

static enum weir_err parse(struct slice in, struct startup *s)
{
	struct slice copy = heap_copy(in);
	size_t used = 0;
	enum weir_err err = startup_next(copy, s, &used);

	if (err == WEIR_OK)
		cr_assert(used > 0 && used <= in.len);
	heap_free(copy);
	return err;
}

Test(startup, request_codes)
{
	struct startup s;
	size_t used;

	cr_assert_eq(startup_next(wire_ssl_request, &s, &used), WEIR_OK);
	cr_assert(s.kind == STARTUP_SSL && used == 8);
	cr_assert_eq(startup_next(wire_gssenc_request, &s, &used), WEIR_OK);
	cr_assert(s.kind == STARTUP_GSSENC && used == 8);
}

Test(startup, bytes_behind_a_tls_request_are_left_to_the_caller)
{
	struct startup s;
	size_t used;

	cr_assert_eq(startup_next(BYTES("\0\0\0\10\4\322\26\57Q\0\0\0\4"), &s, &used), WEIR_OK);
	cr_assert(s.kind == STARTUP_SSL && used == 8);
}

Test(startup, session_parameters_in_order)
{
	struct startup s;
	struct startup_param p;
	struct slice rest, value;
	size_t used;

	cr_assert_eq(startup_next(BYTES(SESSION), &s, &used), WEIR_OK);
	cr_assert(s.kind == STARTUP_SESSION && s.major == 3 && s.minor == 0 && s.param_count == 3);
	cr_assert_eq(used, sizeof(SESSION) - 1);
	rest = s.params;
	cr_assert(startup_param_next(&rest, &p));
	cr_assert(slice_is(p.name, "user") && slice_is(p.value, "joe") && !p.is_protocol_option);
	cr_assert(startup_param_next(&rest, &p) && slice_is(p.name, "database"));
	cr_assert(startup_param_next(&rest, &p) && p.is_protocol_option && slice_is(p.value, "1"));
	cr_assert_not(startup_param_next(&rest, &p));
	cr_assert(startup_param_find(&s, "database", &value) && slice_is(value, "shop"));
	cr_assert_not(startup_param_find(&s, "nothing", &value));
}

Test(startup, the_last_of_two_values_counts)
{
	struct startup s;
	struct slice value;
	size_t used;
	struct slice in = BYTES("\0\0\0\30\0\3\0\0user\0a\0user\0bc\0\0");

	cr_assert_eq(startup_next(in, &s, &used), WEIR_OK);
	cr_assert(startup_param_find(&s, "user", &value) && slice_is(value, "bc"));
}

Test(startup, every_prefix_needs_more)
{
	struct startup s;

	for (size_t n = 0; n < sizeof(SESSION) - 1; n++)
		cr_assert_eq(parse(slice_of(SESSION, n), &s), WEIR_ERR_AGAIN, "prefix of %zu", n);
}

Test(startup, hostile_lengths_are_refused_at_once)
{
	struct startup s;
	const uint32_t lengths[] = { 0, 3, 4, 7, 10005, 0x7fffffff, 0x80000000, 0xffffffff };

	for (size_t i = 0; i < WEIR_COUNTOF(lengths); i++) {
		struct slice in = heap_patched(BYTES("\0\0\0\10"), 0, lengths[i]);

		cr_assert_eq(parse(in, &s), WEIR_ERR_PROTOCOL, "length %x", lengths[i]);
		heap_free(in);
	}
	cr_assert_eq(parse(BYTES("\0\0\x27\x14"), &s), WEIR_ERR_AGAIN); /* 10004 is the largest */
}

Test(startup, malformed_layouts)
{
	struct startup s;

	cr_assert_eq(parse(BYTES("\0\0\0\10\0\3\0\0"), &s), WEIR_ERR_PROTOCOL); /* no terminator */
	cr_assert_eq(parse(BYTES("\0\0\0\15\0\3\0\0user\0"), &s), WEIR_ERR_PROTOCOL);
	cr_assert_eq(parse(BYTES("\0\0\0\16\0\3\0\0user\0\0"), &s), WEIR_ERR_PROTOCOL);
	cr_assert_eq(parse(BYTES("\0\0\0\14\0\3\0\0user"), &s), WEIR_ERR_PROTOCOL);
	cr_assert_eq(parse(BYTES("\0\0\0\12\0\3\0\0\0x"), &s), WEIR_ERR_PROTOCOL); /* bytes behind */
	cr_assert_eq(parse(BYTES("\0\0\0\11\4\322\26\57x"), &s), WEIR_ERR_PROTOCOL);
	cr_assert_eq(parse(BYTES("\0\0\0\11\0\3\0\0\0"), &s), WEIR_OK); /* no parameters at all */
}

Test(startup, other_protocols)
{
	struct startup s;

	cr_assert_eq(parse(BYTES("\0\0\0\10\0\2\0\0"), &s), WEIR_OK);
	cr_assert(s.kind == STARTUP_UNSUPPORTED && s.major == 2);
	cr_assert_eq(parse(BYTES("\0\0\0\10\4\322\0\1"), &s), WEIR_OK);
	cr_assert(s.kind == STARTUP_UNSUPPORTED && s.major == 1234);
	cr_assert_eq(parse(BYTES("\0\0\0\11\0\3\0\2\0"), &s), WEIR_OK);
	cr_assert(s.kind == STARTUP_SESSION && s.minor == 2);
}

Test(startup, cancel_keys_of_all_sizes)
{
	char key[300] = { 0 };
	struct startup s;
	struct buf b;

	buf_init(&b, 1000);
	for (size_t n = 0; n <= sizeof(key); n++) {
		bool is_valid = n >= 4 && n <= 256;

		buf_clear(&b);
		build_cancel_request(&b, 77, slice_of(key, n));
		cr_assert_eq(parse(buf_slice(&b), &s), is_valid ? WEIR_OK : WEIR_ERR_PROTOCOL);
		cr_assert(!is_valid || (s.cancel_pid == 77 && s.cancel_key.len == n));
	}
	buf_fini(&b);
}

Test(startup, parameters_are_counted)
{
	struct startup s;
	struct slice pairs[2 * (STARTUP_MAX_PARAMS + 1)];
	struct buf b;

	for (size_t i = 0; i < WEIR_COUNTOF(pairs); i++)
		pairs[i] = slice_str("a");
	buf_init(&b, 20000);
	build_startup(&b, PG_PROTOCOL_3_0, pairs, STARTUP_MAX_PARAMS);
	cr_assert_eq(parse(buf_slice(&b), &s), WEIR_OK);
	buf_clear(&b);
	build_startup(&b, PG_PROTOCOL_3_0, pairs, STARTUP_MAX_PARAMS + 1);
	cr_assert_eq(parse(buf_slice(&b), &s), WEIR_ERR_LIMIT);
	buf_fini(&b);
}

Test(startup, which_lengths_a_startup_packet_may_have)
{
	static const struct {
		const char *bytes;
		bool is_length;
	} rows[] = {
		{ "\0\0\0\0", false },     { "\0\0\0\4", false },      { "\0\0\0\7", false },
		{ "\0\0\0\10", true },     { "\0\0\47\20", true },     { "\0\0\47\24", true },
		{ "\0\0\47\25", false },   { "\0\1\0\0", false },      { "\177\377\377\377", false },
		{ "\377\377\377\377", false }, { "GET ", false },       { "\26\3\1\0", false },
	};

	cr_assert_eq(STARTUP_MAX_BYTES, 10000);
	for (size_t i = 0; i < WEIR_COUNTOF(rows); i++)
		cr_expect_eq(startup_has_length(slice_of(rows[i].bytes, 4)), rows[i].is_length,
		             "row %zu", i);
	for (size_t n = 0; n < 4; n++)
		cr_expect(!startup_has_length(slice_of("\0\0\0\10", n)), "%zu bytes", n);
}
