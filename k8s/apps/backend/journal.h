/* SPDX-License-Identifier: PostgreSQL */
/*
 * The log: one line of JSON per event on standard error, with time, level and
 * event first. error = the operator must act, warn = degraded, info = life
 * cycle, debug = per request. Never a password, a note or an amount.
 */
#ifndef FINAI_JOURNAL_H
#define FINAI_JOURNAL_H

#include "base/assert.h"

enum journal_level { JOURNAL_ERROR, JOURNAL_WARN, JOURNAL_INFO, JOURNAL_DEBUG };

/* "error", "warn", "info" or "debug"; negative: another word. */
int journal_set_level(const char *name) WEIR_MUST_CHECK;
/*
 * format is jansson's for one object: "{s:s s:i}", then names and values by
 * turns; NULL: nothing more. A text that isn't UTF-8 leaves the line without its values.
 */
void journal(enum journal_level level, const char *event, const char *format, ...);

#endif
