/* SPDX-License-Identifier: PostgreSQL */
/*
 * Reading of histograms: bounds, sums over workers, quantiles. Pure.
 */
#include "metrics/histogram.h"

#include "base/assert.h"

uint64_t histogram_bound_us(unsigned bucket)
{
	unsigned e = 4 + (bucket - 1) / 2;

	WEIR_ASSERT(bucket < HISTOGRAM_BUCKETS);
	if (bucket == 0)
		return 16;
	if (bucket == HISTOGRAM_BUCKETS - 1)
		return UINT64_MAX;
	return (bucket & 1) ? 3ULL << (e - 1) : 2ULL << e;
}

void histogram_add_to(const struct histogram *h, struct histogram_sum *sum)
{
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t n = atomic_load_explicit(&h->buckets[i], memory_order_relaxed);

		sum->buckets[i] += n;
		sum->count += n;
	}
	sum->sum_us += atomic_load_explicit(&h->sum_us, memory_order_relaxed);
}

uint64_t histogram_quantile_us(const struct histogram_sum *sum, double q)
{
	double wanted = q * (double)sum->count;
	uint64_t seen = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += sum->buckets[i];
		if (seen > 0 && (double)seen >= wanted)
			return histogram_bound_us(i);
	}
	return 0;
}
