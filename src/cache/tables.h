/* SPDX-License-Identifier: PostgreSQL */
/*
 * Generations: one counter per table, per database, per cluster and one for
 * the process. An entry remembers the sum over what it depends on and is valid
 * while the sum is the same; counters only grow, so equal sums mean that
 * nothing changed. Shared by all workers, lock-free, bounded: when the table of
 * counters is full, newcomers share a counter, which only voids too much.
 */
#ifndef WEIR_CACHE_TABLES_H
#define WEIR_CACHE_TABLES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "cache/cache.h"
#include "cache/key.h"

struct tables;
struct tables_slot;

/* The counters that some tables stand on: cluster, database, then each table. */
enum { TABLES_VIEW_MAX = CACHE_TABLES_MAX + 2 };
struct tables_view {
	uint32_t count;
	uint64_t identity; /* hash of what is depended on, not of its generations */
	struct tables_slot *slots[TABLES_VIEW_MAX];
};

struct tables *tables_create(size_t slot_count, uint64_t now_us); /* slot_count: a power of two */
void tables_destroy(struct tables *t);

void tables_resolve(struct tables *t, const struct cache_deps *deps, struct tables_view *view);
struct tables_slot *tables_slot(struct tables *t, enum generation_kind kind, struct slice scope,
                                uint32_t oid);
struct slice tables_cluster_of(struct slice scope); /* "cluster/dbname": up to the first slash */

/* Any thread. */
uint64_t tables_sum(const struct tables *t, const struct tables_view *view);
/* Newest change of any of them; not before the process's start or a gap in what it hears. */
uint64_t tables_last_change_us(const struct tables *t, const struct tables_view *view);

/* now_us: read from the clock after the change, not the turn's. */
void tables_change(struct tables_slot *slot, uint64_t now_us);
void tables_change_all(struct tables *t, uint64_t now_us); /* every entry of the process is void */

/*
 * Shared tokens (hashes of them): what a message told last and what Redis showed last are kept
 * apart, so that Redis is caught showing less than was told (a lost or refused change).
 */
enum tables_token {
	TOKEN_KNOWN,  /* what was told or shown last */
	TOKEN_FIRST,  /* nothing was known of it */
	TOKEN_NEWS,   /* not told, not shown before: changed by somebody whose message isn't read yet */
	TOKEN_BEHIND, /* shown before the last one was told, and still there */
};
/* Redis shows it. FIRST and NEWS: the slot's generation has been bumped. */
enum tables_token tables_token_shown(struct tables_slot *slot, uint64_t token, uint64_t now_us);
/* A message told it. True if it is another one: the generation has been bumped. */
bool tables_token_told(struct tables_slot *slot, uint64_t token, uint64_t now_us);
/* A change of this process gave it; the generation is bumped by the caller. */
void tables_token_set(struct tables_slot *slot, uint64_t token, uint64_t now_us);
uint64_t tables_told_us(const struct tables_slot *slot); /* when told or set last; 0: never */

/* Changes of this process that Redis doesn't know of yet. */
void tables_pending_add(struct tables_slot *slot);
void tables_pending_remove(struct tables_slot *slot);
bool tables_is_pending(const struct tables_view *view);

#endif
