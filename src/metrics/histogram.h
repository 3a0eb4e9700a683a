/* SPDX-License-Identifier: PostgreSQL */
/*
 * A histogram of durations: fixed buckets, two per power of two, from 16 us to
 * 67 s. One thread observes (plain load and store, no locked instruction), any
 * thread reads.
 */
#ifndef WEIR_METRICS_HISTOGRAM_H
#define WEIR_METRICS_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#include "metrics/db_stats.h"

enum { HISTOGRAM_BUCKETS = 46 }; /* the last one has no upper bound */

struct histogram {
	_Atomic uint64_t buckets[HISTOGRAM_BUCKETS];
	_Atomic uint64_t sum_us;
};

struct histogram_sum { /* plain: over all workers */
	uint64_t buckets[HISTOGRAM_BUCKETS];
	uint64_t sum_us;
	uint64_t count;
};

/* Bucket whose upper bound is the first at or above us. */
static inline unsigned histogram_bucket(uint64_t us)
{
	unsigned e, index;

	if (us <= 16)
		return 0;
	us--;
	e = 63u - (unsigned)__builtin_clzll(us);
	index = 1 + (e - 4) * 2 + (unsigned)((us >> (e - 1)) & 1);
	return index < HISTOGRAM_BUCKETS ? index : HISTOGRAM_BUCKETS - 1;
}

static inline void histogram_observe(struct histogram *h, uint64_t us)
{
	stat_add(&h->buckets[histogram_bucket(us)], 1);
	stat_add(&h->sum_us, us);
}

/* Inclusive upper bound in microseconds; UINT64_MAX for the last bucket. */
uint64_t histogram_bound_us(unsigned bucket);
void histogram_add_to(const struct histogram *h, struct histogram_sum *sum);
/* Upper bound of the bucket that holds the quantile (0 < q <= 1); 0 when empty. */
uint64_t histogram_quantile_us(const struct histogram_sum *sum, double q);

#endif
