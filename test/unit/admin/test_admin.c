/* SPDX-License-Identifier: PostgreSQL */
/*
 * Console commands over a made-up source: columns, sums, roles, orders.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "admin/command.h"
#include "fake.h"
#include "wire/build.h"

static const char ini[] =
	"[pgweir]\nadmin_users = root\nstats_users = mon\nprobe_password = hush1\n"
	"[clusters]\nmain = patroni=http://x:1 password=hush2\n"
	"[databases]\nshop = cluster=main cache=on password=hush3\n"
	"[users]\napp = pool_size=3\n";

static struct fake f;

static void setup(void)
{
	fake_init(&f, ini);
}

static void teardown(void)
{
	fake_fini(&f);
}

TestSuite(admin, .init = setup, .fini = teardown);

static const char *stats(const char *sql)
{
	return fake_run(&f, ADMIN_ROLE_STATS, sql);
}

static const char *admin(const char *sql)
{
	return fake_run(&f, ADMIN_ROLE_ADMIN, sql);
}

Test(admin, columns_are_pgbouncers)
{
	static const char *const rows[][2] = {
		{ "SHOW POOLS",
		  "database,user,cl_active,cl_waiting,cl_active_cancel_req,cl_waiting_cancel_req,"
		  "sv_active,sv_active_cancel,sv_being_canceled,sv_idle,sv_used,sv_tested,sv_login,"
		  "maxwait,maxwait_us,pool_mode,load_balance_hosts\n" },
		{ "SHOW CLIENTS",
		  "type,user,database,replication,state,addr,port,local_addr,local_port,connect_time,"
		  "request_time,wait,wait_us,close_needed,ptr,link,remote_pid,tls,application_name,"
		  "prepared_statements,id," },
		{ "SHOW SERVERS", "type,user,database,replication,state,addr,port," },
		{ "SHOW SOCKETS", "type,user,database,replication,state," },
		{ "SHOW STATS",
		  "database,total_server_assignment_count,total_xact_count,total_query_count,"
		  "total_received,total_sent,total_xact_time,total_query_time,total_wait_time,"
		  "total_client_parse_count,total_server_parse_count,total_bind_count,"
		  "total_client_login_count,avg_server_assignment_count,avg_xact_count,"
		  "avg_query_count,avg_recv,avg_sent,avg_xact_time,avg_query_time,avg_wait_time,"
		  "avg_client_parse_count,avg_server_parse_count,avg_bind_count,"
		  "avg_client_login_count," },
		{ "SHOW STATS_TOTALS",
		  "database,server_assignment_count,xact_count,query_count,bytes_received,bytes_sent,"
		  "xact_time,query_time,wait_time,client_parse_count,server_parse_count,bind_count,"
		  "client_login_count," },
		{ "SHOW STATS_AVERAGES",
		  "database,server_assignment_count,xact_count,query_count,bytes_received,bytes_sent,"
		  "xact_time,query_time,wait_time,avg_client_parse_count,avg_server_parse_count,"
		  "avg_bind_count,avg_client_login_count," },
		{ "SHOW TOTALS", "name,value\ntotal_server_assignment_count|0\n" },
		{ "SHOW DATABASES",
		  "name,host,port,database,force_user,pool_size,min_pool_size,reserve_pool_size,"
		  "server_lifetime,pool_mode,load_balance_hosts,max_connections,current_connections,"
		  "max_client_connections,current_client_connections,paused,disabled," },
		{ "SHOW USERS",
		  "name,pool_size,reserve_pool_size,pool_mode,max_user_connections,"
		  "current_connections,max_user_client_connections,current_client_connections\n" },
		{ "SHOW LISTS", "list,items\ndatabases|2\nusers|4\n" },
		{ "SHOW CONFIG", "key,value,default,changeable\n" },
		{ "SHOW MEM", "name,size,used,free,memtotal," },
		{ "SHOW STATE", "key,value\nactive|yes\npaused|no\nSHOW\n" },
		{ "SHOW DNS_HOSTS", "hostname,ttl,addrs\nSHOW\n" },
		{ "SHOW DNS_ZONES", "zonename,serial,count\nSHOW\n" },
		{ "SHOW PEERS", "peer_id,host,port,pool_size\nSHOW\n" },
		{ "SHOW PEER_POOLS", "peer_id,cl_active_cancel_req,cl_waiting_cancel_req," },
		{ "SHOW VERSION", "version,pgweir\nPgBouncer 1." },
	};

	for (size_t i = 0; i < WEIR_COUNTOF(rows); i++) {
		const char *got = stats(rows[i][0]);

		cr_expect(strncmp(got, rows[i][1], strlen(rows[i][1])) == 0, "%s gave %s", rows[i][0], got);
	}
}

Test(admin, pools_are_added_up)
{
	cr_expect_not_null(strstr(stats("show pools"),
	                          "\nshop|app|3|6|0|0|2|0|0|4|0|0|0|1|500000|transaction|-\nSHOW\n"));
	cr_expect_eq(f.wanted, ADMIN_WANT_POOLS);
	cr_expect_not_null(strstr(stats("show pools"),
	                          "\npgbouncer|pgbouncer|2|0|0|0|0|0|0|0|0|0|0|0|0|statement|-\n"));
	cr_expect_not_null(strstr(stats("show node_pools"),
	                          "\nshop|app|0|6|0|0|0|0|0|0|0|0|0|0|0|transaction|-|n2\nSHOW\n"));
}

Test(admin, clients_and_servers)
{
	cr_expect_not_null(
		strstr(stats("show clients"),
	           "\nC|guest|shop|none|active|10.0.0.1|5|10.0.0.2|6432|"
	           "1970-01-01 00:00:01 UTC|-|2|3|0|"
	           "0xab|0xcd|0||x|4|11|temporary table||1\nSHOW\n"));
	cr_expect_not_null(strstr(stats("show servers"), "|10||n1|0\nS|guest|shop|none|idle|"));
	cr_expect_null(strstr(stats("show active_sockets"), "|idle|"));
	cr_expect_not_null(strstr(stats("show sockets"), "|4|10|0|0|0|0|0|0|0|"));
	cr_expect_not_null(
		strstr(stats("show users"), "\napp|3|-|-|0|1|0|1\nguest|-|-|-|0|1|0|1\n"
	                                "listed|-|-|-|0|0|0|0\npgbouncer|-|-|-|0|0|0|0\nSHOW\n"));
	cr_expect_not_null(strstr(stats("show lists"), "\nfree_servers|0\nused_servers|2\n"));
}

Test(admin, stats_come_from_the_counters)
{
	struct db_stats *s = metrics_database(metrics_block(f.metrics, 0), slice_str("shop"));

	stat_add(&s->xact_count, 5);
	stat_add(&s->pins, 2);
	cr_expect_not_null(strstr(stats("show stats"), "\nshop|0|5|0|"));
	cr_expect_not_null(strstr(stats("show totals"), "\ntotal_xact_count|5\n"));
	cr_expect_not_null(strstr(stats("show totals"), "\ntotal_pins|2\n"));
	cr_expect_not_null(strstr(stats("show totals"), "\ntotal_client_bytes|0\n"));
}

Test(admin, nodes_cache_databases)
{
	const char *nodes = stats("show nodes");

	cr_expect_not_null(strstr(nodes, "\nmain|n1|10.0.0.1|5432|primary|running|3|-|-|-|0|1|0|0\n"));
	cr_expect_not_null(
		strstr(nodes, "\nmain|n2|10.0.0.2|5432|replica|running|3|77|-|1/AA|0|1|0|0\n"));
	cr_expect_not_null(strstr(stats("show cache"), "\nhits_local|7\n"));
	cr_expect_not_null(strstr(stats("show databases"), "\nshop|10.0.0.1|5432|shop|-|20|"));
	cr_expect_not_null(strstr(stats("show databases"),
	                          "\npgbouncer|-|6432|pgbouncer|pgbouncer|2|0|0|3600|statement|-|"
	                          "0|0|0|2|"));
}

/* What "*" made is there by its own name, while it is used; the entry itself isn't. */
Test(admin, databases_of_the_fallback)
{
	fake_fini(&f);
	fake_init(&f, "[pgweir]\n[databases]\n* = host=10.0.0.9 pool_size=7\n");
	cr_expect_not_null(strstr(stats("show databases"), "\nshop|10.0.0.9|5432|shop|-|7|"));
	cr_expect_null(strstr(stats("show databases"), "*"));
	cr_expect_not_null(strstr(stats("show lists"), "\ndatabases|2\n"));
}

Test(admin, no_command_shows_a_secret)
{
	const struct admin_command *c;

	for (size_t i = 0; (c = command_at(i)); i++)
		if (strncmp(c->words, "SHOW", 4) == 0)
			cr_expect_null(strstr(admin(c->words), "hush"), "%s", c->words);
	cr_expect_not_null(strstr(admin("show config"), "\nprobe_password|********||yes\n"));
}

Test(admin, help_lists_every_command)
{
	const struct admin_command *c;
	char row[100];

	for (size_t i = 0; (c = command_at(i)); i++) {
		snprintf(row, sizeof(row), "\n%s|", c->words);
		cr_expect_not_null(strstr(stats("show help"), row), "%s", c->words);
	}
}

/* Role x command, complete by construction. */
Test(admin, stats_users_may_not_act)
{
	const struct admin_command *c;

	for (size_t i = 0; (c = command_at(i)); i++) {
		char sql[100];

		if (c->role != ADMIN_ROLE_ADMIN)
			continue;
		snprintf(sql, sizeof(sql), "%s%s", c->words, c->argument == ARGUMENT_NEEDED ? " 1" : "");
		cr_expect_str_eq(stats(sql), "ERROR 42501 admin access needed\n", "%s", sql);
		cr_expect_str_eq(fake_run(&f, ADMIN_ROLE_NONE, sql), "ERROR 42501 admin access needed\n");
	}
	cr_expect_str_eq(stats("set cache_ttl = 5"), "ERROR 42501 admin access needed\n");
	cr_expect_str_eq(f.log, "");
}

Test(admin, orders)
{
	char wanted[200];

	cr_expect_str_eq(admin("reload"), "RELOAD\n");
	cr_expect_str_eq(admin("pause"), "PAUSE\n");
	cr_expect_str_eq(admin("reconnect shop;"), "RECONNECT\n");
	cr_expect_str_eq(admin("kill_client 17"), "KILL_CLIENT\n");
	cr_expect_str_eq(admin("shutdown wait_for_servers"), "SHUTDOWN\n");
	snprintf(wanted, sizeof(wanted), "%d::0;%d::0;%d:shop:0;%d::17;%d::0;", ADMIN_RELOAD,
	         ADMIN_PAUSE, ADMIN_RECONNECT, ADMIN_KILL_CLIENT, ADMIN_SHUTDOWN_SERVERS);
	cr_expect_str_eq(f.log, wanted);
}

Test(admin, orders_that_fail)
{
	cr_expect_str_eq(admin("kill nope"), "ERROR 3D000 no such database: nope\n");
	cr_expect_str_eq(admin("kill a b"), "ERROR 42601 one database name is expected\n");
	cr_expect_str_eq(admin("kill_client x"),
	                 "ERROR 22023 a client's id is expected, as SHOW CLIENTS shows it\n");
	cr_expect_str_eq(admin("kill_client"),
	                 "ERROR 42601 invalid command 'kill_client', use SHOW HELP;\n");
	cr_expect_str_eq(admin("pause pgbouncer"), "ERROR 42809 cannot pause admin db: pgbouncer\n");
	cr_expect_str_eq(admin("wait_close pgweir"), "ERROR 42809 cannot wait in admin db: pgweir\n");
	cr_expect_str_eq(admin("disable"), "ERROR 42601 a database is required\n");
	cr_expect_str_eq(f.log, "");
	f.is_refusing = true;
	cr_expect_str_eq(admin("reload"), "ERROR F0000 refused by the source\n");
}

Test(admin, set)
{
	cr_expect_str_eq(admin("set cache_ttl = 5"), "SET cache_ttl=5\n");
	cr_expect_eq(f.cfg->global.cache_ttl_us, 5000000);
	cr_expect_str_eq(admin("set query_timeout to '7'"), "SET query_timeout=7\n");
	cr_expect_eq(f.cfg->global.query_timeout_us, 7000000);
	cr_expect_str_eq(admin("set admin_users = root, bob"), "SET admin_users=root, bob\n");
	cr_expect_str_eq(admin("set probe_password = hush4"), "SET probe_password=********\n");
	cr_expect_str_eq(f.cfg->global.admin_users, "root, bob");
	cr_expect_str_eq(admin("set workers = 5"),
	                 "ERROR 55P02 workers cannot be changed without a restart\n");
	cr_expect_str_eq(
		admin("set cache_ttl = x"),
		"ERROR 22023 cache_ttl: \"x\" isn't a number of seconds from 0.001 to 31536000\n");
	cr_expect_str_eq(admin("set nope = 1"),
	                 "ERROR 42704 unrecognized configuration parameter \"nope\"\n");
	cr_expect_str_eq(admin("set cache_ttl"), "ERROR 42601 SET option = value is expected\n");
	f.is_refusing = true; /* files that it names can't be read, say */
	cr_expect_str_eq(admin("set cache_ttl = 6"), "ERROR 22023 refused by the source\n");
	cr_expect_eq(f.cfg->global.cache_ttl_us, 5000000);
}

Test(admin, what_drivers_say)
{
	cr_expect_str_eq(stats(""), "EMPTY\n");
	cr_expect_str_eq(stats(" ; "), "EMPTY\n");
	cr_expect_str_eq(stats("SHOW client_encoding"), "client_encoding\nUTF8\nSHOW\n");
	cr_expect_str_eq(stats("show DateStyle"), "datestyle\nISO, MDY\nSHOW\n");
	cr_expect_str_eq(stats("SET extra_float_digits = 3"), "N\nSET\n");
	cr_expect_str_eq(stats("set client_encoding to 'UTF8'"), "N\nSET\n");
	cr_expect_str_eq(stats("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"), "N\nSET\n");
	cr_expect_str_eq(stats("BEGIN"), "BEGIN\n");
	cr_expect_str_eq(stats("select 1"), "?column?\n1\nSELECT 1\n");
	cr_expect_str_eq(stats("select * from pg_class"),
	                 "ERROR 42601 invalid command 'select * from pg_class', use SHOW HELP;\n");
	cr_expect_str_eq(stats("show nothing"),
	                 "ERROR 42601 invalid command 'show nothing', use SHOW HELP;\n");
	cr_expect_str_eq(stats("show pools x"),
	                 "ERROR 42601 invalid command 'show pools x', use SHOW HELP;\n");
}

Test(admin, explain_route)
{
	cr_expect_str_eq(stats("explain route select 1;"),
	                 "key,value\ndatabase|shop\nclass|read\ntarget|replica shop\n"
	                 "reason|select 1\nEXPLAIN\n");
	cr_expect_not_null(strstr(stats("explain route for \"shop\" select  2"), "reason|select  2\n"));
	cr_expect_str_eq(stats("explain route for nope select 2"),
	                 "ERROR 3D000 EXPLAIN ROUTE [FOR database] statement: no such database\n");
	cr_expect_str_eq(stats("explain route fail"), "ERROR 42601 no\n");
}

static int done_count;

static void on_late(struct admin_request *request)
{
	(void)request;
	done_count++;
}

Test(admin, answers_may_come_late)
{
	struct admin_request request = { .role = ADMIN_ROLE_STATS,
		                             .sql = "show pools",
		                             .on_done = on_late };

	buf_init(&request.out, 1 << 16);
	f.is_slow = true;
	admin_run(f.admin, &request);
	cr_expect_eq(done_count, 0);
	fake_answer(&f);
	cr_expect_eq(done_count, 1);
	cr_expect_not_null(strstr(fake_decode(&request.out), "shop|app|"));
	buf_fini(&request.out);
}

Test(admin, an_answer_past_the_bound_is_an_error)
{
	struct admin_request request = { .role = ADMIN_ROLE_STATS,
		                             .sql = "show config",
		                             .on_done = on_late };

	buf_init(&request.out, 500);
	admin_run(f.admin, &request);
	cr_expect_str_eq(fake_decode(&request.out), "ERROR 54000 the answer is too large\n");
	buf_fini(&request.out);
}

Test(admin, fixed_messages)
{
	struct buf out;

	buf_init(&out, 4096);
	admin_greeting(&out);
	buf_append_slice(&out, wire_ready_idle);
	cr_expect(strncmp(fake_decode(&out), "S\nS\n", 4) == 0);
	buf_clear(&out);
	admin_refuse_extended(&out);
	buf_append_slice(&out, wire_ready_idle);
	cr_expect_str_eq(fake_decode(&out),
	                 "ERROR 0A000 extended query protocol not supported by admin console\n");
	buf_fini(&out);
}
