/* SPDX-License-Identifier: PostgreSQL */
/*
 * Those that PostgreSQL refuses in a transaction block (PreventInTransactionBlock)
 * as far as the text tells it. REINDEX and CLUSTER of one partitioned table commit
 * too, but what they leave behind is as it was or done, so they may run again.
 */
#include "sql/inside.h"

#include <string.h>

#include "base/assert.h"

static bool is_always(const struct tree_node *node)
{
	(void)node;
	return true;
}

static bool is_concurrent(const struct tree_node *node)
{
	return tree_flag(node, "concurrent");
}

/* Not ANALYZE, which is the same node. */
static bool is_vacuum(const struct tree_node *node)
{
	return tree_flag(node, "is_vacuumcmd");
}

/* All tables that were clustered before. */
static bool is_without_table(const struct tree_node *node)
{
	return tree_member(node, "relation") == NULL;
}

static bool has_option(const struct tree_node *options, const char *name)
{
	for (const struct tree_node *n = options ? options->child : NULL; n; n = n->next) {
		const char *text = tree_text(tree_member(n, "DefElem"), "defname");

		if (text && strcmp(text, name) == 0)
			return true;
	}
	return false;
}

static bool is_reindex_of_many(const struct tree_node *node)
{
	const char *kind = tree_text(node, "kind");
	bool is_one = kind && (strcmp(kind, "REINDEX_OBJECT_INDEX") == 0 ||
			       strcmp(kind, "REINDEX_OBJECT_TABLE") == 0);

	return !is_one || has_option(tree_member(node, "params"), "concurrently");
}

static bool is_detach_concurrently(const struct tree_node *node)
{
	const struct tree_node *commands = tree_member(node, "cmds");

	for (const struct tree_node *n = commands ? commands->child : NULL; n; n = n->next) {
		const struct tree_node *def = tree_member(tree_member(n, "AlterTableCmd"), "def");

		if (tree_flag(tree_member(def, "PartitionCmd"), "concurrent"))
			return true;
	}
	return false;
}

static bool is_to_tablespace(const struct tree_node *node)
{
	return has_option(tree_member(node, "options"), "tablespace");
}

static const struct {
	const char *node;
	bool (*is_one)(const struct tree_node *node);
} rules[] = {
	{ "IndexStmt", is_concurrent },
	{ "DropStmt", is_concurrent },
	{ "ReindexStmt", is_reindex_of_many },
	{ "AlterTableStmt", is_detach_concurrently },
	{ "VacuumStmt", is_vacuum },
	{ "ClusterStmt", is_without_table },
	{ "CreatedbStmt", is_always },
	{ "DropdbStmt", is_always },
	{ "AlterDatabaseStmt", is_to_tablespace },
	{ "CreateTableSpaceStmt", is_always },
	{ "DropTableSpaceStmt", is_always },
	{ "CreateSubscriptionStmt", is_always },
	{ "AlterSubscriptionStmt", is_always },
	{ "DropSubscriptionStmt", is_always },
	{ "AlterSystemStmt", is_always },
};

bool inside_commits(const struct tree_node *node)
{
	for (size_t i = 0; i < WEIR_COUNTOF(rules); i++)
		if (strcmp(rules[i].node, node->key) == 0)
			return rules[i].is_one(node);
	return false;
}
