/* SPDX-License-Identifier: PostgreSQL */
/*
 * Makes catalog snapshots from facts: functions, relations, and edges between
 * them; what follows from the edges (bases, affected tables, flags of views)
 * is computed at the end. Pure memory; one thread.
 */
#ifndef WEIR_TIER_CATALOG_BUILD_H
#define WEIR_TIER_CATALOG_BUILD_H

#include <stdint.h>

#include "tier/catalog.h"

struct catalog_builder;

enum catalog_edge {
	CATALOG_EDGE_READS,   /* view -> relation in its query */
	CATALOG_EDGE_CHILD,   /* parent -> partition or inheritance child */
	CATALOG_EDGE_CHANGES, /* referenced table -> table changed by its ON DELETE/UPDATE actions */
};

struct catalog_builder *catalog_builder_create(void);
void catalog_builder_destroy(struct catalog_builder *b); /* without finishing; NULL is fine */

void catalog_builder_function(struct catalog_builder *b, uint32_t oid, const char *schema,
			      const char *name, enum catalog_volatility volatility);
/* A function of that name does this to the session: CATALOG_SESSION_ bits. */
void catalog_builder_function_session(struct catalog_builder *b, const char *schema,
				      const char *name, uint32_t session);
/* flags: all but those that edges bring (VOLATILE_VIEW, UNCACHEABLE of views). oid 0: none. */
void catalog_builder_relation(struct catalog_builder *b, uint32_t oid, const char *schema,
			      const char *name, uint32_t flags);
/* A write to it does this to the session: CATALOG_SESSION_ bits. */
void catalog_builder_relation_session(struct catalog_builder *b, uint32_t oid, uint32_t session);
void catalog_builder_edge(struct catalog_builder *b, enum catalog_edge kind, uint32_t from,
			  uint32_t to);
/* The view's query calls that function. */
void catalog_builder_view_calls(struct catalog_builder *b, uint32_t view, uint32_t function);
/* Its answer depends on the session or the time without a function: CURRENT_USER ... */
void catalog_builder_view_depends_on_session(struct catalog_builder *b, uint32_t view);

/* Consumes the builder. One reference is the caller's. */
struct catalog *catalog_builder_finish(struct catalog_builder **b);

#endif
