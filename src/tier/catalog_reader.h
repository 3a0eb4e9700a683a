/* SPDX-License-Identifier: PostgreSQL */
/*
 * Reads the catalog of one database from its primary, again and again: at most
 * every CATALOG_PERIOD_US it asks for a fingerprint and reads all only if that
 * has changed; soon after catalog_reader_stale. Control thread only.
 */
#ifndef WEIR_TIER_CATALOG_READER_H
#define WEIR_TIER_CATALOG_READER_H

#include "tier/catalog.h"
#include "tier/pg_session.h"

struct catalog_reader;

struct catalog_reader_ops {
	/* A new snapshot; take an own reference to keep it. */
	void (*on_catalog)(void *arg, struct catalog_reader *reader, struct catalog *catalog);
};

/* name: for the log. */
struct catalog_reader *catalog_reader_create(const struct pg_session_net *net,
					     const struct catalog_reader_ops *ops, void *arg,
					     const char *name);
void catalog_reader_destroy(struct catalog_reader *r); /* not from inside its callback */
/* The primary now; NULL: none, reading pauses. Not from inside its callback. */
void catalog_reader_target(struct catalog_reader *r, const struct pg_session_target *target);
void catalog_reader_stale(struct catalog_reader *r);

#endif
