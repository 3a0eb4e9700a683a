/* SPDX-License-Identifier: PostgreSQL */
/*
 * Which operation a request means, and its parameters from path and query.
 * Pure; libevent only splits the query string.
 */
#ifndef FINAI_ROUTE_H
#define FINAI_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

/* X(constant, name of the metric's label) */
#define ROUTES(X)                            \
	X(ROUTE_QUOTES, "/api/quotes")           \
	X(ROUTE_QUOTE, "/api/quotes/{symbol}")   \
	X(ROUTE_ACCOUNTS, "/api/accounts")       \
	X(ROUTE_ACCOUNT, "/api/accounts/{id}")   \
	X(ROUTE_TRANSFERS, "/api/transfers")     \
	X(ROUTE_TRANSFER_POST, "/api/transfers") \
	X(ROUTE_HEALTHZ, "/healthz")             \
	X(ROUTE_READYZ, "/readyz")               \
	X(ROUTE_METRICS, "/metrics")             \
	X(ROUTE_WRONG_METHOD, "other")           \
	X(ROUTE_NONE, "other")

enum route {
#define X(constant, label) constant,
	ROUTES(X)
#undef X
		ROUTE_COUNT
};

enum route_method { ROUTE_GET, ROUTE_POST, ROUTE_OTHER_METHOD };

enum { SYMBOL_MAX = 12, PAGE_DEFAULT = 50, PAGE_MAX = 200 };

struct route_match {
	enum route route;
	const char *allow; /* for ROUTE_WRONG_METHOD: the header Allow */
	int64_t id;
	char symbol[SYMBOL_MAX + 1];
};

struct page {
	int64_t account; /* 0: not given */
	int64_t beyond;  /* parameter "after" or "before"; 0: not given */
	uint32_t limit;
};

const char *route_label(enum route route);
/* Probes and scrapes: nobody's request, so they count for no rate and no error budget. */
bool route_is_watching(enum route route);
/* A path with an id or symbol that can't be one is ROUTE_NONE. HEAD is a GET. */
struct route_match route_find(enum route_method method, const char *path);
/*
 * Accounts have limit and after, transfers limit, before and account, the others none. query
 * may be NULL. False: unknown, repeated or bad parameter, named in *wrong (static text).
 */
bool route_page(enum route route, const char *query, struct page *page, const char **wrong);

#endif
