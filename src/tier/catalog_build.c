/* SPDX-License-Identifier: PostgreSQL */
/*
 * Builds catalog snapshots, see catalog_build.h. Facts are collected in plain
 * arrays; finishing sorts them by oid, walks the edges from every relation and
 * writes what it reached into the snapshot. Walks are bounded by marks, so
 * cycles (foreign keys) end.
 */
#include "tier/catalog_build.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tier/catalog_priv.h"

struct fact_relation {
	uint32_t oid;
	uint32_t mark;  /* of the last walk that came by */
	struct catalog_relation_entry *entry;
};

struct fact_function {
	uint32_t oid;
	enum catalog_volatility volatility;
};

struct fact_session {
	uint32_t oid;
	uint32_t session;
};

struct fact_edge {
	uint32_t from;
	uint32_t to;
};

struct facts { /* growing array of one kind */
	void *items; /* owned */
	size_t count;
	size_t cap;
	size_t item_size;
};

enum { EDGE_PARENT = CATALOG_EDGE_CHANGES + 1, EDGE_CALLS, EDGE_KINDS };

struct catalog_builder {
	struct catalog *catalog; /* owned until finished */
	struct facts relations;
	struct facts functions;
	struct facts sessions;   /* of relations */
	struct facts edges[EDGE_KINDS];
	struct facts reached;    /* oids of the present walk */
	uint32_t walk;
};

static void *facts_add(struct facts *f, const void *item)
{
	char *at;

	if (f->count == f->cap) {
		f->cap = f->cap ? f->cap * 2 : 64;
		f->items = mem_realloc(f->items, f->cap * f->item_size);
	}
	at = (char *)f->items + f->count++ * f->item_size;
	memcpy(at, item, f->item_size);
	return at;
}

/* Every kind of fact begins with the oid that it is found by. */
static int compare_oid(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void facts_sort(struct facts *f)
{
	if (f->count > 1)
		qsort(f->items, f->count, f->item_size, compare_oid);
}

/* The first fact of that oid, or NULL. */
static void *facts_find(const struct facts *f, uint32_t oid)
{
	size_t low = 0, high = f->count;
	char *found;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const char *at = (const char *)f->items + mid * f->item_size;

		if (*(const uint32_t *)(const void *)at < oid)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == f->count)
		return NULL;
	found = (char *)f->items + low * f->item_size;
	return *(const uint32_t *)(const void *)found == oid ? found : NULL;
}

/* The edge after e with the same origin, or NULL. */
static const struct fact_edge *next_edge(const struct facts *edges, const struct fact_edge *e)
{
	const struct fact_edge *all = edges->items;
	size_t at = (size_t)(e - all) + 1;

	return at < edges->count && all[at].from == e->from ? &all[at] : NULL;
}

struct catalog_builder *catalog_builder_create(void)
{
	struct catalog_builder *b = mem_zalloc(sizeof *b);

	b->catalog = catalog_create();
	b->relations.item_size = sizeof(struct fact_relation);
	b->functions.item_size = sizeof(struct fact_function);
	b->sessions.item_size = sizeof(struct fact_session);
	b->reached.item_size = sizeof(uint32_t);
	for (int i = 0; i < EDGE_KINDS; i++)
		b->edges[i].item_size = sizeof(struct fact_edge);
	return b;
}

void catalog_builder_destroy(struct catalog_builder *b)
{
	if (b == NULL)
		return;
	catalog_put(&b->catalog);
	mem_free(b->relations.items);
	mem_free(b->functions.items);
	mem_free(b->sessions.items);
	mem_free(b->reached.items);
	for (int i = 0; i < EDGE_KINDS; i++)
		mem_free(b->edges[i].items);
	mem_free(b);
}

static void note_function(struct catalog *c, const char *schema, const char *name,
			  enum catalog_volatility volatility)
{
	struct catalog_function_entry *f = catalog_find_function(c, schema, name);

	if (f == NULL) {
		f = arena_zalloc(&c->arena, sizeof *f);
		f->key.schema = schema ? arena_strdup(&c->arena, slice_str(schema)) : NULL;
		f->key.name = arena_strdup(&c->arena, slice_str(name));
		map_insert(&c->functions, &f->node, catalog_name_hash(schema, name));
	}
	if (volatility > f->volatility)
		f->volatility = volatility;
}

void catalog_builder_function(struct catalog_builder *b, uint32_t oid, const char *schema,
			      const char *name, enum catalog_volatility volatility)
{
	const struct fact_function fact = { oid, volatility };

	facts_add(&b->functions, &fact);
	note_function(b->catalog, schema, name, volatility);
	note_function(b->catalog, NULL, name, volatility);
}

void catalog_builder_function_session(struct catalog_builder *b, const char *schema,
				      const char *name, uint32_t session)
{
	struct catalog_function_entry *f = catalog_find_function(b->catalog, schema, name);
	struct catalog_function_entry *any = catalog_find_function(b->catalog, NULL, name);

	if (f && any) {
		f->session |= session;
		any->session |= session;
	}
}

static struct catalog_relation_entry *note_relation(struct catalog *c, const char *schema,
						    const char *name)
{
	struct catalog_relation_entry *r = catalog_find_relation(c, schema, name);

	if (r)
		return r;
	r = arena_zalloc(&c->arena, sizeof *r);
	r->key.schema = schema ? arena_strdup(&c->arena, slice_str(schema)) : NULL;
	r->key.name = arena_strdup(&c->arena, slice_str(name));
	r->relation.schema = r->key.schema;
	r->relation.name = r->key.name;
	map_insert(&c->relations, &r->node, catalog_name_hash(schema, name));
	return r;
}

void catalog_builder_relation(struct catalog_builder *b, uint32_t oid, const char *schema,
			      const char *name, uint32_t flags)
{
	struct catalog_relation_entry *r, *any;
	struct fact_relation fact = { .oid = oid };

	if (oid == 0) /* PostgreSQL has none such; here it stands for not being known */
		return;
	r = fact.entry = note_relation(b->catalog, schema, name);
	any = note_relation(b->catalog, NULL, name);
	/* The same name twice: a catalog in change; the next reading is right. */
	if (r->relation.oid != 0)
		return;
	r->relation.oid = oid;
	r->relation.flags = flags;
	r->next = any->next;
	any->next = r;
	any->count++;
	facts_add(&b->relations, &fact);
}

void catalog_builder_relation_session(struct catalog_builder *b, uint32_t oid, uint32_t session)
{
	const struct fact_session fact = { oid, session };

	facts_add(&b->sessions, &fact);
}

void catalog_builder_edge(struct catalog_builder *b, enum catalog_edge kind, uint32_t from,
			  uint32_t to)
{
	const struct fact_edge edge = { from, to };
	const struct fact_edge back = { to, from };

	WEIR_ASSERT(kind <= CATALOG_EDGE_CHANGES);
	facts_add(&b->edges[kind], &edge);
	if (kind == CATALOG_EDGE_CHILD)
		facts_add(&b->edges[EDGE_PARENT], &back);
}

void catalog_builder_view_calls(struct catalog_builder *b, uint32_t view, uint32_t function)
{
	const struct fact_edge edge = { view, function };

	facts_add(&b->edges[EDGE_CALLS], &edge);
}

void catalog_builder_view_depends_on_session(struct catalog_builder *b, uint32_t view)
{
	struct fact_relation *facts = b->relations.items;

	for (size_t i = 0; i < b->relations.count; i++)
		if (facts[i].oid == view)
			facts[i].entry->relation.flags |= CATALOG_REL_UNCACHEABLE;
}

/* ---- finishing ---- */

static void walk_start(struct catalog_builder *b)
{
	b->walk++;
	b->reached.count = 0;
}

/* Notes an oid as reached, once per walk; unknown ones too, once or more. */
static void walk_reach(struct catalog_builder *b, uint32_t oid)
{
	struct fact_relation *r = facts_find(&b->relations, oid);

	if (r && r->mark == b->walk)
		return;
	if (r)
		r->mark = b->walk;
	if (r || b->reached.count == 0)
		facts_add(&b->reached, &oid);
}

/* Everything that edges of these kinds (bit set) lead to from what is reached. */
static void walk_follow(struct catalog_builder *b, unsigned kinds)
{
	for (size_t i = 0; i < b->reached.count; i++) {
		uint32_t from = ((uint32_t *)b->reached.items)[i];

		for (unsigned kind = 0; kind < EDGE_KINDS; kind++) {
			const struct facts *edges = &b->edges[kind];
			const struct fact_edge *e = kinds & (1u << kind) ? facts_find(edges, from) : NULL;

			for (; e; e = next_edge(edges, e))
				walk_reach(b, e->to);
		}
	}
}

static struct catalog_relation *reached_relation(struct catalog_builder *b, size_t i)
{
	uint32_t oid = ((uint32_t *)b->reached.items)[i];
	struct fact_relation *r = facts_find(&b->relations, oid);

	return r ? &r->entry->relation : NULL;
}

static const uint32_t *copy_reached(struct catalog_builder *b, bool with_views, uint32_t *count)
{
	uint32_t *oids = arena_alloc(&b->catalog->arena, b->reached.count * sizeof *oids);

	*count = 0;
	for (size_t i = 0; i < b->reached.count; i++) {
		const struct catalog_relation *r = reached_relation(b, i);

		if (r && (with_views || !(r->flags & CATALOG_REL_VIEW)))
			oids[(*count)++] = r->oid;
	}
	qsort(oids, *count, sizeof *oids, compare_oid);
	return oids;
}

/* What a view inherits from a relation that it reads. */
static uint32_t flags_through(uint32_t flags)
{
	uint32_t through = flags & (CATALOG_REL_UNLOGGED | CATALOG_REL_SEQUENCE |
				    CATALOG_REL_UNCACHEABLE | CATALOG_REL_VOLATILE_VIEW);

	if (flags & (CATALOG_REL_FOREIGN | CATALOG_REL_ROW_SECURITY | CATALOG_REL_SYSTEM |
		     CATALOG_REL_UNLOGGED | CATALOG_REL_SEQUENCE))
		through |= CATALOG_REL_UNCACHEABLE;
	return through;
}

/* Views that show what the node does: whoever reads through them means the primary. */
static bool is_node_local(const struct catalog_relation *r)
{
	if (!(r->flags & CATALOG_REL_SYSTEM) || !(r->flags & CATALOG_REL_VIEW))
		return false;
	return strncmp(r->name, "pg_stat_", 8) == 0 || strncmp(r->name, "pg_statio_", 10) == 0 ||
	       strcmp(r->name, "pg_locks") == 0 || strcmp(r->name, "pg_settings") == 0;
}

static uint32_t flags_of_calls(struct catalog_builder *b, uint32_t view)
{
	const struct facts *calls = &b->edges[EDGE_CALLS];
	const struct fact_edge *e = facts_find(calls, view);
	uint32_t flags = 0;

	for (; e; e = next_edge(calls, e)) {
		const struct fact_function *f = facts_find(&b->functions, e->to);
		enum catalog_volatility v = f ? f->volatility : CATALOG_FUNCTION_UNKNOWN;

		if (v >= CATALOG_VOLATILE)
			flags |= CATALOG_REL_VOLATILE_VIEW;
		if (v > CATALOG_IMMUTABLE)
			flags |= CATALOG_REL_UNCACHEABLE;
	}
	return flags;
}

/* Flags by reading; must not depend on flags that this very pass has set on others. */
static uint32_t flags_by_reading(struct catalog_builder *b, struct catalog_relation *r)
{
	uint32_t flags = r->flags & CATALOG_REL_SYSTEM ? 0 : flags_of_calls(b, r->oid);

	for (size_t i = 1; i < b->reached.count; i++) {
		const struct catalog_relation *to = reached_relation(b, i);

		flags |= flags_through(to->flags);
		if (!(to->flags & CATALOG_REL_SYSTEM))
			flags |= flags_of_calls(b, to->oid);
		if (is_node_local(to) && !(r->flags & CATALOG_REL_SYSTEM))
			flags |= CATALOG_REL_VOLATILE_VIEW;
	}
	return flags;
}

static void finish_reads(struct catalog_builder *b, struct catalog_relation *r)
{
	/* Through views to tables for the bases; partitions and children for the flags only. */
	walk_start(b);
	walk_reach(b, r->oid);
	walk_follow(b, 1u << CATALOG_EDGE_READS);
	r->bases = copy_reached(b, false, &r->base_count);
	walk_follow(b, 1u << CATALOG_EDGE_READS | 1u << CATALOG_EDGE_CHILD);
	r->flags |= flags_by_reading(b, r);
}

/* What a write to a relation that it reaches brings with it. */
static const uint32_t FLAGS_OF_WRITES =
	CATALOG_REL_TRIGGERS | (uint32_t)CATALOG_SESSION_ALL << CATALOG_REL_SESSION_SHIFT;

static void finish_writes(struct catalog_builder *b, struct catalog_relation *r)
{
	/* A writable view passes on to its tables; a trigger anywhere makes the rest unknown. */
	walk_start(b);
	walk_reach(b, r->oid);
	walk_follow(b, 1u << CATALOG_EDGE_READS | 1u << CATALOG_EDGE_CHILD |
			       1u << CATALOG_EDGE_CHANGES);
	for (size_t i = 1; i < b->reached.count; i++)
		r->flags |= reached_relation(b, i)->flags & FLAGS_OF_WRITES;
	walk_follow(b, 1u << EDGE_PARENT);
	r->affected = copy_reached(b, false, &r->affected_count);
}

/* The entry of a name without schema: union of the flags; bases only by catalog_relation_nth. */
static void finish_names(struct catalog_builder *b)
{
	const struct fact_relation *facts = b->relations.items;

	for (size_t i = 0; i < b->relations.count; i++) {
		const struct catalog_relation *r = &facts[i].entry->relation;
		struct catalog_relation_entry *any = catalog_find_relation(b->catalog, NULL, r->name);

		any->relation.flags |= r->flags;
	}
}

static void finish_sessions(struct catalog_builder *b)
{
	const struct fact_session *facts = b->sessions.items;

	for (size_t i = 0; i < b->sessions.count; i++) {
		struct fact_relation *r = facts_find(&b->relations, facts[i].oid);

		if (r)
			r->entry->relation.flags |= facts[i].session << CATALOG_REL_SESSION_SHIFT;
	}
}

struct catalog *catalog_builder_finish(struct catalog_builder **b)
{
	struct catalog_builder *builder = *b;
	struct fact_relation *facts = builder->relations.items;
	struct catalog *catalog = builder->catalog;

	*b = NULL;
	facts_sort(&builder->relations);
	facts_sort(&builder->functions);
	for (int i = 0; i < EDGE_KINDS; i++)
		facts_sort(&builder->edges[i]);
	finish_sessions(builder);
	for (size_t i = 0; i < builder->relations.count; i++)
		finish_reads(builder, &facts[i].entry->relation);
	for (size_t i = 0; i < builder->relations.count; i++)
		finish_writes(builder, &facts[i].entry->relation);
	finish_names(builder);
	builder->catalog = NULL;
	catalog_builder_destroy(builder);
	return catalog;
}
