/* SPDX-License-Identifier: PostgreSQL */
/*
 * Goes over the tokens of the normalised text: ?s, ?n and ?t become literals,
 * with + three of them, everything else is copied.
 */
#include "unit/sql/rebuild.h"

#include "base/mem.h"
#include "sql/lexer.h"
#include "sql/shape.h"

static const char *literal_of(char kind)
{
	return kind == 's' ? "'lorem'" : kind == 'n' ? "4711" : "'tomorrow'";
}

static void put_literals(struct buf *out, char kind, bool is_list)
{
	buf_append_str(out, literal_of(kind));
	for (int i = 0; is_list && i < 2; i++) {
		buf_append_str(out, ", ");
		buf_append_str(out, literal_of(kind));
	}
}

/* The marks stand between blanks, so that no operator of a text looks like one. */
static bool is_mark(const char *p, const char *end)
{
	return end - p >= 2 && p[0] == '?' && strchr("snt", p[1]) && p[1] &&
	       (p + 2 == end || p[2] == ' ' || p[2] == '+' || p[2] == '\n');
}

void rebuild_text(struct buf *out, struct slice text)
{
	char *shaped = mem_alloc(shape_bound(text.len));
	struct shape shape;
	size_t len = shape_make(&shape, text, shaped);
	struct slice hints = { memrchr(shaped, '\n', len), 0 };
	struct lexer l;
	const char *end = shaped + len;

	if (hints.ptr && (shape.hints.route || shape.hints.cache))
		end = hints.ptr;
	for (const char *p = shaped; p < end;) {
		struct token t;

		if (is_mark(p, end)) {
			bool is_list = p + 2 < end && p[2] == '+';

			put_literals(out, p[1], is_list);
			p += is_list ? 3 : 2;
			continue;
		}
		if (*p == ' ') {
			buf_append_str(out, " ");
			p++;
			continue;
		}
		lexer_init(&l, slice_of(p, (size_t)(end - p)));
		t = lexer_next(&l);
		buf_append_slice(out, t.text);
		p = t.text.ptr + t.text.len;
	}
	mem_free(shaped);
}
