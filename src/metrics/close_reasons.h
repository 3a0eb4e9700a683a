/* SPDX-License-Identifier: PostgreSQL */
/*
 * Close reasons as data; the table is close_reasons.def. Pure, any thread.
 */
#ifndef WEIR_METRICS_CLOSE_REASONS_H
#define WEIR_METRICS_CLOSE_REASONS_H

enum close_reason {
#define REASON(name, ...) CLOSE_##name,
#include "metrics/close_reasons.def"
#undef REASON
	CLOSE_REASON_COUNT
};

struct close_reason_info {
	const char *label;
	const char *text;
	const char *sqlstate; /* "": the client hears nothing */
	const char *message;
};

const struct close_reason_info *close_reason_info(enum close_reason reason);

#endif
