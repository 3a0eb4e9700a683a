/* SPDX-License-Identifier: PostgreSQL */
/*
 * SHOW STATS and its relatives, SHOW LATENCY, SHOW CLOSES: read straight from
 * the counters, no worker is asked.
 */
#include "admin/command.h"
#include "admin/result.h"
#include "base/mem.h"

#include <stdio.h>

enum { NAME_BYTES = 64 };

struct stat_names { /* column names made from the table, kept for one answer */
	char text[2 * DB_STAT_COUNT + 1][NAME_BYTES];
	struct build_column columns[2 * DB_STAT_COUNT + 2];
	size_t count;
};

static void names_add(struct stat_names *n, const char *prefix, const char *name)
{
	size_t i = n->count++;
	char *text = n->text[i - 1];

	snprintf(text, NAME_BYTES, "%s%s", prefix, name);
	n->columns[i] = (struct build_column)COLUMN_NUMERIC(text);
}

static void names_start(struct stat_names *n)
{
	n->columns[0] = (struct build_column)COLUMN_TEXT("database");
	n->count = 1;
}

/* The name where PgBouncer calls a counter differently in this place. */
static const char *stat_name(unsigned id, const char *received, const char *sent)
{
	if (id == DB_STAT_received)
		return received;
	if (id == DB_STAT_sent)
		return sent;
	return db_stat_name((enum db_stat)id);
}

struct stat_rows {
	struct db_sum *rows; /* owned */
	size_t count;
};

static void stat_rows_init(struct stat_rows *rows, const struct metrics *m)
{
	size_t room = metrics_database_room(m);

	rows->rows = mem_alloc(room * sizeof(*rows->rows) + 1);
	rows->count = metrics_databases(m, rows->rows, room);
}

static void put_values(struct result *r, const uint64_t *values, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++)
		result_number(r, values[i]);
}

/*
 * Totals and averages of PgBouncer's counters, then the totals of pgweir's own, then the queries
 * once more under the name that PgBouncer 1.7 had: Debian's exporter reads it.
 */
void show_stats(struct show *s)
{
	struct stat_names names;
	struct stat_rows stats;
	struct result r;

	names_start(&names);
	for (unsigned i = 0; i < DB_STAT_PGBOUNCER_COUNT; i++)
		names_add(&names, "total_", db_stat_name((enum db_stat)i));
	for (unsigned i = 0; i < DB_STAT_PGBOUNCER_COUNT; i++)
		names_add(&names, "avg_", stat_name(i, "recv", "sent"));
	for (unsigned i = DB_STAT_PGBOUNCER_COUNT; i < DB_STAT_COUNT; i++)
		names_add(&names, "total_", db_stat_name((enum db_stat)i));
	names_add(&names, "total_", "requests");
	stat_rows_init(&stats, s->source->metrics);
	result_begin(&r, s->out, names.columns, names.count);
	for (size_t i = 0; i < stats.count; i++) {
		uint64_t averages[DB_STAT_COUNT];

		window_averages(s->window, stats.rows[i].name, averages);
		result_text(&r, stats.rows[i].name);
		put_values(&r, stats.rows[i].values, 0, DB_STAT_PGBOUNCER_COUNT);
		put_values(&r, averages, 0, DB_STAT_PGBOUNCER_COUNT);
		put_values(&r, stats.rows[i].values, DB_STAT_PGBOUNCER_COUNT, DB_STAT_COUNT);
		result_number(&r, stats.rows[i].values[DB_STAT_query_count]);
		result_row(&r);
	}
	result_end(&r, "SHOW");
	mem_free(stats.rows);
}

static void show_one_kind(struct show *s, bool is_average)
{
	struct stat_names names;
	struct stat_rows stats;
	struct result r;

	names_start(&names);
	for (unsigned i = 0; i < DB_STAT_COUNT; i++)
		names_add(&names, is_average && i >= DB_STAT_client_parse_count ? "avg_" : "",
		          stat_name(i, "bytes_received", "bytes_sent"));
	stat_rows_init(&stats, s->source->metrics);
	result_begin(&r, s->out, names.columns, names.count);
	for (size_t i = 0; i < stats.count; i++) {
		uint64_t averages[DB_STAT_COUNT];

		window_averages(s->window, stats.rows[i].name, averages);
		result_text(&r, stats.rows[i].name);
		put_values(&r, is_average ? averages : stats.rows[i].values, 0, DB_STAT_COUNT);
		result_row(&r);
	}
	result_end(&r, "SHOW");
	mem_free(stats.rows);
}

void show_stats_totals(struct show *s)
{
	show_one_kind(s, false);
}

void show_stats_averages(struct show *s)
{
	show_one_kind(s, true);
}

static void total_rows(struct result *r, const char *prefix, const uint64_t *values)
{
	char name[NAME_BYTES];

	for (unsigned i = 0; i < DB_STAT_COUNT; i++) {
		snprintf(name, sizeof(name), "%s%s", prefix, stat_name(i, "client_bytes", "server_bytes"));
		result_text(r, name);
		result_number(r, values[i]);
		result_row(r);
	}
}

void show_totals(struct show *s)
{
	static const struct build_column columns[] = { COLUMN_TEXT("name"), COLUMN_NUMERIC("value") };
	uint64_t totals[DB_STAT_COUNT] = { 0 }, averages[DB_STAT_COUNT] = { 0 };
	struct stat_rows stats;
	struct result r;

	stat_rows_init(&stats, s->source->metrics);
	for (size_t i = 0; i < stats.count; i++)
		for (unsigned k = 0; k < DB_STAT_COUNT; k++)
			totals[k] += stats.rows[i].values[k];
	window_total_averages(s->window, averages);
	RESULT_BEGIN(&r, s->out, columns);
	total_rows(&r, "total_", totals);
	total_rows(&r, "avg_", averages);
	result_end(&r, "SHOW");
	mem_free(stats.rows);
}

void show_latency(struct show *s)
{
	static const struct build_column columns[] = {
		COLUMN_TEXT("name"),  COLUMN_BIG("count"),  COLUMN_BIG("p50_us"),
		COLUMN_BIG("p90_us"), COLUMN_BIG("p99_us"), COLUMN_BIG("p999_us"),
	};
	static const char *const names[HISTOGRAM_COUNT] = {
#define HISTOGRAM(id, name, help) name,
#include "metrics/metrics.def"
	};
	static const double quantiles[] = { 0.5, 0.9, 0.99, 0.999 };
	struct metrics_sum *sum = mem_alloc(sizeof(*sum));
	struct result r;

	metrics_sum(s->source->metrics, sum);
	RESULT_BEGIN(&r, s->out, columns);
	for (unsigned i = 0; i < HISTOGRAM_COUNT; i++) {
		result_slice(&r, slice_of(names[i], strlen(names[i]) - strlen("_seconds")));
		result_number(&r, sum->histograms[i].count);
		for (size_t k = 0; k < WEIR_COUNTOF(quantiles); k++)
			result_number(&r, histogram_quantile_us(&sum->histograms[i], quantiles[k]));
		result_row(&r);
	}
	result_end(&r, "SHOW");
	mem_free(sum);
}

void show_closes(struct show *s)
{
	static const struct build_column columns[] = { COLUMN_TEXT("reason"), COLUMN_BIG("count"),
		                                           COLUMN_TEXT("description") };
	struct metrics_sum *sum = mem_alloc(sizeof(*sum));
	struct result r;

	metrics_sum(s->source->metrics, sum);
	RESULT_BEGIN(&r, s->out, columns);
	for (unsigned i = 0; i < CLOSE_REASON_COUNT; i++) {
		const struct close_reason_info *info = close_reason_info((enum close_reason)i);

		result_text(&r, info->label);
		result_number(&r, sum->closes[i]);
		result_text(&r, info->text);
		result_row(&r);
	}
	result_end(&r, "SHOW");
	mem_free(sum);
}
