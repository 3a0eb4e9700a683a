/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the environment says: one struct, made from options.def, read once at
 * the start. Strings are borrowed from the environment. Pure but for printing.
 */
#ifndef FINAI_OPTIONS_H
#define FINAI_OPTIONS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/assert.h"

struct options {
#define TEXT(field, name, value, text) const char *field; /* borrowed: the environment's */
#define NUMBER(field, name, value, least, most, text) uint32_t field;
#include "backend/options.def"
#undef TEXT
#undef NUMBER
};

/*
 * environment: "NAME=value" strings, ended by NULL. A FINAI_ name that is no
 * option, a bad number and a missing DATABASE_URL are errors: negative, and why
 * says what.
 */
int options_load(struct options *o, char *const *environment, char *why,
                 size_t why_size) WEIR_MUST_CHECK;
void options_print(FILE *out); /* a line per option: name, default, text */

#endif
