/* SPDX-License-Identifier: PostgreSQL */
/*
 * See session_txn.h. The role takes part with two rules of PostgreSQL's own:
 * SET SESSION AUTHORIZATION sets the role to none, and RESET ALL leaves both.
 *
 * A setting that only superusers may change, changed under another role than
 * the log-in's, could not be set again by the log-in role: it isn't followed.
 * Nor is a client_encoding that comes after values which an older one reads.
 */
#include "pool/session_txn.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "pool/session.h"

enum { SAVEPOINTS_STEP = 8 };

/* Sorted: settings of context "superuser" in PostgreSQL 15 to 17. */
static const char *const superuser_settings[] = {
	"allow_in_place_tablespaces",
	"allow_system_table_mods",
	"backtrace_functions",
	"commit_delay",
	"compute_query_id",
	"deadlock_timeout",
	"debug_discard_caches",
	"dynamic_library_path",
	"event_triggers",
	"ignore_checksum_failure",
	"lc_messages",
	"lo_compat_privileges",
	"log_duration",
	"log_error_verbosity",
	"log_executor_stats",
	"log_lock_waits",
	"log_min_duration_sample",
	"log_min_duration_statement",
	"log_min_error_statement",
	"log_min_messages",
	"log_parameter_max_length",
	"log_parser_stats",
	"log_planner_stats",
	"log_replication_commands",
	"log_statement",
	"log_statement_sample_rate",
	"log_statement_stats",
	"log_temp_files",
	"log_transaction_sample_rate",
	"max_stack_depth",
	"session_preload_libraries",
	"session_replication_role",
	"temp_file_limit",
	"track_activities",
	"track_counts",
	"track_functions",
	"track_io_timing",
	"track_wal_io_timing",
	"update_process_title",
	"wal_compression",
	"wal_consistency_checking",
	"wal_init_zero",
	"wal_recycle",
	"zero_damaged_pages",
};

static int compare(const void *key, const void *entry)
{
	return strcmp(key, *(const char *const *)entry);
}

static bool is_superuser_setting(const char *name)
{
	static const char *const modules[] = { "auto_explain.", "pg_stat_statements.", "plpgsql." };

	for (size_t i = 0; i < WEIR_COUNTOF(modules); i++)
		if (strncmp(name, modules[i], strlen(modules[i])) == 0)
			return true;
	return bsearch(name, superuser_settings, WEIR_COUNTOF(superuser_settings),
		       sizeof superuser_settings[0], compare) != NULL;
}

/* Consumes both. */
static void adopt(struct session_txn *t, struct session_state *client,
		  struct session_state *server)
{
	session_put(&t->client);
	session_put(&t->server);
	t->client = client;
	t->server = server;
	t->has_changed = true;
}

/* SET SESSION AUTHORIZATION ends a SET ROLE; RESET brings the start-up's role back. */
static struct session_state *with_setting(struct session_state *from, const char *name,
					  const char *value, const char *role)
{
	struct session_state *s = session_with(from, slice_str(name), value), *more;

	if (!s || strcmp(name, SESSION_AUTHORIZATION) != 0)
		return s;
	more = session_with(s, slice_str(SESSION_ROLE), role);
	session_put(&s);
	return more;
}

/*
 * A name with a dot that was set may belong to nobody; reset it is then empty where it was set, and
 * unknown elsewhere (PostgreSQL 15, 20.16). SET TO DEFAULT makes it so on any server.
 */
static bool leaves_placeholder(const struct session_state *from, const char *name)
{
	return strchr(name, '.') && strncmp(name, "pgweir.", 7) != 0 &&
	       session_find(from, slice_str(name));
}

bool session_txn_set(struct session_txn *t, struct session_base base, const char *name,
		     const char *value)
{
	struct session_state *from = t->client ? t->client : base.committed;
	struct session_state *from_server = t->server ? t->server : base.committed;
	const char *client_value = value, *role = NULL;
	struct session_state *client, *server;

	if (session_has_identity(from) && is_superuser_setting(name))
		return false;
	if (strcmp(name, SESSION_ENCODING) == 0 && session_has_encoded_text(from))
		return false;
	if (!value) {
		client_value = session_find(base.startup, slice_str(name));
		role = session_find(base.startup, slice_str(SESSION_ROLE));
		if (!client_value && leaves_placeholder(from, name))
			client_value = value = "DEFAULT";
	}
	client = with_setting(from, name, client_value, role);
	server = with_setting(from_server, name, value, NULL);
	if (client && server) {
		adopt(t, client, server);
		return true;
	}
	session_put(&client);
	session_put(&server);
	return false;
}

/* `to` with the identity of `from`; NULL when a bound is reached. Consumes `to`. */
static struct session_state *keep_identity(struct session_state *to,
					   const struct session_state *from)
{
	static const char *const names[] = { SESSION_AUTHORIZATION, SESSION_ROLE };

	for (size_t i = 0; to && i < WEIR_COUNTOF(names); i++) {
		struct slice name = slice_str(names[i]);
		struct session_state *next = session_with(to, name, session_find(from, name));

		session_put(&to);
		to = next;
	}
	return to;
}

void session_txn_reset_all(struct session_txn *t, struct session_base base)
{
	struct session_state *from = t->client ? t->client : base.committed;
	struct session_state *from_server = t->server ? t->server : base.committed;
	struct session_state *client = keep_identity(session_get(base.startup), from);
	struct session_state *server = keep_identity(session_none(from), from_server);

	if (client && server) {
		adopt(t, client, server);
		return;
	}
	session_put(&client); /* two names more than the start-up's: over the bound by a hair */
	session_put(&server);
	session_txn_discard_all(t, base);
}

void session_txn_discard_all(struct session_txn *t, struct session_base base)
{
	adopt(t, session_get(base.startup), session_none(base.startup));
}

void session_txn_synced(struct session_txn *t, struct session_state *state)
{
	adopt(t, session_get(state), session_get(state));
}

static struct session_state *get_or_null(struct session_state *s)
{
	return s ? session_get(s) : NULL;
}

bool session_txn_savepoint(struct session_txn *t, const char *name)
{
	struct session_savepoint *s;

	if (!t->has_changed)
		return true;
	if (t->count == SESSION_SAVEPOINTS_MAX)
		return false;
	if (t->count % SAVEPOINTS_STEP == 0) {
		t->savepoints = mem_realloc(t->savepoints, (t->count + (size_t)SAVEPOINTS_STEP) *
								   sizeof t->savepoints[0]);
	}
	s = &t->savepoints[t->count++];
	s->name = mem_strdup(name);
	s->client = get_or_null(t->client);
	s->server = get_or_null(t->server);
	s->marks = t->marks;
	return true;
}

/* The newest of that name; count: made before the first change. */
static uint32_t find(const struct session_txn *t, const char *name)
{
	for (uint32_t i = t->count; i-- > 0;)
		if (strcmp(t->savepoints[i].name, name) == 0)
			return i;
	return t->count;
}

static void drop_from(struct session_txn *t, uint32_t first)
{
	while (t->count > first) {
		struct session_savepoint *s = &t->savepoints[--t->count];

		mem_free(s->name);
		session_put(&s->client);
		session_put(&s->server);
	}
}

void session_txn_release(struct session_txn *t, const char *name)
{
	uint32_t i = find(t, name);

	drop_from(t, i < t->count ? i : 0);
}

void session_txn_rollback_to(struct session_txn *t, const char *name)
{
	uint32_t i = find(t, name);

	if (i == t->count) {
		session_txn_end(t);
		return;
	}
	session_put(&t->client);
	session_put(&t->server);
	t->client = get_or_null(t->savepoints[i].client);
	t->server = get_or_null(t->savepoints[i].server);
	t->marks = t->savepoints[i].marks;
	drop_from(t, i + 1); /* it stays */
}

void session_txn_end(struct session_txn *t)
{
	drop_from(t, 0);
	session_put(&t->client);
	session_put(&t->server);
	t->marks = 0;
	t->has_changed = false;
}

void session_txn_fini(struct session_txn *t)
{
	session_txn_end(t);
	mem_free(t->savepoints);
	*t = (struct session_txn){ 0 };
}
