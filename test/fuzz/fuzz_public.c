/* SPDX-License-Identifier: PostgreSQL */
/*
 * The installed headers, as another program uses them: parts point into the
 * bytes that were given, and a statement tells the same twice.
 */
#include <pgweir/statement.h>
#include <pgweir/wire.h>

#include <stdint.h>
#include <string.h>

#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_MAX = 2048, BODY_MAX = 1024 };

static void check_messages(const uint8_t *data, size_t size)
{
	struct pgweir_message m;
	const char *value;
	size_t len, at = 0;

	while (pgweir_message_next(data + at, size - at, BODY_MAX, &m) == PGWEIR_OK) {
		WEIR_ASSERT(m.whole_len > 0 && m.whole_len <= size - at && m.body_len <= BODY_MAX);
		WEIR_ASSERT(m.body_len < m.whole_len);
		if (pgweir_error_field(&m, 'M', &value, &len))
			WEIR_ASSERT(value >= m.body && len < m.body_len);
		at += m.whole_len;
	}
}

static void check_startup(const uint8_t *data, size_t size)
{
	struct pgweir_startup s;
	const char *value;

	if (pgweir_startup_next(data, size, &s) != PGWEIR_OK)
		return;
	WEIR_ASSERT(s.whole_len <= size && s.params_len < s.whole_len);
	if (s.kind != PGWEIR_STARTUP_SESSION)
		return;
	value = pgweir_startup_param(&s, "user");
	WEIR_ASSERT(!value || (value >= s.params && value < s.params + s.params_len));
}

static size_t sum_of_names(const struct pgweir_statement *s)
{
	size_t sum = 0;

	for (int which = PGWEIR_NAMES_READ; which <= PGWEIR_NAMES_FUNCTION; which++) {
		size_t n = pgweir_statement_name_count(s, (enum pgweir_names)which);

		for (size_t i = 0; i < n; i++) {
			const char *schema;
			const char *name = pgweir_statement_name(s, (enum pgweir_names)which, i, &schema);

			sum += strlen(name) + (schema ? strlen(schema) : 0);
		}
	}
	return sum;
}

static void check_statement(const char *sql, size_t len)
{
	struct pgweir_statement *a = pgweir_statement_analyse(sql, len);
	struct pgweir_statement *b = pgweir_statement_analyse(sql, len);

	WEIR_ASSERT(pgweir_statement_class(a) == pgweir_statement_class(b));
	WEIR_ASSERT(pgweir_statement_param_count(a) == pgweir_statement_param_count(b));
	WEIR_ASSERT(pgweir_statement_tag(a) == pgweir_statement_tag(b));
	WEIR_ASSERT(pgweir_statement_is_parsed(a) || pgweir_statement_class(a) == PGWEIR_CLASS_WRITE);
	WEIR_ASSERT(sum_of_names(a) == sum_of_names(b));
	pgweir_statement_free(a);
	pgweir_statement_free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_messages(data, size);
	check_startup(data, size);
	check_statement((const char *)data, size < TEXT_MAX ? size : TEXT_MAX);
	return 0;
}
