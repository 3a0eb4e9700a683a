/* SPDX-License-Identifier: PostgreSQL */
/*
 * The local store: entries in this process's memory, shared by all workers.
 * Stripes with a short mutex each; every stripe has its own hash chains, least
 * recently used list and byte bound. Entries are immutable and counted: one
 * that is being sent outlives its removal.
 */
#ifndef WEIR_CACHE_LOCAL_H
#define WEIR_CACHE_LOCAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/list.h"
#include "base/slice.h"

struct admission;
struct cache_entry;
struct local;

struct local_stats {
	size_t bytes, entries;
	uint64_t evictions; /* for room; not those that ran out or were void */
};

/* What an entry is valid for. */
struct local_terms {
	struct hash128 key;
	uint64_t identity;       /* of the dependencies: tables_view.identity */
	uint64_t generation_sum; /* of them, from before the query ran */
	uint64_t computed_us;    /* monotonic; 0: not known */
	uint64_t stored_us;      /* its making here: what it holds was committed before */
	uint64_t expires_us;
};

/* Copies both messages; one reference is the caller's. NULL: out of memory. */
struct cache_entry *entry_create(const struct local_terms *terms, struct slice description,
                                 struct slice rows);
struct cache_entry *entry_get(struct cache_entry *e); /* counted; cache_entry_put gives back */
size_t entry_bytes(const struct cache_entry *e);

/* admission: borrowed, outlives the store; NULL: newcomers always win. */
struct local *local_create(size_t max_bytes, const struct admission *admission);
void local_destroy(struct local *l);

struct local_question {
	struct hash128 key;
	uint64_t identity, generation_sum; /* must be the entry's */
	uint64_t now_us;
	uint64_t not_before_us; /* 0: any; else the entry was computed then or later */
};
/* A reference for the caller, or NULL. An entry that can never be valid again is dropped. */
struct cache_entry *local_find(struct local *l, const struct local_question *question);

/* Replaces an entry of the same key. False: too large, or what it would displace is hotter. */
bool local_insert(struct local *l, struct cache_entry *entry); /* takes its own reference */
void local_stats(struct local *l, struct local_stats *out);

#endif
