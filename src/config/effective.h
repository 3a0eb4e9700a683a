/* SPDX-License-Identifier: PostgreSQL */
/*
 * What holds for a database and a user: the user's override if there is one,
 * else the database's value, which is the global one where it has none. user may
 * be NULL. Part of config.h, which includes it. Pure, any thread.
 */
#ifndef WEIR_CONFIG_EFFECTIVE_H
#define WEIR_CONFIG_EFFECTIVE_H

#include <stdint.h>

#include "config/options.h"

struct config;
struct config_database;
struct config_globals;
struct config_user;

/* verbose, PgBouncer's option, counts as debug. */
enum config_log_level config_log_level(const struct config_globals *g);

bool config_database_gives(const struct config_database *db, const char *option); /* in its line */
/* Would a server connection of the one entry be as good for the other? */
bool config_same_servers(const struct config *a, const struct config_database *x,
                         const struct config *b, const struct config_database *y);
/* load_balance_hosts of an entry whose node is several hosts, NULL of any other. */
const char *config_load_balance_text(const struct config_database *db);
/* The database's name on the server for a client that asked for `requested`. */
struct slice config_dbname(const struct config_database *db, struct slice requested);

enum config_pool_mode config_pool_mode(const struct config *cfg, const struct config_database *db,
                                       const struct config_user *user);
int config_reserve_pool_size(const struct config *cfg, const struct config_database *db,
                             const struct config_user *user);
/* Counts: 0 means no limit. */
int config_pool_size(const struct config *cfg, const struct config_database *db,
                     const struct config_user *user);
int config_max_user_connections(const struct config *cfg, const struct config_user *user);
int config_max_user_client_connections(const struct config *cfg, const struct config_user *user);

/* Microseconds; 0 means no limit. */
uint64_t config_query_wait_timeout_us(const struct config *cfg, const struct config_database *db,
                                      const struct config_user *user);
uint64_t config_query_timeout_us(const struct config *cfg, const struct config_user *user);
uint64_t config_idle_transaction_timeout_us(const struct config *cfg,
                                            const struct config_user *user);
uint64_t config_transaction_timeout_us(const struct config *cfg, const struct config_user *user);
uint64_t config_client_idle_timeout_us(const struct config *cfg, const struct config_user *user);

#endif
