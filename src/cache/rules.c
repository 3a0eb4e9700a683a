/* SPDX-License-Identifier: PostgreSQL */
/*
 * The rules of the cache as functions of facts. Who calls them holds the
 * counters and clocks.
 *
 * Why a replica's freshness matters: a change is voided at time C, after its
 * commit was acknowledged. A query that starts later on a replica that lags
 * sees the generations of after the change and the data of before it. So its
 * result is stored only if the replica was known, when the query started, to
 * show every commit acknowledged before a time after C.
 */
#include "cache/rules.h"

#include "base/assert.h"

enum { WALL_SKEW_US = 1000 * 1000 };

enum store_verdict rules_store(const struct store_facts *f)
{
	if (!f->is_admitted)
		return STORE_NOT_HOT;
	if (f->result_bytes > f->entry_max_bytes)
		return STORE_TOO_LARGE;
	if (f->sum_at_start != f->sum_now)
		return STORE_CHANGED;
	if (f->fresh_as_of_us <= f->last_change_us)
		return STORE_STALE_SOURCE;
	if (f->now_us >= f->expires_us)
		return STORE_OUTLIVED;
	return STORE_YES;
}

uint32_t rules_shared_life_ms(const struct shared_facts *f)
{
	uint32_t left, age;

	if (f->sum_now == 0 || f->sum_now != f->sum_of_entry || f->life_left_ms <= 0)
		return 0;
	left = f->life_left_ms < f->ttl_of_entry_ms ? (uint32_t)f->life_left_ms : f->ttl_of_entry_ms;
	age = f->ttl_of_entry_ms - left;
	if (age >= f->ttl_wanted_ms)
		return 0;
	return left < f->ttl_wanted_ms - age ? left : f->ttl_wanted_ms - age;
}

uint64_t rules_computed_us(int64_t computed_wall_us, int64_t now_wall_us, uint64_t now_us)
{
	uint64_t age;

	if (computed_wall_us <= 0 || computed_wall_us > now_wall_us)
		return 0;
	age = (uint64_t)(now_wall_us - computed_wall_us) + WALL_SKEW_US;
	return age < now_us ? now_us - age : 0;
}
