/* SPDX-License-Identifier: PostgreSQL */
/*
 * Builds a snapshot: globals first (all else inherits from them), then
 * clusters, databases, users, peers, and at last what needs the whole. One
 * context goes through; the first error ends it. Defaults, inheriting and
 * parsing are loops over the option rows.
 */
#include "config/build.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "config/clusters.h"
#include "config/connstr.h"
#include "config/number.h"
#include "config/secret_file.h"
#include "config/system_ca.h"
#include "config/value.h"

enum { NOTE_BYTES_MAX = 400, NAME_BYTES_MAX = 1024 };

struct build {
	struct config *cfg;
	const struct config_entries *entries;
	struct config_error *err;
	struct config_note *notes; /* owned by the arena; room for two per entry */
	size_t note_cap;
};

static void note_add(struct build *b, const struct config_entry *at, const char *fmt, ...)
	WEIR_PRINTF(3, 4);

static void note_add(struct build *b, const struct config_entry *at, const char *fmt, ...)
{
	char text[NOTE_BYTES_MAX];
	va_list args;

	if (b->cfg->note_count == b->note_cap)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	b->notes[b->cfg->note_count++] = (struct config_note){
		.file = at->file,
		.line = at->line,
		.text = arena_strdup(&b->cfg->arena, slice_str(text)),
	};
}

/* A note is made once per ignored option, not once per place. */
static void note_ignored(struct build *b, const struct config_entry *at, const struct option *o)
{
	char text[NOTE_BYTES_MAX];

	snprintf(text, sizeof(text), "%s is accepted and has no effect: %s", o->name, o->doc);
	for (size_t i = 0; i < b->cfg->note_count; i++)
		if (strcmp(b->notes[i].text, text) == 0)
			return;
	note_add(b, at, "%s", text);
}

/* --- rows ----------------------------------------------------------------- */

static void row_default(const struct option *o, void *base, struct config *cfg)
{
	char why[256];

	if (!o->name)
		return;
	if (o->inherit_offset >= 0)
		option_copy(o, base, &cfg->global, (size_t)o->inherit_offset);
	else
		WEIR_ASSERT(
			option_parse(o, slice_str(o->default_text), base, &cfg->arena, why, sizeof(why)));
}

static void defaults_set(enum option_scope scope, void *base, struct config *cfg)
{
	struct option_table table = option_table(scope);

	for (size_t i = 0; i < table.count; i++)
		row_default(&table.rows[i], base, cfg);
}

/* Less than nothing is PgBouncer's word for what an entry leaves to the global option. */
static bool is_left_open(const struct option *o, const struct config_entry *at, struct slice value)
{
	struct number n;

	return (at->scope == OPTION_SCOPE_DATABASE || at->scope == OPTION_SCOPE_USER) &&
	       (o->kind == OPTION_INT || o->kind == OPTION_SECONDS) &&
	       number_parse(value, NUMBER_DECIMAL, &n) && n.is_negative && !n.unit.len &&
	       n.value < 0;
}

/* One key of one entry. `given` is the bit set of the struct, NULL for globals. */
static enum weir_err key_apply(struct build *b, const struct config_entry *at, struct slice key,
                               struct slice value, void *base, uint64_t *given)
{
	const struct option *o = option_find(at->scope, key);
	char why[200], name[64];

	snprintf(name, sizeof(name), "%.*s", (int)(key.len > 63 ? 63 : key.len), key.ptr);
	if (!o) {
		config_error_set(b->err, at, name, "unknown option");
		return WEIR_ERR_CONFIG;
	}
	if (is_left_open(o, at, value))
		return WEIR_OK;
	if (!option_parse(o, value, base, &b->cfg->arena, why, sizeof(why))) {
		config_error_set(b->err, at, name, "%s", why);
		return WEIR_ERR_CONFIG;
	}
	if (!secret_file_apply(at->scope, o, base, &b->cfg->arena, why, sizeof(why))) {
		config_error_set(b->err, at, name, "%s", why);
		return WEIR_ERR_CONFIG;
	}
	if (o->is_ignored)
		note_ignored(b, at, o);
	if (given && (*given & (1ULL << option_index(at->scope, o))))
		note_add(b, at, "%s is given twice, the last one counts", name);
	if (given)
		*given |= 1ULL << option_index(at->scope, o);
	return WEIR_OK;
}

static enum weir_err pairs_apply(struct build *b, const struct config_entry *at, void *base,
                                 uint64_t *given)
{
	struct slice rest = slice_str(at->value), key, value;
	enum weir_err rc;
	const char *why;

	for (;;) {
		rc = connstr_next(&rest, &b->cfg->arena, &key, &value, &why);
		if (rc == WEIR_ERR_NOT_FOUND)
			return WEIR_OK;
		if (rc != WEIR_OK) {
			config_error_set(b->err, at, at->name, "%s", why);
			return rc;
		}
		rc = key_apply(b, at, key, value, base, given);
		if (rc != WEIR_OK)
			return rc;
	}
}

/* --- sections ------------------------------------------------------------- */

static bool is_repeated(const struct build *b, size_t index)
{
	const struct config_entry *e = &b->entries->rows[index];

	for (size_t i = 0; i < index; i++) {
		const struct config_entry *f = &b->entries->rows[i];

		if (f->scope == e->scope && f->line && e->line && strcmp(f->name, e->name) == 0)
			return true;
	}
	return false;
}

static enum weir_err build_globals(struct build *b)
{
	enum weir_err rc;

	defaults_set(OPTION_SCOPE_GLOBAL, &b->cfg->global, b->cfg);
	for (size_t i = 0; i < b->entries->count; i++) {
		const struct config_entry *e = &b->entries->rows[i];

		if (e->scope != OPTION_SCOPE_GLOBAL)
			continue;
		if (is_repeated(b, i))
			note_add(b, e, "%s is given twice, the last one counts", e->name);
		rc = key_apply(b, e, slice_str(e->name), slice_str(e->value), &b->cfg->global, NULL);
		if (rc != WEIR_OK)
			return rc;
	}
	return WEIR_OK;
}

static size_t entries_of(const struct build *b, enum option_scope scope)
{
	size_t count = 0;

	for (size_t i = 0; i < b->entries->count; i++)
		count += b->entries->rows[i].scope == scope;
	return count;
}

struct section { /* one of the sections of named rows */
	enum option_scope scope;
	char *rows; /* array under construction; every row starts with its name */
	size_t row_size;
	size_t given_offset;
	size_t count;
};

static const char *row_name(const void *row)
{
	return *(const char *const *)row;
}

static void *section_row(struct section *s, struct build *b, const struct config_entry *e)
{
	void *row = NULL;

	for (size_t i = 0; i < s->count && !row; i++)
		if (strcmp(row_name(s->rows + i * s->row_size), e->name) == 0)
			row = s->rows + i * s->row_size;
	if (row)
		note_add(b, e, "%s is given twice, the last one counts", e->name);
	else
		row = s->rows + s->count++ * s->row_size;
	memset(row, 0, s->row_size);
	*(const char **)row = e->name;
	defaults_set(s->scope, row, b->cfg);
	return row;
}

static enum weir_err section_build(struct section *s, struct build *b)
{
	for (size_t i = 0; i < b->entries->count; i++) {
		const struct config_entry *e = &b->entries->rows[i];
		enum weir_err rc;
		char *row;

		if (e->scope != s->scope)
			continue;
		if (strlen(e->name) > NAME_BYTES_MAX) {
			config_error_set(b->err, e, NULL, "the name is too long");
			return WEIR_ERR_CONFIG;
		}
		row = section_row(s, b, e);
		rc = pairs_apply(b, e, row, (uint64_t *)(void *)(row + s->given_offset));
		if (rc != WEIR_OK)
			return rc;
	}
	return WEIR_OK;
}

#define SECTION(b, scope_, type, extra)                                                   \
	{                                                                                     \
		.scope = scope_, .row_size = sizeof(struct type),                                 \
		.given_offset = offsetof(struct type, given),                                     \
		.rows = arena_zalloc(&(b)->cfg->arena,                                            \
		                     (entries_of(b, scope_) + (extra)) * sizeof(struct type) + 1) \
	}

_Static_assert(offsetof(struct config_cluster, name) == 0 &&
                   offsetof(struct config_database, name) == 0 &&
                   offsetof(struct config_user, name) == 0 &&
                   offsetof(struct config_peer, name) == 0,
               "row_name reads the first field");

/* The entry that a row came from, for errors found later. */
static const struct config_entry *entry_of(const struct build *b, enum option_scope scope,
                                           const char *name)
{
	const struct config_entry *found = NULL;

	for (size_t i = 0; i < b->entries->count; i++)
		if (b->entries->rows[i].scope == scope && strcmp(b->entries->rows[i].name, name) == 0)
			found = &b->entries->rows[i];
	return found;
}

static enum weir_err row_fail(struct build *b, enum option_scope scope, const char *name,
                              const char *why)
{
	config_error_set(b->err, entry_of(b, scope, name), name, "%s", why);
	return WEIR_ERR_CONFIG;
}

static enum weir_err build_clusters(struct build *b)
{
	struct section s =
		SECTION(b, OPTION_SCOPE_CLUSTER, config_cluster, entries_of(b, OPTION_SCOPE_DATABASE));
	struct config_cluster *clusters = (void *)s.rows;
	enum weir_err rc = section_build(&s, b);

	if (rc != WEIR_OK)
		return rc;
	b->cfg->clusters = clusters;
	b->cfg->cluster_count = s.count;
	for (size_t i = 0; i < s.count; i++) {
		const char *why = cluster_complete(&clusters[i], &b->cfg->arena);

		if (why)
			return row_fail(b, s.scope, clusters[i].name, why);
	}
	return WEIR_OK;
}

static enum weir_err database_finish(struct build *b, struct config_database *db)
{
	/* Room for the implicit ones was made by build_clusters. */
	struct config_cluster *clusters = (struct config_cluster *)(uintptr_t)b->cfg->clusters;
	const char *why;

	if (config_is_admin_database(slice_str(db->name)))
		return row_fail(b, OPTION_SCOPE_DATABASE, db->name, "the name is the console's");
	db->is_fallback = strcmp(db->name, "*") == 0;
	db->cluster = cluster_of_database(b->cfg, clusters, db, &why);
	if (!db->cluster)
		return row_fail(b, OPTION_SCOPE_DATABASE, db->name, why);
	return WEIR_OK;
}

static enum weir_err build_databases(struct build *b)
{
	struct section s = SECTION(b, OPTION_SCOPE_DATABASE, config_database, 0);
	struct config_database *databases = (void *)s.rows;
	enum weir_err rc = section_build(&s, b);

	for (size_t i = 0; rc == WEIR_OK && i < s.count; i++)
		rc = database_finish(b, &databases[i]);
	b->cfg->databases = databases;
	b->cfg->database_count = s.count;
	return rc;
}

static enum weir_err build_users(struct build *b)
{
	struct section s = SECTION(b, OPTION_SCOPE_USER, config_user, 0);
	enum weir_err rc = section_build(&s, b);

	b->cfg->users = (void *)s.rows;
	b->cfg->user_count = s.count;
	return rc;
}

static enum weir_err build_peers(struct build *b)
{
	struct section s = SECTION(b, OPTION_SCOPE_PEER, config_peer, 0);

	return section_build(&s, b);
}

/* --- what needs the whole -------------------------------------------------- */

static enum weir_err global_fail(struct build *b, const char *option, const char *why)
{
	config_error_set(b->err, entry_of(b, OPTION_SCOPE_GLOBAL, option), option, "%s", why);
	return WEIR_ERR_CONFIG;
}

/* A method that can't be carried out must not start: nobody, or everybody, would get in. */
static enum weir_err check_auth(struct build *b)
{
	const struct config_globals *g = &b->cfg->global;

	switch (g->auth_type) {
	case AUTH_TYPE_CERT:
		if (g->client_tls_sslmode < SSLMODE_VERIFY_CA)
			return global_fail(b, "auth_type", "cert needs client_tls_sslmode verify-full");
		return WEIR_OK;
	case AUTH_TYPE_LDAP:
	case AUTH_TYPE_PAM:
		return global_fail(b, "auth_type", "ldap and pam aren't supported");
	case AUTH_TYPE_HBA:
		if (!g->auth_hba_file[0])
			return global_fail(b, "auth_type", "hba needs auth_hba_file");
		return WEIR_OK;
	default:
		return WEIR_OK;
	}
}

static enum weir_err check_redis(struct build *b)
{
	struct config *cfg = b->cfg;
	const struct config_globals *g = &cfg->global;

	if (!g->cache_redis[0])
		return WEIR_OK;
	if (!redis_url_parse(slice_str(g->cache_redis), &cfg->arena, &cfg->redis))
		return global_fail(b, "cache_redis",
		                   "isn't redis[s]://[user[:password]@]host[:port], "
		                   "redis[s]+cluster://...host[:port][,...] or "
		                   "redis[s]+sentinel://...host[:port][,...]/master");
	if (!cfg->redis.password && g->cache_redis_password[0])
		cfg->redis.password = g->cache_redis_password;
	if (cfg->redis.is_tls && !g->cache_redis_tls_ca_file[0])
		return global_fail(b, "cache_redis", "is one with TLS and needs cache_redis_tls_ca_file");
	return WEIR_OK;
}

/* SHOW CONFIG has it as if it had been given. Clients' certificates need a named authority. */
static void default_authorities(struct config_globals *g)
{
	if (g->server_tls_sslmode >= SSLMODE_VERIFY_CA && !g->server_tls_ca_file[0])
		g->server_tls_ca_file = system_ca_file();
}

static enum weir_err build_checks(struct build *b)
{
	struct config *cfg = b->cfg;
	const struct config_globals *g = &cfg->global;

	if (g->client_low_water_bytes >= g->client_high_water_bytes)
		return global_fail(b, "client_low_water", "isn't below client_high_water");
	if (g->replica_eject_time_us > g->replica_eject_max_us)
		return global_fail(b, "replica_eject_time", "is above replica_eject_max");
	if (!log_has_facility(g->syslog_facility))
		return global_fail(b, "syslog_facility",
		                   "isn't one that syslog has, such as daemon or local0");
	if (check_redis(b) != WEIR_OK)
		return WEIR_ERR_CONFIG;
	if (g->http_listen[0] &&
	    (!endpoint_parse(slice_str(g->http_listen), 0, &cfg->arena, &cfg->http) ||
	     cfg->http.port == 0))
		return global_fail(b, "http_listen", "isn't host:port");
	if (g->client_tls_sslmode != SSLMODE_DISABLE &&
	    (!g->client_tls_key_file[0] || !g->client_tls_cert_file[0]))
		return global_fail(b, "client_tls_sslmode",
		                   "needs client_tls_key_file and client_tls_cert_file");
	if (g->server_tls_negotiation == TLS_NEGOTIATION_DIRECT &&
	    g->server_tls_sslmode < SSLMODE_REQUIRE)
		return global_fail(b, "server_tls_negotiation",
		                   "direct needs server_tls_sslmode require or more");
	default_authorities(&cfg->global);
	return check_auth(b);
}

enum weir_err config_build(struct config *cfg, const struct config_entries *entries,
                           struct config_error *err)
{
	static enum weir_err (*const steps[])(struct build *) = {
		build_globals, build_clusters, build_databases, build_users, build_peers, build_checks,
	};
	struct build b = { .cfg = cfg, .entries = entries, .err = err };

	b.note_cap = entries->count * 2 + 1;
	b.notes = arena_zalloc(&cfg->arena, b.note_cap * sizeof(*b.notes));
	cfg->notes = b.notes;
	for (size_t i = 0; i < WEIR_COUNTOF(steps); i++) {
		enum weir_err rc = steps[i](&b);

		if (rc != WEIR_OK)
			return rc;
	}
	return WEIR_OK;
}
