/* SPDX-License-Identifier: PostgreSQL */
/*
 * A configuration: an immutable, counted snapshot, loaded by the control
 * thread, read by all. A database's fields are already its effective values
 * (its own or the global ones); what a user may override goes through the
 * config_<what>(cfg, db, user) calls. All texts are never NULL, live as long as
 * the snapshot, and are empty when not given. Nothing here logs: what the
 * operator should hear is in `notes`.
 */
#ifndef WEIR_CONFIG_CONFIG_H
#define WEIR_CONFIG_CONFIG_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/slice.h"
#include "config/options.h"

struct config_globals {
#define GLOBAL_ROW(name, kind, field, ...) OPTION_CTYPE_##kind field;
#include "config/options.def"
};

struct config_endpoint {
	const char *host; /* name, address, /folder or @abstract */
	uint16_t port;
};

struct config_cluster {
	const char *name;
	bool is_implicit; /* made from a database's host list */
	bool is_static;   /* a host list, no Patroni */
	const char *const *patroni_urls;
	size_t patroni_url_count;
	const struct config_endpoint *hosts; /* of a static cluster */
	size_t host_count;
	uint64_t given; /* bit option_index: set in the file */
#define CLUSTER_ROW(name, kind, field, ...) OPTION_CTYPE_##kind field;
#include "config/options.def"
};

struct config_database {
	const char *name; /* "*" for the fallback */
	bool is_fallback;
	const struct config_cluster *cluster; /* never NULL; lives in the same snapshot */
	uint64_t given;
#define DATABASE_ROW(name, kind, field, ...) OPTION_CTYPE_##kind field;
#include "config/options.def"
};

struct config_user {
	const char *name;
	uint64_t given;
#define USER_ROW(name, kind, field, ...) OPTION_CTYPE_##kind field;
#include "config/options.def"
};

enum config_redis_mode { CONFIG_REDIS_SINGLE, CONFIG_REDIS_CLUSTER, CONFIG_REDIS_SENTINEL };

enum { CONFIG_REDIS_SEEDS_MAX = 16 };

struct config_redis { /* cache_redis taken apart */
	enum config_redis_mode mode;
	bool is_tls;
	size_t seed_count; /* 0: no Redis */
	struct config_endpoint seeds[CONFIG_REDIS_SEEDS_MAX];
	const char *master;   /* the set's name at the sentinels; NULL: none */
	const char *user;     /* NULL: none */
	const char *password; /* NULL: none */
};

struct config_note { /* for the log, once per load */
	const char *file;
	unsigned line;
	const char *text;
};

struct config_entry; /* private: a raw setting with its origin */

struct config {
	_Atomic uint32_t refcount;
	struct arena arena; /* owns every text and array */
	const char *path;
	struct config_globals global;
	const struct config_database *databases;
	size_t database_count;
	const struct config_user *users;
	size_t user_count;
	const struct config_cluster *clusters; /* implicit ones too */
	size_t cluster_count;
	struct config_redis redis;
	struct config_endpoint http; /* http_listen taken apart; host NULL: off */
	const struct config_note *notes;
	size_t note_count;
	const struct config_entry *entries; /* in order of reading */
	size_t entry_count;
};

struct config_error {
	char file[256];
	unsigned line;   /* 0: not of a line */
	char option[64]; /* empty: not of an option */
	char message[256];
};

/* NULL and *err filled when refused. Environment PGWEIR_<OPTION> wins over the file's globals. */
struct config *config_load(const char *path, struct config_error *err) WEIR_MUST_CHECK;
struct config *config_load_text(const char *text, struct config_error *err) WEIR_MUST_CHECK;
/* A copy of the snapshot with one global option changed (the console's SET). */
struct config *config_with(const struct config *cfg, struct slice name, struct slice value,
                           struct config_error *err) WEIR_MUST_CHECK;
struct config *config_get(struct config *cfg);
void config_put(struct config **cfg); /* NULL is fine */
/* "file:line: option: message", truncated to size. */
void config_error_text(const struct config_error *err, char *out, size_t size);
/* An error found later, in what a global option names: where it is set, else the ini's path. */
void config_error_of(const struct config *cfg, const char *option, const char *message,
                     struct config_error *err);

/* Names of restart-only options that differ, into out; returns how many there are. */
size_t config_diff(const struct config *a, const struct config *b, const char **out, size_t max);
/* Those options as they are in force, in a snapshot that nobody else has yet. */
void config_keep(struct config *cfg, const struct config *in_force);

#include "config/effective.h"
#include "config/find.h"

#endif
