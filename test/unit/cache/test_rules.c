/* SPDX-License-Identifier: PostgreSQL */
/* The decisions, as traces: a history of one fill per line, and what becomes of it. */
#include "cache/rules.h"

#include <criterion/criterion.h>

#include "support/trace.h"

static const struct store_facts good = {
	.is_admitted = true,
	.result_bytes = 100,
	.entry_max_bytes = 1000,
	.sum_at_start = 7,
	.sum_now = 7,
	.fresh_as_of_us = UINT64_MAX,
	.last_change_us = 5000,
	.now_us = 6000,
	.expires_us = 9000,
};

static const char *text_of(enum store_verdict v)
{
	static const char *const texts[] = {
		[STORE_YES] = "stored",
		[STORE_NOT_HOT] = "not hot",
		[STORE_TOO_LARGE] = "too large",
		[STORE_CHANGED] = "changed",
		[STORE_STALE_SOURCE] = "stale source",
		[STORE_OUTLIVED] = "outlived",
	};

	return texts[v];
}

static void line(struct trace *t, const char *what, const struct store_facts *f)
{
	trace_add(t, "%s: %s", what, text_of(rules_store(f)));
}

Test(rules, what_may_be_stored)
{
	struct trace t;
	struct store_facts f = good;

	trace_init(&t);
	line(&t, "primary", &f);
	f.fresh_as_of_us = 4999;
	line(&t, "replica before the change", &f);
	f.fresh_as_of_us = 5000;
	line(&t, "replica at the change", &f);
	f.fresh_as_of_us = 5001;
	line(&t, "replica after the change", &f);
	f.fresh_as_of_us = 0;
	line(&t, "replica of unknown freshness", &f);
	f = good;
	f.sum_now = 8;
	line(&t, "written meanwhile", &f);
	f = good;
	f.is_admitted = false;
	line(&t, "asked once", &f);
	f = good;
	f.result_bytes = 1000;
	line(&t, "at the bound", &f);
	f.result_bytes = 1001;
	line(&t, "over the bound", &f);
	f = good;
	f.now_us = 9000;
	line(&t, "slow query", &f);
	trace_expect(&t, "primary: stored\n"
	                 "replica before the change: stale source\n"
	                 "replica at the change: stale source\n"
	                 "replica after the change: stored\n"
	                 "replica of unknown freshness: stale source\n"
	                 "written meanwhile: changed\n"
	                 "asked once: not hot\n"
	                 "at the bound: stored\n"
	                 "over the bound: too large\n"
	                 "slow query: outlived\n");
	trace_fini(&t);
}

/* sum_now, sum_of_entry, left, ttl of the entry, ttl wanted -> life */
Test(rules, life_of_a_shared_entry)
{
	static const struct {
		struct shared_facts f;
		uint32_t life_ms;
	} cases[] = {
		{ { 5, 5, 10000, 30000, 30000 }, 10000 },
		{ { 5, 6, 10000, 30000, 30000 }, 0 }, /* changed since */
		{ { 0, 0, 10000, 30000, 30000 }, 0 }, /* generations not known */
		{ { 5, 5, 0, 30000, 30000 }, 0 },
		{ { 5, 5, -1, 30000, 30000 }, 0 },      /* Redis: no expiry */
		{ { 5, 5, -2, 30000, 30000 }, 0 },      /* Redis: no such key */
		{ { 5, 5, 25000, 30000, 6000 }, 1000 }, /* aged 5 s, this request allows 6 */
		{ { 5, 5, 24000, 30000, 6000 }, 0 },
		{ { 5, 5, 10000, 30000, 60000 }, 10000 },
		{ { 5, 5, INT64_MAX, 30000, 30000 }, 30000 }, /* can't live longer than it was given */
		{ { 5, 5, 1, 1, 1 }, 1 },
		{ { 5, 5, 10, 10, 0 }, 0 },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		cr_expect_eq(rules_shared_life_ms(&cases[i].f), cases[i].life_ms, "case %zu", i);
}

Test(rules, when_a_shared_entry_was_computed)
{
	const uint64_t now = 100000000;

	cr_expect_eq(rules_computed_us(1000000, 3000000, now), now - 3000000,
	             "2 s ago and 1 s of skew");
	cr_expect_eq(rules_computed_us(3000001, 3000000, now), 0, "from the future");
	cr_expect_eq(rules_computed_us(0, 3000000, now), 0);
	cr_expect_eq(rules_computed_us(-5, 3000000, now), 0);
	cr_expect_eq(rules_computed_us(1, 900000000, now), 0, "before this host was up");
}
