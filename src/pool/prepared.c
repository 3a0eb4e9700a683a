/* SPDX-License-Identifier: PostgreSQL */
/*
 * Interned prepared statements, a client's names, a server's set. Ids come from
 * one process-wide counter, so a server that moves to another worker can't meet
 * the same id with another text.
 */
#include "pool/prepared.h"

#include <stdatomic.h>
#include <stdio.h>

#include "base/hash.h"
#include "base/mem.h"
#include "sql/statement.h"

struct prepared_table {
	struct map entries;
	size_t bytes;
};

struct prepared_key {
	struct slice text, param_types;
	bool is_sql;
};

static bool prepared_equal(const struct map_node *node, const void *key)
{
	const struct prepared *p = map_entry(node, struct prepared, map);
	const struct prepared_key *k = key;

	return slice_equal(p->text, k->text) && slice_equal(p->param_types, k->param_types) &&
	       p->is_sql == k->is_sql;
}

struct prepared_table *prepared_table_create(void)
{
	struct prepared_table *t = mem_zalloc(sizeof *t);

	map_init(&t->entries, prepared_equal);
	return t;
}

void prepared_table_destroy(struct prepared_table *t)
{
	if (!t)
		return;
	WEIR_ASSERT(t->entries.count == 0);
	map_fini(&t->entries);
	mem_free(t);
}

size_t prepared_table_count(const struct prepared_table *t)
{
	return t->entries.count;
}

size_t prepared_table_bytes(const struct prepared_table *t)
{
	return t->bytes;
}

size_t prepared_server_name(uint64_t id, char out[PREPARED_SERVER_NAME_MAX])
{
	return (size_t)snprintf(out, PREPARED_SERVER_NAME_MAX, "pgweir_%llu",
				(unsigned long long)id);
}

size_t prepared_bytes(const struct prepared *p)
{
	return sizeof *p + p->text.len + p->param_types.len;
}

static void prepared_give_id(struct prepared *p)
{
	static _Atomic uint64_t next_id = 1;

	p->id = atomic_fetch_add_explicit(&next_id, 1, memory_order_relaxed);
	p->server_name_len = prepared_server_name(p->id, p->server_name);
}

void prepared_renew(struct prepared *p)
{
	prepared_give_id(p);
}

static struct prepared *prepared_create(struct prepared_table *t, const struct prepared_key *k,
					struct statement *statement)
{
	struct prepared *p = mem_zalloc(sizeof *p + k->text.len + k->param_types.len);
	char *at = (char *)(p + 1);

	p->table = t;
	p->statement = statement_get(statement);
	p->is_sql = k->is_sql;
	if (k->text.len)
		memcpy(at, k->text.ptr, k->text.len);
	p->text = slice_of(at, k->text.len);
	if (k->param_types.len)
		memcpy(at + k->text.len, k->param_types.ptr, k->param_types.len);
	p->param_types = slice_of(at + k->text.len, k->param_types.len);
	prepared_give_id(p);
	t->bytes += prepared_bytes(p);
	return p;
}

static struct prepared *intern(struct prepared_table *t, const struct prepared_key *key,
			       struct statement *statement)
{
	uint64_t hash = hash_combine(hash_bytes(key->text.ptr, key->text.len),
				     hash_bytes(key->param_types.ptr, key->param_types.len));
	struct map_node *node = map_find(&t->entries, hash, key);
	struct prepared *p;

	if (node)
		return prepared_get(map_entry(node, struct prepared, map));
	p = prepared_create(t, key, statement);
	p->refcount = 1;
	map_insert(&t->entries, &p->map, hash);
	return p;
}

struct prepared *prepared_intern(struct prepared_table *t, struct slice text,
				 struct slice param_types, struct statement *statement)
{
	return intern(t, &(struct prepared_key){ text, param_types, false }, statement);
}

struct prepared *prepared_intern_sql(struct prepared_table *t, struct slice text,
				     struct statement *statement)
{
	return intern(t, &(struct prepared_key){ text, slice_of("", 0), true }, statement);
}

struct prepared *prepared_get(struct prepared *p)
{
	p->refcount++;
	return p;
}

void prepared_put(struct prepared **pp)
{
	struct prepared *p = *pp;

	*pp = NULL;
	if (!p || --p->refcount)
		return;
	map_remove(&p->table->entries, &p->map);
	p->table->bytes -= prepared_bytes(p);
	statement_put(&p->statement);
	mem_free(p);
}

struct prepared_names {
	struct map names;
	size_t bytes;        /* of the names in the map, their texts counted in full */
	struct list made;    /* those in the map */
	struct list pending;
	struct list closing; /* in no map; an entry may be in several lists */
	struct list asked;
};

static bool name_equal(const struct map_node *node, const void *key)
{
	const struct prepared_name *n = map_entry(node, struct prepared_name, map);

	return slice_equal(slice_of(n->name, n->name_len), *(const struct slice *)key);
}

struct prepared_names *prepared_names_create(void)
{
	struct prepared_names *names = mem_zalloc(sizeof *names);

	map_init(&names->names, name_equal);
	list_init(&names->made);
	list_init(&names->pending);
	list_init(&names->closing);
	list_init(&names->asked);
	return names;
}

void prepared_names_clear(struct prepared_names *names)
{
	struct map_node *node;

	while ((node = map_next(&names->names, NULL)) != NULL)
		prepared_names_remove(names, map_entry(node, struct prepared_name, map));
}

void prepared_names_destroy(struct prepared_names **namesp)
{
	struct prepared_names *names = *namesp;

	*namesp = NULL;
	if (!names)
		return;
	prepared_names_clear(names);
	while (names->closing.count)
		prepared_names_confirm_close(names);
	map_fini(&names->names);
	mem_free(names);
}

struct prepared_name *prepared_names_find(const struct prepared_names *names, struct slice name)
{
	struct map_node *node;

	if (!names)
		return NULL;
	node = map_find(&names->names, hash_bytes(name.ptr, name.len), &name);
	return node ? map_entry(node, struct prepared_name, map) : NULL;
}

static void name_link(struct prepared_names *names, struct prepared_name *n)
{
	map_insert(&names->names, &n->map, hash_bytes(n->name, n->name_len));
	n->bytes = sizeof *n + n->name_len + prepared_bytes(n->prepared);
	names->bytes += n->bytes;
	list_append(&names->made, &n->made);
}

static void name_unlink(struct prepared_names *names, struct prepared_name *n)
{
	map_remove(&names->names, &n->map);
	list_remove(&names->made, &n->made);
	names->bytes -= n->bytes;
}

static struct prepared_name *name_create(struct slice name, struct prepared **prepared)
{
	struct prepared_name *n = mem_zalloc(sizeof *n + name.len + 1);

	n->prepared = *prepared;
	*prepared = NULL;
	n->name_len = name.len;
	if (name.len)
		memcpy(n->name, name.ptr, name.len);
	return n;
}

struct prepared_name *prepared_names_add(struct prepared_names *names, struct slice name,
					 struct prepared **prepared)
{
	struct prepared_name *n = name_create(name, prepared);

	name_link(names, n);
	list_append(&names->pending, &n->pending);
	return n;
}

void prepared_names_put(struct prepared_names *names, struct slice name,
			struct prepared **prepared)
{
	struct prepared_name *old = prepared_names_find(names, name);

	if (old)
		prepared_names_remove(names, old);
	name_link(names, name_create(name, prepared));
}

struct prepared_name *prepared_names_next(const struct prepared_names *names,
					  const struct prepared_name *after)
{
	struct list_node *n;

	if (!names)
		return NULL;
	n = after ? after->made.next : names->made.head.next;
	return n == &names->made.head ? NULL : list_entry(n, struct prepared_name, made);
}

size_t prepared_names_bytes(const struct prepared_names *names)
{
	return names ? names->bytes : 0;
}

static void name_free(struct prepared_names *names, struct prepared_name *entry)
{
	if (list_node_linked(&entry->pending))
		list_remove(&names->pending, &entry->pending);
	if (list_node_linked(&entry->asked))
		list_remove(&names->asked, &entry->asked);
	prepared_put(&entry->prepared);
	mem_free(entry);
}

void prepared_names_remove(struct prepared_names *names, struct prepared_name *entry)
{
	name_unlink(names, entry);
	name_free(names, entry);
}

struct prepared *prepared_names_confirm(struct prepared_names *names)
{
	struct list_node *n = list_pop(&names->pending);

	return n ? list_entry(n, struct prepared_name, pending)->prepared : NULL;
}

void prepared_names_ask(struct prepared_names *names, struct prepared_name *entry)
{
	entry->asked_id = entry->prepared->id;
	list_append(&names->asked, &entry->asked);
}

struct prepared_name *prepared_names_take_asked(struct prepared_names *names)
{
	struct list_node *n = names ? list_pop(&names->asked) : NULL;

	return n ? list_entry(n, struct prepared_name, asked) : NULL;
}

bool prepared_names_is_asking(const struct prepared_names *names)
{
	return names && names->asked.count;
}

void prepared_names_close(struct prepared_names *names, struct prepared_name *entry)
{
	name_unlink(names, entry);
	list_append(&names->closing, &entry->closing);
}

static struct prepared_name *closing_pop(struct prepared_names *names)
{
	struct list_node *n = list_pop(&names->closing);

	return n ? list_entry(n, struct prepared_name, closing) : NULL;
}

void prepared_names_confirm_close(struct prepared_names *names)
{
	struct prepared_name *entry = closing_pop(names);

	if (entry)
		name_free(names, entry);
}

/* Its Parse was skipped; a Close of it that waits in line keeps its place. */
static void refuse_parse(struct prepared_names *names, struct prepared_name *entry)
{
	if (!list_node_linked(&entry->closing)) {
		prepared_names_remove(names, entry);
		return;
	}
	list_remove(&names->pending, &entry->pending);
	prepared_put(&entry->prepared);
}

static void refuse_close(struct prepared_names *names, struct prepared_name *entry)
{
	struct slice name = slice_of(entry->name, entry->name_len);

	if (!entry->prepared || prepared_names_find(names, name))
		name_free(names, entry);
	else
		name_link(names, entry);
}

void prepared_names_refuse(struct prepared_names *names, size_t parses, size_t closes)
{
	struct prepared_name *entry;
	struct list_node *n;

	while (parses-- && (n = list_first(&names->pending)) != NULL)
		refuse_parse(names, list_entry(n, struct prepared_name, pending));
	while (closes-- && (entry = closing_pop(names)) != NULL)
		refuse_close(names, entry);
}

void prepared_names_renew(struct prepared_names *names, bool of_sql_too)
{
	map_foreach(&names->names, n) {
		struct prepared *p = map_entry(n, struct prepared_name, map)->prepared;

		if (of_sql_too || !p->is_sql)
			prepared_renew(p);
	}
}

bool prepared_names_is_closing(const struct prepared_names *names)
{
	return names && names->closing.count;
}

size_t prepared_names_count(const struct prepared_names *names)
{
	return names ? names->names.count : 0;
}
