/* SPDX-License-Identifier: PostgreSQL */
/*
 * DateStyle is two settings under one name, the output style and the order of
 * day, month and year, and setting one leaves the other as it is. To follow a
 * session elsewhere, its value must have both. Pure.
 */
#ifndef WEIR_POOL_DATESTYLE_H
#define WEIR_POOL_DATESTYLE_H

#include <stdbool.h>
#include <stddef.h>

enum { DATESTYLE_MAX = 32 };

/* It lacks the style or the order: what a server makes of it depends on what it had. */
bool datestyle_is_partial(const char *value);
/*
 * `value` on top of `old` (NULL: not known), both as in a session state. Returns `value`, or
 * `text` with the whole.
 */
const char *datestyle_merge(char text[DATESTYLE_MAX], const char *old, const char *value);

#endif
