/* SPDX-License-Identifier: PostgreSQL */
/*
 * Blocks of counters and their sums. A database's row is published by one
 * release store at the front of its block's list and never leaves it, so a
 * reader on another thread walks the list without a lock.
 */
#include "metrics/metrics.h"

#include <stdlib.h>

#include "base/mem.h"

struct metrics {
	unsigned count;               /* blocks */
	struct metrics_block *blocks; /* owned; aligned to cache lines */
	void *memory;                 /* owned: what blocks points into */
};

enum { CACHE_LINE_BYTES = 64, METRICS_DATABASES_MAX = 1000 };

_Static_assert(sizeof(struct metrics_block) % CACHE_LINE_BYTES == 0, "no false sharing");

static const struct {
	const char *name;
	const char *help;
	size_t offset;
} stats[DB_STAT_COUNT] = {
#define STAT(field, help) [DB_STAT_##field] = { #field, help, offsetof(struct db_stats, field) },
#include "metrics/db_stats.def"
#undef STAT
};

struct metrics *metrics_create(unsigned workers)
{
	struct metrics *m = mem_zalloc(sizeof(*m));
	uintptr_t at;

	m->count = workers + 1;
	m->memory = mem_zalloc(m->count * sizeof(*m->blocks) + CACHE_LINE_BYTES);
	at = ((uintptr_t)m->memory + CACHE_LINE_BYTES - 1) & ~(uintptr_t)(CACHE_LINE_BYTES - 1);
	m->blocks = (struct metrics_block *)at;
	return m;
}

static void databases_free(struct metrics_block *b)
{
	struct db_row *s = atomic_load_explicit(&b->databases, memory_order_relaxed);

	while (s) {
		struct db_row *next = s->next;

		mem_free((void *)(uintptr_t)s->name);
		mem_free(s);
		s = next;
	}
}

void metrics_destroy(struct metrics *m)
{
	for (unsigned i = 0; i < m->count; i++)
		databases_free(&m->blocks[i]);
	mem_free(m->memory);
	mem_free(m);
}

struct metrics_block *metrics_block(struct metrics *m, unsigned index)
{
	WEIR_ASSERT(index < m->count);
	return &m->blocks[index];
}

struct db_stats *metrics_database(struct metrics_block *b, struct slice name)
{
	struct db_row *first = atomic_load_explicit(&b->databases, memory_order_relaxed);
	struct db_row *s;
	size_t count = 0;

	for (s = first; s; s = s->next, count++)
		if (slice_is(name, s->name))
			return &s->stats;
	if (count >= METRICS_DATABASES_MAX && !slice_is(name, "*"))
		return metrics_database(b, slice_str("*"));
	s = mem_zalloc(sizeof(*s));
	s->name = mem_slicedup(name);
	s->next = first;
	atomic_store_explicit(&b->databases, s, memory_order_release);
	return &s->stats;
}

static void block_add_to(const struct metrics_block *b, struct metrics_sum *out)
{
	for (unsigned i = 0; i < METRIC_COUNT; i++)
		out->values[i] += stat_read(&b->values[i]);
	for (unsigned i = 0; i < CLOSE_REASON_COUNT; i++)
		out->closes[i] += stat_read(&b->closes[i]);
	for (unsigned i = 0; i < HISTOGRAM_COUNT; i++)
		histogram_add_to(&b->histograms[i], &out->histograms[i]);
}

void metrics_sum(const struct metrics *m, struct metrics_sum *out)
{
	memset(out, 0, sizeof(*out));
	for (unsigned i = 0; i < m->count; i++)
		block_add_to(&m->blocks[i], out);
}

static uint64_t stat_value(const struct db_stats *s, unsigned id)
{
	const char *field = (const char *)s + stats[id].offset;

	return stat_read((const _Atomic uint64_t *)(const void *)field);
}

/* The row of that name, a new one at the end, or NULL when all are taken. */
static struct db_sum *sum_row(struct db_sum *rows, size_t count, size_t max, const char *name,
                              bool *is_new)
{
	*is_new = false;
	for (size_t i = 0; i < count; i++)
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	if (count == max)
		return NULL;
	*is_new = true;
	memset(&rows[count], 0, sizeof(rows[count]));
	rows[count].name = name;
	return &rows[count];
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(((const struct db_sum *)a)->name, ((const struct db_sum *)b)->name);
}

size_t metrics_database_room(const struct metrics *m)
{
	size_t count = 0;

	for (unsigned i = 0; i < m->count; i++) {
		struct db_row *s = atomic_load_explicit(&m->blocks[i].databases, memory_order_acquire);

		for (; s; s = s->next)
			count++;
	}
	return count;
}

size_t metrics_databases(const struct metrics *m, struct db_sum *out, size_t max)
{
	size_t count = 0;

	for (unsigned i = 0; i < m->count; i++) {
		struct db_row *s = atomic_load_explicit(&m->blocks[i].databases, memory_order_acquire);

		for (; s; s = s->next) {
			bool is_new;
			struct db_sum *row = sum_row(out, count, max, s->name, &is_new);

			count += is_new;
			for (unsigned k = 0; row && k < DB_STAT_COUNT; k++)
				row->values[k] += stat_value(&s->stats, k);
		}
	}
	if (count)
		qsort(out, count, sizeof(*out), compare_names);
	return count;
}

const char *db_stat_name(enum db_stat id)
{
	WEIR_ASSERT(id < DB_STAT_COUNT);
	return stats[id].name;
}

const char *db_stat_help(enum db_stat id)
{
	WEIR_ASSERT(id < DB_STAT_COUNT);
	return stats[id].help;
}
