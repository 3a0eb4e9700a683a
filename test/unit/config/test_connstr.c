/* SPDX-License-Identifier: PostgreSQL */
/*
 * Connect strings, lists, host:port and redis:// addresses.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "config/connstr.h"
#include "config/hostlist.h"

/* "key|value;key|value;" or "!why". */
static const char *pairs(const char *text)
{
	static char result[512];
	struct slice rest = slice_str(text), key, value;
	struct arena arena;
	const char *why = "";
	enum weir_err rc;
	size_t len = 0;

	arena_init(&arena, 1024);
	result[0] = '\0';
	while ((rc = connstr_next(&rest, &arena, &key, &value, &why)) == WEIR_OK)
		len += (size_t)snprintf(result + len, sizeof(result) - len, "%.*s|%.*s;", (int)key.len,
		                        key.ptr, (int)value.len, value.ptr);
	if (rc != WEIR_ERR_NOT_FOUND)
		snprintf(result, sizeof(result), "!%s", why);
	arena_fini(&arena);
	return result;
}

Test(connstr, pairs)
{
	cr_expect_str_eq(pairs(""), "");
	cr_expect_str_eq(pairs("  host=a  port = 5 "), "host|a;port|5;");
	cr_expect_str_eq(pairs("host=a,b dbname=''"), "host|a,b;dbname|;");
	cr_expect_str_eq(pairs("password='it''s \\ here' x=y"), "password|it's \\ here;x|y;");
	cr_expect_str_eq(pairs("a=b\\c d='e=f' g='h\\'"), "a|b\\c;d|e=f;g|h\\;");
	cr_expect_str_eq(pairs("host"), "!key=value pairs are expected");
	cr_expect_str_eq(pairs("=x"), "!key=value pairs are expected");
	cr_expect_str_eq(pairs("a=b c"), "!key=value pairs are expected");
	cr_expect_str_eq(pairs("a='b"), "!a quote isn't closed");
	cr_expect_str_eq(pairs("a='b\\"), "!a quote isn't closed");
}

static const char *endpoint(const char *text)
{
	static char result[300];
	struct config_endpoint e;
	struct arena arena;

	arena_init(&arena, 1024);
	if (endpoint_parse(slice_str(text), 9, &arena, &e))
		snprintf(result, sizeof(result), "%s|%u", e.host, e.port);
	else
		snprintf(result, sizeof(result), "!");
	arena_fini(&arena);
	return result;
}

static const char *picked(const char *list, unsigned turn)
{
	static char result[300];
	struct hostlist_item item;

	hostlist_pick(list, 9, turn, &item);
	snprintf(result, sizeof(result), "%s|%u", item.host, item.port);
	return result;
}

Test(connstr, hosts_take_turns)
{
	static const char list[] = "a,/b:c,::1,[::2]:5,d:7";
	static const char *const want[] = { "a|9", "/b:c|9", "::1|9", "::2|5", "d|7" };

	cr_expect_eq(hostlist_count(list), 5);
	for (unsigned turn = 0; turn < 12; turn++)
		cr_expect_str_eq(picked(list, turn), want[turn % 5]);
	cr_expect_str_eq(picked("one", 3), "one|9");
	cr_expect_str_eq(picked("", 3), "|9");
}

Test(connstr, endpoints)
{
	cr_expect_str_eq(endpoint("h"), "h|9");
	cr_expect_str_eq(endpoint("h:5432"), "h|5432");
	cr_expect_str_eq(endpoint("[::1]:70"), "::1|70");
	cr_expect_str_eq(endpoint("[::1]"), "::1|9");
	cr_expect_str_eq(endpoint("fe80::1"), "fe80::1|9");
	cr_expect_str_eq(endpoint("/var/run/x"), "/var/run/x|9");
	cr_expect_str_eq(endpoint("/var/run/x:6432"), "/var/run/x|6432");
	cr_expect_str_eq(endpoint("/a:b"), "/a:b|9");
	cr_expect_str_eq(endpoint("/a:1b"), "/a:1b|9");
	cr_expect_str_eq(endpoint("/a:7:8"), "/a:7|8");
	cr_expect_str_eq(endpoint("/123"), "/123|9");
	cr_expect_str_eq(endpoint("/a:0"), "!");
	cr_expect_str_eq(endpoint("@abstract"), "@abstract|9");
	cr_expect_str_eq(endpoint("@abstract:7"), "@abstract|7");
	cr_expect_str_eq(endpoint(""), "!");
	cr_expect_str_eq(endpoint(":5"), "!");
	cr_expect_str_eq(endpoint("h:"), "!");
	cr_expect_str_eq(endpoint("h:0"), "!");
	cr_expect_str_eq(endpoint("h:65536"), "!");
	cr_expect_str_eq(endpoint("h:5x"), "!");
	cr_expect_str_eq(endpoint("[::1"), "!");
	cr_expect_str_eq(endpoint("[]:5"), "!");
	cr_expect_str_eq(endpoint("[::1]5"), "!");
}

static const char *text_or_dash(const char *text)
{
	return text ? text : "-";
}

static const char *redis(const char *url)
{
	static const char *const modes[] = { "", "cluster ", "sentinel " };
	static char result[300];
	struct config_redis r;
	struct arena arena;

	arena_init(&arena, 1024);
	if (redis_url_parse(slice_str(url), &arena, &r)) {
		int len = snprintf(result, sizeof(result), "%s%s", modes[r.mode], r.is_tls ? "tls " : "");

		for (size_t i = 0; i < r.seed_count; i++)
			len += snprintf(result + len, sizeof(result) - (size_t)len, "%s|%u|", r.seeds[i].host,
			                r.seeds[i].port);
		snprintf(result + len, sizeof(result) - (size_t)len, "%s|%s%s%s", text_or_dash(r.user),
		         text_or_dash(r.password), r.master ? "|" : "", r.master ? r.master : "");
	} else
		snprintf(result, sizeof(result), "!");
	arena_fini(&arena);
	return result;
}

Test(connstr, redis_addresses)
{
	cr_expect_str_eq(redis("redis://h"), "h|6379|-|-");
	cr_expect_str_eq(redis("redis://h:1/3"), "h|1|-|-");
	cr_expect_str_eq(redis("redis://u@h:1"), "h|1|u|-");
	cr_expect_str_eq(redis("redis://u:p%40%2f@h:1"), "h|1|u|p@/");
	cr_expect_str_eq(redis("redis://:secret@[::1]:1"), "::1|1|-|secret");
	cr_expect_str_eq(redis("redis://"), "!");
	cr_expect_str_eq(redis("http://h"), "!");
	cr_expect_str_eq(redis("redis://u:%4@h"), "!");
	cr_expect_str_eq(redis("redis://u:%00@h"), "!");
	cr_expect_str_eq(redis("redis://u:p@"), "!");
	cr_expect_str_eq(redis("redis://a,b"), "!");
	cr_expect_str_eq(redis("rediss://u:p@h:1"), "tls h|1|u|p");
	cr_expect_str_eq(redis("redis+cluster://u:p@a:1,b,[::1]:2"),
	                 "cluster a|1|b|6379|::1|2|u|p");
	cr_expect_str_eq(redis("rediss+cluster://a"), "cluster tls a|6379|-|-");
	cr_expect_str_eq(redis("redis+sentinel://:p@a,b:5/main"),
	                 "sentinel a|26379|b|5|-|p|main");
	cr_expect_str_eq(redis("redis+sentinel://a,b"), "!");
	cr_expect_str_eq(redis("redis+sentinel://a,b/"), "!");
	cr_expect_str_eq(redis("redis+cluster://a,,b"), "!");
	cr_expect_str_eq(redis("redis+other://a"), "!");
	cr_expect_str_eq(redis("redisss://a"), "!");
	cr_expect_str_eq(redis("redis+cluster://a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q"), "!");
}

Test(connstr, lists)
{
	struct slice rest = slice_str(" a, ,b ,,c"), item;
	char result[32] = "";

	while (config_list_next(&rest, &item))
		strncat(result, item.ptr, item.len);
	cr_expect_str_eq(result, "abc");
	cr_expect(config_list_has("root, bob", slice_str("bob")));
	cr_expect_not(config_list_has("root, bobby", slice_str("bob")));
	cr_expect_not(config_list_has("", slice_str("")));
}
