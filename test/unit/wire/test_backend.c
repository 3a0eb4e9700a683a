/* SPDX-License-Identifier: PostgreSQL */
/* Readers of server messages, from a server that may be broken or hostile. */
#include <criterion/criterion.h>

#include "unit/wire/bytes.h"
#include "wire/backend.h"

Test(backend, authentication_kinds)
{
	struct msg_auth a;
	struct slice rest, name;

	cr_assert_eq(backend_read_auth(BYTES("\0\0\0\0"), &a), WEIR_OK);
	cr_assert_eq(a.code, AUTH_CODE_OK);
	cr_assert_eq(backend_read_auth(BYTES("\0\0\0\0x"), &a), WEIR_ERR_PROTOCOL);
	cr_assert_eq(backend_read_auth(BYTES("\0\0\0"), &a), WEIR_ERR_PROTOCOL);
	cr_assert_eq(backend_read_auth(BYTES("\0\0\0\5salt"), &a), WEIR_OK);
	cr_assert(slice_is(a.data, "salt"));
	cr_assert_eq(backend_read_auth(BYTES("\0\0\0\5sal"), &a), WEIR_ERR_PROTOCOL);
	cr_assert_eq(backend_read_auth(BYTES("\0\0\0\5salty"), &a), WEIR_ERR_PROTOCOL);
	cr_assert_eq(backend_read_auth(BYTES("\0\0\0\12ONE\0TWO\0\0"), &a), WEIR_OK);
	rest = a.data;
	cr_assert(auth_mechanism_next(&rest, &name) && slice_is(name, "ONE"));
	cr_assert(auth_mechanism_next(&rest, &name) && slice_is(name, "TWO"));
	cr_assert_not(auth_mechanism_next(&rest, &name));
	rest = BYTES("cut");
	cr_assert_not(auth_mechanism_next(&rest, &name));
}

Test(backend, parameter_status)
{
	struct msg_name_value p;

	cr_assert_eq(backend_read_parameter(BYTES("TimeZone\0UTC\0"), &p), WEIR_OK);
	cr_assert(slice_is(p.name, "TimeZone") && slice_is(p.value, "UTC"));
	cr_assert_eq(backend_read_parameter(BYTES("TimeZone\0UTC"), &p), WEIR_ERR_PROTOCOL);
	cr_assert_eq(backend_read_parameter(BYTES("TimeZone\0UTC\0\0"), &p), WEIR_ERR_PROTOCOL);
}

Test(backend, key_data_sizes)
{
	char body[4 + 300] = { 0, 0, 0, 9 };
	struct msg_key_data k;

	for (size_t n = 0; n <= 300; n++) {
		bool is_valid = n >= 4 && n <= 256;

		cr_assert_eq(backend_read_key_data(slice_of(body, 4 + n), &k),
		             is_valid ? WEIR_OK : WEIR_ERR_PROTOCOL);
		cr_assert(!is_valid || (k.pid == 9 && k.key.len == n));
	}
	cr_assert_eq(backend_read_key_data(slice_of(body, 3), &k), WEIR_ERR_PROTOCOL);
}

Test(backend, ready_status)
{
	char status;

	for (int c = 0; c < 256; c++) {
		char body = (char)c;
		bool is_valid = c == 'I' || c == 'T' || c == 'E';

		cr_assert_eq(backend_read_ready(slice_of(&body, 1), &status),
		             is_valid ? WEIR_OK : WEIR_ERR_PROTOCOL);
	}
	cr_assert_eq(backend_read_ready(slice_of("", 0), &status), WEIR_ERR_PROTOCOL);
	cr_assert_eq(backend_read_ready(BYTES("II"), &status), WEIR_ERR_PROTOCOL);
}

Test(backend, error_fields)
{
	struct msg_error e;
	struct slice value;
	struct slice body = BYTES("SFEHLER\0VERROR\0C25006\0Mno\0Dbecause\0Htry\0Ffile.c\0\0");

	backend_read_error(body, &e);
	cr_assert(slice_is(e.severity, "ERROR") && slice_is(e.sqlstate, "25006"));
	cr_assert(slice_is(e.message, "no") && slice_is(e.detail, "because") &&
	          slice_is(e.hint, "try"));
	cr_assert(backend_error_field(body, 'F', &value) && slice_is(value, "file.c"));
	cr_assert_not(backend_error_field(body, 'q', &value));
}

Test(backend, error_with_missing_doubled_or_cut_fields)
{
	static const struct {
		struct slice body;
		const char *severity, *sqlstate, *message;
	} cases[] = {
		{ LITERAL(""), "ERROR", "XX000", "" },
		{ LITERAL("\0"), "ERROR", "XX000", "" },
		{ LITERAL("M"), "ERROR", "XX000", "" },
		{ LITERAL("Mcut"), "ERROR", "XX000", "cut" },
		{ LITERAL("SFATAL\0Mx\0"), "FATAL", "XX000", "x" },
		{ LITERAL("C123\0Mx\0\0"), "ERROR", "XX000", "x" },
		{ LITERAL("C\0Mx\0\0"), "ERROR", "XX000", "x" },
		{ LITERAL("C123456\0\0"), "ERROR", "XX000", "" },
		{ LITERAL("C40001\0C25006\0Ma\0Mb\0\0"), "ERROR", "40001", "a" },
		{ LITERAL("\0C40001\0"), "ERROR", "XX000", "" },
	};

	for (size_t i = 0; i < WEIR_COUNTOF(cases); i++) {
		struct slice body = heap_copy(cases[i].body);
		struct msg_error e;

		backend_read_error(body, &e);
		cr_assert(slice_is(e.severity, cases[i].severity), "case %zu", i);
		cr_assert(slice_is(e.sqlstate, cases[i].sqlstate), "case %zu", i);
		cr_assert(slice_is(e.message, cases[i].message), "case %zu", i);
		heap_free(body);
	}
}

Test(backend, command_tags)
{
	struct slice tag;

	cr_assert_eq(backend_read_command(BYTES("INSERT 0 5\0"), &tag), WEIR_OK);
	cr_assert_eq(command_tag_rows(tag), 5);
	cr_assert_eq(backend_read_command(BYTES("INSERT 0 5"), &tag), WEIR_ERR_PROTOCOL);
	cr_assert_eq(command_tag_rows(slice_str("SELECT 1234567890123")), 1234567890123);
	cr_assert_eq(command_tag_rows(slice_str("BEGIN")), 0);
	cr_assert_eq(command_tag_rows(slice_str("")), 0);
	cr_assert_eq(command_tag_rows(slice_str("77")), 0);
	cr_assert_eq(command_tag_rows(slice_str("SELECT 99999999999999999999999")), 0);
}

Test(backend, data_row_values)
{
	struct msg_data_row row;
	struct slice rest, value;
	bool is_null;

	cr_assert_eq(backend_read_data_row(BYTES("\0\2\0\0\0\2ab\377\377\377\377"), &row), WEIR_OK);
	rest = row.columns;
	cr_assert(data_row_next(&rest, &value, &is_null) && slice_is(value, "ab") && !is_null);
	cr_assert(data_row_next(&rest, &value, &is_null) && is_null);
	cr_assert_not(data_row_next(&rest, &value, &is_null));
	cr_assert_eq(backend_read_data_row(BYTES("\0\0"), &row), WEIR_OK);
	cr_assert_eq(backend_read_data_row(BYTES("\0\1"), &row), WEIR_ERR_PROTOCOL);
	cr_assert_eq(backend_read_data_row(BYTES("\0\0x"), &row), WEIR_ERR_PROTOCOL);
}

Test(backend, data_row_with_hostile_lengths)
{
	struct msg_data_row row;

	for (size_t i = 1; i < WEIR_COUNTOF(hostile_lengths); i++) {
		struct slice in = heap_patched(BYTES("\0\1\0\0\0\0"), 2, hostile_lengths[i]);
		bool is_null_value = hostile_lengths[i] == 0xffffffff;

		cr_assert_eq(backend_read_data_row(in, &row), is_null_value ? WEIR_OK : WEIR_ERR_PROTOCOL,
		             "%x", hostile_lengths[i]);
		heap_free(in);
	}
}
