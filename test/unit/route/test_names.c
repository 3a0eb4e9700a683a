/* SPDX-License-Identifier: PostgreSQL */
/*
 * Names that tell something by themselves; the first and last of each table
 * are found, which a wrong order would break.
 */
#include <criterion/criterion.h>

#include "route/names.h"

static struct statement_name name(const char *schema, const char *n)
{
	return (struct statement_name){ schema, n };
}

#define YES(check, schema, n)                           \
	do {                                                \
		struct statement_name at = name(schema, n);     \
		cr_expect(names_##check(&at), #check " %s", n); \
	} while (0)
#define NO(check, schema, n)                                \
	do {                                                    \
		struct statement_name at = name(schema, n);         \
		cr_expect_not(names_##check(&at), #check " %s", n); \
	} while (0)

Test(names, node_local_functions)
{
	YES(is_node_local_function, NULL, "pg_backend_pid");
	YES(is_node_local_function, "pg_catalog", "pg_is_in_recovery");
	YES(is_node_local_function, NULL, "pg_current_wal_lsn");
	YES(is_node_local_function, NULL, "txid_current_snapshot");
	YES(is_node_local_function, NULL, "pg_stat_get_activity");
	YES(is_node_local_function, NULL, "current_setting");
	NO(is_node_local_function, "public", "pg_is_in_recovery");
	NO(is_node_local_function, NULL, "inet_server_port");
	NO(is_node_local_function, NULL, "upper");
}

Test(names, node_local_and_system_relations)
{
	YES(is_node_local_relation, NULL, "pg_backend_memory_contexts");
	YES(is_node_local_relation, NULL, "pg_shmem_allocations");
	YES(is_node_local_relation, NULL, "pg_stat_user_tables");
	NO(is_node_local_relation, NULL, "pg_stats");
	NO(is_node_local_relation, NULL, "pg_statistic");
	NO(is_node_local_relation, "public", "pg_locks");
	YES(is_system_relation, NULL, "pg_class");
	YES(is_system_relation, "information_schema", "tables");
	NO(is_system_relation, NULL, "tables");
	NO(is_system_relation, "public", "pg_class");
	YES(is_temporary, "pg_temp", "x");
	YES(is_temporary, "pg_temp_3", "x");
	NO(is_temporary, NULL, "pg_temp");
}

Test(names, functions_that_change_no_table)
{
	YES(is_tableless_function, NULL, "currval");
	YES(is_tableless_function, NULL, "nextval");
	YES(is_tableless_function, "pg_catalog", "txid_current");
	NO(is_tableless_function, NULL, "lo_import");
	NO(is_tableless_function, "public", "nextval");
}
