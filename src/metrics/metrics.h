/* SPDX-License-Identifier: PostgreSQL */
/*
 * Counters. Every thread has a block that only it writes, with relaxed loads
 * and stores and no locked instruction; readers (console, /metrics) sum all
 * blocks at any time. Blocks and database rows live as long as the process.
 */
#ifndef WEIR_METRICS_METRICS_H
#define WEIR_METRICS_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/slice.h"
#include "metrics/close_reasons.h"
#include "metrics/db_stats.h"
#include "metrics/histogram.h"

enum metric_id {
#define METRIC(id, kind, name, labels, help) METRIC_##id,
#include "metrics/metrics.def"
	METRIC_COUNT
};

enum histogram_id {
#define HISTOGRAM(id, name, help) HISTOGRAM_##id,
#include "metrics/metrics.def"
	HISTOGRAM_COUNT
};

enum db_stat { /* index of db_sum.values */
#define STAT(field, help) DB_STAT_##field,
#include "metrics/db_stats.def"
#undef STAT
	           DB_STAT_COUNT,
	           DB_STAT_PGBOUNCER_COUNT = DB_STAT_client_login_count + 1,
};

struct db_row {          /* one database in one block */
	const char *name;    /* owned; the name that clients ask for */
	struct db_row *next; /* owned; set before it is published */
	struct db_stats stats;
};

struct metrics_block {
	_Atomic uint64_t values[METRIC_COUNT];
	_Atomic uint64_t closes[CLOSE_REASON_COUNT];
	struct histogram histograms[HISTOGRAM_COUNT];
	struct db_row *_Atomic databases; /* owned; grows at the front only */
} __attribute__((aligned(64)));

struct metrics;

/* One block per worker and one more, the last, for the control thread. */
struct metrics *metrics_create(unsigned workers);
void metrics_destroy(struct metrics *m); /* after all threads */
struct metrics_block *metrics_block(struct metrics *m, unsigned index);

/* The block's own thread only. */
static inline void metrics_add(struct metrics_block *b, enum metric_id id, uint64_t n)
{
	stat_add(&b->values[id], n);
}

static inline void metrics_set(struct metrics_block *b, enum metric_id id, uint64_t value)
{
	atomic_store_explicit(&b->values[id], value, memory_order_relaxed);
}

static inline void metrics_closed(struct metrics_block *b, enum close_reason why)
{
	stat_add(&b->closes[why], 1);
}

static inline void metrics_observe(struct metrics_block *b, enum histogram_id id, uint64_t us)
{
	histogram_observe(&b->histograms[id], us);
}

/* The block's counters of a database, made at the first call; keep the pointer, it walks a list.
   Beyond a thousand names new ones share the row "*": they may be a stranger's to choose. */
struct db_stats *metrics_database(struct metrics_block *b, struct slice name);

/* Any thread. */
struct metrics_sum {
	uint64_t values[METRIC_COUNT];
	uint64_t closes[CLOSE_REASON_COUNT];
	struct histogram_sum histograms[HISTOGRAM_COUNT];
};

struct db_sum {
	const char *name; /* lives as long as the metrics */
	uint64_t values[DB_STAT_COUNT];
};

void metrics_sum(const struct metrics *m, struct metrics_sum *out);
size_t metrics_database_room(const struct metrics *m); /* at least as many rows as there are */
/* Fills at most max rows, sorted by name; returns how many it filled. */
size_t metrics_databases(const struct metrics *m, struct db_sum *out, size_t max);
const char *db_stat_name(enum db_stat id);
const char *db_stat_help(enum db_stat id);

#endif
