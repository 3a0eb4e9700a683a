/* SPDX-License-Identifier: PostgreSQL */
/*
 * The rules by statement kind: a table from node type to a small function, and
 * DDL for everything else, so that a kind nobody thought of is a write that
 * voids the cache and refreshes the catalog. Pure on the analysis; any thread.
 */
#include "sql/utility.h"

#include <string.h>

#include "base/assert.h"
#include "sql/body.h"
#include "sql/effects.h"
#include "sql/inside.h"
#include "sql/walk.h"

typedef void rule_fn(struct analysis *a, const struct tree_node *node);

static bool is_text(const char *text, const char *word)
{
	return text && strcmp(text, word) == 0;
}

static void on_read(struct analysis *a, const struct tree_node *node)
{
	a->class = STATEMENT_READ;
	walk(a, node);
}

static void on_uncached_read(struct analysis *a)
{
	a->class = STATEMENT_READ;
	a->flags |= STATEMENT_NO_CACHE;
}

/* Only a target list: no FROM, WHERE, LIMIT ..., so each item runs once. */
static bool is_bare_select(const struct tree_node *node)
{
	for (const struct tree_node *n = node->child; n; n = n->next)
		if (strcmp(n->key, "targetList") != 0 && strcmp(n->key, "limitOption") != 0 &&
		    strcmp(n->key, "op") != 0)
			return false;
	return tree_member(node, "targetList") != NULL;
}

static const struct tree_node *config_call(const struct tree_node *item)
{
	const struct tree_node *value = tree_member(tree_member(item, "ResTarget"), "val");
	const struct tree_node *call = tree_member(value, "FuncCall");
	struct statement_name name = { NULL, NULL };

	if (call)
		name = walk_function_name(call);
	if (!is_text(name.name, "set_config") || (name.schema && !is_text(name.schema, "pg_catalog")))
		return NULL;
	return call;
}

static void on_select(struct analysis *a, const struct tree_node *node)
{
	if (!is_bare_select(node)) {
		on_read(a, node);
		return;
	}
	a->class = STATEMENT_READ;
	for (const struct tree_node *n = tree_member(node, "targetList")->child; n; n = n->next) {
		const struct tree_node *call = config_call(n);

		if (call) {
			effects_set_config(a, call, true);
			walk(a, tree_member(call, "args"));
		} else {
			walk(a, n);
		}
	}
}

static void on_write(struct analysis *a, const struct tree_node *node)
{
	(void)node;
	a->class = STATEMENT_WRITE;
	a->flags |= STATEMENT_NO_CACHE;
}

static void on_unknown_write(struct analysis *a, const struct tree_node *node)
{
	on_write(a, node);
	a->flags |= STATEMENT_WRITES_UNKNOWN | STATEMENT_MAY_UNPIN;
}

/* Temporary objects are the session's own: they change nobody's catalog. */
static void on_ddl(struct analysis *a, const struct tree_node *node)
{
	const char *on_commit = tree_text(node, "oncommit");

	on_write(a, node);
	if (is_text(node->key, "DropStmt") || is_text(node->key, "AlterObjectSchemaStmt"))
		a->flags |= STATEMENT_MAY_UNPIN;
	if (walk_finds_sequence_value(node)) /* its use follows before the catalog is read again */
		a->pins |= PIN_SEQUENCE_VALUE;
	if (!walk_finds_temporary(node))
		a->flags |= STATEMENT_DDL | STATEMENT_WRITES_UNKNOWN;
	else if (!is_text(on_commit, "ONCOMMIT_DROP") && !is_text(node->key, "DropStmt"))
		a->pins |= PIN_TEMP_TABLE;
}

/* What is executed isn't known here: the worst, until who knows the name judges again. */
static void on_execute(struct analysis *a, const struct tree_node *node)
{
	const char *name = tree_text(node, "name");

	on_unknown_write(a, node);
	analysis_add_effect(a, EFFECT_EXECUTE, name ? name : "", NULL);
	walk(a, tree_member(node, "params"));
}

static void on_create_as(struct analysis *a, const struct tree_node *node)
{
	const struct tree_node *into = tree_member(node, "into");
	const char *on_commit = tree_text(into, "onCommit");
	const struct tree_node *query = tree_member(node, "query");

	on_write(a, node);
	if (tree_member(query, "ExecuteStmt"))
		on_execute(a, tree_member(query, "ExecuteStmt"));
	walk_target(a, tree_member(into, "rel"));
	if (!walk_finds_temporary(into))
		a->flags |= STATEMENT_DDL;
	else if (!is_text(on_commit, "ONCOMMIT_DROP"))
		a->pins |= PIN_TEMP_TABLE;
	walk(a, query);
}

static void add_targets(struct analysis *a, const struct tree_node *list)
{
	for (const struct tree_node *n = list ? list->child : NULL; n; n = n->next)
		walk_target(a, n);
}

static void on_do(struct analysis *a, const struct tree_node *node)
{
	const struct tree_node *args = tree_member(node, "args");

	on_unknown_write(a, node);
	for (const struct tree_node *n = args ? args->child : NULL; n; n = n->next) {
		const struct tree_node *arg = tree_member(tree_member(n, "DefElem"), "arg");
		const char *body = tree_string_node(arg);

		if (body)
			body_judge(a, slice_str(body));
	}
}

static void on_truncate(struct analysis *a, const struct tree_node *node)
{
	on_write(a, node);
	add_targets(a, tree_member(node, "relations"));
	if (is_text(tree_text(node, "behavior"), "DROP_CASCADE"))
		a->flags |= STATEMENT_WRITES_UNKNOWN;
}

static void on_refresh(struct analysis *a, const struct tree_node *node)
{
	on_write(a, node);
	walk_target(a, tree_member(node, "relation"));
}

static void on_copy(struct analysis *a, const struct tree_node *node)
{
	const struct tree_node *relation = tree_member(node, "relation");
	bool is_file = tree_member(node, "filename") != NULL || tree_flag(node, "is_program");

	on_uncached_read(a);
	if (tree_flag(node, "is_from")) {
		on_write(a, node);
		walk_target(a, relation);
		walk(a, tree_member(node, "whereClause"));
		a->flags |= is_file ? 0 : STATEMENT_COPY_IN;
		return;
	}
	if (relation)
		analysis_add_name(a, &a->reads,
		                  (struct statement_name){ tree_text(relation, "schemaname"),
		                                           tree_text(relation, "relname") });
	walk(a, tree_member(node, "query"));
	if (is_file)
		on_write(a, node);
	else
		a->flags |= STATEMENT_COPY_OUT;
}

/* EXPLAIN (ANALYZE <value>): off, false and 0 switch it off; anything else counts as on. */
static bool is_analyze(const struct tree_node *node)
{
	const struct tree_node *options = tree_member(node, "options");
	bool on = false;

	for (const struct tree_node *n = options ? options->child : NULL; n; n = n->next) {
		const struct tree_node *option = tree_member(n, "DefElem");
		const struct tree_node *arg = tree_member(option, "arg");
		const char *text = tree_string_node(arg);
		const struct tree_node *integer = tree_member(arg, "Integer");

		if (!is_text(tree_text(option, "defname"), "analyze"))
			continue;
		on = !is_text(text, "off") && !is_text(text, "false") &&
		     !(integer && !tree_member(integer, "ival"));
	}
	return on;
}

/* Without ANALYZE nothing runs: no row is locked, nothing written, pinned or created. */
static void keep_reads_only(struct analysis *a, const struct analysis *before)
{
	a->flags = before->flags;
	a->pins = before->pins;
	a->writes = before->writes;
	*a->writes.tail = NULL;
	a->effect_tail = before->effect_tail;
	*a->effect_tail = NULL;
	a->effect_count = before->effect_count;
}

static void on_explain(struct analysis *a, const struct tree_node *node)
{
	const struct tree_node *query = tree_member(node, "query");
	const struct analysis before = *a;

	if (!query || !query->child) {
		on_unknown_write(a, node);
		return;
	}
	utility_judge(a, query->child);
	if (!is_analyze(node) && strcmp(query->child->key, "ExecuteStmt") != 0) {
		keep_reads_only(a, &before);
		on_uncached_read(a);
	}
	a->flags |= STATEMENT_EXPLAIN | STATEMENT_NO_CACHE;
}

static void on_declare(struct analysis *a, const struct tree_node *node)
{
	enum { CURSOR_OPT_HOLD = 0x20 };
	const char *options = tree_text(node, "options");
	unsigned long bits = 0;

	for (const char *p = options ? options : ""; *p >= '0' && *p <= '9'; p++)
		bits = bits * 10 + (unsigned long)(*p - '0');
	on_uncached_read(a);
	a->flags |= STATEMENT_CURSOR;
	walk(a, tree_member(node, "query"));
	if (bits & CURSOR_OPT_HOLD)
		analysis_pin(a, PIN_HOLD_CURSOR);
}

static void on_cursor(struct analysis *a, const struct tree_node *node)
{
	(void)node;
	on_uncached_read(a);
	a->flags |= STATEMENT_CURSOR;
}

static void on_close(struct analysis *a, const struct tree_node *node)
{
	on_cursor(a, node);
	a->flags |= STATEMENT_MAY_UNPIN;
	if (!tree_member(node, "portalname"))
		analysis_add_unpin(a, PIN_HOLD_CURSOR);
}

static void on_show(struct analysis *a, const struct tree_node *node)
{
	const char *name = tree_text(node, "name");

	a->class = STATEMENT_SESSION;
	a->flags |= STATEMENT_SHOW | STATEMENT_NO_CACHE;
	analysis_add_effect(a, EFFECT_SHOW, name ? analysis_lower(a, name) : NULL, NULL);
}

/* The query in it is judged when it is run, see prepare_body. */
static void on_prepare(struct analysis *a, const struct tree_node *node)
{
	const char *name = tree_text(node, "name");

	a->class = STATEMENT_SESSION;
	a->flags |= STATEMENT_NO_CACHE;
	analysis_add_effect(a, EFFECT_PREPARE, name ? name : "",
	                    arena_strdup(a->arena, a->statement_text));
}

static void on_deallocate(struct analysis *a, const struct tree_node *node)
{
	const char *name = tree_text(node, "name");

	a->class = STATEMENT_SESSION;
	a->flags |= STATEMENT_NO_CACHE;
	analysis_add_effect(a, name ? EFFECT_DEALLOCATE : EFFECT_DEALLOCATE_ALL, name, NULL);
	if (!name)
		analysis_add_unpin(a, PIN_SQL_PREPARE);
}

static void on_load(struct analysis *a, const struct tree_node *node)
{
	(void)node;
	analysis_pin(a, PIN_LOAD);
}

static void on_listen(struct analysis *a, const struct tree_node *node)
{
	analysis_add_effect(a, EFFECT_LISTEN, tree_text(node, "conditionname"), NULL);
	analysis_pin(a, PIN_LISTEN);
}

static void on_unlisten(struct analysis *a, const struct tree_node *node)
{
	const char *name = tree_text(node, "conditionname");

	a->class = STATEMENT_SESSION;
	a->flags |= STATEMENT_NO_CACHE;
	analysis_add_effect(a, name ? EFFECT_UNLISTEN : EFFECT_UNLISTEN_ALL, name, NULL);
}

/* READ ONLY, isolation: the options of BEGIN and START TRANSACTION. */
static void add_begin_modes(struct analysis *a, const struct tree_node *node)
{
	const struct tree_node *options = tree_member(node, "options");

	for (const struct tree_node *n = options ? options->child : NULL; n; n = n->next) {
		const struct tree_node *option = tree_member(n, "DefElem");
		const char *name = tree_text(option, "defname");
		const struct tree_node *value = tree_member(tree_member(option, "arg"), "A_Const");
		const char *level = tree_text(tree_member(value, "sval"), "sval");

		if (is_text(name, "transaction_read_only"))
			a->flags |= tree_text(tree_member(value, "ival"), "ival") ? STATEMENT_BEGIN_READ_ONLY
			                                                          : STATEMENT_BEGIN_READ_WRITE;
		if (is_text(level, "serializable"))
			a->flags |= STATEMENT_BEGIN_ISOLATED | STATEMENT_BEGIN_SERIALIZABLE;
		else if (is_text(level, "repeatable read"))
			a->flags |= STATEMENT_BEGIN_ISOLATED;
	}
}

static void add_savepoint(struct analysis *a, const struct tree_node *node, uint32_t flag,
                          enum effect_kind kind)
{
	a->flags |= flag;
	analysis_add_effect(a, kind, tree_text(node, "savepoint_name"), NULL);
}

static void on_transaction(struct analysis *a, const struct tree_node *node)
{
	const char *kind = tree_text(node, "kind");
	uint32_t chain = tree_flag(node, "chain") ? STATEMENT_CHAIN : 0;

	a->class = STATEMENT_TXN;
	a->flags |= STATEMENT_NO_CACHE;
	if (is_text(kind, "TRANS_STMT_BEGIN") || is_text(kind, "TRANS_STMT_START")) {
		a->flags |= STATEMENT_BEGIN;
		add_begin_modes(a, node);
	} else if (is_text(kind, "TRANS_STMT_COMMIT")) {
		a->flags |= chain ? chain : STATEMENT_COMMIT;
		analysis_add_effect(a, EFFECT_COMMIT, NULL, NULL);
	} else if (is_text(kind, "TRANS_STMT_ROLLBACK")) {
		a->flags |= chain ? chain : STATEMENT_ROLLBACK;
		analysis_add_effect(a, EFFECT_ROLLBACK, NULL, NULL);
	} else if (is_text(kind, "TRANS_STMT_SAVEPOINT")) {
		add_savepoint(a, node, STATEMENT_SAVEPOINT, EFFECT_SAVEPOINT);
	} else if (is_text(kind, "TRANS_STMT_RELEASE")) {
		add_savepoint(a, node, STATEMENT_SAVEPOINT, EFFECT_RELEASE);
	} else if (is_text(kind, "TRANS_STMT_ROLLBACK_TO")) {
		add_savepoint(a, node, STATEMENT_ROLLBACK_TO, EFFECT_ROLLBACK_TO);
	} else { /* two-phase: only the primary */
		a->flags |= STATEMENT_TWO_PHASE;
		if (is_text(kind, "TRANS_STMT_COMMIT_PREPARED"))
			a->flags |= STATEMENT_DDL; /* may be among what it commits */
		on_unknown_write(a, node);
		if (is_text(kind, "TRANS_STMT_PREPARE"))
			analysis_add_effect(a, EFFECT_COMMIT, NULL, NULL);
	}
}

static const char *option_text(const struct tree_node *node, const char *name)
{
	const struct tree_node *options = tree_member(node, "options");

	for (const struct tree_node *n = options ? options->child : NULL; n; n = n->next) {
		const struct tree_node *option = tree_member(n, "DefElem");

		if (is_text(tree_text(option, "defname"), name))
			return tree_text(tree_member(tree_member(option, "arg"), "String"), "sval");
	}
	return NULL;
}

/* PostgreSQL refuses to copy, drop, rename or move a database that has sessions. */
static void on_create_database(struct analysis *a, const struct tree_node *node)
{
	const char *source = option_text(node, "template");

	on_ddl(a, node);
	analysis_add_effect(a, EFFECT_VACATE, source ? source : "template1", NULL);
	analysis_add_effect(a, EFFECT_VACATE, tree_text(node, "dbname"), NULL);
}

static void on_drop_database(struct analysis *a, const struct tree_node *node)
{
	on_ddl(a, node);
	analysis_add_effect(a, EFFECT_VACATE, tree_text(node, "dbname"), NULL);
}

static void on_alter_database(struct analysis *a, const struct tree_node *node)
{
	on_ddl(a, node);
	if (option_text(node, "tablespace"))
		analysis_add_effect(a, EFFECT_VACATE, tree_text(node, "dbname"), NULL);
}

static void on_rename(struct analysis *a, const struct tree_node *node)
{
	on_ddl(a, node);
	if (!is_text(tree_text(node, "renameType"), "OBJECT_DATABASE"))
		return;
	analysis_add_effect(a, EFFECT_VACATE, tree_text(node, "subname"), NULL);
	analysis_add_effect(a, EFFECT_VACATE, tree_text(node, "newname"), NULL);
}

static const struct {
	const char *node;
	rule_fn *fn;
} rules[] = {
	{ "SelectStmt", on_select },
	{ "InsertStmt", on_read }, /* the walk makes them writes */
	{ "UpdateStmt", on_read },
	{ "DeleteStmt", on_read },
	{ "MergeStmt", on_read },
	{ "TransactionStmt", on_transaction },
	{ "VariableSetStmt", effects_set },
	{ "VariableShowStmt", on_show },
	{ "DiscardStmt", effects_discard },
	{ "CopyStmt", on_copy },
	{ "ExplainStmt", on_explain },
	{ "DeclareCursorStmt", on_declare },
	{ "FetchStmt", on_cursor }, /* MOVE too */
	{ "ClosePortalStmt", on_close },
	{ "PrepareStmt", on_prepare },
	{ "ExecuteStmt", on_execute },
	{ "DeallocateStmt", on_deallocate },
	{ "ListenStmt", on_listen },
	{ "UnlistenStmt", on_unlisten },
	{ "NotifyStmt", on_write },
	{ "LoadStmt", on_load },
	{ "LockStmt", on_write },
	{ "ConstraintsSetStmt", on_write },
	{ "CheckPointStmt", on_write },
	{ "VacuumStmt", on_write }, /* ANALYZE too */
	{ "ClusterStmt", on_write },
	{ "ReindexStmt", on_write },
	{ "TruncateStmt", on_truncate },
	{ "RefreshMatViewStmt", on_refresh },
	{ "CreateTableAsStmt", on_create_as },
	{ "CallStmt", on_unknown_write },
	{ "DoStmt", on_do },
	{ "CreatedbStmt", on_create_database },
	{ "DropdbStmt", on_drop_database },
	{ "AlterDatabaseStmt", on_alter_database },
	{ "RenameStmt", on_rename },
};

void utility_judge(struct analysis *a, const struct tree_node *node)
{
	if (inside_commits(node))
		a->flags |= STATEMENT_COMMITS_INSIDE;
	for (size_t i = 0; i < WEIR_COUNTOF(rules); i++) {
		if (strcmp(rules[i].node, node->key) == 0) {
			rules[i].fn(a, node);
			return;
		}
	}
	on_ddl(a, node);
}
