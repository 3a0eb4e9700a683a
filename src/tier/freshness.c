/* SPDX-License-Identifier: PostgreSQL */
/*
 * The history of the primary's positions, see freshness.h. Bounded: when it is
 * full every second one of the older samples goes, so that it reaches far back
 * (a replica may lag by minutes) while the newest stay dense.
 */
#include "tier/freshness.h"

#include <string.h>

#include "base/assert.h"

enum {
	WAL_PAGE_BYTES = 8192,
	WAL_HEADER_MAX = 40, /* the long header at the start of a segment */
	DENSE = FRESHNESS_SAMPLES_MAX / 4,
};

static uint64_t lsn_without_header(uint64_t lsn)
{
	uint64_t inside = lsn % WAL_PAGE_BYTES;

	return inside <= WAL_HEADER_MAX ? lsn - inside : lsn;
}

void freshness_reset(struct freshness *f)
{
	f->timeline = 0;
	f->count = 0;
}

static void thin_out(struct freshness *f)
{
	unsigned old = f->count - DENSE;
	unsigned kept = 0;

	for (unsigned i = 0; i < old; i += 2)
		f->samples[kept++] = f->samples[i];
	memmove(&f->samples[kept], &f->samples[old], DENSE * sizeof f->samples[0]);
	f->count = kept + DENSE;
}

void freshness_add(struct freshness *f, uint32_t timeline, uint64_t time_us, uint64_t lsn)
{
	struct freshness_sample *last = f->count ? &f->samples[f->count - 1] : NULL;

	lsn = lsn_without_header(lsn);
	/* A position that goes back is another server's: nothing known before holds. */
	if (timeline != f->timeline || (last && lsn < last->lsn)) {
		freshness_reset(f);
		last = NULL;
	}
	f->timeline = timeline;
	if (last && time_us <= last->time_us)
		return;
	if (last && lsn == last->lsn) {
		last->time_us = time_us; /* the later T holds for the same L */
		return;
	}
	if (f->count == FRESHNESS_SAMPLES_MAX)
		thin_out(f);
	f->samples[f->count++] = (struct freshness_sample){ time_us, lsn };
}

uint64_t freshness_as_of(const struct freshness *f, uint32_t timeline, uint64_t replay_lsn)
{
	if (timeline == 0 || timeline != f->timeline)
		return 0;
	for (unsigned i = f->count; i > 0; i--)
		if (f->samples[i - 1].lsn <= replay_lsn)
			return f->samples[i - 1].time_us;
	return 0;
}

uint64_t freshness_lag(const struct freshness *f, uint64_t replay_lsn)
{
	uint64_t newest = f->count ? f->samples[f->count - 1].lsn : 0;

	return newest > replay_lsn ? newest - replay_lsn : 0;
}
