/* SPDX-License-Identifier: PostgreSQL */
/*
 * A session's settings inside a transaction: what SET has changed, what each
 * savepoint found, and so what COMMIT keeps and what ROLLBACK [TO] takes back,
 * as PostgreSQL has it. Two states run in step, the client's and the one that
 * its server then has: a RESET leads to the client's start-up value in the
 * first and to the server's own default in the second. Pure but for interning.
 *
 * Savepoints are kept from the first change on. One that isn't known was made
 * before any change: to go back to it undoes them all.
 */
#ifndef WEIR_POOL_SESSION_TXN_H
#define WEIR_POOL_SESSION_TXN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct session_state;

enum { SESSION_SAVEPOINTS_MAX = 1024 };

struct session_savepoint {
	char *name;                   /* owned */
	struct session_state *client; /* counted; what a ROLLBACK TO finds again */
	struct session_state *server; /* counted */
	uint32_t marks;
};

/* Zero-initialise. client and server are both NULL (nothing changed) or both not. */
struct session_txn {
	struct session_state *client; /* counted: the session's if it commits now */
	struct session_state *server; /* counted: what its server has */
	struct session_savepoint *savepoints; /* owned; oldest first */
	uint32_t marks;   /* the owner's count of what else it does at the end; savepoints keep it */
	uint16_t count;   /* of savepoints */
	bool has_changed; /* settings were set since it began, SET LOCAL counts too */
};

struct session_base { /* both borrowed */
	struct session_state *committed; /* before the transaction; client and server agree on it */
	struct session_state *startup;   /* what RESET goes back to */
};

/* value: see session_with; NULL: RESET. False: it can't be followed, and nothing was changed. */
bool session_txn_set(struct session_txn *t, struct session_base base, const char *name,
		     const char *value);
/* RESET ALL, which leaves the role alone. */
void session_txn_reset_all(struct session_txn *t, struct session_base base);
/* DISCARD ALL */
void session_txn_discard_all(struct session_txn *t, struct session_base base);
/* False: too many, a later ROLLBACK TO can't be followed. */
bool session_txn_savepoint(struct session_txn *t, const char *name);
void session_txn_release(struct session_txn *t, const char *name);
void session_txn_rollback_to(struct session_txn *t, const char *name);
/* Both are `state` now, which the transaction's end or a savepoint may undo for the server. */
void session_txn_synced(struct session_txn *t, struct session_state *state);
/* The end of it. After commit the caller has taken client and server, or they are put. */
void session_txn_end(struct session_txn *t);
void session_txn_fini(struct session_txn *t);

#endif
