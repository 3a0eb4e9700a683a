/* SPDX-License-Identifier: PostgreSQL */
/*
 * Interned session states. The table owns one list of states nobody uses,
 * oldest first, so that the next log-in with the same start-up parameters finds
 * the same pointer again. A state's settings are sorted by name, which
 * makes equality and the difference of two states a merge.
 */
#include "pool/session.h"

#include <pthread.h>

#include "base/hash.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "pool/datestyle.h"
#include "sql/quote.h"

struct setting {
	const char *name;  /* owned by the state's block */
	const char *value;
};

struct session_state {
	struct map_node map;
	struct list_node unused; /* in table->unused while refcount is 0 */
	struct session_table *table; /* borrowed: outlives its states */
	uint32_t refcount;       /* under table->mutex */
	uint64_t id;
	size_t count;
	struct setting settings[];
};

struct session_table {
	pthread_mutex_t mutex;
	struct map states;
	struct list unused;
	size_t keep;
	uint64_t next_id;
};

struct wanted { /* a state to look up, not yet made */
	size_t count;
	struct setting settings[SESSION_SETTINGS_MAX];
};

static bool session_equal(const struct map_node *node, const void *key)
{
	const struct session_state *s = map_entry(node, struct session_state, map);
	const struct wanted *w = key;

	if (s->count != w->count)
		return false;
	for (size_t i = 0; i < s->count; i++)
		if (strcmp(s->settings[i].name, w->settings[i].name) != 0 ||
		    strcmp(s->settings[i].value, w->settings[i].value) != 0)
			return false;
	return true;
}

struct session_table *session_table_create(size_t keep)
{
	struct session_table *t = mem_zalloc(sizeof *t);

	pthread_mutex_init(&t->mutex, NULL);
	map_init(&t->states, session_equal);
	list_init(&t->unused);
	t->keep = keep;
	return t;
}

static void session_free_locked(struct session_table *t, struct session_state *s)
{
	map_remove(&t->states, &s->map);
	mem_free(s);
}

static void session_trim_locked(struct session_table *t, size_t keep)
{
	while (t->unused.count > keep) {
		struct list_node *n = list_pop(&t->unused);

		session_free_locked(t, list_entry(n, struct session_state, unused));
	}
}

void session_table_destroy(struct session_table *t)
{
	if (!t)
		return;
	session_trim_locked(t, 0);
	WEIR_ASSERT(t->states.count == 0);
	map_fini(&t->states);
	pthread_mutex_destroy(&t->mutex);
	mem_free(t);
}

static uint64_t wanted_hash(const struct wanted *w)
{
	uint64_t h = w->count;

	for (size_t i = 0; i < w->count; i++) {
		const struct setting *s = &w->settings[i];

		h = hash_combine(h, hash_bytes(s->name, strlen(s->name)));
		h = hash_combine(h, hash_bytes(s->value, strlen(s->value)));
	}
	return h;
}

static struct session_state *session_create(struct session_table *t, const struct wanted *w)
{
	size_t text = 0;
	struct session_state *s;
	char *at;

	for (size_t i = 0; i < w->count; i++)
		text += strlen(w->settings[i].name) + strlen(w->settings[i].value) + 2;
	s = mem_zalloc(sizeof *s + w->count * sizeof s->settings[0] + text);
	at = (char *)&s->settings[w->count];
	s->table = t;
	s->count = w->count;
	for (size_t i = 0; i < w->count; i++) {
		size_t name = strlen(w->settings[i].name) + 1;
		size_t value = strlen(w->settings[i].value) + 1;

		s->settings[i].name = memcpy(at, w->settings[i].name, name);
		s->settings[i].value = memcpy(at + name, w->settings[i].value, value);
		at += name + value;
	}
	return s;
}

static struct session_state *session_intern(struct session_table *t, const struct wanted *w)
{
	uint64_t hash = wanted_hash(w);
	struct session_state *s;
	struct map_node *node;

	pthread_mutex_lock(&t->mutex);
	node = map_find(&t->states, hash, w);
	if (node) {
		s = map_entry(node, struct session_state, map);
		if (s->refcount++ == 0)
			list_remove(&t->unused, &s->unused);
	} else {
		s = session_create(t, w);
		s->refcount = 1;
		s->id = ++t->next_id;
		map_insert(&t->states, &s->map, hash);
	}
	pthread_mutex_unlock(&t->mutex);
	return s;
}

struct session_state *session_empty(struct session_table *t)
{
	struct wanted w = { .count = 0 };

	return session_intern(t, &w);
}

struct session_state *session_none(const struct session_state *s)
{
	return session_empty(s->table);
}

struct session_state *session_get(struct session_state *s)
{
	pthread_mutex_lock(&s->table->mutex);
	s->refcount++;
	pthread_mutex_unlock(&s->table->mutex);
	return s;
}

void session_put(struct session_state **sp)
{
	struct session_state *s = *sp;
	struct session_table *t;

	*sp = NULL;
	if (!s)
		return;
	t = s->table;
	pthread_mutex_lock(&t->mutex);
	WEIR_ASSERT(s->refcount > 0);
	if (--s->refcount == 0) {
		list_append(&t->unused, &s->unused);
		session_trim_locked(t, t->keep);
	}
	pthread_mutex_unlock(&t->mutex);
}

static size_t session_text_len(const struct session_state *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->count; i++)
		n += strlen(s->settings[i].name) + strlen(s->settings[i].value) + 2;
	return n;
}

struct session_state *session_with(struct session_state *s, struct slice name, const char *value)
{
	struct wanted w = { .count = 0 };
	bool placed = value == NULL;
	char text[256], date[DATESTYLE_MAX];
	size_t i = 0;

	if (value && slice_is(name, "datestyle"))
		value = datestyle_merge(date, session_find(s, name), value);

	if (name.len >= sizeof text ||
	    (value && session_text_len(s) + name.len + strlen(value) > SESSION_TEXT_MAX) ||
	    (value && s->count >= SESSION_SETTINGS_MAX - 1 && !session_find(s, name)))
		return NULL;
	memcpy(text, name.ptr, name.len);
	text[name.len] = '\0';
	for (; i < s->count; i++) {
		int order = strcmp(s->settings[i].name, text);

		if (order >= 0 && !placed) {
			w.settings[w.count++] = (struct setting){ text, value };
			placed = true;
		}
		if (order != 0)
			w.settings[w.count++] = s->settings[i];
	}
	if (!placed)
		w.settings[w.count++] = (struct setting){ text, value };
	return session_intern(s->table, &w);
}

uint64_t session_id(const struct session_state *s)
{
	return s->id;
}

size_t session_count(const struct session_state *s)
{
	return s->count;
}

const char *session_name(const struct session_state *s, size_t i)
{
	WEIR_ASSERT(i < s->count);
	return s->settings[i].name;
}

const char *session_value(const struct session_state *s, size_t i)
{
	WEIR_ASSERT(i < s->count);
	return s->settings[i].value;
}

const char *session_find(const struct session_state *s, struct slice name)
{
	for (size_t i = 0; i < s->count; i++)
		if (slice_is(name, s->settings[i].name))
			return s->settings[i].value;
	return NULL;
}

/* Setting names may be dotted (custom classes); each part is an identifier. */
static void append_setting_name(struct buf *out, const char *name)
{
	buf_append_u8(out, '"');
	for (; *name; name++) {
		if (*name == '.')
			buf_append_str(out, "\".\"");
		else if (*name == '"')
			buf_append_str(out, "\"\"");
		else
			buf_append(out, name, 1);
	}
	buf_append_u8(out, '"');
}

static void append_reset(struct buf *out, const struct setting *s)
{
	if (quote_cuts_name(s->name)) {
		buf_append_str(out, "SELECT pg_catalog.set_config(");
		session_quote_literal(out, slice_str(s->name));
		buf_append_str(out, ", NULL, false);");
		return;
	}
	buf_append_str(out, "RESET ");
	append_setting_name(out, s->name);
	buf_append_u8(out, ';');
}

/* A start-up value is raw text, not SQL: a list in it must stay a list. */
static void append_set_raw(struct buf *out, const struct setting *s)
{
	buf_append_str(out, "SELECT pg_catalog.set_config(");
	session_quote_literal(out, slice_str(s->name));
	buf_append_str(out, ", ");
	session_quote_literal(out, slice_str(s->value + 1));
	buf_append_str(out, ", false);");
}

static void append_set(struct buf *out, const struct setting *s)
{
	if (strcmp(s->name, "datestyle") == 0 && datestyle_is_partial(s->value))
		append_reset(out, s); /* on top of the default, not of what is there */
	if (s->value[0] == SESSION_RAW_VALUE) {
		append_set_raw(out, s);
		return;
	}
	buf_append_str(out, "SET SESSION ");
	append_setting_name(out, s->name);
	buf_append_str(out, " TO ");
	buf_append_str(out, s->value);
	buf_append_u8(out, ';');
}

static bool is_identity(const char *name)
{
	return strcmp(name, SESSION_ROLE) == 0 || strcmp(name, SESSION_AUTHORIZATION) == 0;
}

bool session_has_identity(const struct session_state *s)
{
	for (size_t i = 0; i < s->count; i++)
		if (is_identity(s->settings[i].name))
			return true;
	return false;
}

static bool is_ascii(const char *text)
{
	while (*text && (unsigned char)*text < 0x80)
		text++;
	return !*text;
}

bool session_has_encoded_text(const struct session_state *s)
{
	for (size_t i = 0; i < s->count; i++)
		if (!is_ascii(s->settings[i].value))
			return true;
	return false;
}

/* What changes how much is told, or how long is waited, and not what a statement means. */
static bool is_harmless(const char *name)
{
	static const char *const names[] = { "application_name", "client_min_messages",
					     "extra_float_digits", "lock_timeout",
					     "statement_timeout" };

	for (size_t i = 0; i < WEIR_COUNTOF(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

/* A setting of a that b lacks, or has with another value. */
static bool has_other_meaning(const struct session_state *a, const struct session_state *b)
{
	for (size_t i = 0; i < a->count; i++) {
		const char *other = session_find(b, slice_str(a->settings[i].name));

		if (!is_harmless(a->settings[i].name) &&
		    (!other || strcmp(other, a->settings[i].value) != 0))
			return true;
	}
	return false;
}

bool session_differs_in_meaning(const struct session_state *from, const struct session_state *to)
{
	return session_has_identity(from) || has_other_meaning(from, to) ||
	       has_other_meaning(to, from);
}

size_t session_distance(const struct session_state *a, const struct session_state *b)
{
	size_t i = 0, j = 0, n = 0;

	while (i < a->count || j < b->count) {
		int order = i == a->count ? 1 :
			    j == b->count ? -1 :
					    strcmp(a->settings[i].name, b->settings[j].name);
		const char *name = order <= 0 ? a->settings[i].name : b->settings[j].name;

		if (order != 0 || strcmp(a->settings[i].value, b->settings[j].value) != 0)
			n += is_identity(name) ? 2 * SESSION_SETTINGS_MAX : 1;
		i += order <= 0;
		j += order >= 0;
	}
	return n;
}

static void append_identity(struct buf *out, const struct session_state *to)
{
	static const char *const names[] = { SESSION_AUTHORIZATION, SESSION_ROLE };

	for (size_t i = 0; i < WEIR_COUNTOF(names); i++) {
		const char *value = session_find(to, slice_str(names[i]));

		if (value)
			append_set(out, &(struct setting){ names[i], value });
	}
}

/* The others, by a merge. */
static void append_settings(struct buf *out, const struct session_state *from,
			    const struct session_state *to)
{
	size_t i = 0, j = 0;

	while (i < from->count || j < to->count) {
		int order = i == from->count ? 1 :
			    j == to->count   ? -1 :
					       strcmp(from->settings[i].name, to->settings[j].name);

		if (is_identity(order < 0 ? from->settings[i].name : to->settings[j].name)) {
			i += order <= 0;
			j += order >= 0;
		} else if (order < 0) {
			append_reset(out, &from->settings[i++]);
		} else if (order > 0) {
			append_set(out, &to->settings[j++]);
		} else {
			if (strcmp(from->settings[i].value, to->settings[j].value) != 0)
				append_set(out, &to->settings[j]);
			i++;
			j++;
		}
	}
}

void session_sync_sql(struct buf *out, const struct session_state *from,
		      const struct session_state *to)
{
	if (from == to)
		return;
	if (session_has_identity(from))
		buf_append_str(out, "RESET SESSION AUTHORIZATION;RESET ROLE;");
	append_settings(out, from, to);
	append_identity(out, to);
}

static void append_encoding(struct buf *out, const struct session_state *from,
			    const struct session_state *to)
{
	struct slice name = slice_str(SESSION_ENCODING);
	const char *is = session_find(from, name), *wanted = session_find(to, name);

	if (!session_has_encoded_text(to) || (is && wanted && strcmp(is, wanted) == 0) ||
	    (!is && !wanted))
		return;
	if (wanted)
		append_set(out, &(struct setting){ SESSION_ENCODING, wanted });
	else
		append_reset(out, &(struct setting){ SESSION_ENCODING, "" });
}

void session_first_sql(struct buf *out, const struct session_state *from,
		       const struct session_state *to)
{
	const char *is = session_find(from, slice_str(SESSION_ISOLATION));
	const char *wanted = session_find(to, slice_str(SESSION_ISOLATION));

	if (is && strcasestr(is, "serializable") && (!wanted || strcmp(is, wanted) != 0))
		append_reset(out, &(struct setting){ SESSION_ISOLATION, "" });
	append_encoding(out, from, to);
}

void session_quote_literal(struct buf *out, struct slice text)
{
	bool escape = memchr(text.ptr ? text.ptr : "", '\\', text.len) != NULL;

	buf_append_str(out, escape ? " E'" : "'");
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (c == '\'' || c == '\\')
			buf_append(out, &c, 1);
		buf_append(out, &c, 1);
	}
	buf_append_u8(out, '\'');
}
