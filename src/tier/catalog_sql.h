/* SPDX-License-Identifier: PostgreSQL */
/*
 * The queries that a catalog is made of, and how their rows enter a builder.
 * Private to the catalog reader.
 */
#ifndef WEIR_TIER_CATALOG_SQL_H
#define WEIR_TIER_CATALOG_SQL_H

#include <stddef.h>

#include "tier/catalog_build.h"
#include "tier/pg_session.h"

struct catalog_query {
	const char *what; /* for the log */
	const char *sql;
	void (*take)(struct catalog_builder *b, const struct pg_rows *rows);
};

extern const char catalog_fingerprint_sql[]; /* one row, one text */
extern const struct catalog_query catalog_queries[];
extern const size_t catalog_query_count;

#endif
