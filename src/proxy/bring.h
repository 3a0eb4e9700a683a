/* SPDX-License-Identifier: PostgreSQL */
/*
 * Statements under their own names. Where SQL speaks of prepared statements
 * (EXECUTE, DEALLOCATE, EXPLAIN EXECUTE, pg_prepared_statements), its text goes
 * to the server as it is, and the server is first brought to know exactly the
 * client's statements of those names: no text is written again, so positions and
 * names in PostgreSQL's errors are right.
 */
#ifndef WEIR_PROXY_BRING_H
#define WEIR_PROXY_BRING_H

#include "proxy/client.h"
#include "proxy/plan.h"
#include "wire/backend.h"

/* The linked server has other statements under the names that the plan speaks of. */
bool bring_is_due(struct client *c, const struct plan *plan);
/* In front of a request, as one internal segment; nothing where all is there. */
void bring_names(struct client *c, const struct plan *plan);
/* It failed: the table is gone, say. The request will then say that there is no such statement. */
void bring_failed(struct client *c, struct slice error);
/* The error that the client is to hear in the place of that one; ptr NULL: none. */
struct slice bring_error(const struct client *c, const struct msg_error *e);
/* With the statements that the request makes the client, or all together, would have too many. */
bool bring_is_over_limit(const struct client *c, const struct request *req);
/* A command by extended messages: the client's unnamed statement and portal stay. No Sync. */
void bring_command(struct buf *out, struct slice sql);
void bring_forget(struct client *c); /* the request is over */

#endif
