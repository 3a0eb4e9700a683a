/* SPDX-License-Identifier: PostgreSQL */
/*
 * Static tables of names, see names.h. Each table is sorted for bsearch; the
 * unit test checks the order.
 */
#include "route/names.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

static const char *const node_local_functions[] = {
	"current_setting",
	"pg_backend_pid",
	"pg_blocking_pids",
	"pg_cancel_backend",
	"pg_conf_load_time",
	"pg_current_logfile",
	"pg_current_snapshot",
	"pg_current_wal_flush_lsn",
	"pg_current_wal_insert_lsn",
	"pg_current_wal_lsn",
	"pg_current_xact_id_if_assigned",
	"pg_cursor",
	"pg_get_backend_memory_contexts",
	"pg_get_replication_slots",
	"pg_get_shmem_allocations",
	"pg_get_wal_receiver_status",
	"pg_get_wal_replay_pause_state",
	"pg_hba_file_rules",
	"pg_ident_file_mappings",
	"pg_is_in_backup",
	"pg_is_in_recovery",
	"pg_is_wal_replay_paused",
	"pg_isolation_test_session_is_blocked",
	"pg_last_committed_xact",
	"pg_last_wal_receive_lsn",
	"pg_last_wal_replay_lsn",
	"pg_last_xact_replay_timestamp",
	"pg_listening_channels",
	"pg_lock_status",
	"pg_my_temp_schema",
	"pg_notification_queue_usage",
	"pg_postmaster_start_time",
	"pg_prepared_statement",
	"pg_prepared_xact",
	"pg_safe_snapshot_blocking_pids",
	"pg_show_all_file_settings",
	"pg_show_all_settings",
	"pg_trigger_depth",
	"pg_xact_commit_timestamp",
	"txid_current_if_assigned",
	"txid_current_snapshot",
};

static const char *const node_local_relations[] = {
	"pg_backend_memory_contexts",
	"pg_cursors",
	"pg_file_settings",
	"pg_hba_file_rules",
	"pg_ident_file_mappings",
	"pg_locks",
	"pg_prepared_statements",
	"pg_prepared_xacts",
	"pg_replication_origin_status",
	"pg_replication_slots",
	"pg_settings",
	"pg_shmem_allocations",
};

static const char *const tableless_functions[] = {
	"currval",
	"lastval",
	"nextval",
	"pg_advisory_lock",
	"pg_advisory_lock_shared",
	"pg_advisory_unlock",
	"pg_advisory_unlock_all",
	"pg_advisory_unlock_shared",
	"pg_advisory_xact_lock",
	"pg_advisory_xact_lock_shared",
	"pg_cancel_backend",
	"pg_current_xact_id",
	"pg_export_snapshot",
	"pg_notify",
	"pg_try_advisory_lock",
	"pg_try_advisory_lock_shared",
	"pg_try_advisory_xact_lock",
	"pg_try_advisory_xact_lock_shared",
	"set_config",
	"setval",
	"txid_current",
};

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

#define TABLE_HAS(table, name) \
	(bsearch(&(name), (table), WEIR_COUNTOF(table), sizeof *(table), compare_names) != NULL)

static bool has_prefix(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

static bool is_catalog_or_none(const char *schema)
{
	return schema == NULL || strcmp(schema, "pg_catalog") == 0;
}

bool names_is_system_relation(const struct statement_name *r)
{
	if (r->schema == NULL)
		return has_prefix(r->name, "pg_");
	return strcmp(r->schema, "pg_catalog") == 0 ||
	       strcmp(r->schema, "information_schema") == 0 || strcmp(r->schema, "pg_toast") == 0;
}

bool names_is_temporary(const struct statement_name *r)
{
	return r->schema != NULL && has_prefix(r->schema, "pg_temp");
}

bool names_is_node_local_relation(const struct statement_name *r)
{
	if (!is_catalog_or_none(r->schema))
		return false;
	/* pg_stats, pg_stats_ext and pg_statistic* are tables; pg_stat_* are counters of the node. */
	return has_prefix(r->name, "pg_stat_") || has_prefix(r->name, "pg_statio_") ||
	       TABLE_HAS(node_local_relations, r->name);
}

bool names_is_node_local_function(const struct statement_name *f)
{
	if (!is_catalog_or_none(f->schema))
		return false;
	return has_prefix(f->name, "pg_stat_get_") || has_prefix(f->name, "pg_ls_") ||
	       TABLE_HAS(node_local_functions, f->name);
}

bool names_is_tableless_function(const struct statement_name *f)
{
	return is_catalog_or_none(f->schema) && TABLE_HAS(tableless_functions, f->name);
}

enum catalog_volatility names_function_volatility(const struct statement_name *f,
						  const struct catalog *catalog)
{
	if (catalog)
		return catalog_function(catalog, f->schema, f->name);
	if (!is_catalog_or_none(f->schema))
		return CATALOG_FUNCTION_UNKNOWN;
	return catalog_builtin_function(f->name);
}
