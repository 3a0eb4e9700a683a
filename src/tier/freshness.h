/* SPDX-License-Identifier: PostgreSQL */
/*
 * Freshness: a short history of (T, L) samples of the primary, T the monotonic
 * time before its insert LSN L was asked for. Every commit acknowledged before
 * T lies below L, so a replica that has replayed to L shows all of them. Pure.
 *
 * Page boundaries: on an idle primary the insert LSN may already stand behind
 * the header of a page without a record on it (24 bytes, 40 at the start of a
 * segment) while the last record ends at the boundary. No record can begin and
 * end within those 40 bytes, so such an L means the boundary.
 */
#ifndef WEIR_TIER_FRESHNESS_H
#define WEIR_TIER_FRESHNESS_H

#include <stdint.h>

enum { FRESHNESS_SAMPLES_MAX = 64 };

struct freshness_sample {
	uint64_t time_us;
	uint64_t lsn;
};

struct freshness { /* zero-initialise */
	uint32_t timeline; /* of all samples; 0: none */
	unsigned count;
	struct freshness_sample samples[FRESHNESS_SAMPLES_MAX]; /* oldest first, both fields rising */
};

void freshness_reset(struct freshness *f);
/* A sample of the primary. Another timeline than before drops all others. */
void freshness_add(struct freshness *f, uint32_t timeline, uint64_t time_us, uint64_t lsn);
/* The largest T whose L a replica at replay_lsn has; 0: not known. */
uint64_t freshness_as_of(const struct freshness *f, uint32_t timeline, uint64_t replay_lsn);
/* Bytes behind the newest sample. */
uint64_t freshness_lag(const struct freshness *f, uint64_t replay_lsn);

#endif
