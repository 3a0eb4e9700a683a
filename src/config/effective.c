/* SPDX-License-Identifier: PostgreSQL */
/*
 * Effective values: what a user overrides, else the database's, else the
 * global one (already copied into the database by the build). Pure.
 */
#include "config/effective.h"

#include "config/config.h"
#include "config/hostlist.h"
#include "config/value.h"

/* Bit of a [users] option in config_user.given. */
enum user_bit {
#define USER_ROW(name, ...) USER_BIT_##name,
#include "config/options.def"
};

#define USER_GIVES(user, name) ((user) && ((user)->given & (1ULL << USER_BIT_##name)))

enum config_log_level config_log_level(const struct config_globals *g)
{
	return g->verbose ? CONFIG_LOG_DEBUG : g->log_level;
}

bool config_database_gives(const struct config_database *db, const char *option)
{
	const struct option *o = option_find(OPTION_SCOPE_DATABASE, slice_str(option));

	WEIR_ASSERT(o != NULL);
	return db->given & (1ULL << option_index(OPTION_SCOPE_DATABASE, o));
}

static bool same_rows(enum option_scope scope, const char *prefix, const void *x, const void *y)
{
	struct option_table table = option_table(scope);

	for (size_t i = 0; i < table.count; i++) {
		const struct option *o = &table.rows[i];

		if (o->name && strncmp(o->name, prefix, strlen(prefix)) == 0 && !option_equal(o, x, y))
			return false;
	}
	return true;
}

bool config_same_servers(const struct config *a, const struct config_database *x,
                         const struct config *b, const struct config_database *y)
{
	static const char *const told_at_start[] = { "dbname", "user", "connect_query",
		                                         "client_encoding", "datestyle", "timezone",
		                                         "application_name", "load_balance_hosts" };

	for (size_t i = 0; i < WEIR_COUNTOF(told_at_start); i++)
		if (!same_rows(OPTION_SCOPE_DATABASE, told_at_start[i], x, y))
			return false;
	return strcmp(x->cluster->name, y->cluster->name) == 0 &&
	       same_rows(OPTION_SCOPE_GLOBAL, "server_tls_", &a->global, &b->global);
}

const char *config_load_balance_text(const struct config_database *db)
{
	const struct config_cluster *c = db->cluster;

	if (c->host_count != 1 || hostlist_count(c->hosts[0].host) == 1)
		return NULL;
	return option_words(OPTION_LOAD_BALANCE)[db->load_balance_hosts];
}

struct slice config_dbname(const struct config_database *db, struct slice requested)
{
	return db->dbname[0] ? slice_str(db->dbname) : requested;
}

enum config_pool_mode config_pool_mode(const struct config *cfg, const struct config_database *db,
                                       const struct config_user *user)
{
	(void)cfg;
	return USER_GIVES(user, pool_mode) ? user->pool_mode : db->pool_mode;
}

int config_pool_size(const struct config *cfg, const struct config_database *db,
                     const struct config_user *user)
{
	(void)cfg;
	return USER_GIVES(user, pool_size) ? user->pool_size : db->pool_size;
}

int config_reserve_pool_size(const struct config *cfg, const struct config_database *db,
                             const struct config_user *user)
{
	(void)cfg;
	return USER_GIVES(user, reserve_pool_size) ? user->reserve_pool_size : db->reserve_pool_size;
}

int config_max_user_connections(const struct config *cfg, const struct config_user *user)
{
	return USER_GIVES(user, max_user_connections) ? user->max_user_connections
	                                              : cfg->global.max_user_connections;
}

int config_max_user_client_connections(const struct config *cfg, const struct config_user *user)
{
	return USER_GIVES(user, max_user_client_connections) ? user->max_user_client_connections
	                                                     : cfg->global.max_user_client_connections;
}

uint64_t config_query_wait_timeout_us(const struct config *cfg, const struct config_database *db,
                                      const struct config_user *user)
{
	(void)cfg;
	return USER_GIVES(user, query_wait_timeout) ? user->query_wait_timeout_us
	                                            : db->query_wait_timeout_us;
}

uint64_t config_query_timeout_us(const struct config *cfg, const struct config_user *user)
{
	return USER_GIVES(user, query_timeout) ? user->query_timeout_us : cfg->global.query_timeout_us;
}

uint64_t config_idle_transaction_timeout_us(const struct config *cfg,
                                            const struct config_user *user)
{
	return USER_GIVES(user, idle_transaction_timeout) ? user->idle_transaction_timeout_us
	                                                  : cfg->global.idle_transaction_timeout_us;
}

uint64_t config_transaction_timeout_us(const struct config *cfg, const struct config_user *user)
{
	return USER_GIVES(user, transaction_timeout) ? user->transaction_timeout_us
	                                             : cfg->global.transaction_timeout_us;
}

uint64_t config_client_idle_timeout_us(const struct config *cfg, const struct config_user *user)
{
	return USER_GIVES(user, client_idle_timeout) ? user->client_idle_timeout_us
	                                             : cfg->global.client_idle_timeout_us;
}
