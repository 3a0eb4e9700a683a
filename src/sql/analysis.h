/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the rules collect while they go over a parse tree: the scratch form of
 * a struct statement. In an arena; one thread, one text.
 */
#ifndef WEIR_SQL_ANALYSIS_H
#define WEIR_SQL_ANALYSIS_H

#include "base/arena.h"
#include "sql/shape.h"
#include "sql/statement.h"
#include "sql/tree.h"

enum { ANALYSIS_NAMES_MAX = 1000 }; /* per list; more makes the statement an unknown write */

struct name_entry {
	struct statement_name name;
	struct name_entry *next;
};

struct name_list {
	struct name_entry *first, **tail;
	uint16_t count;
};

struct effect_entry {
	struct statement_effect effect;
	struct effect_entry *next;
};

struct analysis {
	struct arena *arena;        /* borrowed */
	const struct shape *shape;  /* borrowed */
	struct slice text;          /* borrowed: the SQL text */
	struct slice statement_text; /* borrowed: its statement at hand */
	enum statement_class class; /* of the statement at hand, later of the whole text */
	uint32_t flags;
	uint32_t pins;
	struct name_list reads, writes, functions;
	struct effect_entry *effects, **effect_tail;
	struct statement_effect *last_effect; /* borrowed from the list */
	uint16_t effect_count;
	uint16_t statement_count; /* those before the one at hand */
	const char *tag;   /* static */
	bool is_plain_dml; /* SELECT, INSERT, UPDATE, DELETE or MERGE, whatever their literals */
};

void analysis_init(struct analysis *a, struct arena *arena, const struct shape *shape);
void analysis_add_name(struct analysis *a, struct name_list *list, struct statement_name name);
/* name and value are copied into the arena or NULL. */
void analysis_add_effect(struct analysis *a, enum effect_kind kind, const char *name,
                         const char *value);
struct statement_effect *analysis_last_effect(struct analysis *a); /* there is one */
void analysis_add_unpin(struct analysis *a, uint32_t pins);
/* A write to the primary that keeps the client on its server while these reasons last. */
void analysis_pin(struct analysis *a, uint32_t pins);
void analysis_write(struct analysis *a);
/* Session state changes in a way that can't be replayed. */
void analysis_opaque(struct analysis *a);

/* A copy in the arena, ASCII letters in lower case: setting names are case-insensitive. */
const char *analysis_lower(struct analysis *a, const char *name);

/* One heap block: the statement with its arrays and strings. refcount 1. */
struct statement *analysis_build(const struct analysis *a);

#endif
