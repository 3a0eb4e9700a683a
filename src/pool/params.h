/* SPDX-License-Identifier: PostgreSQL */
/*
 * The reported parameters of a session (ParameterStatus), as one immutable,
 * counted set. A server connection holds the set it last reported; a session
 * state remembers the set that goes with it, so that a log-in can be answered
 * without asking a server. Counted atomically: any thread.
 */
#ifndef WEIR_POOL_PARAMS_H
#define WEIR_POOL_PARAMS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

enum { PARAMS_MAX = 64, PARAMS_TEXT_MAX = 16384 };

struct params;

struct params *params_empty(void);
struct params *params_get(struct params *p); /* counted; NULL stays NULL */
void params_put(struct params **p);
/* A new set with one value changed; NULL when a bound is reached. Does not consume p. */
struct params *params_with(const struct params *p, struct slice name, struct slice value);
bool params_equal(const struct params *a, const struct params *b); /* in the same order */
size_t params_count(const struct params *p);
struct slice params_name(const struct params *p, size_t i);
struct slice params_value(const struct params *p, size_t i);
/* ptr NULL: no such parameter. */
struct slice params_find(const struct params *p, struct slice name);
/* All of them as ParameterStatus messages. */
struct slice params_messages(const struct params *p);
/* PostgreSQL's: 15 of "15.8 (Debian 15.8-1)", 18 of "18beta1"; 0: not reported. */
unsigned params_server_major(const struct params *p);

#endif
