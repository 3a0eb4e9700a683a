/* SPDX-License-Identifier: PostgreSQL */
/*
 * Whether this process can serve: the database answered lately and no drain has
 * begun. Pure: the time comes in.
 */
#ifndef FINAI_HEALTH_H
#define FINAI_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

struct health {
	uint64_t grace_us;    /* ready for so long behind the last answer */
	uint64_t answered_us; /* 0: the database has never answered */
	bool is_draining;
};

static inline void health_answered(struct health *h, uint64_t now_us)
{
	h->answered_us = now_us;
}

/* NULL: ready. The reason otherwise; static text. */
static inline const char *health_problem(const struct health *h, uint64_t now_us)
{
	if (h->is_draining)
		return "draining";
	if (h->answered_us == 0)
		return "the database hasn't answered yet";
	return now_us - h->answered_us > h->grace_us ? "the database hasn't answered lately" : 0;
}

#endif
