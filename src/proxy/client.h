/* SPDX-License-Identifier: PostgreSQL */
/*
 * A client connection: identity, session state, and where its current request
 * is. Its state (client_state.h) has one writer, client_set_state.
 */
#ifndef WEIR_PROXY_CLIENT_H
#define WEIR_PROXY_CLIENT_H

#include "base/err.h"
#include "metrics/close_reasons.h"
#include "pool/ledger.h"
#include "pool/pool.h"
#include "pool/session_txn.h"
#include "proxy/client_state.h"
#include "proxy/tenant.h"
#include "route/consistency.h"
#include "route/txn.h"

enum {
	CLIENT_MAGIC = 0x434c4e54,
	CLIENT_RETRIES_MAX = 3,
	CLIENT_HEALS_MAX = 3,
	CANCEL_SECRET_SHORT = 4, /* protocol 3.0 */
	CANCEL_SECRET_MAX = 32,  /* protocol 3.2 */
};

enum replication_mode { REPLICATION_NONE, REPLICATION_PHYSICAL, REPLICATION_LOGICAL };

struct held_request;
struct listening;
struct cached_request;
struct noted_writes;
struct login;
struct look;
struct names_error;
struct track;
struct unnamed;

struct client {
	unsigned magic;
	enum client_state state;         /* client_set_state only */
	struct conn conn;
	struct proxy *proxy;             /* borrowed */
	struct list_node node;           /* in proxy->clients */
	struct list_node wait_node;      /* in pool->waiting, cluster->waiting or proxy->ready */
	struct list *wait_list;          /* the list wait_node is in; NULL: none */
	struct map_node by_id;
	struct tenant *tenant;           /* borrowed; NULL until logged in, and for the console */
	struct server *server;           /* borrowed: linked; NULL: none */
	struct server *kept;             /* borrowed: see keep.h; not the linked one; NULL: none */
	struct server *told;             /* borrowed: whose process id it knows; NULL: none, or gone */
	struct server *awaited;          /* borrowed: opened for its log-in, which waits; NULL: none */
	struct list_node told_node;      /* in told->told */
	struct map_node by_key;          /* in proxy->clients_by_key, if has_key */
	struct pool *pool;               /* borrowed: where it waits */
	struct ledger_waiter waiter;
	struct session_state *session;   /* counted: settings of the session as committed */
	struct session_state *startup;   /* counted: what RESET goes back to */
	struct session_txn settings;     /* what the open transaction has changed of them */
	struct params *defaults;         /* counted: the server's it was told; NULL: none */
	struct track *track;             /* owned: effects of the request that runs; NULL: never any */
	struct prepared_names *names;    /* owned; NULL until it prepares */
	struct unnamed *unnamed;         /* owned: see unnamed.h; NULL until it parses one */
	struct look *look;               /* owned: see rewrite.h; NULL: nothing is looked at */
	struct held_request *held;       /* owned: copy of the request until its answer begins */
	struct cached_request *cached;   /* owned: look-up or fill; NULL until it asks the cache */
	struct noted_writes *writes;     /* owned: tables that the open transaction wrote; NULL: none */
	struct listening *listening;     /* owned: channels it listens on; NULL: none */
	struct login *login;             /* owned: only while LOGIN */
	char *begin_sql;                 /* owned: BEGIN not sent yet, then its portal: see forward.h */
	struct names_error *names_error; /* owned: see bring.h; NULL: none */
	char *console_user;              /* owned; NULL: not a session of the console */
	union {
		struct loop_timer timer;
		struct loop_deferred deferred; /* once CLOSED, when no timer is armed any more */
	};
	struct session_reads reads;
	struct txn txn;
	uint64_t id;
	uint64_t stream_left;            /* bytes of the request's last message still to come */
	uint64_t connected_us, request_us, txn_us, wait_us, idle_us;
	uint32_t told_pid;               /* the process id of its cancel key */
	uint16_t pins;                   /* enum pin_reason */
	uint16_t staged_pins;            /* of the request that runs */
	uint16_t pins_asked, pins_left;  /* see unpin.h */
	uint32_t avoid_nodes;            /* node bits that failed for this request */
	uint8_t retries;                 /* of this request, for a failed or wrong node */
	uint8_t heals;                   /* ... for statements parsed anew; counted on their own */
	uint8_t replication;             /* enum replication_mode: see replication.h */
	bool is_serving : 1;             /* inside serve_bytes */
	bool is_txn_lost : 1;            /* it is aborted: its server died, or it had none */
	bool is_loss_untold : 1;         /* ... while it was idle: it hears with its next request */
	bool is_skipping : 1;            /* error answered here: what comes up to Sync is dropped */
	bool has_ddl : 1, wants_catalog : 1; /* sent since the last transaction; see struct plan */
	bool has_moved_sequence : 1;     /* since it logged in, or discarded them */
	bool has_notified : 1;           /* in its open transaction, perhaps */
	bool has_key : 1;                /* it was told a cancel key */
	bool is_canceled : 1;            /* the waiting request is to be answered with 57014 */
	bool pins_in_doubt : 1;          /* a reason of them may have gone */
	bool wants_own_server : 1;       /* the request uses sequences: see pool_take_own */
	bool is_unnamed_live : 1;        /* its unnamed statement is on the linked server */
	bool is_console : 1, is_admin : 1, is_tls : 1, has_begin_portal : 1; /* see begin_sql */
	bool is_console_alias : 1;       /* it asked for the console by PgBouncer's name */
	bool is_read_request : 1;        /* the request that runs reads only */
	bool had_error : 1;              /* in the request that runs */
	bool may_commit : 1;             /* what is under way may, or anything of it */
	bool has_inner_commit : 1;       /* the request may commit a part of it, and then fail */
	bool commits_inside : 1;         /* ... or a statement of it may: CALL, VACUUM */
	bool has_run_code : 1;           /* in its open transaction, or a request on its way does */
	bool is_rollback_request : 1;    /* the request that runs is a ROLLBACK */
	bool is_commit_request : 1;      /* ... or a COMMIT */
	bool is_begin_request : 1;       /* ... or has a BEGIN in it */
	bool is_retrying : 1;            /* `held` is to be served again, before anything kept */
	bool must_use_primary : 1;       /* a replica refused this request */
	bool is_wait_told : 1;           /* query_wait_notify: it has had its NOTICE */
	bool is_stream_dropped : 1;      /* stream_left goes nowhere, as its message's start */
	bool is_batch_cut : 1;           /* its messages go on without their Sync: see serve_bytes */
	bool is_seated : 1, is_leaving : 1; /* in tenant->seats; see replication_client_bytes */
	bool is_gated : 1;               /* see forward_request: a gate goes in front of the request */
	uint8_t secret_len;              /* CANCEL_SECRET_SHORT or CANCEL_SECRET_MAX */
	union {                          /* of its cancel key, if has_key */
		uint8_t short_secret[CANCEL_SECRET_SHORT];
		uint8_t *long_secret;    /* owned: CANCEL_SECRET_MAX */
	};
};

struct client *client_create(struct proxy *p, int fd, bool is_unix);
void client_set_state(struct client *c, enum client_state to);
/* Ends it: unlinks, lets go of its server, logs the reason; an error goes out first if given. */
void client_close(struct client *c, enum close_reason reason, const struct pg_error *error);
/* Frees a closed one once its last words are sent and no server is on its way to it. */
void client_release(struct client *c);

/* Appends to what leaves at the end of the turn. */
void client_send_error(struct client *c, const char *severity, const struct pg_error *e);
void client_send_notice(struct client *c, const char *severity, const char *sqlstate,
                        const char *text);
void client_send_buf(struct client *c, struct buf *b); /* sends a copy, then frees b */
void client_send_ready(struct client *c);              /* ReadyForQuery as the transaction stands */

void client_wait_leave(struct client *c);              /* leaves whatever list it waits in */
void client_wait_join(struct client *c, struct list *list);
void client_settle(struct client *c); /* frees what belonged to the request that ended */
bool client_is_free(const struct client *c); /* no transaction, no pin, no half message */
bool client_may_leave(const struct client *c);         /* draining may close it */

/* The console's answer: whole messages but the final ReadyForQuery. Own thread. */
void client_console_reply(struct client *c, struct slice messages);

#endif
