/* SPDX-License-Identifier: PostgreSQL */
/*
 * A table of names. A function of the same name in a user's schema counts too
 * when it is called without schema: the worst case wins. Any thread.
 */
#include "sql/functions.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "sql/effects.h"

enum function_rule {
	RULE_WRITE,    /* needs the primary, volatile or not, catalog or not */
	RULE_NO_CACHE, /* the answer depends on moment, session or node */
	RULE_LOCK,     /* session advisory lock: pin */
	RULE_UNLOCK,   /* does nothing unless the session holds a lock, and then it is pinned */
	RULE_UNLOCK_ALL,
	RULE_SEQUENCE_VALUE, /* session's last sequence value: pin */
	RULE_OPAQUE,         /* session state that can't be replayed: pin */
	RULE_SET_CONFIG,
	RULE_SETTING, /* of the session if its name has a dot, else perhaps of the node */
	RULE_SHOW_PREPARED,
};

static const struct function_entry {
	const char *name;
	enum function_rule rule;
} table[] = {
	/* sorted */
	{ "clock_timestamp", RULE_NO_CACHE },
	{ "current_database", RULE_NO_CACHE },
	{ "current_query", RULE_NO_CACHE },
	{ "current_schema", RULE_NO_CACHE },
	{ "current_schemas", RULE_NO_CACHE },
	{ "current_setting", RULE_SETTING },
	{ "currval", RULE_SEQUENCE_VALUE },
	{ "dblink_connect", RULE_OPAQUE },
	{ "dblink_connect_u", RULE_OPAQUE },
	{ "gen_random_uuid", RULE_NO_CACHE },
	{ "inet_client_addr", RULE_NO_CACHE },
	{ "inet_client_port", RULE_NO_CACHE },
	{ "inet_server_addr", RULE_NO_CACHE },
	{ "inet_server_port", RULE_NO_CACHE },
	{ "lastval", RULE_SEQUENCE_VALUE },
	{ "nextval", RULE_WRITE },
	{ "now", RULE_NO_CACHE },
	{ "pg_advisory_lock", RULE_LOCK },
	{ "pg_advisory_lock_shared", RULE_LOCK },
	{ "pg_advisory_unlock", RULE_UNLOCK },
	{ "pg_advisory_unlock_all", RULE_UNLOCK_ALL },
	{ "pg_advisory_unlock_shared", RULE_UNLOCK },
	{ "pg_advisory_xact_lock", RULE_WRITE },
	{ "pg_advisory_xact_lock_shared", RULE_WRITE },
	{ "pg_backend_pid", RULE_NO_CACHE },
	{ "pg_cancel_backend", RULE_WRITE },
	{ "pg_current_wal_flush_lsn", RULE_WRITE },
	{ "pg_current_wal_insert_lsn", RULE_WRITE },
	{ "pg_current_wal_lsn", RULE_WRITE },
	{ "pg_current_xact_id", RULE_WRITE },
	{ "pg_current_xact_id_if_assigned", RULE_WRITE },
	{ "pg_export_snapshot", RULE_WRITE },
	{ "pg_is_in_recovery", RULE_NO_CACHE },
	{ "pg_last_wal_receive_lsn", RULE_NO_CACHE },
	{ "pg_last_wal_replay_lsn", RULE_NO_CACHE },
	{ "pg_last_xact_replay_timestamp", RULE_NO_CACHE },
	{ "pg_notify", RULE_WRITE },
	{ "pg_prepared_statement", RULE_SHOW_PREPARED },
	{ "pg_replication_origin_session_setup", RULE_OPAQUE },
	{ "pg_terminate_backend", RULE_WRITE },
	{ "pg_try_advisory_lock", RULE_LOCK },
	{ "pg_try_advisory_lock_shared", RULE_LOCK },
	{ "pg_try_advisory_xact_lock", RULE_WRITE },
	{ "pg_try_advisory_xact_lock_shared", RULE_WRITE },
	{ "random", RULE_NO_CACHE },
	{ "set_config", RULE_SET_CONFIG },
	{ "setseed", RULE_OPAQUE },
	{ "setval", RULE_WRITE },
	{ "statement_timestamp", RULE_NO_CACHE },
	{ "timeofday", RULE_NO_CACHE },
	{ "transaction_timestamp", RULE_NO_CACHE },
	{ "txid_current", RULE_WRITE },
	{ "txid_current_if_assigned", RULE_WRITE },
};

static int compare(const void *key, const void *entry)
{
	return strcmp(key, ((const struct function_entry *)entry)->name);
}

static const struct function_entry *find(struct statement_name name)
{
	bool is_builtin = !name.schema || strcmp(name.schema, "pg_catalog") == 0;

	/* Extensions live in any schema. */
	if (!is_builtin && strncmp(name.name, "dblink_", 7) != 0)
		return NULL;
	return bsearch(name.name, table, WEIR_COUNTOF(table), sizeof(table[0]), compare);
}

/* A setting with a dot in its name has the value that the session gave it, on any node. */
static bool reads_own_setting(struct analysis *a, const struct tree_node *call)
{
	const struct tree_node *args = tree_member(call, "args");
	const struct tree_node *name = args ? tree_member(args->child, "A_Const") : NULL;
	const char *text = tree_text(tree_member(name, "sval"), "sval");

	a->is_plain_dml = false; /* another literal is another statement */
	return text && strchr(text, '.');
}

bool functions_judge(struct analysis *a, struct statement_name name, const struct tree_node *call)
{
	const struct function_entry *e = find(name);

	if (!e)
		return false;
	a->flags |= STATEMENT_NO_CACHE;
	switch (e->rule) {
	case RULE_WRITE:
		analysis_write(a);
		return false;
	case RULE_NO_CACHE:
		return false;
	case RULE_LOCK:
		analysis_pin(a, PIN_ADVISORY_LOCK);
		return false;
	case RULE_UNLOCK_ALL:
		analysis_add_unpin(a, PIN_ADVISORY_LOCK);
		return true;
	case RULE_UNLOCK:
		a->flags |= STATEMENT_MAY_UNPIN;
		return true;
	case RULE_SEQUENCE_VALUE:
		analysis_pin(a, PIN_SEQUENCE_VALUE);
		return false;
	case RULE_OPAQUE:
		analysis_opaque(a);
		return false;
	case RULE_SHOW_PREPARED:
		analysis_add_effect(a, EFFECT_SHOW_PREPARED, NULL, NULL);
		return false;
	case RULE_SET_CONFIG:
		effects_set_config(a, call, false);
		return true;
	case RULE_SETTING:
		return reads_own_setting(a, call);
	}
	return false;
}
