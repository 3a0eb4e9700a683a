/* SPDX-License-Identifier: PostgreSQL */
/*
 * Averages per database over the last whole stats_period, from two samples of
 * the totals. Control thread only; time is given.
 */
#ifndef WEIR_ADMIN_WINDOW_H
#define WEIR_ADMIN_WINDOW_H

#include <stdint.h>

#include "metrics/metrics.h"

struct window_sample {
	struct db_sum *rows; /* owned; sorted by name */
	size_t count;
	uint64_t at_us;
};

struct window {
	struct window_sample older, newer;
};

void window_init(struct window *w, uint64_t now_us);
void window_fini(struct window *w);
/* Takes a sample if the period is over; true: it did. */
bool window_tick(struct window *w, const struct metrics *m, uint64_t now_us, uint64_t period_us);
/*
 * Averages by PgBouncer's rules: counts and bytes per second; times per transaction,
 * query, or assignment. All 0 until a period is over.
 */
void window_averages(const struct window *w, const char *database, uint64_t out[DB_STAT_COUNT]);
/* The same over all databases. */
void window_total_averages(const struct window *w, uint64_t out[DB_STAT_COUNT]);
/* Pure: the averages between two totals. */
void window_average(const uint64_t older[DB_STAT_COUNT], const uint64_t newer[DB_STAT_COUNT],
                    uint64_t period_us, uint64_t out[DB_STAT_COUNT]);

#endif
