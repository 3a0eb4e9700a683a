/* SPDX-License-Identifier: PostgreSQL */
/*
 * Sums of per-worker counters.
 */
#include "metrics/db_stats.h"

void db_stats_sum(struct db_stats *into, const struct db_stats *from)
{
#define STAT(field, help) stat_add(&into->field, stat_read(&from->field));
#include "metrics/db_stats.def"
#undef STAT
}
