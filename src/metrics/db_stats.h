/* SPDX-License-Identifier: PostgreSQL */
/*
 * Counters of one database on one worker: written by that worker alone, read
 * by any thread, so plain loads and stores with relaxed order suffice.
 */
#ifndef WEIR_METRICS_DB_STATS_H
#define WEIR_METRICS_DB_STATS_H

#include <stdatomic.h>
#include <stdint.h>

struct db_stats {
#define STAT(field, help) _Atomic uint64_t field;
#include "metrics/db_stats.def"
#undef STAT
};

static inline void stat_add(_Atomic uint64_t *counter, uint64_t n)
{
	uint64_t v = atomic_load_explicit(counter, memory_order_relaxed);

	atomic_store_explicit(counter, v + n, memory_order_relaxed);
}

static inline uint64_t stat_read(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

#endif
