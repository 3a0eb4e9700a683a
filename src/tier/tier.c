/* SPDX-License-Identifier: PostgreSQL */
/*
 * The tier: all clusters and catalogs of the configuration, see tier.h. Owns
 * what they share (name look-up, mailbox) and turns posts of other threads
 * into calls on the control thread.
 */
#include "tier/tier.h"

#include <string.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/mem.h"
#include "config/config.h"
#include "net/loop.h"
#include "net/mailbox.h"
#include "net/resolver.h"
#include "tier/auth_query.h"
#include "tier/catalog.h"
#include "tier/catalog_reader.h"
#include "tier/channels.h"
#include "tier/cluster.h"

enum { TIER_MAGIC = 0x74696572, FALLBACK_CATALOGS_MAX = 64 };

struct tier_cluster {
	struct list_node node;
	struct tier *tier;             /* borrowed: owner */
	struct cluster *cluster;       /* owned */
	bool is_seen;                  /* in the configuration that is being taken over */
};

struct tier_database {
	struct list_node node;
	struct tier *tier;             /* borrowed: owner */
	char *name;                    /* owned: of the entry, or one that the fallback stands for */
	struct catalog_reader *reader; /* owned */
	struct channels *channels;     /* owned */
	struct catalog *catalog;       /* counted; NULL: none yet */
	char host[NODE_HOST_MAX];      /* read from now; empty: none */
	uint16_t port;
	bool is_seen;
};

struct tier {
	unsigned magic;
	struct pg_session_net net;     /* loop borrowed, resolver and mailbox owned */
	struct tier_callbacks callbacks;
	struct config *config;         /* counted */
	struct list clusters;
	struct list databases;
	struct auth_query *auth;       /* owned */
};

enum tier_mail_kind { MAIL_SUSPECT, MAIL_STALE, MAIL_PROBE, MAIL_LISTEN, MAIL_UNLISTEN };

struct tier_mail {
	struct mail mail;
	enum tier_mail_kind kind;
	uint16_t node_id;
	char *channel; /* owned; LISTEN, UNLISTEN */
	uint64_t listener;
	char name[];
};

static struct tier_cluster *find_cluster(const struct tier *t, const char *name)
{
	list_foreach(&t->clusters, n) {
		struct tier_cluster *c = list_entry(n, struct tier_cluster, node);

		if (c->cluster && strcmp(cluster_name(c->cluster), name) == 0)
			return c;
	}
	return NULL;
}

static struct tier_database *find_database(const struct tier *t, const char *name)
{
	list_foreach(&t->databases, n) {
		struct tier_database *d = list_entry(n, struct tier_database, node);

		if (strcmp(d->name, name) == 0)
			return d;
	}
	return NULL;
}

/* ---- catalogs ---- */

static void on_catalog(void *arg, struct catalog_reader *reader, struct catalog *catalog)
{
	struct tier_database *d = arg;

	(void)reader;
	catalog_put(&d->catalog);
	d->catalog = catalog_get(catalog);
	d->tier->callbacks.on_catalog(d->tier->callbacks.ctx, d->name, catalog);
}

static const struct catalog_reader_ops reader_ops = { on_catalog };

/* ---- channels ---- */

static void on_listening(void *arg, const char *channel)
{
	struct tier_database *d = arg;

	d->tier->callbacks.on_listening(d->tier->callbacks.ctx, d->name, channel);
}

static void on_notification(void *arg, const struct pg_notification *n)
{
	struct tier_database *d = arg;

	d->tier->callbacks.on_notification(d->tier->callbacks.ctx, d->name, n);
}

static void on_caught_up(void *arg, uint64_t listener)
{
	struct tier_database *d = arg;

	d->tier->callbacks.on_caught_up(d->tier->callbacks.ctx, listener);
}

static const struct channels_ops channels_ops = { on_listening, on_notification, on_caught_up };

/* The cluster's role for pgweir's own sessions, else the one forced on the database. */
static bool has_credentials(const struct config_database *db)
{
	return db->cluster->user[0] != '\0' || db->user[0] != '\0';
}

static void target_database(struct tier_database *d, const struct config_database *db,
			    const struct topology_node *primary)
{
	const struct config_globals *g = &d->tier->config->global;
	bool by_cluster = db->cluster->user[0] != '\0';
	char *dbname = mem_slicedup(config_dbname(db, slice_str(d->name)));
	struct pg_session_target target = {
		.host = primary->host,
		.port = primary->port,
		.user = by_cluster ? db->cluster->user : db->user,
		.password = by_cluster ? db->cluster->password : db->password,
		.dbname = dbname,
		.sslmode = option_words(OPTION_SSLMODE)[g->server_tls_sslmode],
		.sslrootcert = g->server_tls_ca_file,
		.sslcert = g->server_tls_cert_file,
		.sslkey = g->server_tls_key_file,
	};

	memcpy(d->host, primary->host, sizeof d->host);
	d->port = primary->port;
	catalog_reader_target(d->reader, &target);
	channels_target(d->channels, &target);
	mem_free(dbname);
}

/* Points the reader to the primary of its cluster; without one the last catalog stays. */
static void aim_database(struct tier_database *d, const struct config_database *db)
{
	const struct tier_cluster *c = find_cluster(d->tier, db->cluster->name);
	const struct topology *t = c ? cluster_topology(c->cluster) : NULL;
	const struct topology_node *primary = t && t->primary >= 0 ? &t->nodes[t->primary] : NULL;

	if (primary && d->port == primary->port && strcmp(d->host, primary->host) == 0)
		return;
	if (primary) {
		target_database(d, db, primary);
		return;
	}
	d->host[0] = '\0';
	d->port = 0;
	catalog_reader_target(d->reader, NULL);
	channels_target(d->channels, NULL);
}

static void aim_databases(struct tier *t, const char *cluster)
{
	list_foreach(&t->databases, n) {
		struct tier_database *d = list_entry(n, struct tier_database, node);
		const struct config_database *db = config_database_find(t->config, slice_str(d->name));

		if (db && strcmp(db->cluster->name, cluster) == 0)
			aim_database(d, db);
	}
}

/* ---- clusters ---- */

static void on_topology(void *arg, struct cluster *cluster, struct topology *topology)
{
	struct tier_cluster *c = arg;

	c->tier->callbacks.on_topology(c->tier->callbacks.ctx, cluster_name(cluster), topology);
	aim_databases(c->tier, cluster_name(cluster));
}

static const struct cluster_ops cluster_ops = { on_topology };

static void take_cluster(struct tier *t, const struct config_cluster *options)
{
	struct tier_cluster *c = find_cluster(t, options->name);

	if (c == NULL) {
		c = mem_zalloc(sizeof *c);
		c->tier = t;
		list_append(&t->clusters, &c->node);
		c->is_seen = true;
		c->cluster = cluster_create(&t->net, &cluster_ops, c, t->config, options);
		return;
	}
	c->is_seen = true;
	cluster_configure(c->cluster, t->config, options);
}

static void drop_cluster(struct tier *t, struct tier_cluster *c)
{
	list_remove(&t->clusters, &c->node);
	cluster_destroy(c->cluster);
	mem_free(c);
}

static struct tier_database *take_database(struct tier *t, const struct config_database *db,
					   const char *name)
{
	struct tier_database *d = find_database(t, name);

	if (!has_credentials(db))
		return NULL;
	if (d == NULL) {
		d = mem_zalloc(sizeof *d);
		d->tier = t;
		d->name = mem_strdup(name);
		d->reader = catalog_reader_create(&t->net, &reader_ops, d, d->name);
		d->channels = channels_create(&t->net, &channels_ops, d, d->name);
		list_append(&t->databases, &d->node);
	}
	d->is_seen = true;
	d->host[0] = '\0'; /* aim again: credentials may have changed */
	d->port = 0;
	aim_database(d, db);
	return d;
}

/* The fallback entry stands for databases whose names come with the clients: a bounded number. */
static void take_fallback_database(struct tier *t, const char *name)
{
	const struct config_database *db = config_database_find(t->config, slice_str(name));
	struct tier_database *d = NULL;

	if (db && db->is_fallback &&
	    t->databases.count < t->config->database_count + FALLBACK_CATALOGS_MAX)
		d = take_database(t, db, name);
	if (d)
		d->is_seen = false; /* only a reload marks */
}

/* After a reload the fallback may still stand for them. */
static void keep_fallback_databases(struct tier *t)
{
	list_foreach(&t->databases, n) {
		struct tier_database *d = list_entry(n, struct tier_database, node);
		const struct config_database *db = config_database_find(t->config, slice_str(d->name));

		if (!d->is_seen && db && db->is_fallback)
			take_database(t, db, d->name);
	}
}

static void drop_database(struct tier *t, struct tier_database *d)
{
	list_remove(&t->databases, &d->node);
	catalog_reader_destroy(d->reader);
	channels_destroy(d->channels);
	catalog_put(&d->catalog);
	mem_free(d->name);
	mem_free(d);
}

static void drop_unseen(struct tier *t)
{
	list_foreach_safe(&t->databases, n, next_database) {
		struct tier_database *d = list_entry(n, struct tier_database, node);

		if (!d->is_seen)
			drop_database(t, d);
		else
			d->is_seen = false;
	}
	list_foreach_safe(&t->clusters, n, next_cluster) {
		struct tier_cluster *c = list_entry(n, struct tier_cluster, node);

		if (!c->is_seen)
			drop_cluster(t, c);
		else
			c->is_seen = false;
	}
}

/* ---- posts ---- */

static struct tier_mail *mail_of(struct mail *mail)
{
	return (struct tier_mail *)(void *)((char *)mail - offsetof(struct tier_mail, mail));
}

static void stale_all(struct tier *t)
{
	list_foreach(&t->databases, n)
		catalog_reader_stale(list_entry(n, struct tier_database, node)->reader);
}

static void deliver_channel(struct mail *mail, void *receiver)
{
	struct tier_mail *m = mail_of(mail);
	struct tier_database *d = find_database(receiver, m->name);

	if (d && m->kind == MAIL_LISTEN)
		channels_want(d->channels, m->channel);
	else if (d)
		channels_unwant(d->channels, m->channel);
	mem_free(m->channel);
	mem_free(m);
}

static void deliver_catch_up(struct mail *mail, void *receiver)
{
	struct tier_mail *m = mail_of(mail);
	struct tier *t = receiver;
	struct tier_database *d = find_database(t, m->name);

	if (d)
		channels_catch_up(d->channels, m->listener);
	else
		t->callbacks.on_caught_up(t->callbacks.ctx, m->listener);
	mem_free(m);
}

static void deliver(struct mail *mail, void *receiver)
{
	struct tier_mail *m = mail_of(mail);
	struct tier *t = receiver;
	struct tier_cluster *c = m->kind == MAIL_STALE ? NULL : find_cluster(t, m->name);
	struct tier_database *d = m->kind == MAIL_STALE ? find_database(t, m->name) : NULL;

	WEIR_CHECK_MAGIC(t, TIER_MAGIC);
	if (c && m->kind == MAIL_SUSPECT)
		cluster_suspect(c->cluster, m->node_id);
	else if (c)
		cluster_probe(c->cluster);
	else if (d)
		catalog_reader_stale(d->reader);
	else if (m->kind == MAIL_STALE && !*m->name)
		stale_all(t);
	else if (m->kind == MAIL_STALE)
		take_fallback_database(t, m->name);
	mem_free(m);
}

static void post(struct tier *t, enum tier_mail_kind kind, const char *name, uint16_t node_id)
{
	size_t size = strlen(name) + 1;
	struct tier_mail *m = mem_zalloc(sizeof *m + size);

	m->kind = kind;
	m->node_id = node_id;
	memcpy(m->name, name, size);
	m->mail.deliver = deliver;
	mailbox_post(t->net.mailbox, &m->mail);
}

void tier_suspect_post(struct tier *tier, const char *cluster, uint16_t node_id)
{
	post(tier, MAIL_SUSPECT, cluster, node_id);
}

void tier_catalog_stale_post(struct tier *tier, const char *database)
{
	post(tier, MAIL_STALE, database, 0);
}

void tier_probe_post(struct tier *tier, const char *cluster)
{
	post(tier, MAIL_PROBE, cluster, 0);
}

void tier_listen_post(struct tier *tier, const char *database, const char *channel, bool is_on)
{
	size_t size = strlen(database) + 1;
	struct tier_mail *m = mem_zalloc(sizeof *m + size);

	m->kind = is_on ? MAIL_LISTEN : MAIL_UNLISTEN;
	m->channel = mem_strdup(channel);
	memcpy(m->name, database, size);
	m->mail.deliver = deliver_channel;
	mailbox_post(tier->net.mailbox, &m->mail);
}

void tier_catch_up_post(struct tier *tier, const char *database, uint64_t listener)
{
	size_t size = strlen(database) + 1;
	struct tier_mail *m = mem_zalloc(sizeof *m + size);

	m->listener = listener;
	memcpy(m->name, database, size);
	m->mail.deliver = deliver_catch_up;
	mailbox_post(tier->net.mailbox, &m->mail);
}

/* ---- life ---- */

void tier_reload(struct tier *t, const struct config *config)
{
	struct config *old = t->config;

	WEIR_CHECK_MAGIC(t, TIER_MAGIC);
	t->config = config_get((struct config *)(uintptr_t)config);
	resolver_set_ttl(t->net.resolver, config->global.dns_max_ttl_us,
			 config->global.dns_nxdomain_ttl_us);
	for (size_t i = 0; i < config->cluster_count; i++)
		take_cluster(t, &config->clusters[i]);
	for (size_t i = 0; i < config->database_count; i++)
		if (!config->databases[i].is_fallback)
			take_database(t, &config->databases[i], config->databases[i].name);
	keep_fallback_databases(t);
	drop_unseen(t);
	config_put(&old);
}

static const struct topology *env_topology(void *ctx, const char *cluster)
{
	return tier_topology(ctx, cluster);
}

void tier_ask_secret(struct tier *t, struct auth_question *q)
{
	const struct config_database *db = config_database_find(t->config, slice_str(q->database));

	WEIR_CHECK_MAGIC(t, TIER_MAGIC);
	if (db && *db->auth_user) {
		auth_query_ask(t->auth, t->config, db, q);
		return;
	}
	q->answer = AUTH_ANSWER_UNKNOWN; /* a reload came in between */
	q->on_answer(q);
}

struct tier *tier_create(struct loop *loop, const struct config *config,
			 const struct tier_callbacks *callbacks)
{
	struct tier *t = mem_zalloc(sizeof *t);

	t->magic = TIER_MAGIC;
	t->callbacks = *callbacks;
	t->net.loop = loop;
	t->net.resolver = resolver_create(config->global.dns_max_ttl_us,
					  config->global.dns_nxdomain_ttl_us);
	t->net.mailbox = mailbox_create(loop, t);
	list_init(&t->clusters);
	list_init(&t->databases);
	t->auth = auth_query_create(&t->net, &(struct auth_query_env){ t, env_topology });
	tier_reload(t, config);
	return t;
}

void tier_destroy(struct tier *t)
{
	if (t == NULL)
		return;
	WEIR_CHECK_MAGIC(t, TIER_MAGIC);
	auth_query_destroy(t->auth);
	drop_unseen(t); /* nothing is seen outside of a reload */
	resolver_destroy(t->net.resolver);
	mailbox_destroy(t->net.mailbox);
	config_put(&t->config);
	t->magic = 0;
	mem_free(t);
}

struct topology *tier_topology(const struct tier *t, const char *cluster)
{
	const struct tier_cluster *c = find_cluster(t, cluster);

	return c ? cluster_topology(c->cluster) : NULL;
}

struct catalog *tier_catalog(const struct tier *t, const char *database)
{
	const struct tier_database *d = find_database(t, database);

	return d ? d->catalog : NULL;
}
