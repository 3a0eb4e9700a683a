/* SPDX-License-Identifier: PostgreSQL */
/*
 * One worker's pool of server connections for a (database, user, node): lists
 * by state, and its line in the ledger. Taking an idle server and giving one
 * back is the hot path: list operations, and two atomics for the ledger.
 */
#ifndef WEIR_POOL_POOL_H
#define WEIR_POOL_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "pool/server.h"

struct ledger_entry;
struct session_state;

enum {
	POOL_MATCH_DEPTH = 8,  /* idle servers looked at for a matching session state */
	POOL_OWNER_DEPTH = 64, /* ... for one that served the client's sequences */
};

struct pool {
	struct list by_state[SERVER_STATE_COUNT];
	struct list waiting;         /* clients of this worker that wait here, in order */
	struct ledger_entry *ledger; /* borrowed: process-wide */
	unsigned worker;
	uint16_t node_id;
	uint16_t port;
	char *host;                  /* owned; a list where several servers are alike (hostlist.h) */
	uint64_t generation;         /* grows when old connections must go: RECONNECT, a new primary */
	bool is_round_robin;         /* oldest idle first instead of the newest */
};

void pool_init(struct pool *p, struct ledger_entry *ledger, unsigned worker, uint16_t node_id);
void pool_fini(struct pool *p); /* no server left */
bool pool_is_at(const struct pool *p, const char *host, uint16_t port);
void pool_set_address(struct pool *p, const char *host, uint16_t port);
/* An idle server, one whose session state matches if it is near; NULL: none. Now ACTIVE. */
struct server *pool_take(struct pool *p, const struct session_state *session);
/* Likewise, but one that served this client's sequences, or nobody's, is preferred. */
struct server *pool_take_own(struct pool *p, const struct session_state *session, uint64_t client);
void pool_set_idle(struct pool *p, struct server *s, uint64_t now_us);
size_t pool_count(const struct pool *p, enum server_state state);
size_t pool_open_count(const struct pool *p); /* all but CLOSED */

/* Pure: should this idle server go? Lifetime and idle bounds in microseconds, 0: none. */
bool pool_is_expired(const struct server *s, uint64_t now_us, uint64_t lifetime_us,
		     uint64_t idle_us);

#endif
