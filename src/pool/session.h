/* SPDX-License-Identifier: PostgreSQL */
/*
 * Session state: the settings a session has that differ from a fresh
 * connection, as an immutable set shared by all sessions that have the same
 * (interned: equal states are the same pointer). A client and a server
 * connection match when their pointers are equal; else session_sync_sql says
 * what brings the server to the client. Interning takes a mutex and happens at
 * log-in and when a setting changes, never per query. Any thread.
 */
#ifndef WEIR_POOL_SESSION_H
#define WEIR_POOL_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

struct session_state;
struct session_table;

enum { SESSION_SETTINGS_MAX = 64, SESSION_TEXT_MAX = 32768 };

/* A value that begins with this is raw text as in a start-up packet, not SQL. */
#define SESSION_RAW_VALUE '='

/* The two settings that say who the session is. */
#define SESSION_AUTHORIZATION "session_authorization"
#define SESSION_ROLE "role"
#define SESSION_ENCODING "client_encoding"
#define SESSION_ISOLATION "default_transaction_isolation"

struct session_table *session_table_create(size_t keep); /* unused states kept for later log-ins */
void session_table_destroy(struct session_table *table);  /* no state in use any more */

struct session_state *session_empty(struct session_table *table); /* counted */
struct session_state *session_none(const struct session_state *s); /* the empty one beside it */
struct session_state *session_get(struct session_state *s);
void session_put(struct session_state **s);

/*
 * The state with one setting changed; value NULL removes it. `value` is SQL text as it
 * stands behind SET name TO, or raw text behind SESSION_RAW_VALUE. NULL when a bound is
 * reached. Does not consume s. Counted.
 */
struct session_state *session_with(struct session_state *s, struct slice name, const char *value);
uint64_t session_id(const struct session_state *s); /* never 0, never used again */
size_t session_count(const struct session_state *s);
const char *session_name(const struct session_state *s, size_t i);
const char *session_value(const struct session_state *s, size_t i);
const char *session_find(const struct session_state *s, struct slice name); /* NULL: not set */

/* How many settings differ; a role counts for more than all of them. */
size_t session_distance(const struct session_state *a, const struct session_state *b);

/* It runs as another role than the one that logged in. */
bool session_has_identity(const struct session_state *s);
/* A value isn't ASCII: it is meant in the client_encoding. */
bool session_has_encoded_text(const struct session_state *s);
/* A request with the settings of `from` instead of those of `to` could read or write other rows. */
bool session_differs_in_meaning(const struct session_state *from, const struct session_state *to);

/*
 * Appends the SET and RESET commands, with semicolons, that lead from one to the other. Settings
 * change as the log-in's role: identities are left first and taken last.
 */
void session_sync_sql(struct buf *out, const struct session_state *from,
		      const struct session_state *to);
/*
 * Appends what must be executed before the server reads session_sync_sql's text, which has letters
 * of another client_encoding than the server's, or which a standby refuses in a transaction that is
 * serializable by default; nothing, if neither is so.
 */
void session_first_sql(struct buf *out, const struct session_state *from,
		       const struct session_state *to);

/* Appends `text` as a quoted SQL literal, escape-string form where it has a backslash. */
void session_quote_literal(struct buf *out, struct slice text);

#endif
