/* SPDX-License-Identifier: PostgreSQL */
/*
 * Decimal text to hundredths and back. numeric(18,2) has 16 digits before the
 * point, so every value fits into 63 bits.
 */
#include "backend/amount.h"

#include <inttypes.h>
#include <stdio.h>

enum { WHOLE_DIGITS_MAX = 16 };

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* "123", "123.4" or "123.45", all of it. */
static bool parse_plain(const char *p, int64_t *hundredths)
{
	int64_t whole = 0, part = 0;
	int digits = 0, places = 0;

	if (p[0] == '0' && is_digit(p[1]))
		return false;
	for (; is_digit(*p); p++, digits++) {
		if (digits == WHOLE_DIGITS_MAX)
			return false;
		whole = whole * 10 + (*p - '0');
	}
	if (digits == 0)
		return false;
	if (*p == '.') {
		for (p++; is_digit(*p) && places < 2; p++, places++)
			part = part * 10 + (*p - '0');
		if (places == 0)
			return false;
		if (places == 1)
			part *= 10;
	}
	*hundredths = whole * 100 + part;
	return *p == '\0';
}

bool amount_parse(const char *text, int64_t *hundredths)
{
	return parse_plain(text, hundredths) && *hundredths > 0 && *hundredths <= AMOUNT_MAX;
}

bool amount_parse_balance(const char *text, int64_t *hundredths)
{
	bool is_negative = *text == '-';

	if (!parse_plain(text + is_negative, hundredths))
		return false;
	if (is_negative)
		*hundredths = -*hundredths;
	return true;
}

void amount_format(int64_t hundredths, char text[AMOUNT_TEXT_MAX])
{
	uint64_t size = hundredths < 0 ? 0 - (uint64_t)hundredths : (uint64_t)hundredths;

	snprintf(text, AMOUNT_TEXT_MAX, "%s%" PRIu64 ".%02" PRIu64, hundredths < 0 ? "-" : "",
	         size / 100, size % 100);
}
