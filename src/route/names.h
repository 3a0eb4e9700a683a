/* SPDX-License-Identifier: PostgreSQL */
/*
 * What names alone tell: system relations, functions and views that answer
 * about the node they run on, functions that touch no table. Static sorted
 * tables, private to route/. Pure.
 */
#ifndef WEIR_ROUTE_NAMES_H
#define WEIR_ROUTE_NAMES_H

#include <stdbool.h>

#include "sql/statement.h"
#include "tier/catalog.h"

/* pg_catalog, information_schema, or an unqualified pg_*; ask the catalog first. */
bool names_is_system_relation(const struct statement_name *r);
bool names_is_temporary(const struct statement_name *r); /* qualified by pg_temp */
/* The answer differs from node to node. */
bool names_is_node_local_relation(const struct statement_name *r);
bool names_is_node_local_function(const struct statement_name *f);
/* Volatile, but changes no table: sequences, locks, notifications, settings. */
bool names_is_tableless_function(const struct statement_name *f);
/* By the catalog, or without one by the names of the built-in functions. */
enum catalog_volatility names_function_volatility(const struct statement_name *f,
						  const struct catalog *catalog);

#endif
