/* SPDX-License-Identifier: PostgreSQL */
/*
 * One option's value: text to field, field to text, equality. Private to
 * config/ and admin/. Pure, any thread.
 */
#ifndef WEIR_CONFIG_VALUE_H
#define WEIR_CONFIG_VALUE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/buf.h"
#include "config/options.h"

/*
 * Stores the value in the field of `base` (the struct of o's scope). Texts are copied
 * into the arena. On refusal the field is unchanged, `why` says what is wrong.
 */
bool option_parse(const struct option *o, struct slice text, void *base, struct arena *arena,
                  char *why, size_t why_size) WEIR_MUST_CHECK;
/* Appends the value as the ini would spell it; secrets as ********. */
void option_print(const struct option *o, const void *base, struct buf *out);
bool option_equal(const struct option *o, const void *a, const void *b);
/* Copies the field's value from a struct where a field of the same kind is at src_offset. */
void option_copy(const struct option *o, void *dst, const void *src, size_t src_offset);
/* From another snapshot: texts are copied to the arena. */
void option_take(const struct option *o, void *dst, const void *src, struct arena *arena);
/* For a person: "a whole number from 0 to 64", "on or off"; empty for texts. */
void option_print_range(const struct option *o, struct buf *out);

#define OPTION_SECRET_TEXT "********"

#endif
