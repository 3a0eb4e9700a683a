/* SPDX-License-Identifier: PostgreSQL */
/*
 * Values and names as SQL text that means the same under every setting. Pure.
 */
#ifndef WEIR_SQL_QUOTE_H
#define WEIR_SQL_QUOTE_H

#include "base/buf.h"

/* Appends 'text', or E'text' when a backslash is inside. text has no zero bytes. */
void quote_literal(struct buf *b, struct slice text);
/* Appends "name", a name as PostgreSQL keeps it. */
void quote_identifier(struct buf *b, struct slice name);
/* SET and RESET would cut the setting's name, as they do identifiers; set_config() doesn't. */
bool quote_cuts_name(const char *name);
/*
 * What SET takes after TO for a value that set_config() was given: list settings
 * (search_path) become several literals. name in lower case.
 */
void quote_config_value(struct buf *b, const char *name, struct slice value);

#endif
