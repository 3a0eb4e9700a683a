/* SPDX-License-Identifier: PostgreSQL */
/*
 * The statement analyser as <pgweir/statement.h> shows it to other programs: an
 * opaque object over struct statement. Nothing in the daemon calls it. An object
 * belongs to one thread at a time.
 */
#include <pgweir/statement.h>

#include "base/assert.h"
#include "sql/statement.h"

struct names {
	const struct statement_name *list; /* borrowed from the statement */
	size_t count;
};

static const struct statement *inner(const struct pgweir_statement *statement)
{
	return (const struct statement *)(const void *)statement;
}

struct pgweir_statement *pgweir_statement_analyse(const char *sql, size_t len)
{
	return (struct pgweir_statement *)(void *)statement_analyse(slice_of(sql, len));
}

void pgweir_statement_free(struct pgweir_statement *statement)
{
	struct statement *s = (struct statement *)(void *)statement;

	if (s)
		statement_put(&s);
}

enum pgweir_class pgweir_statement_class(const struct pgweir_statement *statement)
{
	switch (inner(statement)->class) {
	case STATEMENT_EMPTY:
		return PGWEIR_CLASS_EMPTY;
	case STATEMENT_READ:
		return PGWEIR_CLASS_READ;
	case STATEMENT_SESSION:
		return PGWEIR_CLASS_SESSION;
	case STATEMENT_TXN:
		return PGWEIR_CLASS_TRANSACTION;
	case STATEMENT_WRITE:
		break;
	}
	return PGWEIR_CLASS_WRITE;
}

bool pgweir_statement_is_parsed(const struct pgweir_statement *statement)
{
	return (inner(statement)->flags & (STATEMENT_UNPARSED | STATEMENT_LARGE)) == 0;
}

const char *pgweir_statement_tag(const struct pgweir_statement *statement)
{
	return inner(statement)->tag ? inner(statement)->tag : "";
}

unsigned pgweir_statement_param_count(const struct pgweir_statement *statement)
{
	return inner(statement)->param_count;
}

static struct names names_of(const struct statement *s, enum pgweir_names which)
{
	switch (which) {
	case PGWEIR_NAMES_READ:
		return (struct names){ s->reads, s->read_count };
	case PGWEIR_NAMES_WRITTEN:
		return (struct names){ s->writes, s->written_count };
	case PGWEIR_NAMES_FUNCTION:
		return (struct names){ s->functions, s->function_count };
	}
	return (struct names){ NULL, 0 };
}

size_t pgweir_statement_name_count(const struct pgweir_statement *statement,
                                   enum pgweir_names which)
{
	return names_of(inner(statement), which).count;
}

const char *pgweir_statement_name(const struct pgweir_statement *statement, enum pgweir_names which,
                                  size_t index, const char **schema)
{
	struct names names = names_of(inner(statement), which);

	WEIR_ASSERT(index < names.count);
	*schema = names.list[index].schema;
	return names.list[index].name;
}
