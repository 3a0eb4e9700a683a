/* SPDX-License-Identifier: PostgreSQL */
/*
 * Clusters. A database with plain host= gets a static cluster named after its
 * host list; databases with the same list and port share one, so that a node is
 * probed once. The first of them that has a role gives the probes theirs.
 *
 * Several hosts are one node to PgBouncer, whose connections take turns, and so
 * they are here, unless probe_user is there to tell the primary from replicas.
 */
#include "config/clusters.h"

#include "base/buf.h"
#include "config/connstr.h"
#include "config/hostlist.h"

enum { HOSTS_MAX = 32, NAME_BYTES_MAX = 8192 };

#define DEFAULT_SOCKET_DIR "/var/run/postgresql"

static const char *parse_hosts(struct config_cluster *cluster, const char *list, uint16_t port,
                               struct arena *arena)
{
	size_t count = hostlist_count(list);
	struct config_endpoint *hosts = arena_zalloc(arena, count * sizeof(*hosts) + 1);
	struct slice rest = slice_str(list), item;

	if (count == 0)
		return "the list of hosts is empty";
	if (count > HOSTS_MAX)
		return "more than 32 hosts";
	for (size_t i = 0; config_list_next(&rest, &item); i++)
		if (!endpoint_parse(item, port, arena, &hosts[i]))
			return "a host isn't of the form host or host:port";
	cluster->hosts = hosts;
	cluster->host_count = count;
	cluster->is_static = true;
	return NULL;
}

static bool is_http_url(struct slice url)
{
	static const char *const schemes[] = { "http://", "https://" };

	for (size_t i = 0; i < WEIR_COUNTOF(schemes); i++) {
		size_t len = strlen(schemes[i]);

		if (url.len > len && memcmp(url.ptr, schemes[i], len) == 0)
			return true;
	}
	return false;
}

static const char *parse_patroni(struct config_cluster *cluster, struct arena *arena)
{
	size_t count = hostlist_count(cluster->patroni);
	const char **urls = arena_zalloc(arena, count * sizeof(*urls) + 1);
	struct slice rest = slice_str(cluster->patroni), item;

	for (size_t i = 0; config_list_next(&rest, &item); i++) {
		if (!is_http_url(item))
			return "a Patroni address doesn't begin with http:// or https://";
		if (memcmp(item.ptr, "https", 5) == 0 && !cluster->patroni_ca_file[0])
			return "https addresses of Patroni need patroni_ca_file";
		urls[i] = arena_strdup(arena, item);
	}
	if (count > HOSTS_MAX)
		return "more than 32 Patroni addresses";
	if (!cluster->patroni_cert_file[0] != !cluster->patroni_key_file[0])
		return "patroni_cert_file and patroni_key_file go together";
	cluster->patroni_urls = urls;
	cluster->patroni_url_count = count;
	return NULL;
}

const char *cluster_complete(struct config_cluster *cluster, struct arena *arena)
{
	bool has_patroni = cluster->patroni[0] != '\0', has_hosts = cluster->hosts_text[0] != '\0';

	if (has_patroni == has_hosts)
		return "a cluster has either patroni= or hosts=";
	if (has_hosts)
		return parse_hosts(cluster, cluster->hosts_text, 5432, arena);
	return parse_patroni(cluster, arena);
}

static const struct config_cluster *cluster_named(const struct config *cfg, const char *name,
                                                  const char **why)
{
	const struct config_cluster *found = config_cluster_find(cfg, slice_str(name));

	if (!found || found->is_implicit) {
		*why = "there is no cluster of that name in [clusters]";
		return NULL;
	}
	return found;
}

static const char *implicit_name(const struct config_endpoint *hosts, size_t count,
                                 struct arena *arena)
{
	struct buf name;
	const char *text;

	buf_init(&name, NAME_BYTES_MAX * 2);
	for (size_t i = 0; i < count; i++)
		buf_appendf(&name, "%s%s:%u", i ? "," : "", hosts[i].host, hosts[i].port);
	text = arena_strdup(arena, buf_slice(&name));
	buf_fini(&name);
	return text;
}

static void adopt_role(struct config_cluster *cluster, const struct config_database *db)
{
	if (cluster->given || db->user[0] == '\0')
		return;
	cluster->given = 1;
	cluster->user = db->user;
	cluster->password = db->password;
	cluster->probe_dbname = db->dbname[0] || db->is_fallback ? db->dbname : db->name;
}

/* One node of the whole list: the hosts have been checked. */
static const char *make_balanced(struct config_cluster *cluster, const char *list, uint16_t port,
                                 struct arena *arena)
{
	struct config_endpoint *node = arena_zalloc(arena, sizeof(*node));
	struct slice rest = slice_str(list), item;
	const char *why = NULL;
	struct buf text;

	buf_init(&text, HOSTLIST_BYTES_MAX);
	while (config_list_next(&rest, &item))
		buf_appendf(&text, "%s%.*s", text.len ? "," : "", (int)item.len, item.ptr);
	if (text.err != WEIR_OK)
		why = "the list of hosts is longer than 1023 bytes";
	else
		*node = (struct config_endpoint){ arena_strdup(arena, buf_slice(&text)), port };
	buf_fini(&text);
	cluster->hosts = node;
	cluster->host_count = 1;
	return why;
}

static bool is_balanced(const struct config *cfg, const struct config_database *db,
                        const struct config_cluster *cluster)
{
	return cluster->host_count > 1 &&
	       (config_database_gives(db, "load_balance_hosts") || cfg->global.probe_user[0] == '\0');
}

static struct config_cluster *implicit_find(struct config *cfg, struct config_cluster *clusters,
                                            const char *name)
{
	for (size_t i = 0; i < cfg->cluster_count; i++)
		if (clusters[i].is_implicit && strcmp(clusters[i].name, name) == 0)
			return &clusters[i];
	return NULL;
}

static const struct config_cluster *cluster_implicit(struct config *cfg,
                                                     struct config_cluster *clusters,
                                                     const struct config_database *db,
                                                     const char **why)
{
	struct config_cluster made = { .is_implicit = true,
		                           .patroni = "",
		                           .patroni_ca_file = "",
		                           .patroni_cert_file = "",
		                           .patroni_key_file = "",
		                           .password_file = "",
		                           .hosts_text = db->host,
		                           .user = cfg->global.probe_user,
		                           .password = cfg->global.probe_password,
		                           .probe_dbname = cfg->global.probe_dbname };
	struct config_cluster *cluster;

	*why = parse_hosts(&made, db->host, (uint16_t)db->port, &cfg->arena);
	if (!*why && is_balanced(cfg, db, &made))
		*why = make_balanced(&made, db->host, (uint16_t)db->port, &cfg->arena);
	if (*why)
		return NULL;
	made.name = implicit_name(made.hosts, made.host_count, &cfg->arena);
	cluster = implicit_find(cfg, clusters, made.name);
	if (!cluster) {
		cluster = &clusters[cfg->cluster_count++];
		*cluster = made;
	}
	if (cfg->global.probe_user[0] == '\0')
		adopt_role(cluster, db);
	return cluster;
}

const struct config_cluster *cluster_of_database(struct config *cfg,
                                                 struct config_cluster *clusters,
                                                 const struct config_database *db, const char **why)
{
	struct config_database local = *db;

	if (db->cluster_name[0] && db->host[0]) {
		*why = "cluster= and host= exclude each other";
		return NULL;
	}
	if (db->cluster_name[0])
		return cluster_named(cfg, db->cluster_name, why);
	if (db->host[0])
		return cluster_implicit(cfg, clusters, db, why);
	if (cfg->cluster_count == 1 && !clusters[0].is_implicit)
		return &clusters[0];
	/* Neither: the server's Unix socket, where PgBouncer looks for it; else where libpq does. */
	local.host = cfg->global.unix_socket_dir[0] ? cfg->global.unix_socket_dir : DEFAULT_SOCKET_DIR;
	return cluster_implicit(cfg, clusters, &local, why);
}
