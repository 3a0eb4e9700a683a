/* SPDX-License-Identifier: PostgreSQL */
/*
 * Readiness over time, and averages over time.
 */
#include <criterion/criterion.h>

#include "admin/readiness.h"
#include "admin/window.h"

enum { SECOND = 1000000 };

static bool ready_at(const struct readiness *r, const struct config *cfg, uint64_t now_us)
{
	struct buf out;
	bool ready;

	buf_init(&out, 4096);
	ready = readiness_write(r, cfg, true, now_us, &out);
	buf_fini(&out);
	return ready;
}

Test(readiness, a_failover_within_the_wait_is_fine)
{
	struct config_error err;
	struct config *cfg = config_load_text("[databases]\na = cluster=m failover_wait_timeout=10\n"
	                                      "[clusters]\nm = patroni=http://x:1\n"
	                                      "unused = patroni=http://y:1\n",
	                                      &err);
	struct readiness r = { 0 };
	static struct topology t;

	cr_assert_not_null(cfg);
	cr_expect_not(ready_at(&r, cfg, 100 * SECOND));
	t.primary = 0;
	readiness_note(&r, "m", &t, 100 * SECOND);
	cr_expect(ready_at(&r, cfg, 100 * SECOND));
	t.primary = -1;
	readiness_note(&r, "m", &t, 105 * SECOND);
	cr_expect(ready_at(&r, cfg, 110 * SECOND));
	cr_expect_not(ready_at(&r, cfg, 111 * SECOND));
	t.primary = 1;
	readiness_note(&r, "m", &t, 112 * SECOND);
	cr_expect(ready_at(&r, cfg, 112 * SECOND));
	readiness_fini(&r);
	config_put(&cfg);
}

Test(window, averages_are_of_the_last_whole_period)
{
	struct metrics *m = metrics_create(1);
	struct db_stats *s = metrics_database(metrics_block(m, 0), slice_str("a"));
	uint64_t out[DB_STAT_COUNT];
	struct window w;

	window_init(&w, 0);
	stat_add(&s->xact_count, 100);
	window_tick(&w, m, 5 * SECOND, 10 * SECOND); /* too early */
	window_averages(&w, "a", out);
	cr_expect_eq(out[DB_STAT_xact_count], 0);
	window_tick(&w, m, 10 * SECOND, 10 * SECOND);
	window_averages(&w, "a", out);
	cr_expect_eq(out[DB_STAT_xact_count], 10);
	stat_add(&s->xact_count, 40);
	stat_add(&s->xact_time, 4000);
	stat_add(&s->received, 200);
	stat_add(&s->query_time, 70);
	window_tick(&w, m, 30 * SECOND, 10 * SECOND);
	window_averages(&w, "a", out);
	cr_expect_eq(out[DB_STAT_xact_count], 2); /* per second over 20 s */
	cr_expect_eq(out[DB_STAT_received], 10);
	cr_expect_eq(out[DB_STAT_xact_time], 100); /* per transaction */
	cr_expect_eq(out[DB_STAT_query_time], 0);  /* no query was counted */
	window_total_averages(&w, out);
	cr_expect_eq(out[DB_STAT_xact_count], 2);
	window_averages(&w, "unknown", out);
	cr_expect_eq(out[DB_STAT_xact_count], 0);
	window_fini(&w);
	metrics_destroy(m);
}
