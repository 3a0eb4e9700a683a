/* SPDX-License-Identifier: PostgreSQL */
/*
 * Texts of operating errors, and the one way to fill a struct pg_error. Any
 * thread; no state.
 */
#include "base/err.h"

#include "base/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *weir_err_text(enum weir_err err)
{
	switch (err) {
	case WEIR_OK:
		return "ok";
	case WEIR_ERR_MEMORY:
		return "out of memory";
	case WEIR_ERR_AGAIN:
		return "not ready yet";
	case WEIR_ERR_PROTOCOL:
		return "protocol violation";
	case WEIR_ERR_LIMIT:
		return "limit reached";
	case WEIR_ERR_IO:
		return "system call failed";
	case WEIR_ERR_CLOSED:
		return "connection closed by peer";
	case WEIR_ERR_TIMEOUT:
		return "timed out";
	case WEIR_ERR_AUTH:
		return "authentication failed";
	case WEIR_ERR_TLS:
		return "TLS failure";
	case WEIR_ERR_CONFIG:
		return "invalid configuration";
	case WEIR_ERR_NOT_FOUND:
		return "not found";
	case WEIR_ERR_UNSUPPORTED:
		return "not supported";
	case WEIR_ERR_RESOLVE:
		return "host name could not be resolved";
	}
	return "unknown error";
}

void pg_error_set(struct pg_error *e, const char *sqlstate, const char *fmt, ...)
{
	va_list args;

	WEIR_ASSERT(strlen(sqlstate) == PG_SQLSTATE_LEN);
	memcpy(e->sqlstate, sqlstate, PG_SQLSTATE_LEN + 1);
	e->detail[0] = '\0';
	e->hint[0] = '\0';
	va_start(args, fmt);
	if (vsnprintf(e->message, sizeof(e->message), fmt, args) < 0)
		e->message[0] = '\0';
	va_end(args);
}
