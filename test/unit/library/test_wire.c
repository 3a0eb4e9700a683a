/* SPDX-License-Identifier: PostgreSQL */
/* The installed wire codec, through its public header alone. */
#include <pgweir/wire.h>

#include <criterion/criterion.h>

#include <string.h>

Test(library_wire, messages)
{
	static const char bytes[] = "Z\0\0\0\5IC\0\0\0\x0dSELECT 1";
	struct pgweir_message m;

	cr_assert_eq(pgweir_message_next(bytes, 4, 100, &m), PGWEIR_MORE);
	cr_assert_eq(pgweir_message_next(bytes, sizeof(bytes), 100, &m), PGWEIR_OK);
	cr_assert(m.type == 'Z' && m.body_len == 1 && m.body[0] == 'I' && m.whole_len == 6);
	cr_assert_eq(pgweir_message_next(bytes + 6, sizeof(bytes) - 6, 8, &m), PGWEIR_TOO_LONG);
	cr_assert_eq(pgweir_message_next(bytes + 6, sizeof(bytes) - 6, 9, &m), PGWEIR_OK);
	cr_assert_str_eq(m.body, "SELECT 1");
	cr_assert_eq(pgweir_message_next("Z\0\0\0\3", 5, 100, &m), PGWEIR_BROKEN);
}

Test(library_wire, startup)
{
	static const char packet[] = "\0\0\0\x1e\0\3\0\0user\0ann\0database\0db\0";
	static const char ssl[] = "\0\0\0\x08\x04\xd2\x16\x2f";
	struct pgweir_startup s;

	cr_assert_eq(pgweir_startup_next(ssl, 8, &s), PGWEIR_OK);
	cr_assert_eq(s.kind, PGWEIR_STARTUP_SSL);
	cr_assert_eq(pgweir_startup_next(packet, 10, &s), PGWEIR_MORE);
	cr_assert_eq(pgweir_startup_next(packet, sizeof(packet), &s), PGWEIR_OK);
	cr_assert(s.kind == PGWEIR_STARTUP_SESSION && s.major == 3 && s.minor == 0);
	cr_assert_eq(s.whole_len, sizeof(packet));
	cr_assert_str_eq(pgweir_startup_param(&s, "user"), "ann");
	cr_assert_str_eq(pgweir_startup_param(&s, "database"), "db");
	cr_assert_null(pgweir_startup_param(&s, "options"));
}

Test(library_wire, error_fields)
{
	static const char body[] = "SERROR\0C42P01\0Mno such table\0";
	struct pgweir_message m = { .type = 'E', .body = body, .body_len = sizeof(body) };
	const char *value;
	size_t len;

	cr_assert(pgweir_error_field(&m, 'C', &value, &len));
	cr_assert(len == 5 && memcmp(value, "42P01", 5) == 0);
	cr_assert_not(pgweir_error_field(&m, 'H', &value, &len));
}
