/* SPDX-License-Identifier: PostgreSQL */
/*
 * A number of the ini as PgBouncer reads it, and what stands behind it: its unit.
 */
#ifndef WEIR_CONFIG_NUMBER_H
#define WEIR_CONFIG_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum number_form {
	NUMBER_DECIMAL,
	NUMBER_AS_IN_C, /* 0x10 and 010 too */
	NUMBER_OF_TIME, /* 1e3 too */
};

struct number {
	double value;    /* for range checks */
	uint64_t whole;  /* integer part */
	uint64_t micros; /* fraction in millionths, cut */
	bool is_negative;
	bool is_fraction;
	struct slice unit; /* what follows, blanks trimmed */
};

/*
 * [+-]digits[.digits][e[+-]digits][blanks][unit]; digits may be missing on one side of the point.
 * False: no number. Larger ones than an option takes come out as some such number.
 */
bool number_parse(struct slice text, enum number_form form, struct number *out);

#endif
