/* SPDX-License-Identifier: PostgreSQL */
/*
 * Paths are few, so they are compared one by one. Numbers are decimal without
 * sign; symbols are upper-case letters, digits and points.
 */
#include "backend/route.h"

#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stddef.h>
#include <string.h>

const char *route_label(enum route route)
{
	static const char *const labels[] = {
#define X(constant, label) label,
		ROUTES(X)
#undef X
	};

	return labels[route];
}

bool route_is_watching(enum route route)
{
	return route == ROUTE_HEALTHZ || route == ROUTE_READYZ || route == ROUTE_METRICS;
}

/* 1 to 18 digits, more than 0. */
static bool parse_id(const char *text, int64_t *id)
{
	size_t len = strspn(text, "0123456789");

	*id = 0;
	if (len == 0 || len > 18 || text[len])
		return false;
	for (size_t i = 0; i < len; i++)
		*id = *id * 10 + (text[i] - '0');
	return *id > 0;
}

static bool parse_symbol(const char *text, char symbol[SYMBOL_MAX + 1])
{
	size_t len = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.");

	if (len == 0 || len > SYMBOL_MAX || text[len])
		return false;
	memcpy(symbol, text, len + 1);
	return true;
}

static const char *after_prefix(const char *path, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncmp(path, prefix, len) == 0 ? path + len : NULL;
}

static enum route find_get(const char *path, struct route_match *m)
{
	const char *rest;

	if (strcmp(path, "/api/quotes") == 0)
		return ROUTE_QUOTES;
	if (strcmp(path, "/api/accounts") == 0)
		return ROUTE_ACCOUNTS;
	if (strcmp(path, "/api/transfers") == 0)
		return ROUTE_TRANSFERS;
	if (strcmp(path, "/healthz") == 0)
		return ROUTE_HEALTHZ;
	if (strcmp(path, "/readyz") == 0)
		return ROUTE_READYZ;
	if (strcmp(path, "/metrics") == 0)
		return ROUTE_METRICS;
	rest = after_prefix(path, "/api/quotes/");
	if (rest && parse_symbol(rest, m->symbol))
		return ROUTE_QUOTE;
	rest = after_prefix(path, "/api/accounts/");
	if (rest && parse_id(rest, &m->id))
		return ROUTE_ACCOUNT;
	return ROUTE_NONE;
}

struct route_match route_find(enum route_method method, const char *path)
{
	struct route_match m = { .route = ROUTE_NONE };
	enum route get = find_get(path, &m);

	if (method == ROUTE_POST && get == ROUTE_TRANSFERS)
		m.route = ROUTE_TRANSFER_POST;
	else if (method == ROUTE_GET || get == ROUTE_NONE)
		m.route = get;
	else
		m.route = ROUTE_WRONG_METHOD;
	m.allow = get == ROUTE_TRANSFERS ? "GET, HEAD, POST" : "GET, HEAD";
	return m;
}

static bool read_limit(const char *text, struct page *page)
{
	int64_t number;

	if (page->limit || !parse_id(text, &number) || number > PAGE_MAX)
		return false;
	page->limit = (uint32_t)number;
	return true;
}

static bool read_parameter(enum route route, const struct evkeyval *kv, struct page *page,
                           const char **wrong)
{
	bool is_accounts = route == ROUTE_ACCOUNTS, is_transfers = route == ROUTE_TRANSFERS;

	if (strcmp(kv->key, "limit") == 0 && (is_accounts || is_transfers)) {
		*wrong = "limit is a whole number from 1 to 200";
		return read_limit(kv->value, page);
	}
	if (strcmp(kv->key, "account") == 0 && is_transfers) {
		*wrong = "account is the number of an account";
		return page->account == 0 && parse_id(kv->value, &page->account);
	}
	if ((strcmp(kv->key, "after") == 0 && is_accounts) ||
	    (strcmp(kv->key, "before") == 0 && is_transfers)) {
		*wrong = "after and before are the number that the last page ended with";
		return page->beyond == 0 && parse_id(kv->value, &page->beyond);
	}
	*wrong = "the query has a parameter that isn't known here";
	return false;
}

bool route_page(enum route route, const char *query, struct page *page, const char **wrong)
{
	struct evkeyvalq parameters;
	bool is_good = true;

	*page = (struct page){ 0 };
	if (query && *query) {
		*wrong = "the query can't be read";
		if (evhttp_parse_query_str(query, &parameters) != 0)
			return false;
		for (struct evkeyval *kv = parameters.tqh_first; kv && is_good; kv = kv->next.tqe_next)
			is_good = read_parameter(route, kv, page, wrong);
		evhttp_clear_headers(&parameters);
	}
	if (!page->limit)
		page->limit = PAGE_DEFAULT;
	return is_good;
}
