/* SPDX-License-Identifier: PostgreSQL */
/* The page for Prometheus: sums, buckets, labels, and bounds on their number. */
#include "backend/metrics.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

static struct metrics m;

static const char *page(void)
{
	static struct buf b;

	buf_fini(&b); /* of the last call */
	buf_init(&b, 1 << 20);
	metrics_print(&m, &b);
	buf_append_u8(&b, 0);
	cr_assert_eq(b.err, WEIR_OK);
	return b.data;
}

static void has(const char *line)
{
	char whole[256];

	snprintf(whole, sizeof whole, "\n%s\n", line);
	cr_assert(strstr(page(), whole), "no line %s", line);
}

Test(metrics, requests_and_their_buckets)
{
	metrics_request(&m, ROUTE_ACCOUNT, 200, 1000);
	metrics_request(&m, ROUTE_ACCOUNT, 200, 1001);
	metrics_request(&m, ROUTE_ACCOUNT, 503, 60000000);
	metrics_request(&m, ROUTE_TRANSFER_POST, 201, 1);
	metrics_request(&m, ROUTE_ACCOUNT, 299, 1);
	has("finai_http_requests_total{route=\"/api/accounts/{id}\",method=\"GET\",status=\"200\"} 2");
	has("finai_http_requests_total{route=\"/api/accounts/{id}\",method=\"GET\",status=\"503\"} 1");
	has("finai_http_requests_total{route=\"/api/accounts/{id}\",method=\"GET\",status=\"other\"} "
	    "1");
	has("finai_http_requests_total{route=\"/api/transfers\",method=\"POST\",status=\"201\"} 1");
#define D "finai_http_request_duration_seconds"
	has(D "_bucket{route=\"/api/accounts/{id}\",method=\"GET\",le=\"0.001\"} 2");
	has(D "_bucket{route=\"/api/accounts/{id}\",method=\"GET\",le=\"0.0025\"} 3");
	has(D "_bucket{route=\"/api/accounts/{id}\",method=\"GET\",le=\"10\"} 3");
	has(D "_bucket{route=\"/api/accounts/{id}\",method=\"GET\",le=\"+Inf\"} 4");
	has(D "_sum{route=\"/api/accounts/{id}\",method=\"GET\"} 60.002002");
	has(D "_count{route=\"/api/accounts/{id}\",method=\"GET\"} 4");
}

Test(metrics, what_is_nowhere_is_one_series)
{
	metrics_request(&m, ROUTE_NONE, 404, 1);
	metrics_request(&m, ROUTE_WRONG_METHOD, 404, 1);
	has("finai_http_requests_total{route=\"other\",method=\"other\",status=\"404\"} 2");
}

Test(metrics, errors_are_bounded)
{
	for (int i = 0; i < METRICS_SQLSTATES + 20; i++) {
		char sqlstate[16];

		snprintf(sqlstate, sizeof sqlstate, "X%04d", i);
		metrics_error(&m, sqlstate);
		metrics_error(&m, sqlstate);
	}
	has("finai_db_errors_total{sqlstate=\"X0000\"} 2");
	has("finai_db_errors_total{sqlstate=\"X0039\"} 2");
	has("finai_db_errors_total{sqlstate=\"other\"} 40");
	cr_assert_null(strstr(page(), "X0040"));
}

Test(metrics, transfers_and_money)
{
	has("finai_transfers_total{result=\"done\"} 0");
	metrics_transfer(&m, TRANSFER_DONE, 1250, "EUR");
	metrics_transfer(&m, TRANSFER_DONE, 1, "EUR");
	metrics_transfer(&m, TRANSFER_DONE, 100, "USD");
	metrics_transfer(&m, TRANSFER_REPLAYED, 0, "");
	has("finai_transfers_total{result=\"done\"} 3");
	has("finai_transfers_total{result=\"replayed\"} 1");
	has("finai_transfer_amount_total{currency=\"EUR\"} 12.51");
	has("finai_transfer_amount_total{currency=\"USD\"} 1.00");
	metrics_transfer(&m, TRANSFER_DONE, 1, "TOOLONG");
	for (int i = 0; i < 2 * METRICS_CURRENCIES; i++) {
		char currency[16];

		snprintf(currency, sizeof currency, "C%02d", i);
		metrics_transfer(&m, TRANSFER_DONE, 1, currency);
	}
	cr_assert_null(strstr(page(), "TOOLONG"));
	has("finai_transfer_amount_total{currency=\"C13\"} 0.01");
	cr_assert_null(strstr(page(), "C14"));
}

Test(metrics, numbers)
{
	m.retries = 3;
	m.accounts = 100;
	has("# TYPE finai_retries_total counter");
	has("finai_retries_total 3");
	has("# TYPE finai_accounts gauge");
	has("finai_accounts 100");
}
