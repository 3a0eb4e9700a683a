/* SPDX-License-Identifier: PostgreSQL */
/*
 * What is counted, and the page for Prometheus. Dashboards, alerts and the
 * autoscaler (k8s/monitoring, k8s/autoscaling) name these series. Plain data of
 * one thread: no clock, no I/O.
 */
#ifndef FINAI_METRICS_H
#define FINAI_METRICS_H

#include <stdint.h>

#include "backend/route.h"
#include "backend/statement.h"
#include "base/buf.h"

enum {
	METRICS_BUCKETS = 13,
	METRICS_STATUSES = 20,
	METRICS_SQLSTATES = 40, /* kinds that are told apart; the rest is "other" */
	METRICS_CURRENCIES = 16
};

enum transfer_result {
	TRANSFER_DONE,     /* committed by this request */
	TRANSFER_REPLAYED, /* the key had been done before */
	TRANSFER_REFUSED,  /* by a rule: 4xx */
	TRANSFER_FAILED,   /* not done, or not known: 5xx */
	TRANSFER_RESULTS
};

struct metrics_histogram {
	uint64_t buckets[METRICS_BUCKETS + 1]; /* the last: above all bounds */
	uint64_t sum_us, count;
};

struct metrics {
#define COUNTER(field, name, help) uint64_t field;
#define GAUGE(field, name, help) uint64_t field;
#include "backend/metrics.def"
#undef COUNTER
#undef GAUGE
	uint64_t requests[ROUTE_COUNT][METRICS_STATUSES];
	struct metrics_histogram durations[ROUTE_COUNT];
	struct metrics_histogram queries[STATEMENT_COUNT];
	struct metrics_sqlstate {
		char sqlstate[6];
		uint64_t count;
	} errors[METRICS_SQLSTATES + 1]; /* the last: the rest */
	uint64_t transfers[TRANSFER_RESULTS];
	struct metrics_amount {
		char currency[4];
		uint64_t hundredths;
	} amounts[METRICS_CURRENCIES];
};

void metrics_request(struct metrics *m, enum route route, int status, uint64_t us);
void metrics_query(struct metrics *m, enum statement statement, uint64_t us);
void metrics_error(struct metrics *m, const char *sqlstate);
/* hundredths and currency count for TRANSFER_DONE only. */
void metrics_transfer(struct metrics *m, enum transfer_result result, int64_t hundredths,
                      const char *currency);
void metrics_print(const struct metrics *m, struct buf *page);

#endif
