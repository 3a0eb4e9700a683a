/* SPDX-License-Identifier: PostgreSQL */
/*
 * Start-up parameters as session settings: every parameter that names a
 * setting, and the switches in `options` (-c name=value, --name=value).
 */
#ifndef WEIR_PROXY_OPTIONS_H
#define WEIR_PROXY_OPTIONS_H

#include "base/err.h"
#include "proxy/proxy.h"
#include "wire/startup.h"

struct session_state;

/* `ignored`: comma list of what to drop. *out is counted for the caller; on error *e is set. */
enum weir_err options_take(struct proxy *p, const struct startup *s, const char *ignored,
			   struct session_state **out, struct pg_error *e) WEIR_MUST_CHECK;

/* One more setting, over what is there; a name or value that can't be one is left out. */
void options_set(struct session_state **state, const char *name, const char *value);

#endif
