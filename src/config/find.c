/* SPDX-License-Identifier: PostgreSQL */
/*
 * Look-ups in a snapshot, at log-in and reload, never per query: plain scans.
 * Pure.
 */
#include "config/config.h"

const struct config_database *config_database_find(const struct config *cfg, struct slice name)
{
	const struct config_database *fallback = NULL;

	for (size_t i = 0; i < cfg->database_count; i++) {
		const struct config_database *db = &cfg->databases[i];

		if (db->is_fallback)
			fallback = db;
		else if (slice_is(name, db->name))
			return db;
	}
	return fallback;
}

const struct config_user *config_user_find(const struct config *cfg, struct slice name)
{
	for (size_t i = 0; i < cfg->user_count; i++)
		if (slice_is(name, cfg->users[i].name))
			return &cfg->users[i];
	return NULL;
}

const struct config_cluster *config_cluster_find(const struct config *cfg, struct slice name)
{
	for (size_t i = 0; i < cfg->cluster_count; i++)
		if (slice_is(name, cfg->clusters[i].name))
			return &cfg->clusters[i];
	return NULL;
}

bool config_is_admin_database(struct slice name)
{
	return slice_is(name, "pgweir") || slice_is(name, "pgbouncer");
}

bool config_list_next(struct slice *rest, struct slice *item)
{
	while (rest->len) {
		const char *comma = memchr(rest->ptr, ',', rest->len);
		size_t len = comma ? (size_t)(comma - rest->ptr) : rest->len;
		size_t step = comma ? len + 1 : len;

		*item = slice_of(rest->ptr, len);
		*rest = slice_of(rest->ptr + step, rest->len - step);
		while (item->len && strchr(" \t", item->ptr[0]))
			*item = slice_of(item->ptr + 1, item->len - 1);
		while (item->len && strchr(" \t", item->ptr[item->len - 1]))
			item->len--;
		if (item->len)
			return true;
	}
	return false;
}

static bool parts_names(char c)
{
	return c == '\0' || strchr(", \t\r\n", c);
}

/* Commas and blanks part names, but a name may have blanks inside, as in PgBouncer. */
bool config_list_has(const char *list, struct slice name)
{
	const char *end = list + strlen(list), *at = list;

	while (name.len && (at = memmem(at, (size_t)(end - at), name.ptr, name.len)) != NULL) {
		if ((at == list || parts_names(at[-1])) && parts_names(at[name.len]))
			return true;
		at++;
	}
	return false;
}

bool config_is_admin_user(const struct config *cfg, struct slice user)
{
	return config_list_has(cfg->global.admin_users, user);
}

bool config_is_stats_user(const struct config *cfg, struct slice user)
{
	return config_is_admin_user(cfg, user) || config_list_has(cfg->global.stats_users, user);
}
