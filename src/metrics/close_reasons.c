/* SPDX-License-Identifier: PostgreSQL */
/*
 * The table of close reasons, from close_reasons.def.
 */
#include "metrics/close_reasons.h"

#include "base/assert.h"

static const struct close_reason_info infos[CLOSE_REASON_COUNT] = {
#define REASON(name, label, text, sqlstate, message) \
	[CLOSE_##name] = { label, text, sqlstate, message },
#include "metrics/close_reasons.def"
#undef REASON
};

const struct close_reason_info *close_reason_info(enum close_reason reason)
{
	WEIR_ASSERT((unsigned)reason < CLOSE_REASON_COUNT);
	return &infos[reason];
}
