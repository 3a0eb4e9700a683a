/* SPDX-License-Identifier: PostgreSQL */
/*
 * Hints in comments: what counts, what doesn't.
 */
#include <criterion/criterion.h>

#include "sql/hint.h"

static void expect(const char *comment, enum hint_route route, enum hint_cache cache, uint32_t ttl)
{
	struct statement_hints h = { 0 };

	hint_read(&h, slice_str(comment));
	cr_expect_eq(h.route, route, "%s", comment);
	cr_expect_eq(h.cache, cache, "%s", comment);
	cr_expect_eq(h.cache_ttl_ms, ttl, "%s", comment);
}

Test(hint, route_and_cache)
{
	expect(" pgweir: route=primary ", HINT_ROUTE_PRIMARY, HINT_CACHE_NONE, 0);
	expect("PGWEIR:Route=Replica", HINT_ROUTE_REPLICA, HINT_CACHE_NONE, 0);
	expect("pgweir: cache=on", HINT_ROUTE_NONE, HINT_CACHE_ON, 0);
	expect("pgweir: cache=off", HINT_ROUTE_NONE, HINT_CACHE_OFF, 0);
	expect("pgweir: cache=30, route=replica", HINT_ROUTE_REPLICA, HINT_CACHE_ON, 30000);
	expect("pgweir: cache=0", HINT_ROUTE_NONE, HINT_CACHE_OFF, 0);
	expect("pgweir: cache=30 cache=off", HINT_ROUTE_NONE, HINT_CACHE_OFF, 0);
}

Test(hint, nonsense_and_others_are_ignored)
{
	expect("route=primary", HINT_ROUTE_NONE, HINT_CACHE_NONE, 0);
	expect("route='primary',traceparent='00-1-2-01'", HINT_ROUTE_NONE, HINT_CACHE_NONE, 0);
	expect("see pgweir: route=primary", HINT_ROUTE_NONE, HINT_CACHE_NONE, 0);
	expect("pgweir:", HINT_ROUTE_NONE, HINT_CACHE_NONE, 0);
	expect("pgweir: route=moon cache=-1 cache=1x cache= a=b", HINT_ROUTE_NONE, HINT_CACHE_NONE, 0);
	expect("pgweir", HINT_ROUTE_NONE, HINT_CACHE_NONE, 0);
}

Test(hint, a_huge_ttl_is_bounded)
{
	expect("pgweir: cache=99999999999999999999", HINT_ROUTE_NONE, HINT_CACHE_ON, 2678400000u);
}
