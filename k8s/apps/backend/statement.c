/* SPDX-License-Identifier: PostgreSQL */
/*
 * Texts are put together by the compiler: hint and statement are one literal,
 * so the text of a cached read is the same byte for byte in every pod, and all
 * pods share one entry of pgweir's cache. Pure; owns nothing.
 */
#include "backend/statement.h"

#include "base/assert.h"

/* Quotes change through pgweir, which then drops the result; the time is for changes past it. */
#define HINT_ANYWHERE_CACHED "/* pgweir: cache=60 */ "
#define HINT_ANYWHERE_LIVE "/* pgweir: cache=off */ "
#define HINT_ANYWHERE_PLAIN ""
#define HINT_PRIMARY_CACHED "/* pgweir: route=primary, cache=off */ "
#define HINT_PRIMARY_LIVE HINT_PRIMARY_CACHED
#define HINT_PRIMARY_PLAIN ""

static const struct {
	const char *name, *primary_name;
	enum statement_kind kind;
	const char *text[READ_FROM_COUNT];
} table[] = {
#define STATEMENT(constant, name, kind, text) \
	{ name,                                   \
	  name "_primary",                        \
	  STATEMENT_KIND_##kind,                  \
	  { HINT_ANYWHERE_##kind text, HINT_PRIMARY_##kind text } },
#include "backend/statement.def"
#undef STATEMENT
};

const char *statement_name(enum statement s)
{
	WEIR_ASSERT((unsigned)s < STATEMENT_COUNT);
	return table[s].name;
}

enum statement_kind statement_kind(enum statement s)
{
	WEIR_ASSERT((unsigned)s < STATEMENT_COUNT);
	return table[s].kind;
}

const char *statement_text(enum statement s, enum read_from from)
{
	WEIR_ASSERT((unsigned)s < STATEMENT_COUNT && (unsigned)from < READ_FROM_COUNT);
	return table[s].text[from];
}

const char *statement_prepared_name(enum statement s, enum read_from from)
{
	WEIR_ASSERT((unsigned)s < STATEMENT_COUNT);
	return from == READ_PRIMARY && table[s].kind != STATEMENT_KIND_PLAIN ? table[s].primary_name
	                                                                     : table[s].name;
}
