/* SPDX-License-Identifier: PostgreSQL */
/*
 * The text format: for each name one HELP and one TYPE line, then the samples.
 * Names get the prefix pgweir_. Pure.
 */
#include "metrics/exposition.h"

#include <inttypes.h>

#include "base/mem.h"

static const struct {
	const char *type;
	const char *name;
	const char *labels;
	const char *help;
} metric_rows[METRIC_COUNT] = {
#define TYPE_COUNTER "counter"
#define TYPE_GAUGE "gauge"
#define METRIC(id, kind, name, labels, help) [METRIC_##id] = { TYPE_##kind, name, labels, help },
#include "metrics/metrics.def"
};

static const struct {
	const char *name;
	const char *help;
} histogram_rows[HISTOGRAM_COUNT] = {
#define HISTOGRAM(id, name, help) [HISTOGRAM_##id] = { name, help },
#include "metrics/metrics.def"
};

void exposition_head(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_appendf(out, "# HELP pgweir_%s %s\n# TYPE pgweir_%s %s\n", name, help, name, type);
}

void exposition_label(struct buf *out, const char *value)
{
	for (; *value; value++) {
		if (*value == '\n')
			buf_append_str(out, "\\n");
		else if (*value == '"' || *value == '\\')
			buf_appendf(out, "\\%c", *value);
		else
			buf_append_u8(out, (uint8_t)*value);
	}
}

static void write_values(const struct metrics_sum *sum, struct buf *out)
{
	const char *last = "";

	for (unsigned i = 0; i < METRIC_COUNT; i++) {
		const char *labels = metric_rows[i].labels;

		if (strcmp(last, metric_rows[i].name) != 0)
			exposition_head(out, metric_rows[i].name, metric_rows[i].type, metric_rows[i].help);
		last = metric_rows[i].name;
		buf_appendf(out, *labels ? "pgweir_%s{%s} %" PRIu64 "\n" : "pgweir_%s%s %" PRIu64 "\n",
		            last, labels, sum->values[i]);
	}
}

static void write_closes(const struct metrics_sum *sum, struct buf *out)
{
	exposition_head(out, "closes_total", "counter", "Connections ended, by reason.");
	for (unsigned i = 0; i < CLOSE_REASON_COUNT; i++)
		buf_appendf(out, "pgweir_closes_total{reason=\"%s\"} %" PRIu64 "\n",
		            close_reason_info((enum close_reason)i)->label, sum->closes[i]);
}

static void write_histogram(const char *name, const char *help, const struct histogram_sum *h,
                            struct buf *out)
{
	uint64_t seen = 0;

	exposition_head(out, name, "histogram", help);
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
		seen += h->buckets[i];
		buf_appendf(out, "pgweir_%s_bucket{le=\"%.6f\"} %" PRIu64 "\n", name,
		            (double)histogram_bound_us(i) / 1e6, seen);
	}
	buf_appendf(out, "pgweir_%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, h->count);
	buf_appendf(out, "pgweir_%s_sum %.6f\n", name, (double)h->sum_us / 1e6);
	buf_appendf(out, "pgweir_%s_count %" PRIu64 "\n", name, h->count);
}

static void write_database_stat(const struct db_sum *rows, size_t count, enum db_stat id,
                                struct buf *out)
{
	buf_appendf(out,
	            "# HELP pgweir_database_%s_total %s\n# TYPE pgweir_database_%s_total counter\n",
	            db_stat_name(id), db_stat_help(id), db_stat_name(id));
	for (size_t i = 0; i < count; i++) {
		buf_appendf(out, "pgweir_database_%s_total{database=\"", db_stat_name(id));
		exposition_label(out, rows[i].name);
		buf_appendf(out, "\"} %" PRIu64 "\n", rows[i].values[id]);
	}
}

static void write_databases(const struct metrics *m, struct buf *out)
{
	size_t room = metrics_database_room(m);
	struct db_sum *rows = mem_alloc(room * sizeof(*rows) + 1);
	size_t count = metrics_databases(m, rows, room);

	for (unsigned i = 0; i < DB_STAT_COUNT; i++)
		write_database_stat(rows, count, (enum db_stat)i, out);
	mem_free(rows);
}

void exposition_write(const struct metrics *m, struct buf *out)
{
	struct metrics_sum *sum = mem_alloc(sizeof(*sum));

	metrics_sum(m, sum);
	write_values(sum, out);
	write_closes(sum, out);
	for (unsigned i = 0; i < HISTOGRAM_COUNT; i++)
		write_histogram(histogram_rows[i].name, histogram_rows[i].help, &sum->histograms[i], out);
	write_databases(m, out);
	mem_free(sum);
}
