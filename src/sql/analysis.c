/* SPDX-License-Identifier: PostgreSQL */
/*
 * Collecting what the rules find and packing it: lists grow in the arena, then
 * one heap block of the exact size holds the statement, its arrays and its
 * strings, so that a cached statement is one allocation and one free.
 */
#include "sql/analysis.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

void analysis_init(struct analysis *a, struct arena *arena, const struct shape *shape)
{
	*a = (struct analysis){ .arena = arena, .shape = shape, .tag = "", .is_plain_dml = true };
	a->reads.tail = &a->reads.first;
	a->writes.tail = &a->writes.first;
	a->functions.tail = &a->functions.first;
	a->effect_tail = &a->effects;
}

static const char *keep(struct analysis *a, const char *text)
{
	return text ? arena_strdup(a->arena, slice_str(text)) : NULL;
}

static bool text_equal(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

void analysis_add_name(struct analysis *a, struct name_list *list, struct statement_name name)
{
	struct name_entry *e;

	for (e = list->first; e; e = e->next)
		if (strcmp(e->name.name, name.name) == 0 && text_equal(e->name.schema, name.schema))
			return;
	if (list->count >= ANALYSIS_NAMES_MAX) {
		analysis_write(a);
		a->flags |= STATEMENT_WRITES_UNKNOWN | STATEMENT_NO_CACHE;
		return;
	}
	e = arena_zalloc(a->arena, sizeof(*e));
	e->name.schema = keep(a, name.schema);
	e->name.name = keep(a, name.name);
	*list->tail = e;
	list->tail = &e->next;
	list->count++;
}

static struct statement_effect *add_effect(struct analysis *a)
{
	struct effect_entry *e = arena_zalloc(a->arena, sizeof(*e));

	a->last_effect = &e->effect;
	*a->effect_tail = e;
	a->effect_tail = &e->next;
	a->effect_count++;
	e->effect.at = a->statement_count;
	return &e->effect;
}

void analysis_add_effect(struct analysis *a, enum effect_kind kind, const char *name,
                         const char *value)
{
	struct statement_effect *e;

	if (a->effect_count >= ANALYSIS_NAMES_MAX) {
		if (kind != EFFECT_OPAQUE)
			analysis_pin(a, PIN_SESSION_STATE);
		return;
	}
	e = add_effect(a);
	e->kind = kind;
	e->name = keep(a, name);
	e->value = keep(a, value);
}

struct statement_effect *analysis_last_effect(struct analysis *a)
{
	WEIR_ASSERT(a->last_effect != NULL);
	return a->last_effect;
}

void analysis_add_unpin(struct analysis *a, uint32_t pins)
{
	struct statement_effect *e;

	if (a->effect_count >= ANALYSIS_NAMES_MAX)
		return;
	e = add_effect(a);
	e->kind = EFFECT_UNPIN;
	e->pins = pins;
}

void analysis_write(struct analysis *a)
{
	a->class = STATEMENT_WRITE;
	a->flags |= STATEMENT_NO_CACHE;
}

void analysis_pin(struct analysis *a, uint32_t pins)
{
	a->pins |= pins;
	analysis_write(a);
}

void analysis_opaque(struct analysis *a)
{
	analysis_add_effect(a, EFFECT_OPAQUE, NULL, NULL);
	analysis_pin(a, PIN_SESSION_STATE);
}

const char *analysis_lower(struct analysis *a, const char *name)
{
	char *copy = arena_strdup(a->arena, slice_str(name));

	for (char *p = copy; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p + ('a' - 'A'));
	return copy;
}

static size_t text_size(const char *text)
{
	return text ? strlen(text) + 1 : 0;
}

static size_t names_size(const struct name_list *list)
{
	size_t size = list->count * sizeof(struct statement_name);

	for (const struct name_entry *e = list->first; e; e = e->next)
		size += text_size(e->name.schema) + text_size(e->name.name);
	return size;
}

static size_t effects_size(const struct analysis *a)
{
	size_t size = a->effect_count * sizeof(struct statement_effect);

	for (const struct effect_entry *e = a->effects; e; e = e->next)
		size += text_size(e->effect.name) + text_size(e->effect.value);
	return size;
}

/* The block is laid out as statement, arrays, strings. */
struct packer {
	char *array;
	char *text;
};

static const char *pack_text(struct packer *p, const char *text)
{
	char *to = p->text;
	size_t size = text_size(text);

	if (!text)
		return NULL;
	memcpy(to, text, size);
	p->text += size;
	return to;
}

static const struct statement_name *pack_names(struct packer *p, const struct name_list *list)
{
	struct statement_name *to = (struct statement_name *)(void *)p->array;
	size_t i = 0;

	p->array += list->count * sizeof(*to);
	for (const struct name_entry *e = list->first; e; e = e->next, i++) {
		to[i].schema = pack_text(p, e->name.schema);
		to[i].name = pack_text(p, e->name.name);
	}
	WEIR_ASSERT(i == list->count);
	return to;
}

static const struct statement_effect *pack_effects(struct packer *p, const struct analysis *a)
{
	struct statement_effect *to = (struct statement_effect *)(void *)p->array;
	size_t i = 0;

	p->array += a->effect_count * sizeof(*to);
	for (const struct effect_entry *e = a->effects; e; e = e->next, i++) {
		to[i] = e->effect;
		to[i].name = pack_text(p, e->effect.name);
		to[i].value = pack_text(p, e->effect.value);
	}
	WEIR_ASSERT(i == a->effect_count);
	return to;
}

struct statement *analysis_build(const struct analysis *a)
{
	size_t arrays = ((size_t)a->reads.count + a->writes.count + a->functions.count) *
	                    sizeof(struct statement_name) +
	                a->effect_count * sizeof(struct statement_effect);
	size_t size = sizeof(struct statement) + names_size(&a->reads) + names_size(&a->writes) +
	              names_size(&a->functions) + effects_size(a);
	struct statement *s = mem_zalloc(size);
	struct packer p = { .array = (char *)(s + 1), .text = (char *)(s + 1) + arrays };

	s->class = a->class;
	s->flags = a->flags;
	s->pins = a->pins;
	s->hints = a->shape->hints;
	s->read_count = a->reads.count;
	s->written_count = a->writes.count;
	s->function_count = a->functions.count;
	s->effect_count = a->effect_count;
	s->param_count = a->shape->param_count;
	s->statement_count = a->statement_count;
	s->reads = pack_names(&p, &a->reads);
	s->writes = pack_names(&p, &a->writes);
	s->functions = pack_names(&p, &a->functions);
	s->effects = pack_effects(&p, a);
	WEIR_ASSERT(p.text == (char *)s + size);
	s->tag = a->tag;
	s->shape = a->shape->hash;
	s->cost_bytes = (uint32_t)size;
	s->refcount = 1;
	return s;
}
