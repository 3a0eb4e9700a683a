/* SPDX-License-Identifier: PostgreSQL */
/*
 * A server connection as the pool sees it: its state is its list membership,
 * written by server_set_state alone. What runs on it (log-in, requests) is
 * proxy/'s work. Owned by one worker; an idle one can move to another.
 *
 *            ready            taken       (a replication connection: LOGIN to ACTIVE)
 *   LOGIN ----------> IDLE ----------> ACTIVE <--> KEPT   (KEPT to IDLE: given up)
 *     |                ^ \               |  \   cancel in flight
 *     |          clean |  \ moved        |   +----------> CANCELED
 *     |                |   MOVING        | dirty             |
 *     |                +--- TESTED <-----+-------------------+
 *     +--------> CLOSED <---- from every state
 */
#ifndef WEIR_POOL_SERVER_H
#define WEIR_POOL_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "net/conn.h"
#include "pool/plain_names.h"
#include "pool/prepared.h"
#include "pool/replies.h"

struct params;
struct pool;
struct session_state;

enum { SERVER_MAGIC = 0x53525652, SERVER_KEY_MAX = 256 };

enum server_state {
	SERVER_LOGIN,    /* connecting, TLS, authentication */
	SERVER_IDLE,
	SERVER_KEPT,     /* idle, for the one client whose sequences' values it has */
	SERVER_ACTIVE,   /* linked to a client */
	SERVER_TESTED,   /* a reset runs, or an answer that nobody wants any more; last words leave */
	SERVER_CANCELED, /* released, but a cancel request for it is still on its way */
	SERVER_MOVING,   /* between two workers */
	SERVER_CLOSED,
	SERVER_STATE_COUNT
};

enum server_watch {
	WATCH_PINS = 1,  /* a REPLY_PINS is under way: its row */
	WATCH_ASKED = 2, /* a description that the client asked for comes next */
	WATCH_LOOK = 4,  /* one that pgweir asked for */
};

struct server {
	unsigned magic;
	enum server_state state;      /* server_set_state only */
	struct conn conn;
	struct list_node node;        /* in pool->by_state[state] */
	struct pool *pool;            /* borrowed: outlives its servers */
	void *client;                 /* borrowed: the linked client, while ACTIVE */
	void *live;                   /* borrowed: struct node_live that counts the client; or NULL */
	void *owner;                  /* borrowed: the client that it is KEPT for */
	void *login;                  /* owned by proxy/ while LOGIN */
	void *departure;              /* proxy's, between MOVING and leaving this worker */
	struct session_state *session; /* counted: settings it has now */
	struct params *params;        /* counted: what it reported last */
	struct params *defaults;      /* counted: ... of what no session sets; NULL: still logging in */
	struct replies replies;
	struct prepared_set prepared;
	struct description described; /* what came so far of the one that is watched for */
	struct plain_names plain;     /* statements under the clients' own names */
	uint64_t id;
	char *host;                   /* owned: where it was opened to, one of the pool's */
	uint16_t port;
	uint64_t connected_us, idle_since_us, checked_us;
	uint64_t generation;          /* of the pool then: an older one closes when free */
	uint64_t pass_left;           /* bytes of a message body still to pass on */
	bool pass_dropped;            /* ... to swallow instead */
	bool is_dirty;                /* needs the reset query before anybody else gets it */
	bool is_checked;              /* server_check_query runs; the ledger counts it as connecting */
	bool is_counted;              /* each completed statement is told to the tracker
	                                 (see track.h); cleared with the client */
	bool is_listening;            /* in PostgreSQL, for a text or to show: nobody hears it */
	uint8_t watch;                /* enum server_watch: messages that are looked at for now */
	bool is_copy_in;              /* CopyInResponse seen, the client sends data */
	bool is_replication;          /* one client's from its start to its end */
	bool is_replaced;             /* another has its slot in the ledger */
	char txn_status;              /* of the last ReadyForQuery */
	uint16_t cancels;             /* cancel requests on their way */
	uint64_t unsure_client;       /* ran code here that may have changed settings; 0: nobody */
	uint64_t sequence_client;     /* whose values of sequences it has, no other's; 0: nobody's */
	bool has_sequences;           /* it has values, of whomever */
	struct list told;             /* clients that know its pid as theirs */
	void *awaited_by;             /* borrowed: the client that it is opened for, while LOGIN */
	uint32_t pid;
	uint16_t key_len;
	char *key;                    /* owned: cancel key */
	struct loop_timer timer;      /* log-in and reset bounds */
	struct loop_deferred deferred; /* freeing */
};

struct server *server_create(struct pool *pool);
void server_destroy(struct server *s); /* state CLOSED or MOVING, connection closed */
void server_set_state(struct server *s, enum server_state to);
const char *server_state_name(enum server_state state);
/* Leaves its pool's lists while MOVING, before another thread may see it. */
void server_leave(struct server *s);
/* Changes owner while MOVING: the pool of another worker for the same database, user and node. */
void server_move(struct server *s, struct pool *to);
/* Takes its own reference. */
void server_set_session(struct server *s, struct session_state *session);
void server_set_address(struct server *s, const char *host, uint16_t port);
void server_set_key(struct server *s, uint32_t pid, struct slice key);

#endif
