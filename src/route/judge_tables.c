/* SPDX-License-Identifier: PostgreSQL */
/*
 * Which tables a statement reads and which it may change, by oid, see judge.h.
 * A name without schema counts for every relation of that name, because the
 * search_path is the session's. Anything that isn't in the catalog, or that
 * runs code of its own (triggers, rules, volatile functions), makes the set
 * unknown.
 */
#include "route/judge.h"

#include <string.h>

#include "route/names.h"

#define FLAGS_WRITES_UNKNOWN                                                          \
	(STATEMENT_UNPARSED | STATEMENT_LARGE | STATEMENT_WRITES_UNKNOWN | STATEMENT_DDL | \
	 STATEMENT_TWO_PHASE)

static void tables_insert(struct judge_tables *t, uint32_t oid)
{
	uint32_t at = t->count;

	while (at > 0 && t->oids[at - 1] > oid)
		at--;
	if (at > 0 && t->oids[at - 1] == oid)
		return;
	if (t->count == JUDGE_TABLES_MAX) {
		t->is_unknown = true;
		return;
	}
	memmove(&t->oids[at + 1], &t->oids[at], (t->count - at) * sizeof t->oids[0]);
	t->oids[at] = oid;
	t->count++;
}

void judge_tables_add(struct judge_tables *into, const struct judge_tables *more)
{
	for (uint32_t i = 0; i < more->count; i++)
		tables_insert(into, more->oids[i]);
	into->is_unknown |= more->is_unknown;
}

static void add_bases(struct judge_tables *t, const struct catalog_relation *rel)
{
	if (rel->flags & CATALOG_REL_VOLATILE_VIEW)
		t->is_unknown = true;
	for (uint32_t i = 0; i < rel->base_count; i++)
		tables_insert(t, rel->bases[i]);
}

static void add_affected(struct judge_tables *t, const struct catalog_relation *rel)
{
	if (rel->flags & CATALOG_REL_TRIGGERS)
		t->is_unknown = true;
	for (uint32_t i = 0; i < rel->affected_count; i++)
		tables_insert(t, rel->affected[i]);
}

typedef void add_fn(struct judge_tables *t, const struct catalog_relation *rel);

static void add_name(struct judge_tables *t, const struct catalog *catalog,
		     const struct statement_name *name, add_fn *add)
{
	const struct catalog_relation *rel;
	bool several = false;

	rel = catalog_relation(catalog, name->schema, name->name, &several);
	if (rel == NULL)
		t->is_unknown = true;
	else if (!several)
		add(t, rel);
	for (size_t n = 0; several && rel; n++) {
		rel = catalog_relation_nth(catalog, name->name, n);
		if (rel)
			add(t, rel);
	}
}

/* Can a function called by the statement change tables? */
static bool has_writing_function(const struct statement *s, const struct catalog *catalog)
{
	for (size_t i = 0; i < s->function_count; i++)
		if (names_function_volatility(&s->functions[i], catalog) >= CATALOG_VOLATILE &&
		    !names_is_tableless_function(&s->functions[i]))
			return true;
	return false;
}

/* Does it read a view that may write when read? */
static bool has_writing_view(const struct statement *s, const struct catalog *catalog)
{
	bool several;

	for (size_t i = 0; i < s->read_count; i++) {
		const struct catalog_relation *rel = catalog_relation(
			catalog, s->reads[i].schema, s->reads[i].name, &several);

		if (rel && (rel->flags & CATALOG_REL_VOLATILE_VIEW))
			return true;
	}
	return false;
}

void judge_reads(const struct statement *s, const struct catalog *catalog, struct judge_tables *out)
{
	out->count = 0;
	out->is_unknown = catalog == NULL ||
			  (s->flags & (STATEMENT_UNPARSED | STATEMENT_LARGE)) != 0;
	if (out->is_unknown)
		return;
	for (size_t i = 0; i < s->read_count; i++)
		add_name(out, catalog, &s->reads[i], add_bases);
}

/* Without a catalog a statement is known to write nothing only by its class and functions. */
static bool writes_nothing(const struct statement *s, const struct catalog *catalog)
{
	return s->class != STATEMENT_WRITE && s->written_count == 0 &&
	       !has_writing_function(s, catalog) &&
	       (catalog == NULL || !has_writing_view(s, catalog));
}

void judge_writes(const struct statement *s, const struct catalog *catalog,
		  struct judge_tables *out)
{
	out->count = 0;
	out->is_unknown = (s->flags & FLAGS_WRITES_UNKNOWN) != 0;
	if (out->is_unknown || writes_nothing(s, catalog))
		return;
	/* TRUNCATE ... CASCADE empties tables that only its foreign keys name. */
	out->is_unknown = catalog == NULL || has_writing_function(s, catalog) ||
			  has_writing_view(s, catalog) ||
			  (s->tag && strcmp(s->tag, "TRUNCATE") == 0);
	for (size_t i = 0; catalog && i < s->written_count; i++)
		add_name(out, catalog, &s->writes[i], add_affected);
}
