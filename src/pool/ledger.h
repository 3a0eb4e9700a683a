/* SPDX-License-Identifier: PostgreSQL */
/*
 * The ledger: what all workers share about pools, so that limits are exact and
 * waiters are served in order over the whole process. Per (database, user,
 * node): connections open, idle ones per worker, and the clients that wait.
 * One short mutex; nothing but counting is done under it. The fast path - an
 * idle server on the client's own worker, nobody waiting - touches atomics only.
 *
 * The hand-shake that makes this safe: who goes idle publishes its idle count
 * and then looks for waiters; who waits publishes itself and then looks for idle
 * servers. Both are sequentially consistent, so at least one sees the other.
 */
#ifndef WEIR_POOL_LEDGER_H
#define WEIR_POOL_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/slice.h"

struct ledger;
struct ledger_entry;
struct ledger_group;

enum { LEDGER_WORKERS_MAX = 64, LEDGER_NO_WORKER = -1 };

enum waiter_state { WAITER_NONE, WAITER_QUEUED, WAITER_GRANTED };

struct ledger_waiter { /* embedded in a client; zero-initialise */
	struct list_node node;
	uint64_t ticket;         /* grows with each that waits: who asked first */
	_Atomic(enum waiter_state) state; /* QUEUED, GRANTED: under the mutex; NONE: its own worker */
	uint16_t worker;
	bool is_starved;         /* a database's or user's limit, not the pool's, makes it wait */
};

/* Are servers kept for clients that moved a sequence? */
enum ledger_keeping {
	LEDGER_KEEPS_FOR_NOW, /* until somebody waits for long */
	LEDGER_KEEPS_NONE,    /* somebody did, and nobody had asked for a value */
	LEDGER_KEEPS_ALWAYS,  /* currval or lastval was asked for */
};

struct ledger_limits { /* connections; 0: unlimited */
	uint32_t pool_size;
	uint32_t reserve_size; /* beyond pool_size, for those who wait too long; 0: none */
	uint32_t max_db_connections;
	uint32_t max_user_connections;
};

struct ledger_advice {
	struct ledger_entry *open; /* a slot is reserved there: open a connection, then ledger_connected
	                              or ledger_closed; NULL: don't */
	unsigned open_worker;      /* whose waiter it is for: that worker opens it */
	int steal_from;            /* worker that has an idle server, or LEDGER_NO_WORKER */
	bool evict;                /* idle servers of its other pools must make room */
};

struct ledger *ledger_create(unsigned workers);
void ledger_destroy(struct ledger *ledger);
/* Finds or makes; counted. */
struct ledger_entry *ledger_entry_find(struct ledger *ledger, struct slice database,
				       struct slice user, uint16_t node_id);
struct ledger_entry *ledger_entry_get(struct ledger_entry *e);
/* The last one frees it if nothing is open and nobody waits, else ledger_destroy does. */
void ledger_entry_put(struct ledger_entry *e);
void ledger_set_limits(struct ledger_entry *e, const struct ledger_limits *limits);

struct ledger_advice ledger_wait(struct ledger_entry *e, struct ledger_waiter *w);
/* After a limit grew: one to open for a waiter; again until none (`open` NULL). */
struct ledger_advice ledger_use_room(struct ledger_entry *e);
/* False: a server was already granted and is on its way to the waiter's worker. */
bool ledger_unwait(struct ledger_entry *e, struct ledger_waiter *w);
/* The first waiter, now GRANTED; NULL: none. */
struct ledger_waiter *ledger_next(struct ledger_entry *e);
bool ledger_has_waiters(const struct ledger_entry *e); /* cheap; sequentially consistent */
/* Others of the same database or user wait for room: a free server should close. */
bool ledger_is_starving(const struct ledger_entry *e);
/* More are open than the limits allow, since these were lowered: an idle one should close. */
bool ledger_is_over(const struct ledger_entry *e);
/*
 * Others whom a common limit keeps waiting have less than their share: a server that becomes free
 * should close though somebody here waits. Pools that share a limit thus come to the same number
 * of connections; where there are fewer than pools, the oldest waiter is next.
 */
bool ledger_must_yield(struct ledger_entry *e);
bool ledger_share_limit(const struct ledger_entry *a, const struct ledger_entry *b);
/* A connection outside the queue: reserves a slot; false: at the limit. */
bool ledger_reserve(struct ledger_entry *e);
/* An open connection gives its slot to one that is opened in its place. */
void ledger_replace(struct ledger_entry *e);
void ledger_connected(struct ledger_entry *e); /* a reserved connection is ready */
/* An idle one is looked at before use: on its way as a new one is, until ledger_connected. */
void ledger_check_begun(struct ledger_entry *e);
/* A connection is gone. The advice is whether to open one for those who still wait. */
struct ledger_advice ledger_closed(struct ledger_entry *e, bool was_connecting);
/* The worker's number of idle servers changed. */
void ledger_set_idle(struct ledger_entry *e, unsigned worker, uint32_t idle);
uint32_t ledger_open_count(const struct ledger_entry *e);
/* Whose turn it is among the hosts of a node that has several: a number that all workers share. */
uint32_t ledger_take_turn(struct ledger_entry *e);  /* the next caller gets the next host */
uint32_t ledger_turn(const struct ledger_entry *e); /* the next caller gets the same */
void ledger_turn_over(struct ledger_entry *e, uint32_t turn); /* if it still is that host's turn */
/* The first waiter has waited too long: may a connection of the reserve be opened for it? */
struct ledger_advice ledger_wait_long(struct ledger_entry *e);
/* Reserves a slot if fewer than `least` are open, and the limits allow it. */
bool ledger_reserve_least(struct ledger_entry *e, uint32_t least);

enum ledger_keeping ledger_keeping(const struct ledger_entry *e);
/* A server is KEPT, or no longer. */
void ledger_count_kept(struct ledger_entry *e, bool is_kept);
void ledger_keep_always(struct ledger_entry *e);
uint32_t ledger_kept_count(const struct ledger_entry *e);
/* Somebody has waited for long. True: from now on servers aren't kept; false: that stays. */
bool ledger_keep_no_longer(struct ledger_entry *e);

/* Clients per database and per user, over all workers. */
enum ledger_full { LEDGER_HAS_ROOM, LEDGER_DATABASE_FULL, LEDGER_USER_FULL };

struct ledger_seats { /* what one worker's clients of a database and user have; zero: none */
	struct ledger_group *database, *user; /* counted by each client */
	uint32_t taken;
};

struct ledger_bounds { /* clients; 0: unlimited */
	uint32_t max_database;
	uint32_t max_user;
};

/* One more client; always the same names for the same seats. */
enum ledger_full ledger_sit(struct ledger *ledger, struct slice database, struct slice user,
			    const struct ledger_bounds *bounds,
			    struct ledger_seats *seats) WEIR_MUST_CHECK;
void ledger_rise(struct ledger *ledger, struct ledger_seats *seats);

#endif
