/* SPDX-License-Identifier: PostgreSQL */
/*
 * Why equal bytes between the literals are enough: where a token ends depends
 * on the bytes from its start on. A run of digits is one number token whatever
 * the digits are, as long as what follows them is the same (so 1e5 and 1.5,
 * whose tokens aren't digits alone, are no plain literals). A plain string ends
 * at its first quote; whether it would go on behind that (a second quote, a
 * line end and another piece) is in the bytes that follow, which are compared.
 * Strings that could name a moment have a shape of their own and don't match.
 *
 * A template is found by the bytes before its first digit or quote, four to a
 * set. On select-only of pgbench this saves a quarter of all instructions that
 * a simple query costs (8,900 to 6,600, by callgrind).
 */
#include "sql/template.h"

#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "sql/statement.h"

struct template {
	uint64_t hash;               /* of the bytes before the first digit or quote */
	struct statement *statement; /* counted */
	size_t len;
	struct shape_literals literals;
	char text[];
};

/* --- words of eight bytes --- */

static const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;

/* A high bit for at least the first byte that is a digit or a quote; zero: none is. */
static uint64_t literal_bytes(uint64_t word)
{
	uint64_t quote = word ^ (ones * '\'');
	uint64_t low = word & ~highs;
	uint64_t digit = (ones * (127 + ':') - low) & ~word & (low + ones * (127 - ('0' - 1)));

	return (((quote - ones) & ~quote) | digit) & highs;
}

static size_t prefix_len(struct slice text)
{
	size_t i = 0;
	uint64_t word;

	for (; i + sizeof(word) <= text.len; i += sizeof(word)) {
		memcpy(&word, text.ptr + i, sizeof(word));
		if (literal_bytes(word))
			break;
	}
	while (i < text.len && text.ptr[i] != '\'' && (unsigned char)(text.ptr[i] - '0') > 9)
		i++;
	return i;
}

static uint64_t prefix_hash(struct slice text)
{
	return hash_bytes(text.ptr, prefix_len(text));
}

/* --- matching --- */

static const char *digits_end(const char *p, const char *end)
{
	const char *start = p;

	while (p < end && (unsigned char)(*p - '0') <= 9)
		p++;
	return p > start ? p : NULL;
}

static const char *string_end(const char *p, const char *end)
{
	const char *quote;

	if (p >= end || *p != '\'')
		return NULL;
	quote = memchr(p + 1, '\'', (size_t)(end - p - 1));
	if (!quote || (quote + 1 < end && quote[1] == '\''))
		return NULL;
	if (shape_names_moment(slice_of(p, (size_t)(quote + 1 - p))))
		return NULL;
	return quote + 1;
}

static bool take_equal(const char **p, const char *end, const char *with, size_t len)
{
	if ((size_t)(end - *p) < len || memcmp(*p, with, len) != 0)
		return false;
	*p += len;
	return true;
}

static bool matches(const struct template *t, struct slice text)
{
	const char *p = text.ptr, *end = p + text.len;
	size_t done = 0;

	for (unsigned i = 0; i < t->literals.count; i++) {
		const struct shape_literal *l = &t->literals.at[i];

		if (!take_equal(&p, end, t->text + done, l->from - done))
			return false;
		p = l->kind == 'n' ? digits_end(p, end) : string_end(p, end);
		if (!p)
			return false;
		done = (size_t)l->from + l->len;
	}
	return take_equal(&p, end, t->text + done, t->len - done) && p == end;
}

struct statement *template_find(const struct template_table *table, struct slice text)
{
	uint64_t hash;
	struct template *const *set;

	if (text.len > TEMPLATE_TEXT_MAX)
		return NULL;
	hash = prefix_hash(text);
	set = table->at[hash % TEMPLATE_SETS];
	for (unsigned way = 0; way < TEMPLATE_WAYS; way++) {
		if (set[way] && set[way]->hash == hash && matches(set[way], text))
			return set[way]->statement;
	}
	return NULL;
}

/* --- keeping --- */

static void template_drop(struct template **t)
{
	if (!*t)
		return;
	statement_put(&(*t)->statement);
	mem_free(*t);
	*t = NULL;
}

void template_add(struct template_table *table, struct slice text,
                  const struct shape_literals *literals, struct statement *statement)
{
	struct template *t, **slot;
	uint8_t *next;

	if (!literals->are_plain || literals->count == 0 || text.len > TEMPLATE_TEXT_MAX)
		return;
	t = mem_try_alloc(sizeof(*t) + text.len);
	if (!t)
		return;
	t->hash = prefix_hash(text);
	t->statement = statement_get(statement);
	t->len = text.len;
	t->literals = *literals;
	memcpy(t->text, text.ptr, text.len);
	next = &table->next[t->hash % TEMPLATE_SETS];
	slot = &table->at[t->hash % TEMPLATE_SETS][*next];
	*next = (uint8_t)((*next + 1) % TEMPLATE_WAYS);
	template_drop(slot);
	*slot = t;
}

void template_table_fini(struct template_table *table)
{
	for (unsigned set = 0; set < TEMPLATE_SETS; set++) {
		for (unsigned way = 0; way < TEMPLATE_WAYS; way++)
			template_drop(&table->at[set][way]);
	}
}
