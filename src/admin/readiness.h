/* SPDX-License-Identifier: PostgreSQL */
/*
 * Is pgweir ready to take clients? It accepts, and every cluster that a
 * database uses had a primary within failover_wait_timeout. Pure: times and
 * topologies are given.
 */
#ifndef WEIR_ADMIN_READINESS_H
#define WEIR_ADMIN_READINESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "config/config.h"
#include "tier/topology.h"

struct primary_seen {
	struct primary_seen *next; /* owned */
	char *cluster;             /* owned */
	uint64_t last_us;          /* when it last had a primary; 0: never */
};

struct readiness {
	struct primary_seen *seen; /* owned; zero-initialise */
};

void readiness_fini(struct readiness *r);
void readiness_note(struct readiness *r, const char *cluster, const struct topology *t,
                    uint64_t now_us);
/* Appends {"ready":...,"reasons":[...]} and returns whether it is ready. */
bool readiness_write(const struct readiness *r, const struct config *cfg, bool is_accepting,
                     uint64_t now_us, struct buf *out);

#endif
