/* SPDX-License-Identifier: PostgreSQL */
/*
 * Session effects. A value is kept as the text that SQL takes after TO, so that
 * replaying a setting is "SET name TO value" and nothing else: strings quoted,
 * numbers as they are, lists with commas. What has no such text (SET TIME ZONE
 * INTERVAL, set_config with a column) is opaque and pins. Any thread.
 */
#include "sql/effects.h"

#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "sql/lexer.h"
#include "sql/quote.h"

static bool is_text(const char *text, const char *word)
{
	return text && strcmp(text, word) == 0;
}

static const struct tree_node *constant(const struct tree_node *node)
{
	return tree_member(node, "A_Const");
}

static const char *string_constant(const struct tree_node *node)
{
	const struct tree_node *sval = tree_member(constant(node), "sval");
	const char *text = tree_text(sval, "sval");

	return sval && !text ? "" : text;
}

/*
 * The library leaves members out that are zero, and integers below zero too:
 * then the digits are read from the text. READ ONLY and its like are integers
 * that the grammar made up: no digits there.
 */
static const char *integer_from_text(struct analysis *a, int32_t location)
{
	struct lexer l;
	struct token t;

	if (location < 0 || (size_t)location >= a->text.len || a->text.ptr[location] != '-')
		return "0";
	lexer_init(&l, slice_of(a->text.ptr + location + 1, a->text.len - (size_t)location - 1));
	t = lexer_next(&l);
	if (t.kind != TOKEN_NUMBER)
		return NULL;
	return arena_strdup(a->arena, slice_of(t.text.ptr, t.text.len));
}

static const char *number_constant(struct analysis *a, const struct tree_node *node,
                                   const char **sign)
{
	const struct tree_node *ival = tree_member(constant(node), "ival");
	const char *text = ival ? tree_text(ival, "ival") : NULL;

	*sign = "";
	if (!ival)
		return tree_text(tree_member(constant(node), "fval"), "fval");
	if (text)
		return text;
	text = integer_from_text(a, constant(node)->location);
	if (text && strcmp(text, "0") != 0)
		*sign = "-";
	return text;
}

static bool put_value(struct analysis *a, struct buf *b, const struct tree_node *node)
{
	const char *text = string_constant(node);
	const char *sign;

	if (text) {
		quote_literal(b, slice_str(text));
		return true;
	}
	text = number_constant(a, node, &sign);
	if (text) {
		buf_append_str(b, sign);
		buf_append_str(b, text);
	}
	return text != NULL;
}

static const char *buf_keep(struct analysis *a, struct buf *b, bool is_known)
{
	const char *text = NULL;

	if (is_known && b->err == WEIR_OK && b->len > 0)
		text = arena_strdup(a->arena, buf_slice(b));
	buf_fini(b);
	return text;
}

/* NULL: not constant, or too long. */
static const char *list_value(struct analysis *a, const struct tree_node *args)
{
	struct buf b;
	bool is_known = args != NULL;

	buf_init(&b, STATEMENT_VALUE_MAX);
	for (const struct tree_node *n = args ? args->child : NULL; n && is_known; n = n->next) {
		if (b.len > 0)
			buf_append_str(&b, ", ");
		is_known = put_value(a, &b, n);
	}
	return buf_keep(a, &b, is_known);
}

/* With pg_temp in front, plain CREATE TABLE makes temporary tables. */
static bool creates_temporary(const char *name, const char *value)
{
	return strcmp(name, "search_path") == 0 &&
	       (strncmp(value, "'pg_temp'", 9) == 0 || strncmp(value, "'pg_temp_", 9) == 0);
}

/* Settings that never outlive the transaction, however they are set. */
static bool is_transaction_setting(const char *name)
{
	return strcmp(name, "transaction_isolation") == 0 ||
	       strcmp(name, "transaction_read_only") == 0 ||
	       strcmp(name, "transaction_deferrable") == 0;
}

/* value NULL: not known. */
static void add_set(struct analysis *a, const char *name, const char *value, bool is_local)
{
	is_local |= is_transaction_setting(name);
	if (is_local)
		a->flags |= STATEMENT_LOCAL_SET;
	if (strcmp(name, "seed") == 0) { /* no value: where random() goes on from, whatever ends */
		analysis_opaque(a);
		return;
	}
	if (!value && !is_local) {
		analysis_opaque(a);
		return;
	}
	analysis_add_effect(a, is_local ? EFFECT_SET_LOCAL : EFFECT_SET, name, value);
	if (value && creates_temporary(name, value))
		analysis_pin(a, PIN_TEMP_TABLE);
}

static void add_default(struct analysis *a, const char *name, bool is_local)
{
	if (!is_local) {
		analysis_add_effect(a, EFFECT_SET_DEFAULT, name, NULL);
		return;
	}
	a->flags |= STATEMENT_LOCAL_SET;
	analysis_add_effect(a, EFFECT_SET_LOCAL, name, "DEFAULT");
}

/* SET TRANSACTION and SET SESSION CHARACTERISTICS AS TRANSACTION. */
static void set_modes(struct analysis *a, const struct tree_node *node, bool is_local)
{
	const struct tree_node *args = tree_member(node, "args");

	for (const struct tree_node *n = args ? args->child : NULL; n; n = n->next) {
		const struct tree_node *mode = tree_member(n, "DefElem");
		const struct tree_node *arg = tree_member(mode, "arg");
		const char *name = tree_text(mode, "defname");
		const char *sign, *number = number_constant(a, arg, &sign);
		char full[64] = "default_";
		const char *value = string_constant(arg);
		struct buf b;

		if (!name || strlen(name) > sizeof(full) - sizeof("default_"))
			continue;
		buf_init(&b, STATEMENT_VALUE_MAX);
		if (number)
			value = strcmp(number, "0") == 0 ? "off" : "on";
		quote_literal(&b, slice_str(value ? value : ""));
		memcpy(full + strlen("default_"), name, strlen(name) + 1);
		add_set(a, is_local ? name : full, buf_keep(a, &b, true), is_local);
	}
}

static void set_multi(struct analysis *a, const struct tree_node *node, const char *name)
{
	if (is_text(name, "TRANSACTION")) {
		set_modes(a, node, true);
	} else if (is_text(name, "SESSION CHARACTERISTICS")) {
		set_modes(a, node, false);
	} else { /* TRANSACTION SNAPSHOT: exported by one node only, by rule the primary */
		a->flags |= STATEMENT_LOCAL_SET;
		analysis_write(a);
	}
}

void effects_set(struct analysis *a, const struct tree_node *node)
{
	const char *kind = tree_text(node, "kind");
	const char *name = tree_text(node, "name");
	bool is_local = tree_flag(node, "is_local");

	a->class = STATEMENT_SESSION;
	a->flags |= STATEMENT_NO_CACHE;
	if (is_text(kind, "VAR_RESET_ALL")) {
		analysis_add_effect(a, EFFECT_RESET_ALL, NULL, NULL);
	} else if (!name) {
		analysis_opaque(a);
	} else if (is_text(kind, "VAR_SET_MULTI")) {
		set_multi(a, node, name);
	} else if (is_text(kind, "VAR_SET_VALUE")) {
		add_set(a, analysis_lower(a, name), list_value(a, tree_member(node, "args")), is_local);
	} else if (is_text(kind, "VAR_SET_DEFAULT") || is_text(kind, "VAR_RESET")) {
		add_default(a, analysis_lower(a, name), is_local);
	} else if (!is_text(kind, "VAR_SET_CURRENT")) { /* which changes nothing */
		analysis_opaque(a);
	}
}

void effects_discard(struct analysis *a, const struct tree_node *node)
{
	const char *target = tree_text(node, "target");

	a->class = STATEMENT_SESSION;
	a->flags |= STATEMENT_NO_CACHE;
	if (is_text(target, "DISCARD_PLANS")) {
		analysis_add_effect(a, EFFECT_DISCARD_PLANS, NULL, NULL);
	} else if (is_text(target, "DISCARD_TEMP")) {
		analysis_add_effect(a, EFFECT_DISCARD_TEMP, NULL, NULL);
		a->flags |= STATEMENT_MAY_UNPIN;
	} else if (is_text(target, "DISCARD_SEQUENCES")) {
		analysis_add_effect(a, EFFECT_DISCARD_SEQUENCES, NULL, NULL);
		analysis_add_unpin(a, PIN_SEQUENCE_VALUE);
	} else { /* ALL, the one the library leaves out because it is zero */
		analysis_add_effect(a, EFFECT_DISCARD_ALL, NULL, NULL);
		analysis_add_unpin(a, PIN_TEMP_TABLE | PIN_ADVISORY_LOCK | PIN_HOLD_CURSOR |
		                          PIN_SEQUENCE_VALUE | PIN_LISTEN | PIN_SQL_PREPARE);
	}
}

static const char *config_value(struct analysis *a, const char *name, const char *text)
{
	struct buf b;

	buf_init(&b, STATEMENT_VALUE_MAX);
	quote_config_value(&b, name, slice_str(text));
	return buf_keep(a, &b, true);
}

/* -1: not a constant. */
static int bool_constant(const struct tree_node *node)
{
	const struct tree_node *value = tree_member(constant(node), "boolval");
	const char *text = string_constant(node);

	if (value)
		return tree_flag(value, "boolval");
	if (is_text(text, "t") || is_text(text, "true"))
		return 1;
	if (is_text(text, "f") || is_text(text, "false"))
		return 0;
	return -1;
}

/* The number of a bare parameter, $1 or $1::text; 0: something else. */
static uint16_t param_number(const struct tree_node *node)
{
	const struct tree_node *cast = tree_member(node, "TypeCast");
	const char *text =
		tree_text(tree_member(cast ? tree_member(cast, "arg") : node, "ParamRef"), "number");
	uint32_t n = 0;

	for (const char *p = text ? text : ""; *p >= '0' && *p <= '9' && n <= UINT16_MAX; p++)
		n = n * 10 + (uint32_t)(*p - '0');
	return n <= UINT16_MAX ? (uint16_t)n : 0;
}

/* Who doesn't look at value_param sees a value that isn't known, on the primary. */
static void add_set_from_param(struct analysis *a, const char *name, uint16_t param)
{
	analysis_write(a);
	analysis_add_effect(a, EFFECT_SET, name, NULL);
	analysis_last_effect(a)->value_param = param;
}

static void set_config(struct analysis *a, const struct tree_node *const arg[3], bool is_certain)
{
	int is_local = bool_constant(arg[2]);
	const char *name = string_constant(arg[0]), *value = string_constant(arg[1]);
	uint16_t param = param_number(arg[1]);

	name = name ? analysis_lower(a, name) : "";
	is_certain = is_certain && *name && !quote_cuts_name(name);
	value = value && is_certain ? config_value(a, name, value) : NULL;
	if (is_local == 1 || (is_local == 0 && value))
		add_set(a, name, value, is_local == 1);
	else if (is_local == 0 && is_certain && param > 0)
		add_set_from_param(a, name, param);
	else
		analysis_opaque(a);
}

void effects_set_config(struct analysis *a, const struct tree_node *call, bool is_certain)
{
	const struct tree_node *args = tree_member(call, "args");
	const struct tree_node *arg[3] = { NULL, NULL, NULL };
	size_t count = 0;

	a->flags |= STATEMENT_NO_CACHE;
	for (const struct tree_node *n = args ? args->child : NULL; n; n = n->next, count++)
		if (count < WEIR_COUNTOF(arg))
			arg[count] = n;
	if (count == WEIR_COUNTOF(arg))
		set_config(a, arg, is_certain);
	else
		analysis_opaque(a);
}
