/* SPDX-License-Identifier: PostgreSQL */
/*
 * Values of options: what is accepted, what is refused, and how it prints.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "config/config.h"
#include "config/value.h"

/* Parses into globals and prints back; "!" and the reason when refused. */
static const char *round_trip(const char *name, const char *text)
{
	static char result[512];
	static struct config_globals globals;
	const struct option *o = option_find(OPTION_SCOPE_GLOBAL, slice_str(name));
	struct arena arena;
	struct buf out;
	char why[256];

	cr_assert_not_null(o, "%s", name);
	arena_init(&arena, 1024);
	buf_init(&out, sizeof(result) - 1);
	if (option_parse(o, slice_str(text), &globals, &arena, why, sizeof(why))) {
		option_print(o, &globals, &out);
		snprintf(result, sizeof(result), "%.*s", (int)out.len, out.data ? out.data : "");
	} else {
		snprintf(result, sizeof(result), "!%s", why);
	}
	buf_fini(&out);
	arena_fini(&arena);
	return result;
}

Test(value, round_trips)
{
	static const struct {
		const char *name, *in, *out;
	} rows[] = {
		{ "max_client_conn", "5000", "5000" },
		{ "max_client_conn", " 7 ", "7" },
		{ "split", "off", "off" },
		{ "split", "TRUE", "on" },
		{ "log_stats", "yes", "1" },
		{ "log_stats", "0", "0" },
		{ "log_stats", "2", "1" },
		{ "log_stats", "-1", "1" },
		{ "log_stats", "0x0", "0" },
		{ "split", "2", "on" },
		{ "max_client_conn", "0x10", "16" },
		{ "max_client_conn", "010", "8" },
		{ "max_client_conn", "+7", "7" },
		{ "max_db_connections", "-1", "0" },
		{ "tcp_keepidle", "-0x10", "0" },
		{ "unix_socket_mode", "0770", "0770" },
		{ "unix_socket_mode", "511", "0777" },
		{ "unix_socket_mode", "0x1ff", "0777" },
		{ "max_packet_size", "4294967295", "4294967295" },
		{ "max_packet_size", "0x7fffffff", "2147483647" },
		{ "cache_size", "0.5MB", "512kB" },
		{ "cache_size", "1GB", "1GB" },
		{ "cache_size", "1.5GB", "1536MB" },
		{ "cache_size", "100000", "100000" },
		{ "cache_size", "65536", "64kB" },
		{ "cache_size", "128 kb", "128kB" },
		{ "pkt_buf", "4kB", "4096" },
		{ "probe_interval", "0.25", "0.25" },
		{ "probe_interval", "250ms", "0.25" },
		{ "probe_interval", "2 min", "120" },
		{ "server_lifetime", "3600", "3600" },
		{ "server_lifetime", ".5", "0.5" },
		{ "server_lifetime", "5.", "5" },
		{ "server_lifetime", "+5", "5" },
		{ "server_lifetime", "010", "10" },
		{ "stats_period", "020", "16" },
		{ "stats_period", "1.5", "1.5" },
		{ "query_wait_notify", "0x20", "32" },
		{ "server_lifetime", "1e3", "1000" },
		{ "server_lifetime", "25E-1", "2.5" },
		{ "server_lifetime", "1.5e+2", "150" },
		{ "server_lifetime", "0.000001e6", "1" },
		{ "server_lifetime", "1e-300", "0" },
		{ "server_lifetime", "1e400", "2147483647" },
		{ "server_lifetime", "9999999999", "2147483647" },
		{ "server_lifetime", "99999999999999999999999", "2147483647" },
		{ "cache_redis_timeout", "0.0015", "0.0015" },
		{ "pool_mode", "Statement", "statement" },
		{ "consistency", "eventual", "eventual" },
		{ "auth_type", "scram-sha-256", "scram-sha-256" },
		{ "listen_addr", "a, b", "a, b" },
		{ "probe_password", "hush", "********" },
		{ "probe_password", "", "" },
		{ "cache_redis", "redis://u:p:w@h:1", "redis://u:********@h:1" },
		{ "cache_redis", "redis://h:1", "redis://h:1" },
	};

	for (size_t i = 0; i < WEIR_COUNTOF(rows); i++)
		cr_expect_str_eq(round_trip(rows[i].name, rows[i].in), rows[i].out, "%s = %s gave %s",
		                 rows[i].name, rows[i].in, round_trip(rows[i].name, rows[i].in));
}

Test(value, refusals)
{
	static const char *const rows[][2] = {
		{ "max_client_conn", "" },
		{ "max_client_conn", "many" },
		{ "max_client_conn", "0" },
		{ "max_client_conn", "1e3" },
		{ "max_client_conn", "-1" },
		{ "max_client_conn", "99999999999999999999" },
		{ "max_client_conn", "5.5" },
		{ "max_client_conn", "5 kB" },
		{ "workers", "65" },
		{ "max_client_conn", "08" },
		{ "stats_period", "08" },
		{ "query_wait_notify", "0x" },
		{ "max_client_conn", "0x" },
		{ "max_client_conn", "5." },
		{ "max_client_conn", "+" },
		{ "split", "" },
		{ "split", "1.0" },
		{ "log_stats", "1 kB" },
		{ "unix_socket_mode", "0888" },
		{ "unix_socket_mode", "777" },
		{ "server_lifetime", "." },
		{ "server_lifetime", "-5" },
		{ "server_lifetime", "1e" },
		{ "server_lifetime", "0x10" },
		{ "server_lifetime", "inf" },
		{ "max_packet_size", "-1" },
		{ "unix_socket_mode", "7777" },
		{ "cache_size", "1XB" },
		{ "cache_size", "-1" },
		{ "cache_size", "1024" },
		{ "cache_size", "999999999999TB" },
		{ "probe_interval", "0.001" },
		{ "probe_interval", "1 week" },
		{ "pool_mode", "sessions" },
		{ "pool_mode", "" },
		{ "consistency", "transaction" },
		{ "peer_id", "16384" },
	};

	for (size_t i = 0; i < WEIR_COUNTOF(rows); i++)
		cr_expect_eq(round_trip(rows[i][0], rows[i][1])[0], '!', "%s = %s was accepted", rows[i][0],
		             rows[i][1]);
}

Test(value, refusal_names_the_range)
{
	cr_expect_str_eq(round_trip("workers", "65"), "!\"65\" isn't a whole number from 0 to 64");
	cr_expect_str_eq(round_trip("pool_mode", "x"),
	                 "!\"x\" isn't session, transaction or statement");
}

Test(value, every_default_is_valid_and_prints_as_itself)
{
	struct option_table table = option_table(OPTION_SCOPE_GLOBAL);

	for (size_t i = 0; i < table.count; i++) {
		const struct option *o = &table.rows[i];

		if (o->name)
			cr_expect_str_eq(round_trip(o->name, o->default_text), o->default_text, "%s", o->name);
	}
}
