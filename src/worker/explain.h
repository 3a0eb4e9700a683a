/* SPDX-License-Identifier: PostgreSQL */
/*
 * EXPLAIN ROUTE: where a statement would run and why, for a fresh session that
 * has written nothing. Pure: the time and the snapshots are given.
 */
#ifndef WEIR_WORKER_EXPLAIN_H
#define WEIR_WORKER_EXPLAIN_H

#include "admin/source.h"

struct catalog;

enum { EXPLAIN_PINS_MAX = 256 };

struct explain_input {
	const struct config_database *db;
	const struct topology *topology; /* NULL: the cluster wasn't seen yet */
	const struct catalog *catalog;   /* NULL: none */
	struct slice sql;
	uint64_t now_us;                 /* monotonic, for lag and ejection */
	bool has_cache;
};

void explain_statement(const struct explain_input *in, struct admin_route *out);
/* enum pin_reason bits in words, with commas; cut at size. */
void explain_pins(uint32_t pins, char *out, size_t size);

#endif
