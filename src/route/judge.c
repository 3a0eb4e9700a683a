/* SPDX-License-Identifier: PostgreSQL */
/*
 * Judges statements against the catalog, see judge.h. The one idea: every name
 * in the statement narrows an initial "all is allowed"; what isn't known
 * narrows most. Runs once per statement and catalog generation. Which tables
 * are concerned is collected in judge_tables.c.
 *
 * Some functions and views answer about the node they run on. An application
 * that speaks to "the server" expects the primary's answer, so they go there:
 * pg_is_in_recovery(), pg_backend_pid(), pg_stat_*, pg_locks ... The address
 * and port of the server (inet_server_*) tell the truth instead.
 */
#include "route/judge.h"

#include <string.h>

#include "base/assert.h"
#include "route/names.h"

/* The primary, whatever the names in it are. */
#define FLAGS_PRIMARY                                                                     \
	(STATEMENT_UNPARSED | STATEMENT_LARGE | STATEMENT_ROW_LOCK | STATEMENT_COPY_IN |  \
	 STATEMENT_TWO_PHASE | STATEMENT_DDL | STATEMENT_WRITES_UNKNOWN)

#define FLAGS_UNCACHEABLE                                                                 \
	(FLAGS_PRIMARY | STATEMENT_MULTI | STATEMENT_NO_CACHE | STATEMENT_CURSOR |        \
	 STATEMENT_COPY_OUT | STATEMENT_EXPLAIN | STATEMENT_SHOW)

#define REL_PRIMARY (CATALOG_REL_UNLOGGED | CATALOG_REL_TEMPORARY | CATALOG_REL_SEQUENCE)
#define REL_UNCACHEABLE                                                                  \
	(CATALOG_REL_UNCACHEABLE | CATALOG_REL_FOREIGN | CATALOG_REL_ROW_SECURITY |      \
	 CATALOG_REL_SYSTEM | CATALOG_REL_VOLATILE_VIEW | REL_PRIMARY)

enum { VERDICT_ALL = VERDICT_REPLICA_OK | VERDICT_CACHEABLE };

static const uint32_t VERDICT_PRIMARY_READ = 0;

/* Those that lock, count, notify or set are known, see sql/functions.c. */
static uint32_t code_of(const struct statement_name *f)
{
	return names_is_tableless_function(f) ? 0 : VERDICT_RUNS_CODE;
}

static uint32_t judge_function(const struct statement_name *f, const struct catalog *catalog)
{
	if (names_is_node_local_function(f))
		return VERDICT_PRIMARY_READ;
	switch (names_function_volatility(f, catalog)) {
	case CATALOG_IMMUTABLE:
		return VERDICT_ALL;
	case CATALOG_STABLE:
	case CATALOG_VOLATILE_HARMLESS:
		return VERDICT_REPLICA_OK;
	case CATALOG_VOLATILE:
		return VERDICT_MAY_WRITE | code_of(f);
	case CATALOG_FUNCTION_UNKNOWN:
		break;
	}
	return VERDICT_MAY_WRITE | code_of(f) | (catalog ? (uint32_t)VERDICT_UNKNOWN_NAME : 0);
}

static uint32_t judge_known_relation(uint32_t flags)
{
	if (flags & CATALOG_REL_VOLATILE_VIEW)
		return VERDICT_MAY_WRITE | VERDICT_RUNS_CODE;
	if (flags & REL_PRIMARY)
		return VERDICT_PRIMARY_READ;
	return flags & REL_UNCACHEABLE ? VERDICT_REPLICA_OK : VERDICT_ALL;
}

static uint32_t judge_relation(const struct statement_name *r, const struct catalog *catalog)
{
	const struct catalog_relation *rel = NULL;
	bool several = false;

	if (names_is_node_local_relation(r) || names_is_temporary(r))
		return VERDICT_PRIMARY_READ;
	if (catalog)
		rel = catalog_relation(catalog, r->schema, r->name, &several);
	if (rel)
		return judge_known_relation(rel->flags);
	if (names_is_system_relation(r))
		return VERDICT_REPLICA_OK;
	/* All are tables then; what a replica can't read after all is repeated on the primary. */
	return VERDICT_REPLICA_OK | (catalog ? (uint32_t)VERDICT_UNKNOWN_NAME : 0);
}

static const uint32_t VERDICT_FEARED =
	VERDICT_MAY_WRITE | VERDICT_UNKNOWN_NAME | VERDICT_RUNS_CODE |
	(uint32_t)CATALOG_SESSION_ALL << VERDICT_SESSION_SHIFT;

static uint32_t judge_written(const struct statement_name *r, const struct catalog *catalog)
{
	uint32_t verdict = judge_relation(r, catalog) & VERDICT_UNKNOWN_NAME;
	const struct catalog_relation *rel = NULL;
	bool several = false;

	if (catalog)
		rel = catalog_relation(catalog, r->schema, r->name, &several);
	if (catalog && (!rel || (rel->flags & CATALOG_REL_TRIGGERS)))
		verdict |= VERDICT_RUNS_CODE;
	return verdict;
}

/* AND of what is allowed, OR of what is feared. */
static uint32_t verdict_narrow(uint32_t a, uint32_t b)
{
	return (a & b & VERDICT_ALL) | ((a | b) & VERDICT_FEARED);
}

static uint32_t session_of_function(const struct statement_name *f, const struct catalog *catalog)
{
	uint32_t bits = catalog ? catalog_function_session(catalog, f->schema, f->name) : 0;

	if (strcmp(f->name, "nextval") == 0 || strcmp(f->name, "setval") == 0)
		bits |= CATALOG_SESSION_MOVES;
	return bits;
}

/* One that isn't known may have a sequence. */
static uint32_t session_of_table(const struct statement_name *r, const struct catalog *catalog)
{
	const struct catalog_relation *rel = NULL;
	bool several;

	if (catalog)
		rel = catalog_relation(catalog, r->schema, r->name, &several);
	return rel ? rel->flags >> CATALOG_REL_SESSION_SHIFT : CATALOG_SESSION_MOVES;
}

/* Defaults are evaluated for new rows, and where they are named. */
static bool has_defaults(const struct statement *s)
{
	return s->written_count != 1 || (s->flags & STATEMENT_NAMES_DEFAULT) ||
	       (strcmp(s->tag, "UPDATE") != 0 && strcmp(s->tag, "DELETE") != 0);
}

/* What functions called, and defaults and triggers of tables written, do to the session. */
static uint32_t judge_session(const struct statement *s, const struct catalog *catalog)
{
	uint32_t bits = 0, of_tables = 0;

	for (size_t i = 0; i < s->function_count; i++)
		bits |= session_of_function(&s->functions[i], catalog);
	for (size_t i = 0; i < s->written_count; i++)
		of_tables |= session_of_table(&s->writes[i], catalog);
	if (!has_defaults(s))
		of_tables &= ~(uint32_t)CATALOG_SESSION_MOVES;
	return ((bits | of_tables) & CATALOG_SESSION_ALL) << VERDICT_SESSION_SHIFT;
}

static uint32_t judge_text(const struct statement *s)
{
	if (s->class == STATEMENT_WRITE || (s->flags & FLAGS_PRIMARY))
		return VERDICT_MAY_WRITE;
	/* SHOW transaction_read_only, in_hot_standby: the primary's answer is meant. */
	if (s->flags & STATEMENT_SHOW)
		return VERDICT_PRIMARY_READ;
	if (s->class != STATEMENT_READ || (s->flags & FLAGS_UNCACHEABLE) || s->pins ||
	    s->effect_count > 0 || s->hints.cache == HINT_CACHE_OFF)
		return VERDICT_REPLICA_OK;
	return VERDICT_ALL;
}

uint32_t judge_statement(const struct statement *s, const struct catalog *catalog)
{
	uint32_t verdict = judge_text(s);
	struct judge_tables tables;

	for (size_t i = 0; i < s->function_count; i++)
		verdict = verdict_narrow(verdict, judge_function(&s->functions[i], catalog));
	for (size_t i = 0; i < s->read_count; i++)
		verdict = verdict_narrow(verdict, judge_relation(&s->reads[i], catalog));
	for (size_t i = 0; i < s->written_count; i++)
		verdict |= judge_written(&s->writes[i], catalog);

	verdict |= judge_session(s, catalog);
	judge_reads(s, catalog, &tables);
	if (tables.is_unknown || tables.count == 0)
		verdict &= ~(uint32_t)VERDICT_CACHEABLE;
	judge_writes(s, catalog, &tables);
	if (!tables.is_unknown)
		verdict |= VERDICT_WRITES_KNOWN;
	return verdict;
}
