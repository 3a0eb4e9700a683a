/* SPDX-License-Identifier: PostgreSQL */
/* Readers of client messages: right ones, every truncation, hostile counts. */
#include <criterion/criterion.h>

#include "unit/wire/bytes.h"
#include "wire/frontend.h"

#define BIND "p\0stmt\0\0\1\0\0\0\2\0\0\0\1x\377\377\377\377\0\1\0\1"

enum reader_kind { QUERY, PARSE, BINDS, TARGET, EXECUTE, PASSWORD, SASL };

static enum weir_err read_as(enum reader_kind kind, struct slice body)
{
	union {
		struct slice text;
		struct msg_parse parse;
		struct msg_bind bind;
		struct msg_target target;
		struct msg_execute execute;
		struct msg_sasl_initial sasl;
	} out;

	switch (kind) {
	case QUERY:
		return frontend_read_query(body, &out.text);
	case PARSE:
		return frontend_read_parse(body, &out.parse);
	case BINDS:
		return frontend_read_bind(body, &out.bind);
	case TARGET:
		return frontend_read_target(body, &out.target);
	case EXECUTE:
		return frontend_read_execute(body, &out.execute);
	case PASSWORD:
		return frontend_read_password(body, &out.text);
	case SASL:
		return frontend_read_sasl_initial(body, &out.sasl);
	}
	return WEIR_ERR_PROTOCOL;
}

Test(frontend, every_truncation_and_every_extra_byte_is_malformed)
{
	static const struct {
		enum reader_kind kind;
		struct slice body;
	} cases[] = {
		{ QUERY, LITERAL("select 1\0") },
		{ PARSE, LITERAL("s\0select $1\0\0\2\0\0\0\31\0\0\0\27") },
		{ BINDS, LITERAL(BIND) },
		{ TARGET, LITERAL("Sname\0") },
		{ EXECUTE, LITERAL("portal\0\0\0\0\5") },
		{ PASSWORD, LITERAL("secret\0") },
		{ SASL, LITERAL("SCRAM-SHA-256\0\0\0\0\3abc") },
	};

	for (size_t i = 0; i < WEIR_COUNTOF(cases); i++) {
		const struct slice body = cases[i].body;

		cr_assert_eq(read_as(cases[i].kind, body), WEIR_OK, "case %zu", i);
		for (size_t n = 0; n < body.len; n++) {
			struct slice part = heap_copy(slice_of(body.ptr, n));

			cr_assert_eq(read_as(cases[i].kind, part), WEIR_ERR_PROTOCOL, "case %zu cut at %zu", i,
			             n);
			heap_free(part);
		}
		struct slice more = heap_copy(slice_of(body.ptr, body.len + 1));

		cr_assert_eq(read_as(cases[i].kind, more), WEIR_ERR_PROTOCOL, "case %zu + 1", i);
		heap_free(more);
	}
}

Test(frontend, parse_fields)
{
	struct msg_parse m;
	struct slice body = BYTES("s\0select $1\0\0\1\0\0\0\31");

	cr_assert_eq(frontend_read_parse(body, &m), WEIR_OK);
	cr_assert(slice_is(m.name, "s") && slice_is(m.sql, "select $1"));
	cr_assert(m.type_count == 1 && slice_equal(m.types, BYTES("\0\0\0\31")));
}

Test(frontend, bind_fields_and_rename_spans)
{
	struct msg_bind m;
	struct slice rest, value;
	bool is_null;

	cr_assert_eq(frontend_read_bind(BYTES(BIND), &m), WEIR_OK);
	cr_assert(slice_is(m.portal, "p") && slice_is(m.statement, "stmt"));
	cr_assert(slice_equal(m.before_statement, BYTES("p\0")));
	cr_assert_eq(m.before_statement.len + 5 + m.after_statement.len, sizeof(BIND) - 1);
	cr_assert(m.format_count == 1 && m.param_count == 2 && m.result_format_count == 1);
	rest = m.params;
	cr_assert(bind_param_next(&rest, &value, &is_null) && slice_is(value, "x") && !is_null);
	cr_assert(bind_param_next(&rest, &value, &is_null) && is_null && value.len == 0);
	cr_assert_not(bind_param_next(&rest, &value, &is_null));
}

Test(frontend, bind_with_hostile_value_lengths)
{
	struct msg_bind m;
	struct slice body = BYTES("\0\0\0\0\0\1\0\0\0\0\0\0");

	cr_assert_eq(frontend_read_bind(body, &m), WEIR_OK);
	for (size_t i = 1; i < WEIR_COUNTOF(hostile_lengths); i++) {
		struct slice in = heap_patched(body, 6, hostile_lengths[i]);
		bool is_null_value = hostile_lengths[i] == 0xffffffff;

		cr_assert_eq(frontend_read_bind(in, &m), is_null_value ? WEIR_OK : WEIR_ERR_PROTOCOL, "%x",
		             hostile_lengths[i]);
		heap_free(in);
	}
}

Test(frontend, hostile_counts)
{
	struct msg_parse p;
	struct msg_bind b;

	cr_assert_eq(frontend_read_parse(BYTES("\0\0\377\377"), &p), WEIR_ERR_PROTOCOL);
	cr_assert_eq(frontend_read_bind(BYTES("\0\0\377\377\0\0\0\0"), &b), WEIR_ERR_PROTOCOL);
	cr_assert_eq(frontend_read_bind(BYTES("\0\0\0\0\377\377\0\0"), &b), WEIR_ERR_PROTOCOL);
	cr_assert_eq(frontend_read_bind(BYTES("\0\0\0\0\0\0\377\377"), &b), WEIR_ERR_PROTOCOL);
}

Test(frontend, target_kinds)
{
	struct msg_target t;

	cr_assert_eq(frontend_read_target(BYTES("P\0"), &t), WEIR_OK);
	cr_assert(t.kind == 'P' && t.name.len == 0);
	cr_assert_eq(frontend_read_target(BYTES("X\0"), &t), WEIR_ERR_PROTOCOL);
	cr_assert_eq(frontend_read_target(BYTES("\0\0"), &t), WEIR_ERR_PROTOCOL);
}

Test(frontend, sasl_initial_without_data)
{
	struct msg_sasl_initial m;

	cr_assert_eq(frontend_read_sasl_initial(BYTES("M\0\377\377\377\377"), &m), WEIR_OK);
	cr_assert(slice_is(m.mechanism, "M") && !m.has_data && m.data.len == 0);
	for (size_t i = 1; i < WEIR_COUNTOF(hostile_lengths) - 1; i++) {
		struct slice in = heap_patched(BYTES("M\0\0\0\0\0"), 2, hostile_lengths[i]);

		if (hostile_lengths[i] != 0xffffffff)
			cr_assert_eq(frontend_read_sasl_initial(in, &m), WEIR_ERR_PROTOCOL);
		heap_free(in);
	}
}

Test(frontend, known_types)
{
	size_t known = 0;

	for (int c = 0; c < 256; c++)
		known += frontend_type_is_known((char)c);
	cr_assert_eq(known, 14u);
	cr_assert(frontend_type_is_known(FE_FUNCTION_CALL) && !frontend_type_is_known('\0'));
}
