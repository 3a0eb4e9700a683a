/* SPDX-License-Identifier: PostgreSQL */
/*
 * Session tracking: what a request does to settings, pins and prepared
 * statements. Its effects are lined up when it is sent, each for its place among
 * the request's statements, and come true as the server completes these: what an
 * error cuts off has not happened, what stood in front of it has.
 */
#ifndef WEIR_PROXY_TRACK_H
#define WEIR_PROXY_TRACK_H

#include "proxy/client.h"
#include "proxy/plan.h"

struct track_step {
	struct statement *statement; /* counted: has the effect */
	const struct statement_effect *effect;
	char *value;                 /* owned: from the Bind's parameter; NULL: the effect's own */
	uint32_t at;                 /* true once so many statements before it are done, and it */
	bool is_unknown;             /* what it does can't be told */
};

/* Made with a client's first effect, and kept. */
struct track {
	struct track_step *steps;    /* owned */
	uint32_t count, cap;
	uint32_t next;               /* the first that isn't done */
	uint32_t sent, done;         /* statements of the requests under way */
	bool is_irregular;           /* which statement an answer is of can't be told */
	bool was_failed;             /* the transaction: a COMMIT rolls it back */
};

void track_request_sent(struct client *c, const struct plan *plan);
/* The server completed one statement: only called while server->is_counted. */
void track_completed(struct client *c);
/*
 * A reported setting changed: if no statement said so, a function did, and only its server knows;
 * or the configuration was read again, where nothing ran that could have done it: true.
 */
bool track_hidden_change(struct client *c);
/* One ReadyForQuery of the client's came. */
void track_ready(struct client *c, struct server *s, char status);
/* The last one came: statistics, pins, invalidation. */
void track_request_done(struct client *c, struct server *s);
/* COMMIT or ROLLBACK of a transaction that no server knows. */
void track_answered_end(struct client *c, bool is_commit);
/*
 * What the open transaction has SET is the session's from now on, as its COMMIT is next. False:
 * that can't be: it is to be undone, and the server's word of that heard; or LISTEN was in it.
 */
bool track_settle_early(struct client *c, bool is_commit);
/* The transaction is gone with its server. */
void track_lost(struct client *c);
/* True while a further request mustn't overtake: its meaning depends on this one's outcome. */
bool track_is_staged(const struct client *c);
/* The request made or dropped prepared statements: no error undoes that, so it isn't repeated. */
bool track_has_lasted(const struct client *c);
void track_fini(struct client *c);

#endif
