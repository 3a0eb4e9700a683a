/* SPDX-License-Identifier: PostgreSQL */
/*
 * What happens when a server fails a request: repeat it elsewhere while the
 * client has seen nothing of the answer, tell the client the truth otherwise.
 */
#ifndef WEIR_PROXY_FAILURE_H
#define WEIR_PROXY_FAILURE_H

#include "proxy/client.h"
#include "proxy/plan.h"
#include "wire/backend.h"

/* A connection that was logged in is gone; error: the server's last word, or NULL. */
void failure_server_lost(struct server *s, const struct msg_error *error);
void failure_protocol(struct server *s);
/* A statement was prepared before its table changed; parsed anew it works. */
bool failure_is_outdated_plan(const struct client *c, const struct msg_error *e);
/* May the running request be sent again, given this error as the first of its answer? */
bool failure_is_retryable(const struct client *c, const struct reply_segment *seg,
			  const struct msg_error *e);
/* Sends it again: to the primary after 25006, elsewhere otherwise. */
void failure_retry(struct client *c, const struct msg_error *e);
/* The session sync or BEGIN in front of the request failed. error: the whole ErrorResponse. */
void failure_internal_error(struct client *c, const struct reply_segment *seg, struct slice error);
/*
 * The client hears an error of pgweir's own: its transaction, if it is in one, is aborted as by an
 * error of PostgreSQL. No request is under way.
 */
void failure_abort_txn(struct client *c);
/*
 * In the place of this request, the next of a batch whose Sync is due: an error of the server,
 * behind its answers to what went before, that names this statement.
 */
void failure_in_batch(struct client *c, const struct request *req, const char *statement);
/* The transaction died with its server, or before it had one: answers this request accordingly. */
bool failure_answer_lost(struct client *c, const struct request *req, const struct plan *plan);
/* A log-in error that waiting doesn't mend: the clients must hear it. */
bool failure_is_final_login_error(const char *sqlstate);
/* A server's error in the words it came in, as far as there is room. */
void failure_copy_error(struct pg_error *out, const struct msg_error *from);

#endif
