/* SPDX-License-Identifier: PostgreSQL */
/*
 * Settings that a client gives, in its startup packet or as SQL: what pgweir then
 * tells a server is one command for each of them and nothing else, whatever the
 * values hold. Read again, the text of SQL settings leads to the same state. The
 * first byte says which of the two the rest is.
 */
#include <ctype.h>
#include <stdint.h>

#include "base/mem.h"
#include "pool/datestyle.h"
#include "pool/session.h"
#include "proxy/options.h"
#include "sql/quote.h"
#include "sql/statement.h"
#include "wire/build.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 4096, SYNC_MAX = 1 << 20 };

/* What PostgreSQL takes for a setting's name; others never come to be kept. */
static bool is_setting_name(const char *name)
{
	bool is_start = true;

	for (; *name; name++) {
		unsigned char c = (unsigned char)*name;

		if (is_start ? !isalpha(c) && c != '_' && c < 0x80 :
			       !isalnum(c) && !strchr("_$.", c) && c < 0x80)
			return false;
		is_start = c == '.';
	}
	return !is_start;
}

static bool is_kept(const struct statement_effect *e)
{
	return (e->kind == EFFECT_SET && e->value) || e->kind == EFFECT_SET_DEFAULT;
}

static void take_effects(struct session_state **state, const struct statement *s)
{
	for (size_t i = 0; i < s->effect_count; i++) {
		const struct statement_effect *e = &s->effects[i];
		struct session_state *changed;

		if (!is_kept(e) || !is_setting_name(e->name))
			continue;
		changed = session_with(*state, slice_str(e->name),
				       e->kind == EFFECT_SET ? e->value : NULL);
		if (!changed)
			continue;
		session_put(state);
		*state = changed;
	}
}

/* How many statements bring the state's settings. */
static size_t commands_for(const struct session_state *state)
{
	const char *style = session_find(state, slice_str("datestyle"));

	return session_count(state) + (style && datestyle_is_partial(style));
}

/* And how many take them back: an identity is left by two. */
static size_t commands_from(const struct session_state *state)
{
	size_t identities = (size_t)!!session_find(state, slice_str(SESSION_AUTHORIZATION)) +
			    (size_t)!!session_find(state, slice_str(SESSION_ROLE));

	return session_count(state) - identities + (identities ? 2 : 0);
}

/* As the text of SQL that it is when set_config() brings it. */
static bool is_long(const char *name, const char *value)
{
	struct buf b;
	bool is_over;

	if (value[0] != SESSION_RAW_VALUE)
		return false;
	buf_init(&b, STATEMENT_VALUE_MAX);
	quote_config_value(&b, name, slice_str(value + 1));
	is_over = b.err != WEIR_OK || b.len >= STATEMENT_VALUE_MAX;
	buf_fini(&b);
	return is_over;
}

/* A name or a value that set_config() can bring, and no client's statement without a pin. */
static bool has_opaque(const struct session_state *state)
{
	for (size_t i = 0; i < session_count(state); i++)
		if (quote_cuts_name(session_name(state, i)) ||
		    is_long(session_name(state, i), session_value(state, i)))
			return true;
	return false;
}

/*
 * Settings come and go, and nothing is called, read or written. A name that SET would cut is for
 * set_config() alone, which pins whoever calls it as a client; so does a value that is too long.
 */
static void check_harmless(const struct statement *s, bool is_opaque)
{
	WEIR_ASSERT(!(s->flags & STATEMENT_UNPARSED));
	WEIR_ASSERT(!s->read_count && !s->written_count && !s->function_count);
	if (is_opaque)
		WEIR_ASSERT(!(s->pins & ~(uint32_t)PIN_SESSION_STATE));
	else
		WEIR_ASSERT(s->class != STATEMENT_WRITE && !s->pins);
}

static struct statement *analyse_sync(const struct session_state *from,
				      const struct session_state *to)
{
	struct statement *s;
	struct buf sql;

	buf_init(&sql, SYNC_MAX);
	session_sync_sql(&sql, from, to);
	WEIR_ASSERT(sql.err == WEIR_OK);
	s = statement_analyse(buf_slice(&sql));
	if (!(s->flags & STATEMENT_LARGE))
		check_harmless(s, has_opaque(from) || has_opaque(to));
	buf_fini(&sql);
	return s;
}

static void check_state(struct session_state *state, bool is_sql)
{
	struct session_state *again = session_none(state);
	struct statement *there = analyse_sync(again, state), *back = analyse_sync(state, again);

	if (!(there->flags & STATEMENT_LARGE)) {
		WEIR_ASSERT(there->statement_count == commands_for(state));
		WEIR_ASSERT(back->statement_count == commands_from(state));
	}
	if (is_sql && !(there->flags & STATEMENT_LARGE)) {
		take_effects(&again, there);
		WEIR_ASSERT(session_id(again) == session_id(state));
	}
	statement_put(&there);
	statement_put(&back);
	session_put(&again);
}

static void check_sql(struct session_table *table, struct slice text)
{
	struct session_state *state = session_empty(table);
	struct statement *s = statement_analyse(text);

	take_effects(&state, s);
	check_state(state, true);
	statement_put(&s);
	session_put(&state);
}

static bool has_setting_names(const struct session_state *state)
{
	for (size_t i = 0; i < session_count(state); i++)
		if (!is_setting_name(session_name(state, i)))
			return false;
	return true;
}

/* As PostgreSQL has it: whatever the client's encoding was, the name is ASCII then. */
static void check_clean_name(struct session_state **state, unsigned server_major)
{
	const char *name;

	options_clean_name(state, server_major);
	name = session_find(*state, slice_str("application_name"));
	for (name = name ? name + 1 : ""; *name; name++)
		WEIR_ASSERT(*name >= ' ' && *name <= '~');
}

static void check_startup(struct session_table *table, struct slice options)
{
	struct proxy_shared shared = { .sessions = table };
	struct proxy proxy = { .shared = &shared };
	const struct slice pairs[] = { slice_str("user"), slice_str("joe"), slice_str("options"),
				       options };
	struct session_state *state;
	struct pg_error error;
	struct startup s;
	struct buf b;
	size_t used;

	buf_init(&b, 2 * INPUT_MAX);
	build_startup(&b, PG_PROTOCOL(3, 0), pairs, 2);
	if (startup_next(buf_slice(&b), &s, &used) == WEIR_OK &&
	    options_take(&proxy, &s, "ignored", &state, &error) == WEIR_OK) {
		check_clean_name(&state, options.len % 2 ? 15 : 16);
		if (has_setting_names(state))
			check_state(state, false);
		session_put(&state);
	}
	buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct session_table *table;
	struct slice text;

	if (size == 0 || size > INPUT_MAX || memchr(data, '\0', size))
		return 0;
	table = session_table_create(0);
	text = slice_of(data + 1, size - 1);
	if (data[0] & 1)
		check_startup(table, text);
	else
		check_sql(table, text);
	session_table_destroy(table);
	return 0;
}
