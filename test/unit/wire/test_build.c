/* SPDX-License-Identifier: PostgreSQL */
/* Builders: what they write is what the readers, or the manual, expect. */
#include <stdio.h>

#include <criterion/criterion.h>

#include "base/buf.h"
#include "unit/wire/bytes.h"
#include "wire/backend.h"
#include "wire/build.h"
#include "wire/frame.h"
#include "wire/frontend.h"
#include "wire/startup.h"

static struct buf b;

static void setup(void)
{
	buf_init(&b, 1 << 16);
}

static void teardown(void)
{
	buf_fini(&b);
}

TestSuite(build, .init = setup, .fini = teardown);

/* The one message in the buffer; empties it on the next call. */
static struct slice body_of(char type)
{
	struct frame f;
	size_t used;

	cr_assert_eq(b.err, WEIR_OK);
	cr_assert_eq(frame_next(buf_slice(&b), 1 << 16, &f, &used), WEIR_OK);
	cr_assert(f.type == type && used == b.len, "type %c, used %zu of %zu", f.type, used, b.len);
	return f.body;
}

#define EXPECT(literal)                                        \
	do {                                                       \
		cr_assert(slice_equal(buf_slice(&b), BYTES(literal))); \
		buf_clear(&b);                                         \
	} while (0)

Test(build, fixed_messages_are_well_framed)
{
	const struct slice all[] = {
		wire_auth_ok,        wire_auth_cleartext, wire_parse_complete, wire_bind_complete,
		wire_close_complete, wire_no_data,        wire_empty_query,    wire_portal_suspended,
		wire_ready_idle,     wire_ready_txn,      wire_ready_failed,   wire_sync,
		wire_flush,          wire_terminate,      wire_copy_done,      wire_execute_all,
		wire_plan_outdated,
	};
	struct frame f;
	size_t used;

	for (size_t i = 0; i < WEIR_COUNTOF(all); i++) {
		cr_assert_eq(frame_next(all[i], 200, &f, &used), WEIR_OK);
		cr_assert_eq(used, all[i].len);
	}
}

Test(build, error_and_notice)
{
	struct pg_error e;
	struct msg_error m;

	pg_error_set(&e, "28P01", "password authentication failed for user \"%s\"", "joe");
	build_error(&b, "FATAL", &e);
	backend_read_error(body_of('E'), &m);
	cr_assert(slice_is(m.severity, "FATAL") && slice_is(m.sqlstate, "28P01"));
	cr_assert(slice_is(m.message, "password authentication failed for user \"joe\""));
	cr_assert(m.detail.len == 0 && m.hint.len == 0);
	buf_clear(&b);
	(void)snprintf(e.detail, sizeof(e.detail), "d");
	(void)snprintf(e.hint, sizeof(e.hint), "h");
	build_notice(&b, "NOTICE", &e);
	backend_read_error(body_of('N'), &m);
	cr_assert(slice_is(m.severity, "NOTICE") && slice_is(m.detail, "d") && slice_is(m.hint, "h"));
}

Test(build, authentication)
{
	const char *const mechanisms[] = { "A", "B" };

	build_auth_md5(&b, (const uint8_t *)"salt");
	EXPECT("R\0\0\0\14\0\0\0\5salt");
	build_auth_sasl(&b, mechanisms, 2);
	EXPECT("R\0\0\0\15\0\0\0\12A\0B\0\0");
	build_auth_sasl_continue(&b, slice_str("xy"));
	EXPECT("R\0\0\0\12\0\0\0\13xy");
	build_auth_sasl_final(&b, slice_str("xy"));
	EXPECT("R\0\0\0\12\0\0\0\14xy");
}

Test(build, session_state)
{
	const struct slice option = slice_str("_pq_.x");

	build_parameter_status(&b, slice_str("TimeZone"), slice_str("UTC"));
	EXPECT("S\0\0\0\21TimeZone\0UTC\0");
	build_backend_key_data(&b, 258, slice_str("key!"));
	EXPECT("K\0\0\0\14\0\0\1\2key!");
	build_negotiate_version(&b, PG_PROTOCOL_3_0, &option, 1);
	EXPECT("v\0\0\0\23\0\3\0\0\0\0\0\1_pq_.x\0");
}

Test(build, text_results)
{
	const struct build_column column = { "n", PG_OID_INT8 };
	const struct slice values[] = { slice_str("5"), { NULL, 0 }, slice_str("") };

	build_row_description(&b, &column, 1);
	EXPECT("T\0\0\0\32\0\1n\0\0\0\0\0\0\0\0\0\0\24\0\10\377\377\377\377\0\0");
	build_data_row(&b, values, 3);
	EXPECT("D\0\0\0\23\0\3\0\0\0\0015\377\377\377\377\0\0\0\0");
	build_command_complete(&b, "SHOW");
	EXPECT("C\0\0\0\11SHOW\0");
}

Test(build, query_and_extended_messages)
{
	build_query(&b, slice_str("x"));
	EXPECT("Q\0\0\0\6x\0");
	build_parse(&b, slice_str("s"), slice_str("q"), BYTES("\0\0\0\31"));
	EXPECT("P\0\0\0\16s\0q\0\0\1\0\0\0\31");
	build_describe(&b, 'S', slice_str("s"));
	EXPECT("D\0\0\0\7Ss\0");
	build_close(&b, 'P', slice_str(""));
	EXPECT("C\0\0\0\6P\0");
}

Test(build, renaming_keeps_everything_else)
{
	struct slice bind = BYTES("p\0old\0\0\0\0\1\0\0\0\1x\0\0");
	struct msg_bind m, again;

	cr_assert_eq(frontend_read_bind(bind, &m), WEIR_OK);
	build_bind_renamed(&b, m.before_statement, slice_str("newer"), m.after_statement);
	cr_assert_eq(frontend_read_bind(body_of('B'), &again), WEIR_OK);
	cr_assert(slice_is(again.statement, "newer") && slice_equal(again.portal, m.portal));
	cr_assert(slice_equal(again.after_statement, m.after_statement));
}

Test(build, login_messages_of_a_client)
{
	const struct slice pairs[] = { slice_str("user"), slice_str("joe") };

	build_startup(&b, PG_PROTOCOL_3_0, pairs, 1);
	EXPECT("\0\0\0\22\0\3\0\0user\0joe\0\0");
	build_cancel_request(&b, 1, slice_str("key!"));
	EXPECT("\0\0\0\20\4\322\26\56\0\0\0\1key!");
	build_password(&b, slice_str("pw"));
	EXPECT("p\0\0\0\7pw\0");
	build_sasl_initial(&b, "M", slice_str("abc"));
	EXPECT("p\0\0\0\15M\0\0\0\0\3abc");
	build_sasl_response(&b, slice_str("abc"));
	EXPECT("p\0\0\0\7abc");
}

Test(build, texts_are_cut_at_a_nul)
{
	build_query(&b, BYTES("a\0drop"));
	EXPECT("Q\0\0\0\6a\0");
}

Test(build, a_full_buffer_keeps_its_error)
{
	struct buf small;

	buf_init(&small, 8);
	build_query(&small, slice_str("longer than that"));
	cr_assert_eq(small.err, WEIR_ERR_LIMIT);
	buf_fini(&small);
}
