/* SPDX-License-Identifier: PostgreSQL */
/*
 * SHOW CACHE, MEM and EXPLAIN ROUTE.
 */
#include <stdio.h>

#include "admin/command.h"
#include "admin/result.h"

static void number_row(struct result *r, const char *name, uint64_t value)
{
	result_text(r, name);
	result_number(r, value);
	result_row(r);
}

/* Per master: links of workers that are up, of how many, and whether its messages arrive. */
static void node_rows(struct result *r, const struct cache_stats *c)
{
	char name[128];

	for (unsigned i = 0; i < c->node_count && i < CACHE_NODES_SHOWN; i++) {
		const struct cache_node_stats *n = &c->nodes[i];

		snprintf(name, sizeof(name), "redis_links_up %s", n->name);
		number_row(r, name, n->links_up);
		snprintf(name, sizeof(name), "redis_links %s", n->name);
		number_row(r, name, n->links_open);
		snprintf(name, sizeof(name), "redis_heard %s", n->name);
		number_row(r, name, n->is_heard);
	}
}

void show_cache(struct show *s)
{
	static const struct build_column columns[] = { COLUMN_TEXT("name"), COLUMN_BIG("value") };
	struct cache_stats c = { 0 };
	struct result r;

	if (s->source->cache)
		s->source->cache(s->source->ctx, &c);
	RESULT_BEGIN(&r, s->out, columns);
	number_row(&r, "hits_local", c.hits_local);
	number_row(&r, "hits_redis", c.hits_redis);
	number_row(&r, "misses", c.misses);
	number_row(&r, "stores", c.stores);
	number_row(&r, "refused", c.refused);
	number_row(&r, "evictions", c.evictions);
	number_row(&r, "invalidations", c.invalidations);
	number_row(&r, "entries", c.entries);
	number_row(&r, "bytes", c.bytes);
	number_row(&r, "bytes_max", s->cfg->global.cache_bytes);
	number_row(&r, "redis_configured", s->cfg->redis.seed_count > 0);
	number_row(&r, "redis_connected", c.redis_connected);
	number_row(&r, "redis_errors", c.redis_errors);
	number_row(&r, "redis_timeouts", c.redis_timeouts);
	number_row(&r, "breaker_open", c.breaker_open);
	number_row(&r, "breaker_opens", c.breaker_opens);
	number_row(&r, "redis_redirections", c.redirections);
	number_row(&r, "redis_refreshes", c.refreshes);
	number_row(&r, "redis_map_changes", c.map_changes);
	number_row(&r, "redis_masters", c.node_count);
	node_rows(&r, &c);
	result_end(&r, "SHOW");
}

void show_mem(struct show *s)
{
	static const struct build_column columns[] = { COLUMN_TEXT("name"),    COLUMN_INT("size"),
		                                           COLUMN_INT("used"),     COLUMN_INT("free"),
		                                           COLUMN_BIG("memtotal"), COLUMN_INT("worker") };
	struct result r;

	RESULT_BEGIN(&r, s->out, columns);
	for (const struct admin_part *p = s->parts; p; p = p->next) {
		for (size_t i = 0; i < p->memory_count; i++) {
			const struct admin_memory *m = &p->memory[i];

			result_text(&r, m->name);
			result_number(&r, m->size);
			result_number(&r, m->used);
			result_number(&r, m->free);
			result_number(&r, m->total);
			result_number(&r, p->worker);
			result_row(&r);
		}
	}
	result_end(&r, "SHOW");
}

/* [FOR database] statement; without FOR the only database, or the one named postgres. */
static bool route_database(struct show *s, struct slice *sql, char *name, size_t size)
{
	struct slice rest = s->argument;
	size_t end = 4;

	*sql = rest;
	if (rest.len > 4 && slice_is_nocase(slice_of(rest.ptr, 4), "FOR ")) {
		while (end < rest.len && rest.ptr[end] != ' ' && rest.ptr[end] != '\n')
			end++;
		*sql = command_trim_blanks(slice_of(rest.ptr + end, rest.len - end));
		return command_word(slice_of(rest.ptr + 4, end - 4), name, size);
	}
	if (s->cfg->database_count == 0)
		return false;
	snprintf(name, size, "%s",
	         s->cfg->databases[0].is_fallback ? "postgres" : s->cfg->databases[0].name);
	return true;
}

static void text_row(struct result *r, const char *key, const char *value)
{
	if (!value[0])
		return;
	result_text(r, key);
	result_text(r, value);
	result_row(r);
}

void explain_route(struct show *s)
{
	static const struct build_column columns[] = { COLUMN_TEXT("key"), COLUMN_TEXT("value") };
	struct admin_route route = { 0 };
	struct pg_error err = { 0 };
	struct slice sql;
	struct result r;
	char name[256];

	if (!route_database(s, &sql, name, sizeof(name)) ||
	    !config_database_find(s->cfg, slice_str(name))) {
		command_fail(s, "3D000", "EXPLAIN ROUTE [FOR database] statement: no such database");
		return;
	}
	if (!s->source->explain) {
		command_fail(s, "0A000", "EXPLAIN ROUTE isn't available");
		return;
	}
	if (!s->source->explain(s->source->ctx, name, sql, &route, &err)) {
		build_error(s->out, "ERROR", &err);
		return;
	}
	RESULT_BEGIN(&r, s->out, columns);
	text_row(&r, "database", name);
	text_row(&r, "class", route.class);
	text_row(&r, "target", route.target);
	text_row(&r, "reason", route.reason);
	text_row(&r, "tables", route.tables);
	text_row(&r, "pins", route.pins);
	text_row(&r, "cache", route.cache);
	result_end(&r, "EXPLAIN");
}
