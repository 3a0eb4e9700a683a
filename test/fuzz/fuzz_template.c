/* SPDX-License-Identifier: PostgreSQL */
/*
 * Two texts, parted by the first NUL: if the second fits the first one's
 * template, the lexer must give both the same shape.
 */
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "sql/statement.h"
#include "sql/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 2048 };

struct shaped {
	struct shape shape;
	struct shape_literals literals;
	char *out; /* owned */
	size_t len;
};

static void shaped_init(struct shaped *s, struct slice text)
{
	s->out = mem_alloc(shape_bound(text.len));
	s->len = shape_make_noting(&s->shape, text, s->out, &s->literals);
}

static void check(struct slice first, struct slice second)
{
	static struct template_table table;
	struct statement *statement = statement_analyse(slice_str("SELECT 1"));
	struct shaped a, b;

	shaped_init(&a, first);
	shaped_init(&b, second);
	template_add(&table, first, &a.literals, statement);
	if (a.literals.are_plain && a.literals.count && first.len <= TEMPLATE_TEXT_MAX)
		WEIR_ASSERT(template_find(&table, first) == statement);
	if (template_find(&table, second)) {
		WEIR_ASSERT(slice_equal(slice_of(a.out, a.len), slice_of(b.out, b.len)));
		WEIR_ASSERT(a.shape.has_time_word == b.shape.has_time_word);
		WEIR_ASSERT(a.shape.param_count == b.shape.param_count);
		WEIR_ASSERT(a.shape.is_too_deep == b.shape.is_too_deep);
	}
	template_table_fini(&table);
	statement_put(&statement);
	mem_free(a.out);
	mem_free(b.out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *cut = size ? memchr(data, 0, size) : NULL;
	size_t first;

	if (!cut || size > INPUT_MAX)
		return 0;
	first = (size_t)(cut - data);
	check(slice_of(data, first), slice_of(cut + 1, size - first - 1));
	return 0;
}
