/* SPDX-License-Identifier: PostgreSQL */
/*
 * Samples of the totals, taken once a stats_period, and what lies between the
 * last two.
 */
#include "admin/window.h"

#include "base/mem.h"

void window_init(struct window *w, uint64_t now_us)
{
	memset(w, 0, sizeof(*w));
	w->newer.at_us = now_us;
}

void window_fini(struct window *w)
{
	mem_free(w->older.rows);
	mem_free(w->newer.rows);
	memset(w, 0, sizeof(*w));
}

bool window_tick(struct window *w, const struct metrics *m, uint64_t now_us, uint64_t period_us)
{
	size_t room;

	if (now_us - w->newer.at_us < period_us)
		return false;
	mem_free(w->older.rows);
	w->older = w->newer;
	room = metrics_database_room(m);
	w->newer.rows = mem_alloc(room * sizeof(*w->newer.rows) + 1);
	w->newer.count = metrics_databases(m, w->newer.rows, room);
	w->newer.at_us = now_us;
	return true;
}

static const struct db_sum *sample_find(const struct window_sample *s, const char *database)
{
	for (size_t i = 0; i < s->count; i++)
		if (strcmp(s->rows[i].name, database) == 0)
			return &s->rows[i];
	return NULL;
}

static uint64_t ratio(uint64_t amount, uint64_t count)
{
	return count ? amount / count : 0;
}

void window_average(const uint64_t older[DB_STAT_COUNT], const uint64_t newer[DB_STAT_COUNT],
                    uint64_t period_us, uint64_t out[DB_STAT_COUNT])
{
	uint64_t delta[DB_STAT_COUNT];

	for (unsigned i = 0; i < DB_STAT_COUNT; i++) {
		delta[i] = newer[i] - older[i];
		out[i] = (uint64_t)((double)delta[i] * 1e6 / (double)(period_us ? period_us : 1));
	}
	out[DB_STAT_xact_time] = ratio(delta[DB_STAT_xact_time], delta[DB_STAT_xact_count]);
	out[DB_STAT_query_time] = ratio(delta[DB_STAT_query_time], delta[DB_STAT_query_count]);
	out[DB_STAT_wait_time] =
		ratio(delta[DB_STAT_wait_time], delta[DB_STAT_server_assignment_count]);
}

void window_averages(const struct window *w, const char *database, uint64_t out[DB_STAT_COUNT])
{
	static const uint64_t zero[DB_STAT_COUNT];
	const struct db_sum *older = sample_find(&w->older, database);
	const struct db_sum *newer = sample_find(&w->newer, database);

	memset(out, 0, DB_STAT_COUNT * sizeof(*out));
	if (newer)
		window_average(older ? older->values : zero, newer->values, w->newer.at_us - w->older.at_us,
		               out);
}

static void sample_total(const struct window_sample *s, uint64_t out[DB_STAT_COUNT])
{
	memset(out, 0, DB_STAT_COUNT * sizeof(*out));
	for (size_t i = 0; i < s->count; i++)
		for (unsigned k = 0; k < DB_STAT_COUNT; k++)
			out[k] += s->rows[i].values[k];
}

void window_total_averages(const struct window *w, uint64_t out[DB_STAT_COUNT])
{
	uint64_t older[DB_STAT_COUNT], newer[DB_STAT_COUNT];

	sample_total(&w->older, older);
	sample_total(&w->newer, newer);
	window_average(older, newer, w->newer.at_us - w->older.at_us, out);
}
