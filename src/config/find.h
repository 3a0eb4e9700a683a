/* SPDX-License-Identifier: PostgreSQL */
/*
 * Look-ups in a snapshot by name, and comma lists. What they return lives as
 * long as the snapshot. Part of config.h, which includes it. Pure, any thread.
 */
#ifndef WEIR_CONFIG_FIND_H
#define WEIR_CONFIG_FIND_H

#include <stdbool.h>

#include "base/slice.h"

struct config;
struct config_cluster;
struct config_database;
struct config_user;

/* By the name that the client asked for; falls back to "*"; NULL: no such database. */
const struct config_database *config_database_find(const struct config *cfg, struct slice name);
const struct config_user *config_user_find(const struct config *cfg, struct slice name);
const struct config_cluster *config_cluster_find(const struct config *cfg, struct slice name);

bool config_is_admin_database(struct slice name); /* pgweir, pgbouncer */
bool config_is_admin_user(const struct config *cfg, struct slice user);
bool config_is_stats_user(const struct config *cfg, struct slice user); /* admins too */

/* Next item of a comma list, blanks trimmed; false at the end. *rest shrinks. */
bool config_list_next(struct slice *rest, struct slice *item);
bool config_list_has(const char *list, struct slice name);

#endif
