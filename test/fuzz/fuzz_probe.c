/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a node says of itself when it is probed: three texts, ended by NUL. Taken is
 * only what PostgreSQL writes, with nothing behind it.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/slice.h"
#include "tier/probe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The next text; NULL, as for an SQL null, when there is none. */
static char *text_next(struct slice *rest)
{
	const char *end = rest->len ? memchr(rest->ptr, '\0', rest->len) : NULL;
	size_t len = end ? (size_t)(end - rest->ptr) : rest->len;
	char *text = rest->len ? mem_slicedup(slice_of(rest->ptr, len)) : NULL;

	*rest = end ? slice_of(end + 1, rest->len - len - 1) : slice_of(rest->ptr, 0);
	return text;
}

static void check_again(const struct probe_sample *first, const char *in_recovery)
{
	struct probe_sample again;
	char lsn[32], timeline[16];

	snprintf(lsn, sizeof(lsn), "%" PRIX64 "/%" PRIX64, first->lsn >> 32, first->lsn & UINT32_MAX);
	snprintf(timeline, sizeof(timeline), "%" PRIX32, first->timeline);
	WEIR_ASSERT(probe_parse(in_recovery, lsn, timeline, &again));
	WEIR_ASSERT(again.lsn == first->lsn && again.timeline == first->timeline);
	WEIR_ASSERT(again.in_recovery == first->in_recovery);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_of(data, size);
	char *in_recovery = text_next(&rest), *lsn = text_next(&rest), *timeline = text_next(&rest);
	struct probe_sample sample;

	if (probe_parse(in_recovery, lsn, timeline, &sample))
		check_again(&sample, in_recovery);
	mem_free(in_recovery);
	mem_free(lsn);
	mem_free(timeline);
	return 0;
}
