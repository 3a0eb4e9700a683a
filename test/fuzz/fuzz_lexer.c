/* SPDX-License-Identifier: PostgreSQL */
/*
 * SQL texts of any bytes. The lexer's tokens lie in order inside the text and
 * end; a shape stays in its bound; the analysis takes everything; and where a
 * shape is said to stand for all its texts, a text made from it with other
 * literals has the same analysis (unless the grammar checks literals, as in
 * float(99), and refuses it).
 */
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "sql/analyse.h"
#include "sql/lexer.h"
#include "unit/sql/describe.h"
#include "unit/sql/rebuild.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 4096, DESCRIBED_MAX = 1 << 20 };

static void check_tokens(struct slice text)
{
	const char *at = text.ptr, *end = text.ptr + text.len;
	struct lexer l;

	lexer_init(&l, text);
	for (struct token t = lexer_next(&l); t.kind != TOKEN_END; t = lexer_next(&l)) {
		WEIR_ASSERT(t.text.len > 0 && t.text.ptr >= at);
		at = t.text.ptr + t.text.len;
		WEIR_ASSERT(at <= end && l.at == at);
	}
	WEIR_ASSERT(lexer_next(&l).kind == TOKEN_END);
}

static struct analysed analyse(struct slice text)
{
	char *out = mem_alloc(shape_bound(text.len));
	struct analysed result;
	struct arena arena;
	struct shape shape;

	WEIR_ASSERT(shape_make(&shape, text, out) <= shape_bound(text.len));
	arena_init(&arena, 4096);
	result = analyse_text(&arena, text, &shape);
	arena_fini(&arena);
	mem_free(out);
	return result;
}

static void check_same(const struct statement *a, const struct statement *b)
{
	struct buf x, y;

	buf_init(&x, DESCRIBED_MAX);
	buf_init(&y, DESCRIBED_MAX);
	describe_details(&x, a);
	describe_details(&y, b);
	WEIR_ASSERT(a->class == b->class);
	WEIR_ASSERT(slice_equal(buf_slice(&x), buf_slice(&y)));
	buf_fini(&x);
	buf_fini(&y);
}

static bool has_hint(const struct statement *s)
{
	return s->hints.route != HINT_ROUTE_NONE || s->hints.cache != HINT_CACHE_NONE;
}

static void check_shape(const struct analysed *first, struct slice text)
{
	struct analysed second;
	struct buf b;

	buf_init(&b, 64 * INPUT_MAX);
	rebuild_text(&b, text);
	second = analyse(buf_slice(&b));
	if (second.is_parsed)
		check_same(first->statement, second.statement);
	statement_put(&second.statement);
	buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_of(data, size < INPUT_MAX ? size : INPUT_MAX);
	struct analysed result;

	check_tokens(text);
	result = analyse(text);
	if (result.is_shared && !has_hint(result.statement))
		check_shape(&result, text);
	statement_put(&result.statement);
	return 0;
}
