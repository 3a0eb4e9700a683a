/* SPDX-License-Identifier: PostgreSQL */
/*
 * Numbers of the ini, read by hand, digit by digit, so that neither locale nor
 * overflow can surprise. Pure.
 */
#include "config/number.h"

#include <string.h>

enum { EXPONENT_MAX = 400, MICROS = 1000000 };
#define WHOLE_MAX 100000000000000ULL /* above it digits change nothing: no option takes as much */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int digit_value(char c)
{
	int letter = c | 0x20;

	if (is_digit(c))
		return c - '0';
	return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

static struct slice trim(struct slice s)
{
	while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
		s = slice_of(s.ptr + 1, s.len - 1);
	while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
		s.len--;
	return s;
}

static size_t number_fraction(struct slice text, size_t i, struct number *n)
{
	uint64_t scale = MICROS / 10;

	n->is_fraction = true;
	for (; i < text.len && is_digit(text.ptr[i]); i++, scale /= 10)
		n->micros += scale * (uint64_t)(text.ptr[i] - '0');
	return i;
}

/* 0x10 and 010 are PgBouncer's in whole numbers of its main section, as in C. */
static unsigned number_base(struct slice text, size_t *i, enum number_form form)
{
	size_t left = text.len - *i, end = *i;

	if (form != NUMBER_AS_IN_C || left < 2 || text.ptr[*i] != '0')
		return 10;
	if ((text.ptr[*i + 1] | 0x20) == 'x') {
		*i += 2;
		return 16;
	}
	while (end < text.len && is_digit(text.ptr[end]))
		end++;
	return end < text.len && text.ptr[end] == '.' ? 10 : 8;
}

/* False: no digit where there must be one. */
static bool number_whole(struct slice text, size_t *i, enum number_form form, struct number *n)
{
	unsigned base = number_base(text, i, form);
	size_t first = *i;
	int digit;

	for (; *i < text.len && (digit = digit_value(text.ptr[*i])) >= 0 && digit < (int)base; ++*i) {
		if (n->whole < WHOLE_MAX)
			n->whole = n->whole * base + (unsigned)digit;
	}
	if (*i < text.len && text.ptr[*i] == '.' && base == 10) {
		size_t point = ++*i;

		*i = number_fraction(text, point, n);
		return point - 1 > first || *i > point;
	}
	return *i > first;
}

/* Times a power of ten. */
static void number_shift(struct number *n, int power)
{
	for (; power > 0 && (n->whole || n->micros) && n->whole < WHOLE_MAX; power--) {
		n->whole = n->whole * 10 + n->micros / (MICROS / 10);
		n->micros = n->micros % (MICROS / 10) * 10;
	}
	for (; power < 0 && (n->whole || n->micros); power++) {
		n->micros = (n->micros + n->whole % 10 * MICROS) / 10;
		n->whole /= 10;
	}
}

/* The e3 of 1e3; what isn't one is left for a unit. */
static void number_exponent(struct slice text, size_t *i, struct number *n)
{
	size_t at = *i;
	bool is_negative = false;
	int power = 0;

	if (at == text.len || (text.ptr[at] | 0x20) != 'e')
		return;
	at++;
	if (at < text.len && (text.ptr[at] == '-' || text.ptr[at] == '+'))
		is_negative = text.ptr[at++] == '-';
	if (at == text.len || !is_digit(text.ptr[at]))
		return;
	for (; at < text.len && is_digit(text.ptr[at]); at++)
		if (power < EXPONENT_MAX)
			power = power * 10 + (text.ptr[at] - '0');
	*i = at;
	number_shift(n, is_negative ? -power : power);
}

bool number_parse(struct slice text, enum number_form form, struct number *n)
{
	size_t i = 0;

	memset(n, 0, sizeof(*n));
	text = trim(text);
	if (text.len && (text.ptr[0] == '-' || text.ptr[0] == '+'))
		n->is_negative = text.ptr[i++] == '-';
	if (!number_whole(text, &i, form, n))
		return false;
	if (form == NUMBER_OF_TIME)
		number_exponent(text, &i, n);
	n->value = (double)n->whole + (double)n->micros / MICROS;
	if (n->is_negative)
		n->value = -n->value;
	n->unit = trim(slice_of(text.ptr + i, text.len - i));
	return true;
}
