/* SPDX-License-Identifier: PostgreSQL */
/*
 * Words for every bit and list of a statement, in a fixed order. An unknown bit
 * shows as a number, so that a new flag without a word fails the tests.
 */
#include "unit/sql/describe.h"

struct bit_name {
	uint32_t bit;
	const char *name;
};

static const struct bit_name flag_names[] = {
	{ STATEMENT_MULTI, "multi" },
	{ STATEMENT_UNPARSED, "unparsed" },
	{ STATEMENT_LARGE, "large" },
	{ STATEMENT_BEGIN, "begin" },
	{ STATEMENT_BEGIN_READ_ONLY, "begin_read_only" },
	{ STATEMENT_BEGIN_READ_WRITE, "begin_read_write" },
	{ STATEMENT_BEGIN_ISOLATED, "begin_isolated" },
	{ STATEMENT_BEGIN_SERIALIZABLE, "begin_serializable" },
	{ STATEMENT_COMMIT, "commit" },
	{ STATEMENT_ROLLBACK, "rollback" },
	{ STATEMENT_SAVEPOINT, "savepoint" },
	{ STATEMENT_ROLLBACK_TO, "rollback_to" },
	{ STATEMENT_CHAIN, "chain" },
	{ STATEMENT_TWO_PHASE, "two_phase" },
	{ STATEMENT_DDL, "ddl" },
	{ STATEMENT_COPY_IN, "copy_in" },
	{ STATEMENT_COPY_OUT, "copy_out" },
	{ STATEMENT_ROW_LOCK, "row_lock" },
	{ STATEMENT_CURSOR, "cursor" },
	{ STATEMENT_TXN_INSIDE_MULTI, "txn_inside_multi" },
	{ STATEMENT_MULTI_OPENS, "opens" },
	{ STATEMENT_MULTI_COMMITS, "commits" },
	{ STATEMENT_MULTI_ROLLS_BACK, "rolls_back" },
	{ STATEMENT_MAY_UNPIN, "may_unpin" },
	{ STATEMENT_SHOW, "show" },
	{ STATEMENT_EXPLAIN, "explain" },
	{ STATEMENT_WRITES_UNKNOWN, "writes_unknown" },
	{ STATEMENT_LOCAL_SET, "local_set" },
	{ STATEMENT_COMMITS_INSIDE, "commits_inside" },
};

static const struct bit_name pin_names[] = {
	{ PIN_TEMP_TABLE, "temp_table" },
	{ PIN_ADVISORY_LOCK, "advisory_lock" },
	{ PIN_HOLD_CURSOR, "hold_cursor" },
	{ PIN_SEQUENCE_VALUE, "sequence_value" },
	{ PIN_LOAD, "load" },
	{ PIN_LISTEN, "listen" },
	{ PIN_SQL_PREPARE, "sql_prepare" },
	{ PIN_SESSION_STATE, "session_state" },
};

static const char *const effect_names[] = {
	[EFFECT_SET] = "set",
	[EFFECT_SET_LOCAL] = "set_local",
	[EFFECT_SET_DEFAULT] = "set_default",
	[EFFECT_RESET_ALL] = "reset_all",
	[EFFECT_DISCARD_ALL] = "discard_all",
	[EFFECT_DISCARD_PLANS] = "discard_plans",
	[EFFECT_DISCARD_TEMP] = "discard_temp",
	[EFFECT_DISCARD_SEQUENCES] = "discard_sequences",
	[EFFECT_PREPARE] = "prepare",
	[EFFECT_EXECUTE] = "execute",
	[EFFECT_SHOW_PREPARED] = "show_prepared",
	[EFFECT_DEALLOCATE] = "deallocate",
	[EFFECT_DEALLOCATE_ALL] = "deallocate_all",
	[EFFECT_UNLISTEN_ALL] = "unlisten_all",
	[EFFECT_UNPIN] = "unpin",
	[EFFECT_OPAQUE] = "opaque",
	[EFFECT_SHOW] = "show",
	[EFFECT_VACATE] = "vacate",
	[EFFECT_LISTEN] = "listen",
	[EFFECT_UNLISTEN] = "unlisten",
	[EFFECT_COMMIT] = "commit",
	[EFFECT_ROLLBACK] = "rollback",
	[EFFECT_SAVEPOINT] = "savepoint",
	[EFFECT_RELEASE] = "release",
	[EFFECT_ROLLBACK_TO] = "rollback_to",
};

const char *describe_class(enum statement_class class)
{
	static const char *const names[] = { "empty", "read", "session", "txn", "write" };

	return names[class];
}

static void put_bits(struct buf *b, const char *prefix, uint32_t bits, const struct bit_name *names,
                     size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (bits & names[i].bit)
			buf_appendf(b, " %s%s", prefix, names[i].name);
		bits &= ~names[i].bit;
	}
	if (bits)
		buf_appendf(b, " %s%x", prefix, bits);
}

static void put_names(struct buf *b, char kind, const struct statement_name *names, uint16_t count)
{
	for (uint16_t i = 0; i < count; i++)
		buf_appendf(b, " %c=%s%s%s", kind, names[i].schema ? names[i].schema : "",
		            names[i].schema ? "." : "", names[i].name);
}

static void put_effect(struct buf *b, const struct statement_effect *e)
{
	buf_appendf(b, " e=%s", effect_names[e->kind]);
	if (e->kind == EFFECT_UNPIN)
		put_bits(b, "-", e->pins, pin_names, sizeof(pin_names) / sizeof(pin_names[0]));
	if (e->name)
		buf_appendf(b, ":%s", e->name);
	if (e->value)
		buf_appendf(b, ":%s", e->value);
	if (e->value_param)
		buf_appendf(b, ":$%u", e->value_param);
	if (e->at)
		buf_appendf(b, "@%u", e->at);
}

static void put_hints(struct buf *b, const struct statement_hints *h)
{
	if (h->route != HINT_ROUTE_NONE)
		buf_appendf(b, " route=%s", h->route == HINT_ROUTE_PRIMARY ? "primary" : "replica");
	if (h->cache == HINT_CACHE_OFF)
		buf_append_str(b, " cache=off");
	else if (h->cache == HINT_CACHE_ON)
		buf_appendf(b, " cache=%u", h->cache_ttl_ms / 1000);
}

void describe_details(struct buf *b, const struct statement *s)
{
	size_t start = b->len;

	if (!(s->flags & STATEMENT_NO_CACHE))
		buf_append_str(b, " cacheable");
	put_bits(b, "", s->flags & ~(uint32_t)STATEMENT_NO_CACHE, flag_names,
	         sizeof(flag_names) / sizeof(flag_names[0]));
	put_bits(b, "pin_", s->pins, pin_names, sizeof(pin_names) / sizeof(pin_names[0]));
	put_hints(b, &s->hints);
	put_names(b, 'r', s->reads, s->read_count);
	put_names(b, 'w', s->writes, s->written_count);
	put_names(b, 'f', s->functions, s->function_count);
	for (uint16_t i = 0; i < s->effect_count; i++)
		put_effect(b, &s->effects[i]);
	if (b->len == start)
		buf_append_str(b, " -");
}

const char *describe_text(const char *sql)
{
	static char text[16384];
	struct statement *s = statement_analyse(slice_str(sql));
	struct buf b;

	buf_init(&b, sizeof(text) - 1);
	buf_append_str(&b, describe_class(s->class));
	describe_details(&b, s);
	memcpy(text, b.data, b.len);
	text[b.len] = '\0';
	buf_fini(&b);
	statement_put(&s);
	return text;
}
