/* SPDX-License-Identifier: PostgreSQL */
/*
 * The statements by constant: name, and the text with the hint for pgweir that
 * fits the occasion. Static data from statement.def. Pure.
 */
#ifndef FINAI_STATEMENT_H
#define FINAI_STATEMENT_H

#include <stdbool.h>

enum statement {
#define STATEMENT(constant, name, kind, text) STATEMENT_##constant,
#include "backend/statement.def"
#undef STATEMENT
	STATEMENT_COUNT
};

enum statement_kind {
	STATEMENT_KIND_CACHED, /* a read whose answer pgweir may keep */
	STATEMENT_KIND_LIVE,   /* a read of what must not be kept: balances */
	STATEMENT_KIND_PLAIN
};

/* A read from wherever pgweir finds right, or past cache and replicas. */
enum read_from { READ_ANYWHERE, READ_PRIMARY, READ_FROM_COUNT };

const char *statement_name(enum statement s);
enum statement_kind statement_kind(enum statement s);
const char *statement_text(enum statement s, enum read_from from);
/* The name of the prepared statement: differs where the text differs. */
const char *statement_prepared_name(enum statement s, enum read_from from);

#endif
