/* SPDX-License-Identifier: PostgreSQL */
/*
 * Rewrites an extended request for a server: the client's statement names
 * become pgweir's, statements that the server doesn't have are parsed first,
 * and one op per Parse and Close goes to the reply script.
 */
#ifndef WEIR_PROXY_REWRITE_H
#define WEIR_PROXY_REWRITE_H

#include "proxy/client.h"
#include "proxy/plan.h"
#include "wire/backend.h"

#define REWRITE_NO_STATEMENT "pgweir_0" /* on no server: ids begin at 1 */

void rewrite_send(struct client *c, const struct request *req, const struct plan *plan);
/* A description came that the client asked for, or that was looked for: the request goes on. */
void rewrite_asked(struct client *c);
void rewrite_looked(struct client *c);
/* An error came instead: what was kept back would be skipped. */
void rewrite_look_failed(struct client *c);
void rewrite_forget(struct client *c); /* the server is another one's */
/* The error of a Bind whose statement isn't what the client was told. */
bool rewrite_is_outdated(const struct msg_error *e);
/*
 * A simple query follows in an open batch. The Close of a statement that never exists goes in
 * front: while its answer is due, an error is the batch's, and the query will be skipped. The names
 * that the query speaks of are brought.
 */
void rewrite_query_mark(struct client *c, const struct plan *plan);
/* What is left of the current segment is skipped: what its messages promised won't happen. */
void rewrite_undo(struct client *c, struct server *s);
/* The same for all that is under way. */
void rewrite_undo_all(struct client *c, struct server *s);

#endif
