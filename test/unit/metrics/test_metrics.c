/* SPDX-License-Identifier: PostgreSQL */
/*
 * Blocks, sums over them, histograms and the text format.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "metrics/exposition.h"

Test(metrics, blocks_are_summed)
{
	struct metrics *m = metrics_create(2);
	struct metrics_sum *sum = calloc(1, sizeof(*sum));

	metrics_add(metrics_block(m, 0), METRIC_CLIENTS_ACCEPTED, 2);
	metrics_add(metrics_block(m, 1), METRIC_CLIENTS_ACCEPTED, 3);
	metrics_set(metrics_block(m, 0), METRIC_CLIENTS, 7);
	metrics_set(metrics_block(m, 0), METRIC_CLIENTS, 5);
	metrics_closed(metrics_block(m, 2), CLOSE_PROTOCOL);
	metrics_observe(metrics_block(m, 0), HISTOGRAM_QUERY_TIME, 100);
	metrics_observe(metrics_block(m, 1), HISTOGRAM_QUERY_TIME, 100);
	metrics_sum(m, sum);
	cr_expect_eq(sum->values[METRIC_CLIENTS_ACCEPTED], 5);
	cr_expect_eq(sum->values[METRIC_CLIENTS], 5);
	cr_expect_eq(sum->closes[CLOSE_PROTOCOL], 1);
	cr_expect_eq(sum->histograms[HISTOGRAM_QUERY_TIME].count, 2);
	cr_expect_eq(sum->histograms[HISTOGRAM_QUERY_TIME].sum_us, 200);
	free(sum);
	metrics_destroy(m);
}

Test(metrics, databases_are_joined_by_name)
{
	struct metrics *m = metrics_create(2);
	struct db_stats *a = metrics_database(metrics_block(m, 0), slice_str("shop"));
	struct db_stats *b = metrics_database(metrics_block(m, 1), slice_str("shop"));
	struct db_sum rows[4];

	metrics_database(metrics_block(m, 1), slice_str("app"));
	cr_expect_eq(metrics_database(metrics_block(m, 0), slice_str("shop")), a);
	stat_add(&a->xact_count, 1);
	stat_add(&b->xact_count, 2);
	stat_add(&b->errors, 4);
	cr_assert_eq(metrics_databases(m, rows, 4), 2);
	cr_expect_str_eq(rows[0].name, "app");
	cr_expect_str_eq(rows[1].name, "shop");
	cr_expect_eq(rows[1].values[DB_STAT_xact_count], 3);
	cr_expect_eq(rows[1].values[DB_STAT_errors], 4);
	cr_expect_eq(metrics_databases(m, rows, 1), 1);
	metrics_destroy(m);
}

Test(metrics, pgbouncer_columns_come_first)
{
	cr_expect_str_eq(db_stat_name(0), "server_assignment_count");
	cr_expect_str_eq(db_stat_name(DB_STAT_PGBOUNCER_COUNT - 1), "client_login_count");
	cr_expect_eq(DB_STAT_PGBOUNCER_COUNT, 12);
}

Test(histogram, bounds_hold_what_falls_in)
{
	for (uint64_t us = 0; us < 300000000; us = us * 9 / 8 + 1) {
		unsigned i = histogram_bucket(us);

		cr_assert(us <= histogram_bound_us(i), "%llu in %u", (unsigned long long)us, i);
		cr_assert(i == 0 || us > histogram_bound_us(i - 1), "%llu in %u", (unsigned long long)us,
		          i);
	}
	cr_expect_eq(histogram_bucket(16), 0);
	cr_expect_eq(histogram_bucket(17), 1);
	cr_expect_eq(histogram_bucket(24), 1);
	cr_expect_eq(histogram_bucket(25), 2);
	cr_expect_eq(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
	cr_expect_eq(histogram_bound_us(HISTOGRAM_BUCKETS - 2), 1u << 26);
}

Test(histogram, quantiles)
{
	struct histogram *h = calloc(1, sizeof(*h));
	struct histogram_sum sum = { 0 };

	cr_expect_eq(histogram_quantile_us(&sum, 0.5), 0);
	for (int i = 0; i < 99; i++)
		histogram_observe(h, 20);
	histogram_observe(h, 1000);
	histogram_add_to(h, &sum);
	cr_expect_eq(histogram_quantile_us(&sum, 0.5), 24);
	cr_expect_eq(histogram_quantile_us(&sum, 0.99), 24);
	cr_expect_eq(histogram_quantile_us(&sum, 1.0), 1024);
	free(h);
}

static char *exposed(struct metrics *m)
{
	struct buf out;
	char *text;

	buf_init(&out, 1 << 20);
	exposition_write(m, &out);
	cr_assert_eq(out.err, WEIR_OK);
	text = strndup(out.data, out.len);
	buf_fini(&out);
	return text;
}

static size_t count_of(const char *text, const char *what)
{
	size_t count = 0;

	for (const char *p = text; (p = strstr(p, what)); p++)
		count++;
	return count;
}

Test(exposition, samples_and_heads)
{
	struct metrics *m = metrics_create(1);
	char *text;

	metrics_add(metrics_block(m, 0), METRIC_STATEMENT_PARSES, 3);
	stat_add(&metrics_database(metrics_block(m, 0), slice_str("a\"b\\c\nd"))->pins, 2);
	metrics_observe(metrics_block(m, 0), HISTOGRAM_WAIT_TIME, 20);
	text = exposed(m);
	cr_expect_not_null(strstr(text, "pgweir_statements_total{found=\"parsed\"} 3\n"));
	cr_expect_eq(count_of(text, "# TYPE pgweir_statements_total counter\n"), 1);
	cr_expect_not_null(
		strstr(text, "pgweir_database_pins_total{database=\"a\\\"b\\\\c\\nd\"} 2\n"));
	cr_expect_not_null(strstr(text, "pgweir_wait_seconds_bucket{le=\"0.000016\"} 0\n"));
	cr_expect_not_null(strstr(text, "pgweir_wait_seconds_bucket{le=\"0.000024\"} 1\n"));
	cr_expect_not_null(strstr(text, "pgweir_wait_seconds_bucket{le=\"+Inf\"} 1\n"));
	cr_expect_not_null(strstr(text, "pgweir_wait_seconds_sum 0.000020\n"));
	free(text);
	metrics_destroy(m);
}

/* Prometheus refuses a page where a name has two TYPE lines. */
Test(exposition, every_name_has_one_head)
{
	struct metrics *m = metrics_create(1);
	char *text = exposed(m);
	size_t heads = 0;

	for (char *p = text; (p = strstr(p, "# TYPE ")); p++) {
		char line[200];

		snprintf(line, sizeof(line), "%.*s ", (int)strcspn(p + 7, " \n") + 7, p);
		cr_expect_eq(count_of(text, line), 1, "%s", line);
		heads++;
	}
	cr_expect_gt(heads, 20);
	free(text);
	metrics_destroy(m);
}

Test(close_reasons, every_row_is_whole)
{
	for (int i = 0; i < CLOSE_REASON_COUNT; i++) {
		const struct close_reason_info *info = close_reason_info((enum close_reason)i);

		cr_expect(info->label[0] && info->text[0]);
		cr_expect(strlen(info->sqlstate) == 0 || strlen(info->sqlstate) == 5);
		cr_expect_eq(info->sqlstate[0] == '\0', info->message[0] == '\0');
	}
}
