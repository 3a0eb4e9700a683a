/* SPDX-License-Identifier: PostgreSQL */
/*
 * Sets of names: gathered with repeats, sorted, then each kept once.
 */
#include "admin/names.h"

#include <stdlib.h>

#include "base/mem.h"

enum { NAMES_FIRST_ROOM = 64 };

static void names_add(void *ctx, struct slice name)
{
	struct names *names = ctx;

	if (names->count == names->room) {
		names->room = names->room ? 2 * names->room : NAMES_FIRST_ROOM;
		names->items = mem_realloc(names->items, names->room * sizeof(*names->items));
	}
	names->items[names->count++] = name;
}

void names_fini(struct names *names)
{
	mem_free(names->items);
}

static int compare(const void *a, const void *b)
{
	const struct slice *x = a, *y = b;
	size_t len = x->len < y->len ? x->len : y->len;
	int order = len ? memcmp(x->ptr, y->ptr, len) : 0;

	return order ? order : (x->len > y->len) - (x->len < y->len);
}

static void names_settle(struct names *names)
{
	size_t kept = 0;

	qsort(names->items, names->count, sizeof(*names->items), compare);
	for (size_t i = 0; i < names->count; i++)
		if (!kept || !slice_equal(names->items[kept - 1], names->items[i]))
			names->items[kept++] = names->items[i];
	names->count = kept;
}

size_t names_find(const struct names *names, struct slice name)
{
	const struct slice *found =
		bsearch(&name, names->items, names->count, sizeof(*names->items), compare);

	return found ? (size_t)(found - names->items) : names->count;
}

void names_of_databases(struct names *names, const struct show *s)
{
	const struct config *cfg = s->cfg;

	*names = (struct names){ 0 };
	names_add(names, slice_str(CONSOLE_NAME));
	for (size_t i = 0; i < cfg->database_count; i++)
		if (!cfg->databases[i].is_fallback)
			names_add(names, slice_str(cfg->databases[i].name));
	for (const struct admin_part *p = s->parts; p; p = p->next) {
		for (size_t i = 0; i < p->pool_count; i++) {
			struct slice name = slice_str(p->pools[i].database);
			const struct config_database *db = config_database_find(cfg, name);

			if (db && db->is_fallback)
				names_add(names, name);
		}
	}
	names_settle(names);
}

void names_of_users(struct names *names, const struct show *s)
{
	*names = (struct names){ 0 };
	names_add(names, slice_str(CONSOLE_NAME));
	if (s->source->users)
		s->source->users(s->source->ctx, names_add, names);
	for (size_t i = 0; i < s->cfg->user_count; i++)
		names_add(names, slice_str(s->cfg->users[i].name));
	for (const struct admin_part *p = s->parts; p; p = p->next)
		for (size_t i = 0; i < p->client_count; i++)
			if (*p->clients[i].user)
				names_add(names, slice_str(p->clients[i].user));
	names_settle(names);
}

uint64_t console_client_count(const struct admin_part *parts)
{
	uint64_t count = 0;

	for (; parts; parts = parts->next)
		count += parts->console_clients;
	return count;
}
