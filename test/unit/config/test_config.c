/* SPDX-License-Identifier: PostgreSQL */
/*
 * Whole configurations from text: sections, inheriting, effective values,
 * clusters, SET, differences.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "config/config.h"

static struct config *load(const char *text)
{
	struct config_error err;
	struct config *cfg = config_load_text(text, &err);
	char why[600] = "";

	if (!cfg)
		config_error_text(&err, why, sizeof(why));
	cr_assert_not_null(cfg, "%s", why);
	return cfg;
}

/* The error of a text that must be refused. */
static const char *refused(const char *text)
{
	static char why[600];
	struct config_error err;
	struct config *cfg = config_load_text(text, &err);

	cr_assert_null(cfg, "accepted: %s", text);
	config_error_text(&err, why, sizeof(why));
	return why;
}

static const struct config_database *database(const struct config *cfg, const char *name)
{
	return config_database_find(cfg, slice_str(name));
}

Test(config, empty_has_the_defaults)
{
	struct config *cfg = load("");

	cr_expect_eq(cfg->global.listen_port, 6432);
	cr_expect_eq(cfg->global.pool_mode, POOL_MODE_TRANSACTION);
	cr_expect_eq(cfg->global.failover_wait_timeout_us, 60000000);
	cr_expect_eq(cfg->global.cache_bytes, 64u << 20);
	cr_expect_eq(cfg->database_count, 0);
	cr_expect_null(database(cfg, "any"));
	config_put(&cfg);
	cr_expect_null(cfg);
}

Test(config, both_section_names_and_comments)
{
	struct config *cfg = load("; a\n# b\n[pgbouncer]\nlisten_port = 1\n"
	                          "[pgweir]\nworkers=2\n");

	cr_expect_eq(cfg->global.listen_port, 1);
	cr_expect_eq(cfg->global.workers, 2);
	cr_expect_eq(cfg->note_count, 0);
	config_put(&cfg);
}

Test(config, value_keeps_semicolon_and_hash)
{
	struct config *cfg = load("[pgweir]\nserver_check_query = select 1; -- # x\n");

	cr_expect_str_eq(cfg->global.server_check_query, "select 1; -- # x");
	config_put(&cfg);
}

Test(config, long_lines_are_whole)
{
	static char text[20000];
	struct config *cfg;
	size_t len = (size_t)snprintf(text, sizeof(text), "[pgweir]\nadmin_users = ");

	for (int i = 0; i < 1500; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "user%d,", i);
	cfg = load(text);
	cr_expect(config_is_admin_user(cfg, slice_str("user1499")));
	config_put(&cfg);
}

Test(config, database_inherits_and_overrides)
{
	struct config *cfg = load("[databases]\na = host=h pool_size=3 cache=on consistency=strong\n"
	                          "b = host=h\n* = host=h dbname=other\n"
	                          "[pgweir]\ndefault_pool_size=9\ncache_ttl=5\n");
	const struct config_database *a = database(cfg, "a"), *b = database(cfg, "b");

	cr_expect_eq(config_pool_size(cfg, a, NULL), 3);
	cr_expect_eq(config_pool_size(cfg, b, NULL), 9);
	cr_expect(a->cache);
	cr_expect_not(b->cache);
	cr_expect_eq(a->consistency, CONSISTENCY_STRONG);
	cr_expect_eq(b->consistency, CONSISTENCY_SESSION);
	cr_expect_eq(a->cache_ttl_us, 5000000);
	cr_expect(slice_is(config_dbname(a, slice_str("a")), "a"));
	cr_expect(database(cfg, "zzz")->is_fallback);
	cr_expect(slice_is(config_dbname(database(cfg, "zzz"), slice_str("zzz")), "other"));
	config_put(&cfg);
}

Test(config, user_overrides)
{
	struct config *cfg = load("[databases]\na = host=h pool_mode=session\n"
	                          "[users]\nu = pool_mode=statement pool_size=2 query_timeout=7\nv =\n"
	                          "[pgweir]\nquery_timeout=1\nmax_user_connections=4\n");
	const struct config_database *a = database(cfg, "a");
	const struct config_user *u = config_user_find(cfg, slice_str("u"));
	const struct config_user *v = config_user_find(cfg, slice_str("v"));

	cr_expect_eq(config_pool_mode(cfg, a, NULL), POOL_MODE_SESSION);
	cr_expect_eq(config_pool_mode(cfg, a, u), POOL_MODE_STATEMENT);
	cr_expect_eq(config_pool_mode(cfg, a, v), POOL_MODE_SESSION);
	cr_expect_eq(config_pool_size(cfg, a, u), 2);
	cr_expect_eq(config_query_timeout_us(cfg, u), 7000000);
	cr_expect_eq(config_query_timeout_us(cfg, v), 1000000);
	cr_expect_eq(config_max_user_connections(cfg, u), 4);
	cr_expect_null(config_user_find(cfg, slice_str("w")));
	config_put(&cfg);
}

Test(config, clusters)
{
	struct config *cfg =
		load("[databases]\na = cluster=main\nb = cluster=fixed\nc = host=h1,h2:7 port=6\n"
	         "d = host=h1,h2:7 port=6 user=u password=p\ne = host=h1\n"
	         "[clusters]\nmain = patroni=http://x:1,http://y:2 user=m password=s\n"
	         "fixed = hosts=10.0.0.1,10.0.0.2:9 user=f\n");
	const struct config_cluster *main = database(cfg, "a")->cluster;
	const struct config_cluster *fixed = database(cfg, "b")->cluster;
	const struct config_cluster *implicit = database(cfg, "c")->cluster;

	cr_expect_eq(cfg->cluster_count, 4);
	cr_expect_eq(main->patroni_url_count, 2);
	cr_expect_str_eq(main->patroni_urls[1], "http://y:2");
	cr_expect_not(main->is_static);
	cr_expect_str_eq(main->probe_dbname, "postgres");
	cr_expect(fixed->is_static);
	cr_expect_eq(fixed->host_count, 2);
	cr_expect_eq(fixed->hosts[0].port, 5432);
	cr_expect_eq(fixed->hosts[1].port, 9);
	cr_expect(implicit->is_implicit);
	cr_expect_eq(implicit->host_count, 1);
	cr_expect_str_eq(implicit->hosts[0].host, "h1,h2:7");
	cr_expect_eq(implicit->hosts[0].port, 6);
	cr_expect_eq(database(cfg, "d")->cluster, implicit);
	cr_expect_str_eq(implicit->user, "u");
	cr_expect_str_eq(database(cfg, "e")->cluster->name, "h1:5432");
	config_put(&cfg);
}

static const char *balance_of(struct config *cfg, const char *name)
{
	const char *text = config_load_balance_text(database(cfg, name));

	return text ? text : "none";
}

Test(config, several_hosts_are_alike_or_told_apart)
{
	static const char text[] = "[databases]\na = host=h1,h2\nb = host='h1, h2' load_balance_hosts="
							   "disable\nc = host=h1 load_balance_hosts=disable\n[pgweir]\n";
	static char long_list[2000];
	struct config_error err;
	struct config *cfg = load(text);

	cr_expect_eq(database(cfg, "a")->cluster, database(cfg, "b")->cluster);
	cr_expect_str_eq(balance_of(cfg, "a"), "round-robin");
	cr_expect_str_eq(balance_of(cfg, "b"), "disable");
	cr_expect_str_eq(balance_of(cfg, "c"), "none");
	config_put(&cfg);
	snprintf(long_list, sizeof(long_list), "%sprobe_user = p\n", text);
	cfg = load(long_list);
	cr_expect_str_eq(balance_of(cfg, "a"), "none");
	cr_expect_eq(database(cfg, "a")->cluster->host_count, 2);
	cr_expect_str_eq(balance_of(cfg, "b"), "disable");
	config_put(&cfg);
	snprintf(long_list, sizeof(long_list), "[databases]\na = host=");
	for (int i = 0; i < 5; i++)
		snprintf(long_list + strlen(long_list), 300, "%s%0250d", i ? "," : "", i);
	cr_expect_null(config_load_text(long_list, &err));
	cr_expect_str_eq(err.message, "the list of hosts is longer than 1023 bytes");
}

Test(config, conffile_is_the_file_that_was_read)
{
	char path[] = "/tmp/weir-test-XXXXXX";
	int fd = mkstemp(path);
	struct config_error err;
	struct config *cfg = config_load(path, &err), *other;

	cr_assert_not_null(cfg);
	close(fd);
	unlink(path);
	cr_expect_str_eq(cfg->global.conffile, path);
	other = config_with(cfg, slice_str("conffile"), slice_str("/x"), &err);
	cr_expect_str_eq(other->global.conffile, "/x");
	config_put(&cfg);
	config_put(&other);
}

Test(config, minus_one_leaves_a_value_open)
{
	struct config_error err;
	struct config *cfg = load("[pgweir]\ndefault_pool_size = 7\nquery_wait_timeout = 9\n"
	                          "[databases]\na = host=h pool_size=-1 query_wait_timeout=-1\n"
	                          "[users]\nu = pool_size=-1 query_timeout=-1\n");
	const struct config_user *u = config_user_find(cfg, slice_str("u"));

	cr_expect_eq(database(cfg, "a")->pool_size, 7);
	cr_expect_eq(database(cfg, "a")->query_wait_timeout_us, 9000000);
	cr_expect_not(config_database_gives(database(cfg, "a"), "pool_size"));
	cr_expect_eq(u->given, 0);
	config_put(&cfg);
	cr_expect_null(config_load_text("[pgweir]\ndefault_pool_size = -1\n", &err));
}

Test(config, without_a_host_it_is_the_unix_socket)
{
	struct config *cfg = load("[databases]\na =\n[pgweir]\nunix_socket_dir = /run/x\n");

	cr_expect_str_eq(database(cfg, "a")->cluster->hosts[0].host, "/run/x");
	config_put(&cfg);
	cfg = load("[databases]\na =\n[pgweir]\nunix_socket_dir =\n");
	cr_expect_str_eq(database(cfg, "a")->cluster->hosts[0].host, "/var/run/postgresql");
	config_put(&cfg);
}

Test(config, one_cluster_is_the_default)
{
	struct config *cfg = load("[databases]\na =\n[clusters]\nm = patroni=http://x:1\n");

	cr_expect_str_eq(database(cfg, "a")->cluster->name, "m");
	config_put(&cfg);
}

static void write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	cr_assert(f && fputs(text, f) >= 0 && fclose(f) == 0, "%s", path);
}

Test(config, secrets_from_files)
{
	char path[] = "/tmp/test_config.XXXXXX", text[600], want[200];
	struct config *cfg;

	close(mkstemp(path));
	snprintf(text, sizeof(text),
	         "[pgweir]\nprobe_password_file = %s\ncache_redis = redis://u@h\n"
	         "cache_redis_password_file = %s\n"
	         "[databases]\na = host=h password_file=%s\nb = cluster=m\n"
	         "[clusters]\nm = patroni=http://x:1 password_file=%s\nn = patroni=http://y:1\n",
	         path, path, path, path);
	write_text(path, "first one\nsecond line\n");
	cfg = load(text);
	cr_expect_str_eq(cfg->global.probe_password, "first one");
	cr_expect_str_eq(cfg->redis.password, "first one");
	cr_expect_str_eq(database(cfg, "a")->password, "first one");
	cr_expect_str_eq(database(cfg, "b")->cluster->password, "first one");
	cr_expect_str_eq(cfg->clusters[1].password, "first one", "inherits probe_password");
	config_put(&cfg);
	write_text(path, "changed");
	cfg = load(text);
	cr_expect_str_eq(cfg->redis.password, "changed");
	config_put(&cfg);
	write_text(path, "\n");
	snprintf(want, sizeof(want),
	         "text:2: probe_password_file: %s: the file's first line is empty", path);
	cr_expect_str_eq(refused(text), want);
	unlink(path);
	snprintf(want, sizeof(want), "text:2: probe_password_file: %s: No such file or directory",
	         path);
	cr_expect_str_eq(refused(text), want);
}

Test(config, refusals_name_line_and_option)
{
	static const char *const rows[][2] = {
		{ "[pgweir]\n\nlisten_prot = 1\n", "text:3: listen_prot: unknown option" },
		{ "[pgweir]\nworkers = 99\n", "text:2: workers: \"99\" isn't a whole number from 0 to 64" },
		{ "[pgweirs]\nworkers = 1\n", "text:1: pgweirs: unknown section" },
		{ "workers = 1\n", "text:1: workers: stands before the first [section]" },
		{ "[pgweir]\nworkers\n", "text:2: neither name = value nor [section]" },
		{ "[pgweir\nworkers=1\n", "text:1: a section's name has no ]" },
		{ "[databases]\na = host=h cluster=m\n",
		  "text:2: a: cluster= and host= exclude each other" },
		{ "[databases]\na = cluster=m\n",
		  "text:2: a: there is no cluster of that name in [clusters]" },
		{ "[databases]\na = hots=h\n", "text:2: hots: unknown option" },
		{ "[databases]\npgbouncer = host=h\n", "text:2: pgbouncer: the name is the console's" },
		{ "[databases]\na = host=h:x\n", "text:2: a: a host isn't of the form host or host:port" },
		{ "[clusters]\nm = user=u\n", "text:2: m: a cluster has either patroni= or hosts=" },
		{ "[clusters]\nm = patroni=10.0.0.1:8008\n",
		  "text:2: m: a Patroni address doesn't begin with http:// or https://" },
		{ "[clusters]\nm = patroni=http://a:1,https://b:1\n",
		  "text:2: m: https addresses of Patroni need patroni_ca_file" },
		{ "[clusters]\nm = patroni=http://a:1 patroni_key_file=/k\n",
		  "text:2: m: patroni_cert_file and patroni_key_file go together" },
		{ "[users]\nu = pool_mode=x\n",
		  "text:2: pool_mode: \"x\" isn't session, transaction or statement" },
		{ "[pgweir]\nclient_low_water = 1MB\n",
		  "text:2: client_low_water: isn't below client_high_water" },
		{ "[pgweir]\nhttp_listen = 8080\n", "text:2: http_listen: isn't host:port" },
		{ "[pgweir]\nauth_type = pam\n", "text:2: auth_type: ldap and pam aren't supported" },
		{ "[pgweir]\nauth_type = cert\n",
		  "text:2: auth_type: cert needs client_tls_sslmode verify-full" },
		{ "[pgweir]\nauth_type = hba\n", "text:2: auth_type: hba needs auth_hba_file" },
		{ "[pgweir]\n%includes x\n", "text:2: unknown directive, only %include is known" },
		{ "[pgweir]\n%include /nonexistent/x\n",
		  "text:2: can't open \"/nonexistent/x\": No such file or directory" },
	};

	for (size_t i = 0; i < WEIR_COUNTOF(rows); i++)
		cr_expect_str_eq(refused(rows[i][0]), rows[i][1], "got: %s", refused(rows[i][0]));
}

Test(config, notes)
{
	struct config *cfg = load("[pgweir]\npkt_buf = 8192\nworkers=1\nworkers=2\n"
	                          "[databases]\na = host=h\na = host=h2 port=1 port=2\n");

	cr_expect_eq(cfg->global.workers, 2);
	cr_expect_str_eq(database(cfg, "a")->host, "h2");
	cr_expect_eq(cfg->note_count, 4);
	cr_expect_eq(cfg->notes[0].line, 2);
	cr_expect_not_null(strstr(cfg->notes[0].text, "pkt_buf is accepted and has no effect"));
	cr_expect_str_eq(cfg->notes[1].text, "workers is given twice, the last one counts");
	cr_expect_eq(cfg->notes[1].line, 4);
	config_put(&cfg);
}

Test(config, environment_wins)
{
	struct config *cfg;

	setenv("PGWEIR_LISTEN_PORT", "7777", 1);
	cfg = load("[pgweir]\nlisten_port = 1\n");
	cr_expect_eq(cfg->global.listen_port, 7777);
	config_put(&cfg);
	setenv("PGWEIR_LISTEN_PORT", "x", 1);
	cr_expect_str_eq(refused(""),
	                 "environment: listen_port: \"x\" isn't a whole number from 0 to 65535");
}

Test(config, with_changes_a_copy)
{
	struct config_error err;
	struct config *cfg = load("[databases]\na = host=h\n[pgweir]\ncache_ttl=5\n");
	struct config *changed = config_with(cfg, slice_str("cache_ttl"), slice_str("9"), &err);

	cr_assert_not_null(changed);
	cr_expect_eq(cfg->global.cache_ttl_us, 5000000);
	cr_expect_eq(changed->global.cache_ttl_us, 9000000);
	config_put(&cfg); /* the copy stands alone */
	cr_expect_eq(database(changed, "a")->cache_ttl_us, 9000000);
	cr_expect_null(config_with(changed, slice_str("nope"), slice_str("9"), &err));
	cr_expect_str_eq(err.message, "unknown option");
	config_put(&changed);
}

Test(config, set_again_and_again_keeps_one_entry)
{
	struct config_error err;
	struct config *cfg = load("[pgweir]\ncache_ttl=5\n");
	size_t count = cfg->entry_count;

	for (int i = 0; i < 5; i++) {
		struct config *next = config_with(cfg, slice_str(i % 2 ? "cache_ttl" : "query_timeout"),
		                                  slice_str(i % 2 ? "8" : "9"), &err);

		cr_assert_not_null(next);
		config_put(&cfg);
		cfg = next;
	}
	cr_expect_eq(cfg->entry_count, count + 2);
	cr_expect_eq(cfg->global.cache_ttl_us, 8000000);
	cr_expect_eq(cfg->global.query_timeout_us, 9000000);
	config_put(&cfg);
}

Test(config, diff_names_what_needs_a_restart)
{
	struct config *a = load("[pgweir]\nworkers=1\ncache_ttl=1\n");
	struct config *b = load("[pgweir]\nworkers=2\ncache_ttl=2\nlisten_addr=x\n");
	const char *names[1];

	cr_expect_eq(config_diff(a, a, names, 1), 0);
	cr_expect_eq(config_diff(a, b, names, 1), 2);
	cr_expect_str_eq(names[0], "workers");
	config_put(&a);
	config_put(&b);
}

Test(config, what_needs_a_restart_is_kept)
{
	struct config *a = load("[pgweir]\nworkers=1\npidfile=old\nquery_timeout=1\n");
	struct config *b = load("[pgweir]\nworkers=2\npidfile=new\nquery_timeout=2\n");
	struct config_error err;
	struct config *c;

	config_keep(b, a);
	cr_expect_eq(b->global.workers, 1);
	cr_expect_eq(b->global.query_timeout_us, 2000000);
	config_put(&a);
	cr_expect_str_eq(b->global.pidfile, "old");
	c = config_with(b, slice_str("query_timeout"), slice_str("3"), &err);
	config_put(&b);
	cr_expect_eq(c->global.workers, 1);
	cr_expect_str_eq(c->global.pidfile, "old");
	cr_expect_eq(c->global.query_timeout_us, 3000000);
	config_put(&c);
}

/* Is a server of the entry as it was as good for this one? */
static bool still_good(const char *line, const char *globals)
{
	struct config *a = load("[databases]\na = host=h dbname=d pool_size=3\n");
	char text[300];
	struct config *b;
	bool is_same;

	snprintf(text, sizeof(text), "[databases]\na = %s\n[pgweir]\n%s\n", line, globals);
	b = load(text);
	is_same = config_same_servers(a, database(a, "a"), b, database(b, "a"));
	config_put(&a);
	config_put(&b);
	return is_same;
}

Test(config, entries_with_the_same_servers)
{
	static const char *const others[] = {
		"host=g dbname=d",          "host=h port=1 dbname=d",      "host=h dbname=e",
		"host=h dbname=d user=u",   "host=h,g dbname=d",
		"host=h dbname=d connect_query=x",
		"host=h dbname=d timezone=x", "host=h dbname=d client_encoding=x",
		"host=h dbname=d datestyle=x", "host=h dbname=d application_name=x",
	};

	cr_expect(still_good("host=h dbname=d pool_size=9 password=p pool_mode=session", "verbose=1"));
	for (size_t i = 0; i < WEIR_COUNTOF(others); i++)
		cr_expect_not(still_good(others[i], ""), "%s", others[i]);
	cr_expect_not(still_good("host=h dbname=d", "server_tls_sslmode=require"));
	cr_expect_not(still_good("host=h dbname=d", "server_tls_ca_file=x"));
}

Test(config, a_late_error_names_where_the_option_is_set)
{
	struct config *cfg = load("[databases]\na = host=h\n[pgweir]\nworkers = 1\n"
	                          "auth_file = x\n[databases]\nauth_file = host=h\n");
	struct config_error err;
	char text[400];

	config_error_of(cfg, "auth_file", "no such file", &err);
	config_error_text(&err, text, sizeof text);
	cr_expect_str_eq(text, "text:5: auth_file: no such file");
	config_error_of(cfg, "logfile", "bad", &err); /* a default */
	cr_expect_eq(err.line, 0);
	cr_expect_str_eq(err.option, "logfile");
	config_put(&cfg);
}

Test(config, counted)
{
	struct config *a = load("");
	struct config *b = config_get(a);

	config_put(&a);
	cr_expect_eq(b->global.listen_port, 6432);
	config_put(&b);
	config_put(&b);
}

Test(config, addresses_are_taken_apart)
{
	struct config *cfg = load("[pgweir]\nhttp_listen = 127.0.0.1:8080\n"
	                          "cache_redis = redis://u:p@r:1\n");

	cr_expect_str_eq(cfg->http.host, "127.0.0.1");
	cr_expect_eq(cfg->http.port, 8080);
	cr_expect_str_eq(cfg->redis.seeds[0].host, "r");
	cr_expect_str_eq(cfg->redis.password, "p");
	config_put(&cfg);
}

Test(config, roles)
{
	struct config *cfg = load("[pgweir]\nadmin_users = root\nstats_users = mon\n");

	cr_expect(config_is_admin_user(cfg, slice_str("root")));
	cr_expect(config_is_stats_user(cfg, slice_str("root")));
	cr_expect(config_is_stats_user(cfg, slice_str("mon")));
	cr_expect_not(config_is_admin_user(cfg, slice_str("mon")));
	cr_expect(config_is_admin_database(slice_str("pgweir")));
	cr_expect_not(config_is_admin_database(slice_str("postgres")));
	config_put(&cfg);
}

Test(config, names_in_a_list_are_parted_by_commas_or_blanks)
{
	struct config *cfg = load("[pgweir]\nadmin_users = ann,bob  carl ,\tthe boss\n");

	cr_expect(config_is_admin_user(cfg, slice_str("ann")));
	cr_expect(config_is_admin_user(cfg, slice_str("bob")));
	cr_expect(config_is_admin_user(cfg, slice_str("carl")));
	cr_expect(config_is_admin_user(cfg, slice_str("the boss")));
	cr_expect_not(config_is_admin_user(cfg, slice_str("an")));
	cr_expect_not(config_is_admin_user(cfg, slice_str("arl")));
	cr_expect_not(config_is_admin_user(cfg, slice_str("")));
	config_put(&cfg);
}

Test(config, less_than_nothing_leaves_a_value_open)
{
	struct config *cfg = load("[databases]\na = host=h pool_size=-7 server_lifetime=-2\n"
	                          "b = host=h pool_size=010\n"
	                          "[pgweir]\ndefault_pool_size=9\nserver_lifetime=3\n");

	cr_expect_eq(config_pool_size(cfg, database(cfg, "a"), NULL), 9);
	cr_expect_eq(database(cfg, "a")->server_lifetime_us, 3000000);
	cr_expect_eq(config_pool_size(cfg, database(cfg, "b"), NULL), 10);
	config_put(&cfg);
}
