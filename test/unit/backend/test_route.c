/* SPDX-License-Identifier: PostgreSQL */
/* Routes: paths and methods to operations, and the parameters of a page. */
#include "backend/route.h"

#include <criterion/criterion.h>

#include <string.h>

Test(route, paths)
{
	static const struct {
		const char *path;
		enum route route;
	} table[] = {
		{ "/api/quotes", ROUTE_QUOTES },
		{ "/api/quotes/WEIR", ROUTE_QUOTE },
		{ "/api/quotes/DAM.A", ROUTE_QUOTE },
		{ "/api/accounts", ROUTE_ACCOUNTS },
		{ "/api/accounts/7", ROUTE_ACCOUNT },
		{ "/api/transfers", ROUTE_TRANSFERS },
		{ "/healthz", ROUTE_HEALTHZ },
		{ "/readyz", ROUTE_READYZ },
		{ "/metrics", ROUTE_METRICS },
		{ "/", ROUTE_NONE },
		{ "/api/quotes/", ROUTE_NONE },
		{ "/api/quotes/weir", ROUTE_NONE },
		{ "/api/quotes/ABCDEFGHIJKLM", ROUTE_NONE },
		{ "/api/quotes/A/B", ROUTE_NONE },
		{ "/api/accounts/", ROUTE_NONE },
		{ "/api/accounts/0", ROUTE_NONE },
		{ "/api/accounts/-1", ROUTE_NONE },
		{ "/api/accounts/1x", ROUTE_NONE },
		{ "/api/accounts/9999999999999999999", ROUTE_NONE },
		{ "/api/accountsx", ROUTE_NONE },
		{ "/api/transfers/1", ROUTE_NONE },
	};

	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		cr_assert_eq(route_find(ROUTE_GET, table[i].path).route, table[i].route, "%s",
		             table[i].path);
	cr_assert_eq(route_find(ROUTE_GET, "/api/accounts/42").id, 42);
	cr_assert_str_eq(route_find(ROUTE_GET, "/api/quotes/DAM.A").symbol, "DAM.A");
}

Test(route, methods)
{
	struct route_match m = route_find(ROUTE_POST, "/api/quotes");

	cr_assert_eq(route_find(ROUTE_POST, "/api/transfers").route, ROUTE_TRANSFER_POST);
	cr_assert_eq(m.route, ROUTE_WRONG_METHOD);
	cr_assert_str_eq(m.allow, "GET, HEAD");
	m = route_find(ROUTE_OTHER_METHOD, "/api/transfers");
	cr_assert_eq(m.route, ROUTE_WRONG_METHOD);
	cr_assert_str_eq(m.allow, "GET, HEAD, POST");
	cr_assert_eq(route_find(ROUTE_POST, "/nothing").route, ROUTE_NONE);
}

Test(route, probes_are_told_apart)
{
	for (unsigned r = 0; r < ROUTE_COUNT; r++) {
		bool is_probe = r == ROUTE_HEALTHZ || r == ROUTE_READYZ || r == ROUTE_METRICS;

		cr_assert_eq(route_is_watching(r), is_probe, "%s", route_label(r));
	}
}

Test(route, pages)
{
	struct page p;
	const char *wrong;

	cr_assert(route_page(ROUTE_ACCOUNTS, NULL, &p, &wrong));
	cr_assert_eq(p.limit, PAGE_DEFAULT);
	cr_assert(route_page(ROUTE_ACCOUNTS, "limit=200&after=17", &p, &wrong));
	cr_assert(p.limit == PAGE_MAX && p.beyond == 17 && p.account == 0);
	cr_assert(route_page(ROUTE_TRANSFERS, "account=3&before=9&limit=1", &p, &wrong));
	cr_assert(p.limit == 1 && p.beyond == 9 && p.account == 3);
	cr_assert(route_page(ROUTE_QUOTES, "", &p, &wrong));
}

Test(route, pages_that_are_none)
{
	static const struct {
		enum route route;
		const char *query;
	} bad[] = {
		{ ROUTE_ACCOUNTS, "limit=0" },
		{ ROUTE_ACCOUNTS, "limit=201" },
		{ ROUTE_ACCOUNTS, "limit=" },
		{ ROUTE_ACCOUNTS, "limit=1&limit=2" },
		{ ROUTE_ACCOUNTS, "before=1" },
		{ ROUTE_ACCOUNTS, "account=1" },
		{ ROUTE_ACCOUNTS, "after=-1" },
		{ ROUTE_ACCOUNTS, "after=1&after=2" },
		{ ROUTE_TRANSFERS, "after=1" },
		{ ROUTE_TRANSFERS, "account=0" },
		{ ROUTE_TRANSFERS, "account=1&account=2" },
		{ ROUTE_QUOTES, "limit=1" },
		{ ROUTE_ACCOUNT, "x=1" },
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct page p;
		const char *wrong = NULL;

		cr_assert_not(route_page(bad[i].route, bad[i].query, &p, &wrong), "%s was taken",
		              bad[i].query);
		cr_assert(wrong && *wrong, "%s: no reason", bad[i].query);
	}
}
