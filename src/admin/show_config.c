/* SPDX-License-Identifier: PostgreSQL */
/*
 * What comes from the configuration alone: CONFIG, DATABASES, HELP, VERSION,
 * STATE, and the answers that drivers want at log-in.
 */
#include "admin/command.h"
#include "admin/names.h"
#include "admin/nodes.h"
#include "admin/result.h"
#include "config/value.h"
#include "pgweir/version.h"

enum {
	VALUE_BYTES_MAX = 65536,
	CONSOLE_POOL_SIZE = 2,    /* as PgBouncer has it */
	OWN_DATABASE_COLUMNS = 4, /* cluster, split, consistency, cache */
};

/* The PgBouncer whose console this speaks; tools parse it. */
#define CONSOLE_VERSION "PgBouncer 1.26.0"

void show_help(struct show *s)
{
	static const struct build_column columns[] = { COLUMN_TEXT("command"), COLUMN_TEXT("users"),
		                                           COLUMN_TEXT("description") };
	const struct admin_command *c;
	struct result r;

	RESULT_BEGIN(&r, s->out, columns);
	for (size_t i = 0; (c = command_at(i)); i++) {
		result_text(&r, c->words);
		result_text(&r, c->role == ADMIN_ROLE_ADMIN ? "admin_users" : "stats_users");
		result_text(&r, c->help);
		result_row(&r);
	}
	result_end(&r, "SHOW");
}

void show_version(struct show *s)
{
	static const struct build_column columns[] = { COLUMN_TEXT("version"), COLUMN_TEXT("pgweir") };
	struct result r;

	RESULT_BEGIN(&r, s->out, columns);
	result_text(&r, CONSOLE_VERSION);
	result_text(&r, PGWEIR_VERSION);
	result_row(&r);
	result_end(&r, "SHOW");
}

static void config_row(struct show *s, struct result *r, const struct option *o, struct buf *value)
{
	buf_clear(value);
	option_print(o, &s->cfg->global, value);
	result_text(r, o->name);
	result_slice(r, value->len ? buf_slice(value) : slice_str(""));
	result_text(r, o->default_text);
	result_text(r, o->needs_restart ? "no" : "yes");
	result_row(r);
}

void show_config(struct show *s)
{
	static const struct build_column columns[] = { COLUMN_TEXT("key"), COLUMN_TEXT("value"),
		                                           COLUMN_TEXT("default"),
		                                           COLUMN_TEXT("changeable") };
	struct option_table table = option_table(OPTION_SCOPE_GLOBAL);
	struct buf value;
	struct result r;

	buf_init(&value, VALUE_BYTES_MAX);
	RESULT_BEGIN(&r, s->out, columns);
	for (size_t i = 0; i < table.count; i++)
		if (table.rows[i].name)
			config_row(s, &r, &table.rows[i], &value);
	result_end(&r, "SHOW");
	buf_fini(&value);
}

static const char *on_off(bool value)
{
	return value ? "on" : "off";
}

static const char *null_if_empty(const char *text)
{
	return text[0] ? text : NULL;
}

/* place: room for the host's name until the row is written. */
static void database_place(struct show *s, struct result *r, const struct config_database *db,
                           struct node_place *place)
{
	const struct config_cluster *c = db->cluster;

	if (nodes_primary(s->source, c->name, place)) {
		result_text(r, place->host);
		result_number(r, place->port);
	} else if (c->host_count) {
		result_text(r, c->hosts[0].host);
		result_number(r, c->hosts[0].port);
	} else {
		result_text(r, NULL);
		result_number(r, (uint64_t)db->port);
	}
}

struct connections {
	uint64_t clients, servers;
};

static struct connections connections_of(const struct admin_part *parts, struct slice database)
{
	struct connections open = { 0 };

	for (const struct admin_part *p = parts; p; p = p->next) {
		for (size_t i = 0; i < p->pool_count; i++) {
			const struct admin_pool *row = &p->pools[i];

			if (!slice_is(database, row->database))
				continue;
			open.clients += row->cl_active + row->cl_waiting;
			open.servers += row->sv_active + row->sv_active_cancel + row->sv_being_canceled +
			                row->sv_idle + row->sv_used + row->sv_tested + row->sv_login;
		}
	}
	return open;
}

/* name: what clients ask for, also where "*" is the entry. */
static void database_row(struct show *s, struct result *r, struct slice name)
{
	const struct config_database *db = config_database_find(s->cfg, name);
	struct admin_database now = { 0 };
	struct connections open = connections_of(s->parts, name);
	struct node_place place;

	if (s->source->database)
		s->source->database(s->source->ctx, name.ptr, &now);
	result_slice(r, name);
	database_place(s, r, db, &place);
	result_slice(r, db->is_fallback ? name : slice_str(db->dbname[0] ? db->dbname : db->name));
	result_text(r, null_if_empty(db->user));
	result_number(r, (uint64_t)db->pool_size);
	result_number(r, (uint64_t)db->min_pool_size);
	result_number(r, (uint64_t)db->reserve_pool_size);
	result_number(r, db->server_lifetime_us / 1000000);
	result_text(r, config_database_gives(db, "pool_mode") ? config_pool_mode_text(db->pool_mode) :
	                                                        NULL);
	result_text(r, config_load_balance_text(db));
	result_number(r, (uint64_t)db->max_db_connections);
	result_number(r, open.servers);
	result_number(r, (uint64_t)db->max_db_client_connections);
	result_number(r, open.clients);
	result_bool(r, now.is_paused);
	result_bool(r, now.is_disabled);
	result_text(r, db->cluster->name);
	result_text(r, on_off(db->split));
	result_text(r, config_consistency_text(db->consistency));
	result_text(r, on_off(db->cache));
	result_number(r, (uint64_t)db->reserve_pool_size);
	result_row(r);
}

static void console_row(struct show *s, struct result *r)
{
	static const uint64_t limits[] = { CONSOLE_POOL_SIZE, 0, 0 }; /* pool, min_pool, reserve_pool */

	result_text(r, CONSOLE_NAME);
	result_text(r, NULL);
	result_number(r, (uint64_t)s->cfg->global.listen_port);
	result_text(r, CONSOLE_NAME);
	result_text(r, CONSOLE_NAME);
	for (size_t i = 0; i < WEIR_COUNTOF(limits); i++)
		result_number(r, limits[i]);
	result_number(r, s->cfg->global.server_lifetime_us / 1000000);
	result_text(r, config_pool_mode_text(POOL_MODE_STATEMENT));
	result_text(r, NULL); /* load_balance_hosts */
	result_number(r, 0);
	result_number(r, 0);
	result_number(r, 0);
	result_number(r, console_client_count(s->parts));
	result_bool(r, false);
	result_bool(r, false);
	for (int i = 0; i < OWN_DATABASE_COLUMNS; i++)
		result_text(r, NULL);
	result_number(r, 0); /* reserve_pool */
	result_row(r);
}

void show_databases(struct show *s)
{
	static const struct build_column columns[] = {
		COLUMN_TEXT("name"),
		COLUMN_TEXT("host"),
		COLUMN_INT("port"),
		COLUMN_TEXT("database"),
		COLUMN_TEXT("force_user"),
		COLUMN_INT("pool_size"),
		COLUMN_INT("min_pool_size"),
		COLUMN_INT("reserve_pool_size"),
		COLUMN_INT("server_lifetime"),
		COLUMN_TEXT("pool_mode"),
		COLUMN_TEXT("load_balance_hosts"),
		COLUMN_INT("max_connections"),
		COLUMN_INT("current_connections"),
		COLUMN_INT("max_client_connections"),
		COLUMN_INT("current_client_connections"),
		COLUMN_INT("paused"),
		COLUMN_INT("disabled"),
		COLUMN_TEXT("cluster"),
		COLUMN_TEXT("split"),
		COLUMN_TEXT("consistency"),
		COLUMN_TEXT("cache"),
		COLUMN_INT("reserve_pool"), /* reserve_pool_size's name of old, for exporters */
	};
	struct names names;
	struct result r;

	names_of_databases(&names, s);
	RESULT_BEGIN(&r, s->out, columns);
	for (size_t i = 0; i < names.count; i++)
		if (slice_is(names.items[i], CONSOLE_NAME))
			console_row(s, &r);
		else
			database_row(s, &r, names.items[i]);
	result_end(&r, "SHOW");
	names_fini(&names);
}

static bool all_paused(const struct show *s)
{
	bool paused = s->cfg->database_count > 0 && s->source->database;

	for (size_t i = 0; paused && i < s->cfg->database_count; i++) {
		struct admin_database now = { 0 };

		s->source->database(s->source->ctx, s->cfg->databases[i].name, &now);
		paused = now.is_paused;
	}
	return paused;
}

static void pair_row(struct result *r, const char *key, const char *value)
{
	result_text(r, key);
	result_text(r, value);
	result_row(r);
}

void show_state(struct show *s)
{
	static const struct build_column columns[] = { COLUMN_TEXT("key"), COLUMN_TEXT("value") };
	bool paused = all_paused(s);
	struct result r;

	RESULT_BEGIN(&r, s->out, columns);
	pair_row(&r, "active", paused ? "no" : "yes");
	pair_row(&r, "paused", paused ? "yes" : "no");
	result_end(&r, "SHOW");
}

void show_setting(struct show *s)
{
	static const struct {
		const char *name, *value;
	} settings[] = {
		{ "client_encoding", "UTF8" },
		{ "default_transaction_isolation", "read committed" },
		{ "transaction_isolation", "read committed" },
		{ "standard_conforming_strings", "on" },
		{ "datestyle", "ISO, MDY" },
		{ "timezone", "UTC" },
		{ "server_version", "15.0" },
	};
	struct result r;

	for (size_t i = 0; i < WEIR_COUNTOF(settings); i++) {
		struct build_column column = COLUMN_TEXT(settings[i].name);

		if (!slice_is_nocase(s->argument, settings[i].name))
			continue;
		result_begin(&r, s->out, &column, 1);
		result_text(&r, settings[i].value);
		result_row(&r);
		result_end(&r, "SHOW");
		return;
	}
	command_unknown(s);
}

void select_one(struct show *s)
{
	static const struct build_column columns[] = { COLUMN_INT("?column?") };
	struct result r;

	RESULT_BEGIN(&r, s->out, columns);
	result_number(&r, 1);
	result_row(&r);
	result_end(&r, "SELECT 1");
}

/* --- what PgBouncer has and pgweir hasn't: the columns without rows ------------- */

#define SHOW_NOTHING(name, ...)                                       \
	void name(struct show *s)                                         \
	{                                                                 \
		static const struct build_column columns[] = { __VA_ARGS__ }; \
		struct result r;                                              \
                                                                      \
		RESULT_BEGIN(&r, s->out, columns);                            \
		result_end(&r, "SHOW");                                       \
	}

SHOW_NOTHING(show_peers, COLUMN_INT("peer_id"), COLUMN_TEXT("host"), COLUMN_INT("port"),
             COLUMN_INT("pool_size"))
SHOW_NOTHING(show_peer_pools, COLUMN_INT("peer_id"), COLUMN_INT("cl_active_cancel_req"),
             COLUMN_INT("cl_waiting_cancel_req"), COLUMN_INT("sv_active_cancel"),
             COLUMN_INT("sv_login"))
SHOW_NOTHING(show_dns_zones, COLUMN_TEXT("zonename"), COLUMN_BIG("serial"), COLUMN_INT("count"))
