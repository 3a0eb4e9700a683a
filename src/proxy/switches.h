/* SPDX-License-Identifier: PostgreSQL */
/*
 * The start-up parameter `options`: switches of a server's command line, each of
 * which is a setting, or means nothing to a server that was started already.
 */
#ifndef WEIR_PROXY_SWITCHES_H
#define WEIR_PROXY_SWITCHES_H

#include "base/assert.h"
#include "base/err.h"
#include "base/slice.h"

/* Name as it was written ("-" may be "_"), and value, until it returns; on error it sets *e. */
typedef enum weir_err (*switches_on_setting)(void *ctx, struct slice name, struct slice value,
					     struct pg_error *e);

/* In their order, up to the first error: *e is set then, as PostgreSQL has it. */
enum weir_err switches_take(struct slice options, switches_on_setting on_setting, void *ctx,
			    struct pg_error *e) WEIR_MUST_CHECK;

#endif
