/* SPDX-License-Identifier: PostgreSQL */
/*
 * The option tables, expanded from options.def once per scope, and the words
 * of the enum kinds. Constant data and look-ups only.
 */
#include "config/options.h"

#include "config/build.h"
#include "config/config.h"

#define NOTHING (-1)
#define INHERIT(field) ((ptrdiff_t)offsetof(struct config_globals, field))
#define APPLY_RELOAD false
#define APPLY_RESTART true
#define STATUS_ACTIVE false
#define STATUS_IGNORED true

/* A group's title stands on a row of its own without a name. */
#define GLOBAL_GROUP(title) { .name = NULL, .group = title },
#define GLOBAL_ROW(n, k, f, d, lo, hi, apply, status, text) \
	{ .name = #n,                                           \
	  .default_text = d,                                    \
	  .doc = text,                                          \
	  .min = lo,                                            \
	  .max = hi,                                            \
	  .offset = offsetof(struct config_globals, f),         \
	  .inherit_offset = -1,                                 \
	  .kind = OPTION_##k,                                   \
	  .is_global = true,                                    \
	  .needs_restart = APPLY_##apply,                       \
	  .is_ignored = STATUS_##status,                        \
	  .group = NULL },
static const struct option global_rows[] = {
#include "config/options.def"
};

#define SCOPED_ROW(type, n, k, f, d, lo, hi, inherit, status, text) \
	{ .name = #n,                                                   \
	  .default_text = d,                                            \
	  .doc = text,                                                  \
	  .min = lo,                                                    \
	  .max = hi,                                                    \
	  .offset = offsetof(struct type, f),                           \
	  .inherit_offset = inherit,                                    \
	  .kind = OPTION_##k,                                           \
	  .is_global = false,                                           \
	  .needs_restart = false,                                       \
	  .is_ignored = STATUS_##status,                                \
	  .group = NULL },
#define DATABASE_ROW(...) SCOPED_ROW(config_database, __VA_ARGS__)
static const struct option database_rows[] = {
#include "config/options.def"
};

#define CLUSTER_ROW(...) SCOPED_ROW(config_cluster, __VA_ARGS__)
static const struct option cluster_rows[] = {
#include "config/options.def"
};

#define USER_ROW(n, k, f, d, lo, hi, status, text) \
	SCOPED_ROW(config_user, n, k, f, d, lo, hi, NOTHING, status, text)
static const struct option user_rows[] = {
#include "config/options.def"
};

#define PEER_ROW(n, k, f, d, lo, hi, status, text) \
	SCOPED_ROW(config_peer, n, k, f, d, lo, hi, NOTHING, status, text)
static const struct option peer_rows[] = {
#include "config/options.def"
};

/* config_<scope>.given has one bit per row. */
_Static_assert(WEIR_COUNTOF(database_rows) <= 64 && WEIR_COUNTOF(user_rows) <= 64 &&
                   WEIR_COUNTOF(cluster_rows) <= 64,
               "one bit per row");

static const struct option_table tables[OPTION_SCOPE_COUNT] = {
	[OPTION_SCOPE_GLOBAL] = { global_rows, WEIR_COUNTOF(global_rows) },
	[OPTION_SCOPE_DATABASE] = { database_rows, WEIR_COUNTOF(database_rows) },
	[OPTION_SCOPE_USER] = { user_rows, WEIR_COUNTOF(user_rows) },
	[OPTION_SCOPE_CLUSTER] = { cluster_rows, WEIR_COUNTOF(cluster_rows) },
	[OPTION_SCOPE_PEER] = { peer_rows, WEIR_COUNTOF(peer_rows) },
};

static const char *const pool_mode_words[] = { "session", "transaction", "statement", NULL };
static const char *const pin_policy_words[] = { "pin", "refuse", "warn", NULL };
static const char *const consistency_words[] = { "eventual", "session", "strong", NULL };
static const char *const auth_type_words[] = { "cert", "md5", "scram-sha-256", "plain", "trust",
	                                           "any",  "hba", "ldap",          "pam",   NULL };
static const char *const sslmode_words[] = { "disable",   "allow",       "prefer", "require",
	                                         "verify-ca", "verify-full", NULL };
static const char *const channel_binding_words[] = { "disable", "prefer", "require", NULL };
static const char *const protocol_words[] = { "3.0", "3.2", NULL };
static const char *const tls_negotiation_words[] = { "postgres", "direct", NULL };
static const char *const log_level_words[] = { "error", "warn", "info", "debug", NULL };
static const char *const load_balance_words[] = { "disable", "round-robin", NULL };
static const char *const io_backend_words[] = { "auto", "epoll", "io_uring", NULL };

static const char *const *const words[OPTION_KIND_COUNT] = {
	[OPTION_PIN_POLICY] = pin_policy_words,
	[OPTION_POOL_MODE] = pool_mode_words, [OPTION_CONSISTENCY] = consistency_words,
	[OPTION_AUTH_TYPE] = auth_type_words, [OPTION_SSLMODE] = sslmode_words,
	[OPTION_CHANNEL_BINDING] = channel_binding_words,
	[OPTION_TLS_NEGOTIATION] = tls_negotiation_words,
	[OPTION_PROTOCOL] = protocol_words,
	[OPTION_LOG_LEVEL] = log_level_words, [OPTION_LOAD_BALANCE] = load_balance_words,
	[OPTION_IO_BACKEND] = io_backend_words,
};

struct option_table option_table(enum option_scope scope)
{
	WEIR_ASSERT(scope < OPTION_SCOPE_COUNT);
	return tables[scope];
}

const struct option *option_find(enum option_scope scope, struct slice name)
{
	struct option_table table = option_table(scope);

	if (scope == OPTION_SCOPE_DATABASE && slice_is(name, "reserve_pool"))
		name = slice_str("reserve_pool_size");
	for (size_t i = 0; i < table.count; i++)
		if (table.rows[i].name && slice_is(name, table.rows[i].name))
			return &table.rows[i];
	return NULL;
}

size_t option_index(enum option_scope scope, const struct option *o)
{
	struct option_table table = option_table(scope);

	WEIR_ASSERT(o >= table.rows && o < table.rows + table.count);
	return (size_t)(o - table.rows);
}

const char *const *option_words(enum option_kind kind)
{
	WEIR_ASSERT(kind < OPTION_KIND_COUNT);
	return words[kind];
}

const char *config_pool_mode_text(enum config_pool_mode mode)
{
	WEIR_ASSERT(mode <= POOL_MODE_STATEMENT);
	return pool_mode_words[mode];
}

const char *config_consistency_text(enum config_consistency consistency)
{
	WEIR_ASSERT(consistency <= CONSISTENCY_STRONG);
	return consistency_words[consistency];
}
