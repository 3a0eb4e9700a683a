/* SPDX-License-Identifier: PostgreSQL */
/*
 * Protocol-level prepared statements in transaction mode. Three views:
 *  - prepared_table (one per worker): each distinct (text, parameter types)
 *    once, counted, with an id unique in the process, shared by all clients;
 *  - prepared_names (one per client that prepares): the client's name -> it;
 *  - prepared_set (one per server connection): ids parsed there, LRU, bounded.
 * On a server a statement is called "pgweir_<id>", so names never collide.
 * A set moves between threads with its idle server; the rest stays put.
 */
#ifndef WEIR_POOL_PREPARED_H
#define WEIR_POOL_PREPARED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"
#include "base/slice.h"
#include "pool/description.h"

struct statement;
struct prepared_table;
struct prepared_names;

enum { PREPARED_SERVER_NAME_MAX = 32 };

struct prepared {
	struct map_node map;
	struct prepared_table *table; /* borrowed: outlives its entries */
	uint64_t id;
	uint32_t refcount;
	struct statement *statement;  /* counted */
	struct slice text;            /* owned, in one block with this */
	struct slice param_types;     /* the raw OIDs of Parse; owned likewise */
	bool is_sql;                  /* text is a PREPARE statement: it brings its own name */
	/* A server accepted it last for a session in this state, by this catalog; 0: never. */
	uint64_t good_session;
	uint64_t good_catalog;
	struct description described; /* as a client last found it to differ from what it was told */
	char server_name[PREPARED_SERVER_NAME_MAX];
	size_t server_name_len;
};

struct prepared_table *prepared_table_create(void);
void prepared_table_destroy(struct prepared_table *t); /* no client left */
size_t prepared_table_count(const struct prepared_table *t);
size_t prepared_table_bytes(const struct prepared_table *t);
/* Finds or makes; takes a reference on the statement when made. Counted for the caller. */
struct prepared *prepared_intern(struct prepared_table *t, struct slice text,
				 struct slice param_types, struct statement *statement);
/* One made by SQL: `text` is the PREPARE statement, `statement` the query in it. */
struct prepared *prepared_intern_sql(struct prepared_table *t, struct slice text,
				     struct statement *statement);
size_t prepared_bytes(const struct prepared *p);
struct prepared *prepared_get(struct prepared *p);
void prepared_put(struct prepared **p);

/* A client's names. Pointers to a name entry stay valid until it is removed. */
struct prepared_name {
	struct map_node map;
	struct list_node made;    /* among all that can be found, in the order they were made */
	struct list_node pending; /* among the unconfirmed, in the order of their Parse */
	struct list_node closing; /* among those being closed, in the order of their Close */
	struct list_node asked;   /* among those whose Describe is under way, in their order */
	uint64_t asked_id;        /* of the statement on the server that was asked */
	struct description told;  /* what the client knows of it */
	struct prepared *prepared; /* counted; NULL: gone while being closed */
	size_t bytes;              /* what it counts for */
	size_t name_len;
	char name[];
};

struct prepared_names *prepared_names_create(void);
void prepared_names_destroy(struct prepared_names **names);
struct prepared_name *prepared_names_find(const struct prepared_names *names, struct slice name);
/* Consumes the reference; the entry is pending until confirmed. The name isn't present yet. */
struct prepared_name *prepared_names_add(struct prepared_names *names, struct slice name,
					 struct prepared **prepared);
/* Made by SQL, and confirmed: replaces what may be there. Consumes the reference. */
void prepared_names_put(struct prepared_names *names, struct slice name,
			struct prepared **prepared);
/* The first made or the one made next; NULL: the end. */
struct prepared_name *prepared_names_next(const struct prepared_names *names,
					  const struct prepared_name *after);
size_t prepared_names_bytes(const struct prepared_names *names); /* texts counted in full */
void prepared_names_remove(struct prepared_names *names, struct prepared_name *entry);
/* The oldest pending one; gives it, or NULL. */
struct prepared *prepared_names_confirm(struct prepared_names *names);
/* Not found any more; gone for good once that is confirmed, in order. */
void prepared_names_close(struct prepared_names *names, struct prepared_name *entry);
void prepared_names_confirm_close(struct prepared_names *names);
/* Its Describe is sent, once at a time; the answers come in that order. */
void prepared_names_ask(struct prepared_names *names, struct prepared_name *entry);
/* The oldest whose Describe is under way, which it isn't any more; NULL: none. */
struct prepared_name *prepared_names_take_asked(struct prepared_names *names);
bool prepared_names_is_asking(const struct prepared_names *names);
/* An error skipped the oldest pending and the oldest closings: as if never asked for. */
void prepared_names_refuse(struct prepared_names *names, size_t parses, size_t closes);
/* A new id: servers parse it again before its next use. */
void prepared_renew(struct prepared *p);
/* The same for all its statements, or for those of the protocol only. */
void prepared_names_renew(struct prepared_names *names, bool of_sql_too);
void prepared_names_clear(struct prepared_names *names);
bool prepared_names_is_closing(const struct prepared_names *names); /* a Close isn't answered yet */
size_t prepared_names_count(const struct prepared_names *names);

/*
 * What a server has parsed. After an error it may be in doubt whether an id is there: then
 * Close and Parse lead to it either way.
 */
struct prepared_set {
	struct map ids;
	struct list lru; /* most recently used last */
};

void prepared_set_init(struct prepared_set *set);
void prepared_set_fini(struct prepared_set *set);
void prepared_set_clear(struct prepared_set *set);
/* What is known of it, if it is there without doubt; it becomes the most recently used. */
const struct description *prepared_set_use(struct prepared_set *set, uint64_t id);
/* The server described it so. */
void prepared_set_describe(struct prepared_set *set, uint64_t id, const struct description *d);
bool prepared_set_may_have(const struct prepared_set *set, uint64_t id);
/* It is there, without doubt. */
void prepared_set_add(struct prepared_set *set, uint64_t id);
/* It may be there, or not. */
void prepared_set_doubt(struct prepared_set *set, uint64_t id);
void prepared_set_doubt_all(struct prepared_set *set);
/* If `max` or more are there: removes the oldest and returns its id, else 0. */
uint64_t prepared_set_evict(struct prepared_set *set, size_t max);
size_t prepared_set_count(const struct prepared_set *set);
size_t prepared_server_name(uint64_t id, char out[PREPARED_SERVER_NAME_MAX]);

#endif
