/* SPDX-License-Identifier: PostgreSQL */
/*
 * The walk over queries and expressions. Most nodes are only passed through;
 * a table names the ones that mean something. Common table expressions hide
 * relations by scope: `struct scope` is the chain of names visible at a place,
 * on the stack of the recursion, whose depth tree.h bounds. Any thread.
 *
 * Never cacheable whatever the catalog says: CURRENT_TIMESTAMP and its kin
 * (time, or the user, who may change inside a SECURITY DEFINER call), system
 * columns (they move with VACUUM or an update that changes nothing),
 * TABLESAMPLE (random), names of catalog objects by cast (regclass: DDL isn't
 * in the change stream), row locks, temporary relations.
 */
#include "sql/walk.h"

#include <string.h>

#include "base/assert.h"
#include "sql/functions.h"

struct scope {
	const char *name;
	const struct scope *outer;
};

static void visit(struct analysis *a, const struct tree_node *node, const struct scope *scope);

static void visit_children(struct analysis *a, const struct tree_node *node,
                           const struct scope *scope)
{
	for (const struct tree_node *n = node->child; n; n = n->next)
		visit(a, n, scope);
}

static bool in_scope(const struct scope *scope, const char *name)
{
	for (; scope; scope = scope->outer)
		if (strcmp(scope->name, name) == 0)
			return true;
	return false;
}

static bool is_temporary_schema(const char *schema)
{
	return schema && (strcmp(schema, "pg_temp") == 0 || strncmp(schema, "pg_temp_", 8) == 0);
}

static struct statement_name range_var_name(const struct tree_node *range_var)
{
	return (struct statement_name){ tree_text(range_var, "schemaname"),
		                            tree_text(range_var, "relname") };
}

static void on_range_var(struct analysis *a, const struct tree_node *node,
                         const struct scope *scope)
{
	struct statement_name name = range_var_name(node);

	if (!name.name || (!name.schema && in_scope(scope, name.name)))
		return;
	if (is_temporary_schema(name.schema))
		analysis_write(a);
	if (strcmp(name.name, "pg_prepared_statements") == 0)
		analysis_add_effect(a, EFFECT_SHOW_PREPARED, NULL, NULL);
	analysis_add_name(a, &a->reads, name);
}

void walk_target(struct analysis *a, const struct tree_node *range_var)
{
	const struct tree_node *wrapped = tree_member(range_var, "RangeVar");
	struct statement_name name = range_var_name(wrapped ? wrapped : range_var);

	if (name.name)
		analysis_add_name(a, &a->writes, name);
}

/* The last two strings of a list of String nodes: schema and name. */
static struct statement_name qualified_name(const struct tree_node *list)
{
	struct statement_name name = { NULL, NULL };

	for (const struct tree_node *n = list ? list->child : NULL; n; n = n->next) {
		name.schema = name.name;
		name.name = tree_string_node(n);
	}
	return name;
}

struct statement_name walk_function_name(const struct tree_node *call)
{
	return qualified_name(tree_member(call, "funcname"));
}

static void on_function(struct analysis *a, const struct tree_node *node, const struct scope *scope)
{
	struct statement_name name = walk_function_name(node);

	if (name.name && !functions_judge(a, name, node))
		analysis_add_name(a, &a->functions, name);
	visit_children(a, node, scope);
}

/* OPERATOR(schema.op): whose function it is, only the catalog knows; listed by its own name. */
static void on_expression(struct analysis *a, const struct tree_node *node,
                          const struct scope *scope)
{
	struct statement_name name = qualified_name(tree_member(node, "name"));

	if (name.schema && name.name && strcmp(name.schema, "pg_catalog") != 0)
		analysis_add_name(a, &a->functions, name);
	visit_children(a, node, scope);
}

static void on_no_cache(struct analysis *a, const struct tree_node *node, const struct scope *scope)
{
	a->flags |= STATEMENT_NO_CACHE;
	visit_children(a, node, scope);
}

static void on_column(struct analysis *a, const struct tree_node *node, const struct scope *scope)
{
	static const char *const system_columns[] = {
		"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"
	};
	struct statement_name name = qualified_name(tree_member(node, "fields"));

	(void)scope;
	for (size_t i = 0; name.name && i < WEIR_COUNTOF(system_columns); i++)
		if (strcmp(name.name, system_columns[i]) == 0)
			a->flags |= STATEMENT_NO_CACHE;
}

static void on_type_cast(struct analysis *a, const struct tree_node *node,
                         const struct scope *scope)
{
	const struct tree_node *type_name = tree_member(node, "typeName");
	struct statement_name type = qualified_name(tree_member(type_name, "names"));

	if (type.name && strncmp(type.name, "reg", 3) == 0)
		a->flags |= STATEMENT_NO_CACHE;
	visit_children(a, node, scope);
}

/* FOR UPDATE OF names aliases, not relations. */
static void on_locking(struct analysis *a, const struct tree_node *node, const struct scope *scope)
{
	(void)node;
	(void)scope;
	a->flags |= STATEMENT_ROW_LOCK;
	analysis_write(a);
}

static void on_into(struct analysis *a, const struct tree_node *node, const struct scope *scope)
{
	const char *on_commit = tree_text(node, "onCommit");

	(void)scope;
	analysis_write(a);
	if (!walk_finds_temporary(node))
		a->flags |= STATEMENT_DDL;
	else if (!on_commit || strcmp(on_commit, "ONCOMMIT_DROP") != 0)
		analysis_pin(a, PIN_TEMP_TABLE);
	walk_target(a, tree_member(node, "rel"));
}

/* INSERT, UPDATE, DELETE, MERGE, on top or inside WITH: all but the target is read. */
static void on_change(struct analysis *a, const struct tree_node *node, const struct scope *scope)
{
	analysis_write(a);
	walk_target(a, tree_member(node, "relation"));
	for (const struct tree_node *n = node->child; n; n = n->next)
		if (strcmp(n->key, "relation") != 0)
			visit(a, n, scope);
}

static bool finds_node(const struct tree_node *node, const char *key)
{
	if (node->key && strcmp(node->key, key) == 0)
		return true;
	for (const struct tree_node *n = node->child; n; n = n->next)
		if (finds_node(n, key))
			return true;
	return false;
}

static void on_update(struct analysis *a, const struct tree_node *node, const struct scope *scope)
{
	const struct tree_node *targets = tree_member(node, "targetList");

	if (targets && finds_node(targets, "SetToDefault"))
		a->flags |= STATEMENT_NAMES_DEFAULT;
	on_change(a, node, scope);
}

typedef void visit_fn(struct analysis *a, const struct tree_node *node, const struct scope *scope);

/* By the key of a wrapped node or of the member that holds a plain one. */
static const struct {
	const char *key;
	visit_fn *fn;
} visitors[] = {
	{ "ColumnRef", on_column },          { "A_Expr", on_expression },
	{ "FuncCall", on_function },         { "RangeVar", on_range_var },
	{ "TypeCast", on_type_cast },        { "SQLValueFunction", on_no_cache },
	{ "RangeTableSample", on_no_cache }, { "CurrentOfExpr", on_no_cache },
	{ "lockingClause", on_locking },     { "intoClause", on_into },
	{ "InsertStmt", on_change },         { "UpdateStmt", on_update },
	{ "DeleteStmt", on_change },         { "MergeStmt", on_change },
};

static visit_fn *visitor_of(const struct tree_node *node)
{
	if (!node->key || !node->child)
		return NULL;
	for (size_t i = 0; i < WEIR_COUNTOF(visitors); i++)
		if (strcmp(visitors[i].key, node->key) == 0)
			return visitors[i].fn;
	return NULL;
}

static void dispatch(struct analysis *a, const struct tree_node *node, const struct scope *scope)
{
	visit_fn *fn = visitor_of(node);

	if (fn)
		fn(a, node, scope);
	else
		visit_children(a, node, scope);
}

static const struct tree_node *cte_of(const struct tree_node *item)
{
	return tree_member(item, "CommonTableExpr");
}

/*
 * A node with a WITH clause. Its names are added to the scope one by one: each
 * query sees the names before it, or all of them if RECURSIVE; the node's other
 * members see all.
 */
static void visit_with(struct analysis *a, const struct tree_node *node,
                       const struct tree_node *with, const struct scope *scope)
{
	const struct tree_node *list = tree_member(with, "ctes");
	const struct scope *all = scope;

	for (const struct tree_node *n = list ? list->child : NULL; n; n = n->next) {
		struct scope *s = arena_zalloc(a->arena, sizeof(*s));
		const char *name = tree_text(cte_of(n), "ctename");

		if (!tree_flag(with, "recursive"))
			visit(a, n, all);
		*s = (struct scope){ .name = name ? name : "", .outer = all };
		all = s;
	}
	if (list && tree_flag(with, "recursive"))
		visit(a, list, all);
	dispatch(a, node, all);
}

static void visit(struct analysis *a, const struct tree_node *node, const struct scope *scope)
{
	const struct tree_node *with;

	if (!node->child)
		return;
	if (node->key && strcmp(node->key, "withClause") == 0)
		return; /* visit_with has been there */
	with = tree_member(node, "withClause");
	if (with)
		visit_with(a, node, with, scope);
	else
		dispatch(a, node, scope);
}

void walk(struct analysis *a, const struct tree_node *node)
{
	if (node)
		visit(a, node, NULL);
}

bool walk_finds_temporary(const struct tree_node *node)
{
	if (!node)
		return false;
	if (node->kind == TREE_STRING && node->key) {
		if (strcmp(node->key, "relpersistence") == 0 && strcmp(node->text, "t") == 0)
			return true;
		if ((strcmp(node->key, "schemaname") == 0 || strcmp(node->key, "sval") == 0) &&
		    is_temporary_schema(node->text))
			return true;
	}
	for (const struct tree_node *n = node->child; n; n = n->next)
		if (walk_finds_temporary(n))
			return true;
	return false;
}

bool walk_finds_sequence_value(const struct tree_node *node)
{
	if (!node)
		return false;
	if (node->kind == TREE_STRING && (strcasestr(node->text, "currval") ||
					  strcasestr(node->text, "lastval")))
		return true;
	for (const struct tree_node *n = node->child; n; n = n->next)
		if (walk_finds_sequence_value(n))
			return true;
	return false;
}
