/* SPDX-License-Identifier: PostgreSQL */
/*
 * The page in Prometheus' text format. A series appears with its first event,
 * but transfers and the histograms' families, which rules divide by, are there
 * from the start. Labels come from tables and SQLSTATEs, never from a request.
 */
#include "backend/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

static const uint32_t bounds_us[METRICS_BUCKETS] = { 1000,    2500,    5000,    10000,  25000,
	                                                 50000,   100000,  250000,  500000, 1000000,
	                                                 2500000, 5000000, 10000000 };

static const int statuses[] = { 200, 201, 304, 400, 404, 405, 408, 409,
	                            411, 413, 415, 422, 431, 500, 503, 504 };
_Static_assert(WEIR_COUNTOF(statuses) < METRICS_STATUSES, "room for the rest");

static const char *const results[TRANSFER_RESULTS] = {
	[TRANSFER_DONE] = "done",
	[TRANSFER_REPLAYED] = "replayed",
	[TRANSFER_REFUSED] = "refused",
	[TRANSFER_FAILED] = "failed",
};

static size_t status_index(int status)
{
	size_t i = 0;

	while (i < WEIR_COUNTOF(statuses) && statuses[i] != status)
		i++;
	return i;
}

static void observe(struct metrics_histogram *h, uint64_t us)
{
	size_t i = 0;

	while (i < METRICS_BUCKETS && us > bounds_us[i])
		i++;
	h->buckets[i]++;
	h->sum_us += us;
	h->count++;
}

void metrics_request(struct metrics *m, enum route route, int status, uint64_t us)
{
	WEIR_ASSERT((unsigned)route < ROUTE_COUNT);
	if (route == ROUTE_WRONG_METHOD)
		route = ROUTE_NONE; /* they share a label */
	m->requests[route][status_index(status)]++;
	observe(&m->durations[route], us);
}

void metrics_query(struct metrics *m, enum statement statement, uint64_t us)
{
	WEIR_ASSERT((unsigned)statement < STATEMENT_COUNT);
	observe(&m->queries[statement], us);
}

void metrics_error(struct metrics *m, const char *sqlstate)
{
	size_t i = 0;

	while (i < METRICS_SQLSTATES && m->errors[i].count &&
	       strcmp(m->errors[i].sqlstate, sqlstate) != 0)
		i++;
	if (!m->errors[i].count)
		memcpy(m->errors[i].sqlstate, i < METRICS_SQLSTATES ? sqlstate : "other", 6);
	m->errors[i].count++;
}

void metrics_transfer(struct metrics *m, enum transfer_result result, int64_t hundredths,
                      const char *currency)
{
	WEIR_ASSERT((unsigned)result < TRANSFER_RESULTS);
	m->transfers[result]++;
	if (result != TRANSFER_DONE)
		return;
	for (size_t i = 0; i < METRICS_CURRENCIES; i++) {
		struct metrics_amount *a = &m->amounts[i];

		if (!*a->currency && strlen(currency) < sizeof a->currency)
			memcpy(a->currency, currency, strlen(currency) + 1);
		if (strcmp(a->currency, currency) == 0) {
			a->hundredths += (uint64_t)hundredths;
			return;
		}
	}
}

/* --- the page --- */

static void head(struct buf *page, const char *name, const char *type, const char *help)
{
	buf_appendf(page, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void print_histogram(struct buf *page, const char *name, const char *labels,
                            const struct metrics_histogram *h)
{
	uint64_t below = 0;

	for (size_t i = 0; i < METRICS_BUCKETS; i++) {
		below += h->buckets[i];
		buf_appendf(page, "%s_bucket{%s,le=\"%g\"} %" PRIu64 "\n", name, labels,
		            (double)bounds_us[i] / 1e6, below);
	}
	buf_appendf(page, "%s_bucket{%s,le=\"+Inf\"} %" PRIu64 "\n", name, labels, h->count);
	buf_appendf(page, "%s_sum{%s} %" PRIu64 ".%06" PRIu64 "\n", name, labels, h->sum_us / 1000000,
	            h->sum_us % 1000000);
	buf_appendf(page, "%s_count{%s} %" PRIu64 "\n", name, labels, h->count);
}

static const char *method_label(enum route route)
{
	return route == ROUTE_TRANSFER_POST ? "POST" : route == ROUTE_NONE ? "other" : "GET";
}

static void print_requests(const struct metrics *m, struct buf *page)
{
	char labels[128];

	head(page, "finai_http_requests_total", "counter",
	     "Requests answered, probes and scrapes left out.");
	for (unsigned r = 0; r < ROUTE_COUNT; r++) {
		for (size_t s = 0; s < METRICS_STATUSES; s++) {
			char status[12] = "other";

			if (!m->requests[r][s])
				continue;
			if (s < WEIR_COUNTOF(statuses))
				snprintf(status, sizeof status, "%d", statuses[s]);
			buf_appendf(
				page,
				"finai_http_requests_total{route=\"%s\",method=\"%s\",status=\"%s\"} %" PRIu64 "\n",
				route_label(r), method_label(r), status, m->requests[r][s]);
		}
	}
	head(page, "finai_http_request_duration_seconds", "histogram",
	     "From a request's last byte to its answer.");
	for (unsigned r = 0; r < ROUTE_COUNT; r++) {
		if (!m->durations[r].count && r != ROUTE_QUOTES)
			continue;
		snprintf(labels, sizeof labels, "route=\"%s\",method=\"%s\"", route_label(r),
		         method_label(r));
		print_histogram(page, "finai_http_request_duration_seconds", labels, &m->durations[r]);
	}
}

static void print_queries(const struct metrics *m, struct buf *page)
{
	char labels[64];

	head(page, "finai_db_query_duration_seconds", "histogram",
	     "From a statement's sending to its result, those sent before it included.");
	for (unsigned s = 0; s < STATEMENT_COUNT; s++) {
		if (!m->queries[s].count && s != STATEMENT_QUOTES)
			continue;
		snprintf(labels, sizeof labels, "query=\"%s\"", statement_name(s));
		print_histogram(page, "finai_db_query_duration_seconds", labels, &m->queries[s]);
	}
	head(page, "finai_db_errors_total", "counter", "Errors of the database, by SQLSTATE.");
	for (size_t i = 0; i <= METRICS_SQLSTATES; i++) {
		if (m->errors[i].count)
			buf_appendf(page, "finai_db_errors_total{sqlstate=\"%s\"} %" PRIu64 "\n",
			            m->errors[i].sqlstate, m->errors[i].count);
	}
}

static void print_transfers(const struct metrics *m, struct buf *page)
{
	head(page, "finai_transfers_total", "counter", "Transfers asked for, by what became of them.");
	for (unsigned r = 0; r < TRANSFER_RESULTS; r++)
		buf_appendf(page, "finai_transfers_total{result=\"%s\"} %" PRIu64 "\n", results[r],
		            m->transfers[r]);
	head(page, "finai_transfer_amount_total", "counter", "Money moved, in units of the currency.");
	for (size_t i = 0; i < METRICS_CURRENCIES; i++) {
		const struct metrics_amount *a = &m->amounts[i];

		if (*a->currency)
			buf_appendf(page,
			            "finai_transfer_amount_total{currency=\"%s\"} %" PRIu64 ".%02" PRIu64 "\n",
			            a->currency, a->hundredths / 100, a->hundredths % 100);
	}
}

void metrics_print(const struct metrics *m, struct buf *page)
{
#define SINGLE(field, name, type, help) \
	head(page, name, type, help);       \
	buf_appendf(page, "%s %" PRIu64 "\n", name, m->field);
#define COUNTER(field, name, help) SINGLE(field, name, "counter", help)
#define GAUGE(field, name, help) SINGLE(field, name, "gauge", help)
#include "backend/metrics.def"
#undef COUNTER
#undef GAUGE
#undef SINGLE
	print_requests(m, page);
	print_queries(m, page);
	print_transfers(m, page);
}
