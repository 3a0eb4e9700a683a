/* SPDX-License-Identifier: PostgreSQL */
/*
 * Shapes. Tokens are written with one blank between them; a string becomes ?s,
 * a number ?n, a list of literals of one kind ?s+ or ?n+ (so that IN lists of
 * any length are one shape), a string that could name a moment ('today') ?t, and
 * equal rows of literals (VALUES lists) are written once.
 * Parameters keep their number. While it is at it, the pass estimates how high
 * a parse tree can become, because libpg_query recurses over it without a
 * bound of its own.
 */
#include "sql/shape.h"

#include "base/hash.h"
#include "sql/hint.h"
#include "sql/lexer.h"

enum { TIME_LITERAL_MAX = 64 };

struct writer {
	struct shape *shape;
	struct shape_literals *literals;
	const char *text; /* its start */
	char *out;
	size_t len;
	size_t list_end; /* after the literal that a following ", literal" joins; 0: none */
	char list_kind;
	bool is_comma_after;
	size_t row_from;  /* the last closed bracket with literals only: where it starts and ends */
	size_t row_to;    /* 0: none */
	size_t open_from; /* the bracket open now, while it has literals only; SIZE_MAX: none */
};

/*
 * Height estimate. Left-recursive rules are what the parser's own stack limit
 * doesn't bound: operators count until the next comma, AND or OR; set
 * operations and joins until the bracket closes.
 */
struct height {
	uint32_t run, joins, below;
	uint32_t nest;
	uint32_t saved_run[SHAPE_NEST_MAX], saved_joins[SHAPE_NEST_MAX];
};

size_t shape_bound(size_t text_len)
{
	return 3 * text_len + 64;
}

static bool is_any(struct slice word, const char *const *list)
{
	for (; *list; list++)
		if (slice_is_nocase(word, *list))
			return true;
	return false;
}

/* These run for every word: the first letter decides nearly always. */
static bool is_reset_word(struct slice w)
{
	char first = (char)(*w.ptr | 0x20);

	return (w.len == 2 && first == 'o' && slice_is_nocase(w, "or")) ||
	       (w.len == 3 && first == 'a' && slice_is_nocase(w, "and"));
}

static bool is_join_word(struct slice w)
{
	switch (*w.ptr | 0x20) {
	case 'j':
		return slice_is_nocase(w, "join");
	case 'u':
		return slice_is_nocase(w, "union");
	case 'e':
		return slice_is_nocase(w, "except");
	case 'i':
		return slice_is_nocase(w, "intersect");
	default:
		return false;
	}
}

static void height_open(struct height *h, struct shape *shape)
{
	if (h->nest >= SHAPE_NEST_MAX) {
		shape->is_too_deep = true;
		return;
	}
	h->saved_run[h->nest] = h->run;
	h->saved_joins[h->nest] = h->joins;
	h->nest++;
	h->below += h->run + h->joins;
	h->run = h->joins = 0;
}

static void height_close(struct height *h)
{
	if (h->nest == 0)
		return;
	h->nest--;
	h->run = h->saved_run[h->nest];
	h->joins = h->saved_joins[h->nest];
	h->below -= h->run + h->joins;
}

static void height_token(struct height *h, struct shape *shape, const struct token *t)
{
	char c = *t->text.ptr;

	h->run++;
	if (t->kind == TOKEN_WORD) {
		if (is_reset_word(t->text))
			h->run = 0;
		else if (is_join_word(t->text))
			h->joins++;
	} else if (t->kind == TOKEN_PUNCT) {
		if (c == '(' || c == '[')
			height_open(h, shape);
		else if (c == ')' || c == ']')
			height_close(h);
		else if (c == ',')
			h->run = 0;
		else if (c == ';' && h->nest == 0)
			h->run = h->joins = 0;
	}
	if (h->below + h->run + h->joins > SHAPE_DEPTH_MAX)
		shape->is_too_deep = true;
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Words that date and time input takes for a moment that moves, anywhere in the string. */
bool shape_names_moment(struct slice value)
{
	static const char *const words[] = { "now", "today", "tomorrow", "yesterday", NULL };
	const char *p = value.ptr, *end = p + value.len;

	if (value.len > TIME_LITERAL_MAX)
		return false;
	while (p < end) {
		const char *word = p;

		while (p < end && is_letter(*p))
			p++;
		if (p - word >= 3 && is_any(slice_of(word, (size_t)(p - word)), words))
			return true;
		p += p == word;
	}
	return false;
}

static bool may_be_moment(const struct token *t)
{
	return (t->has_escape && t->text.len <= TIME_LITERAL_MAX) || shape_names_moment(t->text);
}

static void put_blank(struct writer *w)
{
	if (w->len > 0)
		w->out[w->len++] = ' ';
}

static void put_literal(struct writer *w, char kind)
{
	if (w->list_end > 0 && w->is_comma_after && w->list_kind == kind) {
		w->len = w->list_end;
		if (w->out[w->len - 1] != '+')
			w->out[w->len++] = '+';
	} else {
		put_blank(w);
		w->out[w->len++] = '?';
		w->out[w->len++] = kind;
	}
	w->list_end = w->len;
	w->list_kind = kind;
	w->is_comma_after = false;
}

static void copy_folded(char *restrict to, struct slice from)
{
	for (size_t i = 0; i < from.len; i++) {
		unsigned char c = (unsigned char)from.ptr[i];

		to[i] = (char)(c ^ ((unsigned)(c - 'A') < 26u ? 0x20 : 0));
	}
}

static void put_text(struct writer *w, const struct token *t)
{
	put_blank(w);
	if (t->kind == TOKEN_WORD)
		copy_folded(w->out + w->len, t->text);
	else
		memcpy(w->out + w->len, t->text.ptr, t->text.len);
	w->len += t->text.len;
	if (w->list_end > 0 && !w->is_comma_after && t->kind == TOKEN_PUNCT && *t->text.ptr == ',')
		w->is_comma_after = true;
	else
		w->list_end = 0;
}

static bool is_row_word(const struct token *t)
{
	return t->kind == TOKEN_WORD &&
	       (slice_is_nocase(t->text, "null") || slice_is_nocase(t->text, "true") ||
	        slice_is_nocase(t->text, "false") || slice_is_nocase(t->text, "default"));
}

/* Called after a closing bracket was written: "(a) , (a)" becomes "(a)". */
static void close_row(struct writer *w)
{
	size_t from = w->open_from;
	size_t len = w->len - from;

	w->open_from = SIZE_MAX;
	if (w->row_to > 0 && from == w->row_to + 2 && w->out[from - 1] == ',' &&
	    w->row_to - w->row_from == len && memcmp(w->out + w->row_from, w->out + from, len) == 0) {
		w->len = w->row_to;
		return;
	}
	w->row_from = from;
	w->row_to = w->len;
}

/* Keeps track of brackets with nothing but literals in them; from: where the token begins. */
static void note_row(struct writer *w, const struct token *t, size_t from)
{
	char c = *t->text.ptr;

	if (t->kind == TOKEN_STRING || t->kind == TOKEN_NUMBER)
		return;
	if (t->kind != TOKEN_PUNCT) {
		if (w->open_from != SIZE_MAX && !is_row_word(t))
			w->open_from = SIZE_MAX;
	} else if (c == '(') {
		w->open_from = from;
	} else if (c == ')' && w->open_from != SIZE_MAX) {
		close_row(w);
	} else if (c != ',') {
		w->open_from = SIZE_MAX;
	}
}

static void note_param(struct shape *shape, struct slice text)
{
	uint32_t n = 0;

	for (size_t i = 1; i < text.len && n <= UINT16_MAX; i++)
		n = n * 10 + (uint32_t)(text.ptr[i] - '0');
	if (n > UINT16_MAX)
		n = UINT16_MAX;
	if (n > shape->param_count)
		shape->param_count = (uint16_t)n;
}

static bool is_digits(struct slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return false;
	}
	return true;
}

/* One pair of quotes, nothing in front. */
static bool is_plain_string(const struct token *t)
{
	return *t->text.ptr == '\'' && !t->has_escape &&
	       memchr(t->text.ptr + 1, '\'', t->text.len - 1) == t->text.ptr + t->text.len - 1;
}

static void note_literal(struct writer *w, const struct token *t, char kind)
{
	struct shape_literals *l = w->literals;
	size_t from = (size_t)(t->text.ptr - w->text);

	if (!l->are_plain)
		return;
	l->are_plain = l->count < SHAPE_LITERALS_MAX && from + t->text.len <= UINT16_MAX &&
	               ((kind == 'n' && is_digits(t->text)) || (kind == 's' && is_plain_string(t)));
	if (l->are_plain)
		l->at[l->count++] =
			(struct shape_literal){ (uint16_t)from, (uint16_t)t->text.len, kind };
}

static void put_token(struct writer *w, const struct token *t)
{
	char kind = 'n';

	switch (t->kind) {
	case TOKEN_STRING:
		kind = may_be_moment(t) ? 't' : 's';
		w->shape->has_time_word |= kind == 't';
		note_literal(w, t, kind);
		put_literal(w, kind);
		return;
	case TOKEN_NUMBER:
		note_literal(w, t, kind);
		put_literal(w, kind);
		return;
	case TOKEN_PARAM:
		note_param(w->shape, t->text);
		break;
	case TOKEN_QUOTED_UNICODE:
		w->shape->is_text_only = true;
		break;
	default:
		break;
	}
	put_text(w, t);
}

/* Hints change the analysis, so they are part of the shape; "\n" is in no token outside quotes. */
static void put_hints(struct writer *w)
{
	const struct statement_hints *h = &w->shape->hints;

	if (h->route == HINT_ROUTE_NONE && h->cache == HINT_CACHE_NONE)
		return;
	w->out[w->len++] = '\n';
	w->out[w->len++] = (char)('0' + (int)h->route);
	w->out[w->len++] = (char)('0' + (int)h->cache);
	memcpy(w->out + w->len, &h->cache_ttl_ms, sizeof(h->cache_ttl_ms));
	w->len += sizeof(h->cache_ttl_ms);
}

static void on_comment(void *arg, struct slice body)
{
	struct writer *w = arg;

	hint_read(&w->shape->hints, body);
}

size_t shape_make(struct shape *shape, struct slice text, char *out)
{
	struct shape_literals literals;

	return shape_make_noting(shape, text, out, &literals);
}

size_t shape_make_noting(struct shape *shape, struct slice text, char *out,
                         struct shape_literals *literals)
{
	struct writer w = { .shape = shape, .literals = literals, .out = out, .open_from = SIZE_MAX };
	size_t from;
	struct height h;
	struct lexer l;

	*shape = (struct shape){ 0 };
	h.run = h.joins = h.below = h.nest = 0;
	literals->are_plain = true;
	literals->count = 0;
	lexer_init(&l, text);
	w.text = l.at;
	l.on_comment = on_comment;
	l.arg = &w;
	for (struct token t = lexer_next(&l); t.kind != TOKEN_END; t = lexer_next(&l)) {
		height_token(&h, shape, &t);
		from = w.len;
		put_token(&w, &t);
		note_row(&w, &t, from);
	}
	put_hints(&w);
	shape->hash = hash_bytes(out, w.len);
	return w.len;
}
