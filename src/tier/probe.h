/* SPDX-License-Identifier: PostgreSQL */
/*
 * Probe of one node: its role, timeline and WAL position, over one persistent
 * session. Control thread only.
 */
#ifndef WEIR_TIER_PROBE_H
#define WEIR_TIER_PROBE_H

#include <stdbool.h>

#include "tier/pg_session.h"
#include "tier/view.h"

struct probe;

struct probe_ops {
	void (*on_sample)(void *arg, uint16_t id, const struct probe_sample *sample);
	/* Failed, or the idle session ended. */
	void (*on_failed)(void *arg, uint16_t id, const char *reason);
};

struct probe *probe_create(const struct pg_session_net *net, const struct pg_session_target *target,
			   const struct probe_ops *ops, void *arg, uint16_t id);
void probe_destroy(struct probe *p); /* not from inside its callbacks */
/* No-op while one is under way, and while a failing node is given a pause unless is_urgent. */
void probe_start(struct probe *p, uint64_t timeout_us, bool is_urgent);

/* Pure: the texts of a row of the probe's query; false: not to be understood. */
bool probe_parse(const char *in_recovery, const char *lsn, const char *timeline,
		 struct probe_sample *out);

#endif
