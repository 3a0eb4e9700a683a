/* SPDX-License-Identifier: PostgreSQL */
/*
 * Amounts of money: decimal text with at most two places, held as a count of
 * hundredths. Never a floating-point number. Pure.
 */
#ifndef FINAI_AMOUNT_H
#define FINAI_AMOUNT_H

#include <stdbool.h>
#include <stdint.h>

#define AMOUNT_MAX INT64_C(100000000000) /* of one transfer: 1,000,000,000.00 */

enum { AMOUNT_TEXT_MAX = 24 };

/*
 * What a client may send: digits, or digits, a point and one or two digits; no
 * sign, no exponent, no blank, no leading zero but "0.". More than 0, at most
 * AMOUNT_MAX.
 */
bool amount_parse(const char *text, int64_t *hundredths);
/* What PostgreSQL's numeric(18,2) prints, negative too. */
bool amount_parse_balance(const char *text, int64_t *hundredths);
void amount_format(int64_t hundredths, char text[AMOUNT_TEXT_MAX]);

#endif
