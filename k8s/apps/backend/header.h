/* SPDX-License-Identifier: PostgreSQL */
/*
 * Single fields of a request's head, and what they mean for us. Works on the
 * head's bytes as net/http_parse.h accepted them. Pure.
 */
#ifndef FINAI_HEADER_H
#define FINAI_HEADER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

/* How often the field is there; *value: its first value, trimmed, within head. */
int header_find(struct slice head, const char *name, struct slice *value);
/* The value as text; false: absent, there twice, or too long. */
bool header_text(struct slice head, const char *name, char *text, size_t text_size);
/* A list like "keep-alive, Upgrade": has it this word, without regard to case? */
bool header_has_word(struct slice head, const char *name, const char *word);
/* HTTP/1.1 unless it says close, HTTP/1.0 only if it says keep-alive. */
bool header_keeps_alive(struct slice head);
/* If-None-Match names this entity tag (with its quotes), weakly or not, or is "*". */
bool header_matches_tag(struct slice head, const char *tag);

#endif
