/* SPDX-License-Identifier: PostgreSQL */
/*
 * Requests that pgweir answers itself: BEGIN (deferred until something runs),
 * the end of a transaction that never ran anything, DEALLOCATE of a statement
 * that the client prepared by protocol.
 */
#ifndef WEIR_PROXY_LOCAL_H
#define WEIR_PROXY_LOCAL_H

#include "proxy/client.h"
#include "proxy/plan.h"

bool local_can_answer(const struct client *c, const struct request *req, const struct plan *plan,
		      const struct txn_plan *tp);
/* Bind, Describe? and Execute of one statement without parameters, and nothing that must last. */
bool local_is_plain_batch(const struct request *req, const struct plan *plan);
void local_complete(struct client *c, const char *tag); /* a CommandComplete */
/* To each message of a plain batch its reply. */
void local_answer_batch(struct client *c, const struct request *req, const char *tag);
/* Everything but the ReadyForQuery at the end, which depends on the transaction's new state. */
void local_answer(struct client *c, const struct request *req, const struct plan *plan,
		  const struct txn_plan *tp);
/*
 * A named Parse and a Sync, whose statement a server has accepted before, in the same settings and
 * catalog: no server is needed. False: one is.
 */
bool local_parse(struct client *c, const struct request *req);
/* The text that servers get for it: another one for SHOW pgweir.lsn, else itself. */
struct slice local_sql(struct client *c, struct slice sql);
/* SHOW pgweir.lsn: asks the primary for a position behind all that was acknowledged. */
struct request local_token_request(struct client *c);
/* False: not a name that was prepared by protocol; a server must answer. */
bool local_deallocate(struct client *c, const struct plan *plan);

#endif
