/* SPDX-License-Identifier: PostgreSQL */
/*
 * Texts inside of a configuration's values: connect strings, endpoints, Redis
 * addresses, and each option's own form. What an option takes and prints is
 * taken again and equal.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "config/connstr.h"
#include "config/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PRINTED_MAX = 1 << 16, VALUE_MAX = 4096 };

static void check_pairs(struct arena *arena, struct slice text)
{
	struct slice rest = text, key, value;
	const char *why = NULL;
	enum weir_err err;

	while ((err = connstr_next(&rest, arena, &key, &value, &why)) == WEIR_OK) {
		WEIR_ASSERT(key.len > 0 && key.ptr >= text.ptr);
		WEIR_ASSERT(key.ptr + key.len <= text.ptr + text.len && rest.len < text.len);
		WEIR_ASSERT(value.len <= text.len);
	}
	WEIR_ASSERT(err == WEIR_ERR_NOT_FOUND || (err == WEIR_ERR_CONFIG && why));
}

static void check_addresses(struct arena *arena, struct slice text)
{
	struct config_endpoint endpoint;
	struct config_redis redis = { 0 };
	uint16_t port;

	if (port_parse(text, &port))
		WEIR_ASSERT(port > 0);
	if (endpoint_parse(text, 5432, arena, &endpoint))
		WEIR_ASSERT(endpoint.host[0] && endpoint.port > 0);
	if (!redis_url_parse(text, arena, &redis))
		return;
	WEIR_ASSERT(redis.seed_count > 0 && redis.seed_count <= CONFIG_REDIS_SEEDS_MAX);
	WEIR_ASSERT(redis.mode != CONFIG_REDIS_SENTINEL || redis.master);
	for (size_t i = 0; i < redis.seed_count; i++)
		WEIR_ASSERT(redis.seeds[i].host[0] && redis.seeds[i].port > 0);
}

static bool is_printed_whole(const struct option *o)
{
	return o->kind != OPTION_SECRET && o->kind != OPTION_URL;
}

static void check_option(struct arena *arena, const struct option *o, struct slice text)
{
	union {
		struct config_globals globals;
		struct config_database database;
		struct config_user user;
		struct config_cluster cluster;
	} once = { 0 }, again = { 0 };
	char why[256] = "";
	struct buf printed;

	if (!option_parse(o, text, &once, arena, why, sizeof(why))) {
		WEIR_ASSERT(why[0]);
		return;
	}
	buf_init(&printed, PRINTED_MAX);
	option_print(o, &once, &printed);
	if (is_printed_whole(o)) {
		WEIR_ASSERT(option_parse(o, buf_slice(&printed), &again, arena, why, sizeof(why)));
		WEIR_ASSERT(option_equal(o, &once, &again));
	}
	buf_fini(&printed);
}

static void check_options(struct arena *arena, struct slice text)
{
	for (int scope = OPTION_SCOPE_GLOBAL; scope <= OPTION_SCOPE_CLUSTER; scope++) {
		struct option_table table = option_table((enum option_scope)scope);

		for (size_t i = 0; i < table.count; i++)
			if (!table.rows[i].group)
				check_option(arena, &table.rows[i], text);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_of(data, size < VALUE_MAX ? size : VALUE_MAX);
	const char *end = memchr(data, '\0', text.len); /* the values of a file have no zero bytes */
	struct arena arena;

	text.len = end ? (size_t)(end - text.ptr) : text.len;
	arena_init(&arena, 4096);
	check_pairs(&arena, text);
	check_addresses(&arena, text);
	check_options(&arena, text);
	arena_fini(&arena);
	return 0;
}
