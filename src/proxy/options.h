/* SPDX-License-Identifier: PostgreSQL */
/*
 * Start-up parameters as session settings: every parameter that names a
 * setting, and the switches in `options` (see switches.h).
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

/*
 * application_name as PostgreSQL takes it of a start-up packet (pg_clean_ascii): of what isn't
 * printable ASCII each byte becomes "?", from 16 on "\xNN". It couldn't be sent as text, which
 * must be right in its encoding.
 */
void options_clean_name(struct session_state **state, unsigned server_major);

/* One more setting, over what is there; a name or value that can't be one is left out. */
void options_set(struct session_state **state, const char *name, const char *value);

#endif
